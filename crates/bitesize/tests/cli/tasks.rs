//! Every task by its example in `examples/tasks`, as docs/tasks.md has them, and networks from the field.

use super::common::shared;
use super::{Example, command, fit_args, png, report, root, run, scratch, unproven};
use serde_json::Value;
use std::path::Path;

/// A file of `examples/tasks`.
fn example(name: &str) -> String {
    root().join("examples/tasks").join(name).display().to_string()
}

/// `fit` of the example `name` with `more` arguments, as it stands in docs/tasks.md; the report, and what was told.
#[track_caller]
fn fit(name: &str, more: &[&str]) -> (Value, String, String) {
    let (folder, out) = scratch();
    let [model, train, val] =
        [format!("{name}.onnx"), format!("{name}_train.npz"), format!("{name}_val.npz")].map(|file| example(&file));
    let mut args = vec!["fit", &model, "--train", &train, "--val", &val, "-o", &out];
    args.extend(more);
    let ran = run(&args).expect(0, &[]);
    let header = std::fs::read_to_string(Path::new(&out).join("package/model.h")).unwrap();
    let header = header.split_whitespace().filter(|word| *word != "*").collect::<Vec<_>>().join(" ");
    let report = report(&out);
    drop(folder);
    (report, ran.err + &ran.out, header)
}

/// The figure `key` of `integer` and of `float`.
fn both(report: &Value, row: &str) -> (f64, f64) {
    let row = report.pointer(row).unwrap();
    (row["float"].as_f64().unwrap(), row["integer"].as_f64().unwrap())
}

const FULL: [&str; 6] = ["--policy", "8/8", "--flash", "128KiB", "--ram", "64KiB"];
const SENSOR: [&str; 2] = ["--scale", "0.000244140625"];
const PIXELS: [&str; 2] = ["--scale", "0.00392156862745098"];

#[test]
fn binary_says_yes_above_a_threshold() {
    let (report, told, header) = fit("bearing", &[&FULL[..], &SENSOR].concat());
    assert_eq!((&report["task"], &report["metric"]["name"]), (&"binary".into(), &"accuracy".into()));
    let (float, integer) = both(&report, "/metric");
    assert!(float > 0.9 && float - integer < 0.02, "{}", report["metric"]);
    assert_eq!(report["accuracy"]["integer"], report["metric"]["integer"]);
    assert_eq!(report["metrics"][0]["name"], "auc");
    assert!(report["fidelity"]["agreement"].as_f64().unwrap() > 0.97, "{}", report["fidelity"]);
    assert!(told.contains("task: binary") && told.contains("ends with Sigmoid"), "{told}");
    assert!(header.contains("It says yes where the code is above MODEL_OUTPUT_THRESHOLD"), "{header}");
    assert!(header.contains("#define MODEL_OUTPUT_THRESHOLD ") && !told.contains("train with Relu"), "{header}");
    // Without labels it is compared with float as the same.
    let (report, ..) = fit("bearing", &[&FULL[..], &SENSOR, &["--task", "fidelity"]].concat());
    assert_eq!((&report["task"], &report["fidelity"]["form"]), (&"fidelity".into(), &"sigmoid".into()));
    assert!(report["metric"].is_null() && report["accuracy"].is_null());
}

#[test]
fn multilabel_says_yes_several_times() {
    let (report, _, header) = fit("tones", &[&FULL[..], &SENSOR].concat());
    assert_eq!((&report["task"], &report["metric"]["name"]), (&"multilabel".into(), &"accuracy".into()));
    let (float, integer) = both(&report, "/metric");
    assert!(float > 0.9 && float - integer < 0.02, "{}", report["metric"]);
    assert!(header.contains("Each says yes where"), "{header}");
    // A search under two fifths of the weights.
    let (report, ..) = fit("tones", &[&["--weight-bytes", "40%"][..], &SENSOR].concat());
    let (float, integer) = both(&report, "/metric");
    assert!(report["search"]["reward"].as_f64().unwrap() > 0.9 && float - integer < 0.02, "{}", report["metric"]);
    let baselines = report["baselines"].as_array().unwrap();
    assert!(baselines.iter().any(|row| row["metric"].is_f64() && row["accuracy"] == row["metric"]), "{baselines:?}");
}

#[test]
fn regress_measures_each_value_by_its_own_size() {
    let (report, _, header) = fit("flow", &[&FULL[..], &SENSOR].concat());
    assert_eq!((&report["task"], &report["metric"]["name"]), (&"regress".into(), &"rmse".into()));
    assert!(report["accuracy"].is_null() && report["metric"]["better"] == "lower");
    let (float, integer) = both(&report, "/metric");
    assert!(integer < 1.1 * float, "{}", report["metric"]);
    let (float, integer) = both(&report, "/metrics/1");
    assert!(float > 0.8 && float - integer < 0.02, "R2 {float} and {integer}");
    assert!(report["fidelity"]["loss"].as_f64().unwrap() < 0.01, "{}", report["fidelity"]);
    assert!(header.contains("Real is the network's value."), "{header}");
    // With one scale for both, the share of bubbles gets one code.
    let (report, told, _) = fit("flow", &[&FULL[..], &SENSOR, &["--task", "fidelity"]].concat());
    assert!(report["fidelity"]["loss"].as_f64().unwrap() > 0.1, "{}", report["fidelity"]);
    assert!(
        told.contains("1 of 2 outputs take fewer than 16 different codes") && told.contains("output 1: 1 codes"),
        "{told}"
    );
}

/// Images in a folder without classes, and IDX images without their labels.
#[test]
fn data_without_labels() {
    let (folder, out) = scratch();
    let images = folder.path().join("images");
    std::fs::create_dir(&images).unwrap();
    (0..20).for_each(|i| png(&images.join(format!("{i}.png")), 28, i));
    let idx = folder.path().join("idx");
    std::fs::create_dir(&idx).unwrap();
    let source = root().join("examples/fashion/train");
    for entry in std::fs::read_dir(source).unwrap() {
        let path = entry.unwrap().path();
        if path.file_name().unwrap().to_string_lossy().contains("images") {
            std::fs::copy(&path, idx.join(path.file_name().unwrap())).unwrap();
        }
    }
    let example = Example::new();
    for (data, out) in [(images, out.clone()), (idx, format!("{out}2"))] {
        let train = data.display().to_string();
        let example = Example { train, ..Example { model: example.model.clone(), ..Example::new() } };
        let ran = unproven(&fit_args(&out, &example, &["--policy", "8/8", "--flash", "200KiB", "--ram", "64KiB"]));
        let ran = ran.expect(0, &["without labels", "task: fidelity, since the data have no labels"]);
        assert!(!ran.err.contains("guessing"), "{}", ran.err);
        let report = report(&out);
        assert_eq!((&report["task"], &report["fidelity"]["data"]), (&"fidelity".into(), &"held-out".into()));
    }
}

#[test]
fn an_autoencoder_needs_no_labels() {
    let (report, told, _) = fit("anomaly", &[&FULL[..], &["--task", "regress"]].concat());
    assert_eq!((&report["task"], &report["metric"]["name"]), (&"regress".into(), &"rmse".into()));
    let (float, integer) = both(&report, "/metric");
    assert!(integer < 1.05 * float, "{}", report["metric"]);
    assert!(told.contains("the samples are what the network has to give"), "{told}");
    let (report, told, _) = fit("anomaly", &FULL);
    assert_eq!((&report["task"], &report["fidelity"]["form"]), (&"fidelity".into(), &"real".into()));
    assert!(told.contains("the data have no labels") && report["metric"].is_null(), "{told}");
}

#[test]
fn map_classifies_each_pixel() {
    let (report, _, header) = fit("weeds", &[&FULL[..], &PIXELS].concat());
    assert_eq!((&report["task"], &report["metric"]["name"]), (&"map".into(), &"pixel_accuracy".into()));
    let (float, integer) = both(&report, "/metric");
    assert!(float > 0.9 && float - integer < 0.01, "{}", report["metric"]);
    assert_eq!(report["metrics"][0]["name"], "mean_iou");
    assert!(header.contains("The class of a pixel is the lowest index of the highest of its codes"), "{header}");
    assert!(
        header
            .contains("16x16x3 codes of 8 bits (height x width x channels; the source has channels x height x width)"),
        "{header}"
    );
}

#[test]
fn eval_and_what_cannot_be_asked_for() {
    let [model, val] = ["flow.onnx", "flow_val.npz"].map(example);
    let args = ["eval", &model, "--val", &val, "--scale", SENSOR[1]];
    let told = run(&[&args[..], &["--json"]].concat()).expect(0, &[]);
    let told: Value = serde_json::from_str(&told.out).unwrap();
    assert_eq!((&told["task"], &told["metric"]), (&"regress".into(), &"rmse".into()));
    assert!(told["float"].as_f64().unwrap() > 0.0 && told["metrics"][2]["name"] == "r2", "{told}");
    run(&[&args[..], &["--task", "classify"]].concat())
        .expect(1, &["labels are real values of shape (N, 2)", "`classify`"]);
    run(&[&args[..], &["--task", "fidelity"]].concat()).expect(2, &["nothing to measure"]);
    run(&[&args[..], &["--task", "guess"]].concat()).expect(2, &["none of auto, classify"]);

    let (_folder, out) = scratch();
    let train = example("flow_train.npz");
    let fit = ["fit", &model, "--train", &train, "-o", &out, "--flash", "5KiB", "--ram", "1KiB", "--scale", SENSOR[1]];
    run(&[&fit[..], &["--reward", "accuracy"]].concat()).expect(2, &["no accuracy to maximise", "`regress`"]);
}

/// A network of the field with its data, at 8/8; the report.
#[track_caller]
fn of_field(model: &str, train: &str, val: Option<&str>, more: &[&str]) -> Option<(Value, String)> {
    let place = |name: &str| shared(&format!("field/{name}")).map(|path| path.display().to_string());
    let (_folder, out) = scratch();
    let (model, train) = (place(model)?, place(train)?);
    let val = val.map(|val| place(val).expect("it lies beside"));
    let mut args = vec!["fit", &model, "--train", &train, "-o", &out, "--flash", "2MiB", "--ram", "512KiB"];
    args.extend(val.as_deref().iter().flat_map(|val| ["--val", *val]));
    args.extend(more);
    let ran = command(&args).env("PATH", "").output().unwrap();
    let told = String::from_utf8_lossy(&ran.stderr).into_owned();
    assert_eq!(ran.status.code(), Some(0), "{told}");
    Some((report(&out), told))
}

#[test]
fn one_output_of_the_field_is_judged_by_its_sign() {
    for model in ["one_output/logit.onnx", "one_output/sigmoid.onnx"] {
        let data = ("one_output/train.npz", Some("one_output/val.npz"));
        let Some((report, told)) = of_field(model, data.0, data.1, &["--policy", "8/8"]) else { return };
        assert_eq!(report["task"], "binary", "{told}");
        // The labels are the first network's signs; the other answers below 1/2 everywhere.
        let (float, integer) = both(&report, "/metric");
        assert!((float == 1.0 || model.contains("sigmoid")) && float - integer <= 0.02, "{}", report["metric"]);
        assert!(report["fidelity"]["agreement"].as_f64().unwrap() >= 0.98, "{model}: {}", report["fidelity"]);
        assert!(!told.contains("train with Relu"), "{told}");
    }
    // Under a tight budget the reward orders policies as the agreement with float does.
    let mut found = Vec::new();
    for policy in ["8/8", "4/8", "4/4", "2/8", "2/2"] {
        let more = ["--policy", policy];
        let data = ("one_output/train.npz", Some("one_output/val.npz"));
        let (report, _) = of_field("one_output/logit.onnx", data.0, data.1, &more).unwrap();
        let fidelity = &report["fidelity"];
        found.push((fidelity["loss"].as_f64().unwrap(), fidelity["agreement"].as_f64().unwrap(), policy));
    }
    found.sort_by(|a, b| a.0.total_cmp(&b.0));
    assert!(found.windows(2).all(|pair| pair[0].1 + 0.015 >= pair[1].1), "{found:?}");
    assert!(found[0].1 >= 0.98 && found[4].1 < 0.9, "{found:?}");
}

#[test]
fn maps_and_autoencoders_of_the_field() {
    let Some((report, told)) = of_field("maps/grid.onnx", "maps/grid.npz", None, &["--policy", "8/8"]) else { return };
    assert_eq!(report["task"], "map", "{told}");
    assert!(report["fidelity"]["agreement"].as_f64().unwrap() > 0.95, "{}", report["fidelity"]);
    let (report, told) =
        of_field("regression/autoencoder.onnx", "regression/autoencoder_train.npz", None, &["--policy", "8/8"])
            .unwrap();
    assert_eq!((&report["task"], &report["fidelity"]["form"]), (&"fidelity".into(), &"real".into()), "{told}");
    assert!(report["fidelity"]["loss"].as_f64().unwrap() < 0.02, "{}", report["fidelity"]);
}
