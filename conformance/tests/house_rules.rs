//! Rules of the house that the compiler does not enforce: which crate may depend on which, where floats and files may
//! appear, and that nothing loose is left behind.

#[path = "house_rules/circles.rs"]
mod circles;
#[path = "house_rules/modules.rs"]
mod modules;
#[path = "house_rules/skips.rs"]
mod skips;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// All files below `folder` with one of the `endings`, sorted, build products left out.
fn files(folder: &Path, endings: &[&str]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![folder.to_owned()];
    while let Some(at) = open.pop() {
        for entry in fs::read_dir(&at).unwrap_or_else(|e| panic!("{}: {e}", at.display())) {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if path.is_dir() {
                if !(name == "target" || name.starts_with('.')) {
                    open.push(path);
                }
            } else if endings.iter().any(|ending| name.ends_with(ending)) {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

/// The part of a source file before its tests module, with comments cut.
fn code_of(path: &Path) -> Vec<(usize, String)> {
    let text = fs::read_to_string(path).unwrap();
    text.lines()
        .enumerate()
        .take_while(|(_, line)| !line.starts_with("#[cfg(test)]"))
        .map(|(i, line)| (i + 1, line.split("//").next().unwrap().to_owned()))
        .collect()
}

/// Every line of the crates' sources (tests left out) that holds one of `words` as a whole word.
fn lines_with(folders: &[&str], words: &[&str], allowed: &[&str]) -> Vec<String> {
    let mut hits = Vec::new();
    for folder in folders {
        for path in files(&root().join(folder), &[".rs"]) {
            let shown = path.strip_prefix(root()).unwrap().display().to_string();
            let is_test = shown.ends_with("tests.rs") || shown.contains("/tests/");
            if is_test || allowed.iter().any(|a| shown.ends_with(a)) {
                continue;
            }
            for (number, line) in code_of(&path) {
                let mut tokens = line.split(|c: char| !(c.is_alphanumeric() || c == '_' || c == ':'));
                if tokens.any(|token| {
                    words.contains(&token) || words.iter().any(|w| w.contains(':') && token.starts_with(w))
                }) {
                    hits.push(format!("{shown}:{number}: {}", line.trim()));
                }
            }
        }
    }
    hits
}

#[test]
fn crates_depend_only_on_what_the_architecture_allows() {
    let allowed: BTreeMap<&str, &[&str]> = BTreeMap::from([
        ("bitesize-ir", &[][..]),
        ("bitesize-import", &["bitesize-ir"]),
        ("bitesize-train", &["bitesize-ir"]),
        ("bitesize-integer", &["bitesize-ir"]),
        ("bitesize-search", &["bitesize-ir"]),
        ("bitesize-codegen", &["bitesize-ir", "bitesize-integer"]),
        ("bitesize-verify", &["bitesize-ir", "bitesize-integer", "bitesize-codegen"]),
    ]);
    for (name, may) in allowed {
        let manifest = fs::read_to_string(root().join("crates").join(name).join("Cargo.toml")).unwrap();
        let manifest: toml::Table = manifest.parse().unwrap();
        let Some(dependencies) = manifest.get("dependencies").and_then(|d| d.as_table()) else { continue };
        for dependency in dependencies.keys().filter(|d| d.starts_with("bitesize")) {
            assert!(may.contains(&dependency.as_str()), "{name} must not depend on {dependency}: see ARCHITECTURE.md");
        }
    }
}

#[test]
fn no_modules_stand_in_a_circle() {
    let mut found = String::new();
    let mut crates: Vec<_> = fs::read_dir(root().join("crates")).unwrap().map(|entry| entry.unwrap().path()).collect();
    crates.sort();
    for folder in crates.into_iter().chain(["conformance", "xtask"].map(|name| root().join(name))) {
        let sources = files(&folder.join("src"), &[".rs"]);
        let is_root = |path: &&PathBuf| {
            let place = path.strip_prefix(folder.join("src")).unwrap();
            place == Path::new("lib.rs")
                || place.file_name() == Some("main.rs".as_ref())
                || place.parent() == Some(Path::new("bin"))
        };
        let mut unread: BTreeSet<&PathBuf> = sources.iter().collect();
        for file in sources.iter().filter(is_root) {
            let (circles, read) = circles::circles_of(file, &|path| fs::read_to_string(path).ok()).unwrap();
            // A module of tests may have files of its own, in a folder of its name.
            let is_of_tests = |path: &Path| {
                let mut tests = read.of_tests.iter();
                tests.any(|test| path == test || path.starts_with(test.with_extension("")))
            };
            unread.retain(|path| !read.files.contains(path) && !is_of_tests(path));
            found.extend(circles.iter().map(|circle| circle.to_string()));
        }
        assert!(unread.is_empty(), "no `mod` line leads to {unread:?}");
    }
    let root = format!("{}/", root().display());
    assert!(found.is_empty(), "modules that use each other in turn:\n{}", found.replace(&root, ""));
}

#[test]
fn the_integer_path_has_no_floats_outside_lowering() {
    let hits = lines_with(&["crates/bitesize-integer/src"], &["f32", "f64"], &["lower.rs"]);
    assert!(hits.is_empty(), "floats in the integer path:\n{}", hits.join("\n"));
}

#[test]
fn the_runtime_has_no_floats_no_heap_and_no_stdio() {
    for path in files(&root().join("runtime"), &[".c", ".h"]) {
        for (number, line) in code_of(&path) {
            for word in ["float", "double", "malloc", "free", "printf", "stdio", "math.h"] {
                let found =
                    line.split(|c: char| !(c.is_alphanumeric() || c == '.' || c == '_')).any(|token| token == word);
                assert!(!found, "{}:{number}: `{word}` in the runtime", path.display());
            }
        }
    }
}

#[test]
fn only_the_outer_crates_touch_files_and_processes() {
    let inner = ["ir", "import", "train", "integer", "search", "codegen"].map(|c| format!("crates/bitesize-{c}/src"));
    let folders: Vec<&str> = inner.iter().map(String::as_str).collect();
    let hits = lines_with(&folders, &["std::fs", "std::process", "std::env", "std::net", "std::time"], &[]);
    assert!(hits.is_empty(), "files, processes or clocks in a pure crate:\n{}", hits.join("\n"));
}

/// A path may hold anything: messages show it by `bitesize_ir::shown`.
#[test]
fn paths_are_shown_in_one_line() {
    let mut hits = lines_with(&["crates"], &["display"], &[]);
    hits.retain(|hit| hit.contains(".display()"));
    assert!(hits.is_empty(), "`.display()` of a path in:\n{}", hits.join("\n"));
}

#[test]
fn nothing_loose_is_left_behind() {
    // Spelled in parts so that this file does not name them itself.
    let words = [["TO", "DO"], ["FIX", "ME"], ["XX", "X"]].map(|parts| parts.concat());
    let macros = [["todo", "!("], ["unimplemented", "!("], ["dbg", "!("], ["#[ign", "ore"]].map(|parts| parts.concat());
    for path in files(&root(), &[".rs", ".c", ".h", ".sh", ".toml"]) {
        let text = fs::read_to_string(&path).unwrap();
        for (i, line) in text.lines().enumerate() {
            let loose = line.split(|c: char| !c.is_alphanumeric()).any(|token| words.iter().any(|w| w == token))
                || macros.iter().any(|m| line.contains(m.as_str()));
            assert!(!loose, "{}:{}: {}", path.display(), i + 1, line.trim());
        }
    }
}

#[test]
fn no_file_is_named_for_a_width() {
    for path in files(&root().join("crates"), &[".rs"]).into_iter().chain(files(&root().join("runtime"), &[".c", ".h"]))
    {
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        let width = ["2bit", "4bit", "8bit", "_s8", "_s4", "_u8", "_u4", "_u2", "int8", "int4"]
            .iter()
            .any(|w| name.contains(w));
        assert!(!width, "{}: bit widths are values, not part of a file name", path.display());
    }
}

/// `docs/run-folder.md` shows the page of calls that makes a run.
#[test]
fn the_page_in_the_documentation_is_the_one_that_runs() {
    let page = fs::read_to_string(root().join("crates/bitesize/src/fit.rs")).unwrap();
    let text = fs::read_to_string(root().join("docs/run-folder.md")).unwrap();
    assert!(text.contains(&format!("```rust\n{page}```")), "copy crates/bitesize/src/fit.rs into docs/run-folder.md");
}

#[test]
fn relative_links_in_the_documentation_lead_somewhere() {
    for path in files(&root(), &[".md"]) {
        let text = fs::read_to_string(&path).unwrap();
        // Every other part stands between fences: code, whose brackets are no links.
        let prose: String = text.split("\n```").step_by(2).collect();
        for part in prose.split("](").skip(1) {
            let target = part.split([')', '#', ' ']).next().unwrap();
            if target.is_empty() || target.contains("://") {
                continue;
            }
            assert!(
                path.parent().unwrap().join(target).exists(),
                "{}: the link to `{target}` leads nowhere",
                path.display()
            );
        }
    }
}
