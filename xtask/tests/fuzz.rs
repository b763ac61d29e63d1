//! The fuzz targets run and find nothing, on inputs that a seed determines; and the harness notices every way to fail.

use std::path::Path;
use std::process::{Command, Output};

fn fuzz(arguments: &[&str], into: &Path) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_xtask"));
    command.arg("fuzz").args(arguments).arg("--into").arg(into).output().unwrap()
}

#[test]
fn every_reader_survives_a_thousand_inputs() {
    let folder = tempfile::tempdir().unwrap();
    let output = fuzz(&["--executions", "1000", "--seed", "1"], folder.path());
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(said.matches("1000 executions     0 findings").count(), 7, "{said}");
}

/// Each planted fault fails at inputs of odd length: those are found, each is kept and fails again, and no other is.
#[test]
fn planted_faults_are_found() {
    for (fault, how) in [
        ("fault-panic", "panic-"),
        ("fault-abort", "ended-"),
        ("fault-stack", "ended-"),
        ("fault-memory", "ended-"),
        ("fault-time", "ended-"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let output = fuzz(&[fault, "--executions", "6", "--longest", "0.5", "--seed", "3"], folder.path());
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(!output.status.success() && said.contains(" 6 executions"), "{fault}: {said}");
        let kept: Vec<_> = std::fs::read_dir(folder.path().join(fault))
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.file_name().unwrap().to_str().unwrap().starts_with(how))
            .collect();
        let inputs: Vec<_> = kept.iter().filter(|path| path.extension().is_none()).collect();
        assert!(!inputs.is_empty() && kept.len() == 2 * inputs.len(), "{fault}: {kept:?}");
        for input in inputs {
            assert_eq!(std::fs::read(input).unwrap().len() % 2, 1, "{fault}: {}", input.display());
        }
    }
}
