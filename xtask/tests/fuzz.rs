//! The fuzz targets run and find nothing, on inputs that a seed determines.

use std::process::Command;

#[test]
fn every_reader_survives_a_thousand_inputs() {
    let folder = tempfile::tempdir().unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_xtask"))
        .args(["fuzz", "--executions", "1000", "--seed", "1", "--into"])
        .arg(folder.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(said.matches("1000 executions     0 findings").count(), 7, "{said}");
}
