//! What is skipped says so in one form, and `./check` tells it and fails where it must.

use super::{files, root};
use std::fs;
use std::process::Command;

/// `./check --skips` reads lines that begin so.
const WORD: &str = "SKIPPED: ";

#[test]
fn what_is_skipped_says_so_in_one_form() {
    let mut odd = Vec::new();
    for path in ["crates", "conformance", "xtask"].iter().flat_map(|folder| files(&root().join(folder), &[".rs"])) {
        if path.ends_with("house_rules/skips.rs") {
            continue;
        }
        let text = fs::read_to_string(&path).unwrap();
        let lines = text.lines().enumerate().filter(|(_, line)| line.contains("\"SKIPPED") && !line.contains(WORD));
        odd.extend(lines.map(|(i, line)| format!("{}:{}: {line}", path.display(), i + 1)));
    }
    assert!(odd.is_empty(), "these do not begin with `{WORD}`: {odd:#?}");
}

/// Whether `./check` passes over the lines of `log`, and what it prints.
fn check(log: &str, ci: &str) -> (bool, String) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    fs::write(&path, log).unwrap();
    let output =
        Command::new("bash").arg(root().join("check")).arg("--skips").arg(path).env("CI", ci).output().unwrap();
    (output.status.success(), String::from_utf8(output.stdout).unwrap())
}

#[test]
fn check_tells_what_was_skipped_and_fails_where_it_could_have_been_run() {
    let data = "running 1 test\nSKIPPED: no models; set BITESIZE_SHARED\ntest a ... ok\n";
    let root = "SKIPPED: cannot be run here: this user may write everywhere\n";
    let tool = "test a ... SKIPPED: `clang` is missing\nSKIPPED: `clang` is missing\n";
    for (log, passes_in_ci) in [("test a ... ok\n", true), (data, true), (root, true), (tool, false)] {
        let (passed, told) = check(log, "");
        assert!(passed, "{told}");
        assert_eq!(told.contains(WORD), log.contains(WORD), "{told}");
        assert!(told.matches(WORD).count() <= 1, "each is told once: {told}");
        assert_eq!(check(log, "true").0, passes_in_ci, "{log}");
    }
}
