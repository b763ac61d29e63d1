//! Maps that the model flattens into its output: in the model's order, counted, and proven.

use super::{report, run, scratch};
use crate::common::shared;
use std::path::Path;

/// Fits `name` of the field cases, whose labels are ONNX Runtime's highest output.
fn check(name: &str) {
    let [model, data] = ["onnx", "npz"].map(|ending| shared(&format!("field/output_order/{name}.{ending}")));
    let (Some(model), Some(data)) = (model, data) else { return };
    let [model, data] = [model, data].map(|path| path.display().to_string());
    let (_folder, out) = scratch();
    let budget =
        ["--scale", "0.00392156862745098", "--policy", "8/8", "--flash", "1MiB", "--ram", "256KiB", "-o", &out];
    let args = [&["fit", &model, "--train", &data, "--val", &data][..], &budget].concat();
    let ran = run(&args).expect(0, &["flattened from channels x height x width"]);
    let report = report(&out);
    assert_eq!(report["accuracy"]["float"], 1.0, "{}", ran.err);
    assert!(report["accuracy"]["integer"].as_f64().unwrap() >= 0.95, "{report}");
    assert_eq!(report["model"]["output_order"], "flattened from channels x height x width, as in the source");
    let layers = report["layers"].as_array().unwrap();
    assert_eq!(layers.last().unwrap()["op"], "flatten", "{report}");
    let header = std::fs::read_to_string(Path::new(&out).join("package/model.h")).unwrap();
    let words = header.split_whitespace().filter(|word| *word != "*").collect::<Vec<_>>().join(" ");
    assert!(words.contains("(flattened from channels x height x width, as in the source)"), "{header}");
}

#[test]
fn a_flattened_map_is_classified_as_onnx_runtime_does() {
    check("flatten");
}

#[test]
fn a_reshaped_map_is_classified_as_onnx_runtime_does() {
    check("reshape");
}
