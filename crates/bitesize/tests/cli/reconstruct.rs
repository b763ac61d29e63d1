//! Autoencoders, whatever their data were gathered for, and what a final Tanh says.

use super::onnx::{chain, element};
use super::{npz, png, report, run, scratch, unproven};
use serde_json::Value;
use std::fs;
use std::path::Path;

/// Samples, height, width and channels of the data.
const DIMS: (usize, usize, usize, usize) = (24, 3, 2, 2);

fn pixel((n, y, x, c): (usize, usize, usize, usize)) -> f32 {
    ((n * 7 + y * 5 + x * 3 + c * 11) % 13) as f32 / 13.0 - 0.4
}

/// The sample `n` in the file's order: channels, rows, columns.
fn sample(n: usize) -> Vec<f32> {
    (0..12).map(|i| pixel((n, i / 2 % 3, i % 2, i / 6))).collect()
}

/// Of a network that gives `output` for a sample, both in the file's order.
fn rmse(output: impl Fn(&[f32]) -> Vec<f32>) -> f64 {
    let squared = |n: usize| -> f64 {
        let x = sample(n);
        output(&x).iter().zip(&x).map(|(y, x)| f64::from(y - x).powi(2)).sum()
    };
    ((0..DIMS.0).map(squared).sum::<f64>() / (12 * DIMS.0) as f64).sqrt()
}

/// What `eval --json` says of the network `model` on `data`.
#[track_caller]
fn told_of(model: &[u8], data: &Path, more: &[&str]) -> Value {
    let (folder, _) = scratch();
    let path = folder.path().join("model.onnx");
    fs::write(&path, model).unwrap();
    let (path, data) = (path.display().to_string(), data.display().to_string());
    let told = run(&[&["eval", &path, "--val", &data, "--json"][..], more].concat());
    serde_json::from_str(&told.expect(0, &[]).out).unwrap()
}

#[test]
fn an_output_that_is_flattened_is_the_input_too() {
    let (folder, _) = scratch();
    let data = folder.path().join("data.npz");
    let x = ndarray::Array4::from_shape_fn(DIMS, pixel);
    // Their classes say nothing of what the network has to give.
    npz(&data, &x, (0..DIMS.0 as i64).map(|n| n % 3).collect());
    let check = |nodes: &[(&str, &[u64])], output: &[u64], expected: f64| {
        let told = told_of(&chain(&[1, 2, 3, 2], nodes, output), &data, &["--task", "regress"]);
        let found = told["float"].as_f64().unwrap();
        assert!(
            told["task"] == "regress" && (found - expected).abs() < 1e-5 * expected,
            "{nodes:?}: {told} {expected}"
        );
        let of_each = &told["metrics"][0]["by_output"]["float"];
        let count = of_each.as_array().unwrap().len();
        assert_eq!(count, if output.len() == 4 { 2 } else { 12 }, "{of_each}");
    };
    let convolved = |x: &[f32]| -> Vec<f32> {
        let hidden =
            |k: usize, p: usize| (0..2).map(|c| element((k * 2 + c) as u64) * x[c * 6 + p]).sum::<f32>().max(0.0);
        (0..12).map(|i| (0..4).map(|k| element((i / 6 * 4 + k) as u64) * hidden(k, i % 6)).sum()).collect()
    };
    let convolutions: [(&str, &[u64]); 3] = [("Conv", &[4, 2, 1, 1]), ("Relu", &[]), ("Conv", &[2, 4, 1, 1])];
    check(&convolutions, &[1, 2, 3, 2], rmse(convolved));
    check(&[&convolutions[..], &[("Flatten", &[])]].concat(), &[1, 12], rmse(convolved));
    let dense = |x: &[f32]| -> Vec<f32> {
        let hidden = |k: usize| (0..12).map(|i| x[i] * element((i * 5 + k) as u64)).sum::<f32>().max(0.0);
        (0..12).map(|i| (0..5).map(|k| hidden(k) * element((k * 12 + i) as u64)).sum()).collect()
    };
    let products: [(&str, &[u64]); 4] = [("Flatten", &[]), ("MatMul", &[12, 5]), ("Relu", &[]), ("MatMul", &[5, 12])];
    check(&products, &[1, 12], rmse(dense));
    // Where nothing is asked for, classes make it a classifier, which is asked about.
    let (folder, _) = scratch();
    let model = folder.path().join("model.onnx");
    let [model, data] = [&model, &data].map(|path| path.display().to_string());
    fs::write(&model, chain(&[1, 2, 3, 2], &products, &[1, 12])).unwrap();
    run(&["eval", &model, "--val", &data]).expect(0, &["task: classify", "--task regress judges it by its input"]);
    fs::write(&model, chain(&[1, 2, 3, 2], &convolutions, &[1, 2, 3, 2])).unwrap();
    run(&["eval", &model, "--val", &data]).expect(1, &["an autoencoder is judged by its input", "--task regress"]);
}

#[test]
fn class_folders_feed_an_autoencoder() {
    let (folder, out) = scratch();
    for i in 0..12 {
        let class = folder.path().join("data").join(if i % 2 == 0 { "a" } else { "b" });
        fs::create_dir_all(&class).unwrap();
        png(&class.join(format!("{i:02}.png")), 4, i);
    }
    let data = folder.path().join("data");
    let nodes: [(&str, &[u64]); 3] = [("Conv", &[4, 1, 1, 1]), ("Relu", &[]), ("Conv", &[1, 4, 1, 1])];
    let model = chain(&[1, 1, 4, 4], &nodes, &[1, 1, 4, 4]);
    let scale = ["--task", "regress", "--scale", "0.00390625"];
    let told = told_of(&model, &data, &scale);
    // Pixels are not negative, so that the network multiplies each by one number.
    let factor: f64 = (0..4).map(|k| f64::from(element(k)) * f64::from(element(k)).max(0.0)).sum();
    let pixels = (0..12).flat_map(|i| (0..16).map(move |p| f64::from((p % 4 * 7 + p / 4 * 13 + i * 29) % 256) / 256.0));
    let expected = (pixels.map(|x| (x * factor - x).powi(2)).sum::<f64>() / (12.0 * 16.0)).sqrt();
    assert!((told["float"].as_f64().unwrap() - expected).abs() < 1e-5, "{told} {expected}");
    assert!(told["metrics"][0].get("by_output").is_none(), "{told}");

    let file = folder.path().join("model.onnx");
    fs::write(&file, &model).unwrap();
    let [file, data] = [&file, &data].map(|path| path.display().to_string());
    let fit = ["fit", &file, "--train", &data, "--val", &data, "-o", &out, "--flash", "64KiB", "--ram", "16KiB"];
    let ran = unproven(&[&fit[..], &["--policy", "8/8"], &scale].concat());
    ran.expect(0, &["the samples are what the network has to give, and their classes are not looked at"]);
    let report = report(&out);
    let metric = &report["metric"];
    assert_eq!(metric["name"], "rmse");
    assert!((metric["integer"].as_f64().unwrap() - expected).abs() < 0.02 * expected, "{metric}");
}

/// Classes of a Tanh are -1 and 1: yes is above 0, and the probability is half of what is above -1.
#[test]
fn behind_a_tanh_yes_is_above_0() {
    let (folder, out) = scratch();
    let value = |n: usize, c: usize| ((n * 7 + c * 5) % 13) as f32 / 6.5 - 1.0;
    let logit = |n: usize| (0..4).map(|c| value(n, c) * element(c as u64)).sum::<f32>();
    let x = ndarray::Array4::from_shape_fn((40, 1, 1, 4), |(n, _, _, c)| value(n, c));
    let model = folder.path().join("model.onnx");
    fs::write(&model, chain(&[1, 4], &[("MatMul", &[4, 1]), ("Tanh", &[])], &[1, 1])).unwrap();
    let model = model.display().to_string();
    for (name, no, yes, more) in
        [("signs", -1, 1, &[][..]), ("answers", 0, 1, &[]), ("numbers", 1, 2, &["--label-offset=-1"])]
    {
        let data = folder.path().join(format!("{name}.npz"));
        npz(&data, &x, (0..40).map(|n| if logit(n) > 0.0 { yes } else { no }).collect::<Vec<i64>>());
        let (data, out) = (data.display().to_string(), format!("{out}{name}"));
        let fit = ["fit", &model, "--train", &data, "--val", &data, "-o", &out, "--flash", "64KiB", "--ram", "16KiB"];
        let fit = [&fit[..], &["--policy", "8/8"]].concat();
        unproven(&[&fit[..], more].concat()).expect(0, &["task: binary", "ends with Tanh"]);
        let report = report(&out);
        assert_eq!(report["metric"]["float"], 1.0, "{name}");
        let header = fs::read_to_string(Path::new(&out).join("package/model.h")).unwrap();
        let header = header.split_whitespace().filter(|word| *word != "*").collect::<Vec<_>>().join(" ");
        assert!(header.contains("MODEL_OUTPUT_THRESHOLD; the probability is (1 + tanh(real)) / 2."), "{header}");
        if name == "numbers" {
            let out = format!("{out}2");
            let fit: Vec<&str> =
                fit.iter().map(|arg| if *arg == out.trim_end_matches('2') { out.as_str() } else { arg }).collect();
            unproven(&fit).expect(1, &["all of them 1 or 2", "label_offset -1"]);
        }
    }
}
