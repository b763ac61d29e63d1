//! Damaged files are refused, or read as the network that they still describe; none makes the importer panic.

use bitesize_import::import_onnx;
use bitesize_ir::rewrite::rewrite;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

fn some_files() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../conformance/onnx");
    let mut files: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|e| e == "onnx"));
    files.sort();
    // Every fifth: the files resemble each other.
    files.into_iter().step_by(5).collect()
}

fn import(bytes: &[u8]) -> bool {
    let none = |_: &str, _: u64, _: usize| Err(io::Error::other("no such file"));
    match import_onnx(bytes, &none, "damaged") {
        Ok(imported) => rewrite(imported.network).is_ok(),
        Err(error) => !error.to_string().is_empty(),
    }
}

#[test]
fn truncated_files() {
    for path in some_files() {
        let bytes = fs::read(&path).unwrap();
        for length in (0..bytes.len()).step_by(1 + bytes.len() / 60) {
            assert!(import(&bytes[..length]), "{} cut at {length}", path.display());
        }
    }
}

#[test]
fn changed_bytes() {
    let mut state = 1u64;
    let mut random = |below: usize| {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (state >> 33) as usize % below
    };
    for path in some_files() {
        let original = fs::read(&path).unwrap();
        for _ in 0..200 {
            let mut bytes = original.clone();
            for _ in 0..1 + random(4) {
                let at = random(bytes.len());
                bytes[at] = match random(3) {
                    0 => random(256) as u8,
                    1 => bytes[at] ^ (1 << random(8)),
                    _ => 0xff,
                };
            }
            assert!(import(&bytes), "{}", path.display());
        }
    }
}
