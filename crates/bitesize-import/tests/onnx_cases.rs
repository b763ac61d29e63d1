//! The small networks of `conformance/onnx`: what is supported computes what ONNX Runtime computes, what is not is
//! refused with the right words.

mod common;

use bitesize_ir::rewrite::rewrite;
use common::{check_output, import};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// A case's numbers, made by ONNX Runtime (see `conformance/onnx/README.md`).
#[derive(Deserialize)]
struct Case {
    output_shape: Vec<usize>,
    inputs: Vec<Vec<f32>>,
    outputs: Vec<Vec<f32>>,
    outputs_before_softmax: Option<Vec<Vec<f32>>>,
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../conformance/onnx")
}

fn files(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|e| e == extension));
    files.sort();
    files
}

fn check(path: &Path) -> Result<(), String> {
    let text = fs::read_to_string(path.with_extension("json")).map_err(|e| e.to_string())?;
    let case: Case = serde_json::from_str(&text).map_err(|e| e.to_string())?;
    let imported = import(path)?;
    let network = &imported.network;
    let dims = &imported.output_order.dims;
    let outputs = match &case.outputs_before_softmax {
        Some(outputs) => outputs,
        None => &case.outputs,
    };
    if network.tail.is_some() != case.outputs_before_softmax.is_some() {
        return Err(format!("the tail is {:?}", network.tail));
    }
    if *dims != case.output_shape {
        return Err(format!("the output has the shape {dims:?} instead of {:?}", case.output_shape));
    }
    let (rewritten, log) = rewrite(network.clone()).map_err(|e| e.to_string())?;
    for (input, expected) in case.inputs.iter().zip(outputs) {
        check_output(network, &imported, input, expected)?;
        check_output(&rewritten, &imported, input, expected).map_err(|e| format!("rewritten: {e}\n{log}"))?;
    }
    Ok(())
}

#[test]
fn supported_networks_compute_what_onnx_runtime_computes() {
    let mut failures = Vec::new();
    let paths = files(&folder(), "onnx");
    assert!(!paths.is_empty());
    for path in &paths {
        if let Err(problem) = check(path) {
            failures.push(format!("{}: {problem}", path.file_stem().unwrap().to_string_lossy()));
        }
    }
    assert!(failures.is_empty(), "{} of {} cases:\n{}", failures.len(), paths.len(), failures.join("\n"));
}

#[test]
fn bad_files_are_refused_with_the_right_words() {
    let folder = folder().join("bad");
    let cases: BTreeMap<String, Vec<String>> =
        serde_json::from_str(&fs::read_to_string(folder.join("cases.json")).unwrap()).unwrap();
    let mut failures = Vec::new();
    for (file, words) in &cases {
        match import(&folder.join(file)) {
            Ok(_) => failures.push(format!("{file} was imported")),
            Err(text) => {
                let lower = text.to_lowercase();
                let said = |words: &&String| words.split('|').any(|word| lower.contains(&word.to_lowercase()));
                let unsaid: Vec<&String> = words.iter().filter(|w| !said(w)).collect();
                if !unsaid.is_empty() {
                    failures.push(format!("{file} lacks {unsaid:?} in: {text}"));
                }
            }
        }
    }
    assert!(failures.is_empty(), "{} of {} cases:\n{}", failures.len(), cases.len(), failures.join("\n"));
}
