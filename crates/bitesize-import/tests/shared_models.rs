//! The trained networks of `../shared/models`: imported and rewritten, they compute what ONNX Runtime computes.
//! Where that folder is not there (set `BITESIZE_SHARED` to its parent), the test says so and does nothing.

mod common;

use bitesize_ir::op::KernelKind;
use bitesize_ir::rewrite::rewrite;
use bitesize_ir::{Network, Op};
use common::{check_output, import};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Made by `fixtures/make_expected.py`.
#[derive(Deserialize)]
struct Expected {
    input_shape: Vec<usize>,
    amplitude: f32,
    outputs: Vec<f32>,
}

/// The seeded input that `fixtures/make_expected.py` describes.
fn seeded_input(count: usize, amplitude: f32) -> Vec<f32> {
    let mut state = 1u64;
    let next = |_| {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        ((state >> 40) as f32 / (1u64 << 23) as f32 - 1.0) * amplitude
    };
    (0..count).map(next).collect()
}

fn shared() -> PathBuf {
    match std::env::var_os("BITESIZE_SHARED") {
        Some(folder) => folder.into(),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared"),
    }
}

/// What a network should look like after rewriting.
struct Form {
    name: &'static str,
    /// Height, width, channels.
    input: &'static str,
    /// Operators by kind.
    ops: &'static [(KernelKind, usize)],
    /// Clamps of all operators together, by their text.
    clamps: &'static [(&'static str, usize)],
}

use KernelKind::{Add, AveragePool, Conv2d, DepthwiseConv2d, FullyConnected};

#[rustfmt::skip]
const FORMS: &[Form] = &[
    Form { name: "cifar10_mnasnet", input: "32x32x3", ops: &[(Conv2d, 35), (DepthwiseConv2d, 17), (FullyConnected, 1), (Add, 10), (AveragePool, 1)], clamps: &[("none", 29), ("relu", 35)] },
    Form { name: "cifar10_mobilenet_v1", input: "32x32x3", ops: &[(Conv2d, 14), (DepthwiseConv2d, 13), (FullyConnected, 1), (AveragePool, 1)], clamps: &[("none", 2), ("relu", 26), ("relu6", 1)] },
    Form { name: "cifar10_mobilenet_v2", input: "32x32x3", ops: &[(Conv2d, 35), (DepthwiseConv2d, 17), (FullyConnected, 1), (Add, 10), (AveragePool, 1)], clamps: &[("none", 29), ("relu6", 35)] },
    Form { name: "fashion_mobilenet_v1_025", input: "28x28x1", ops: &[(Conv2d, 9), (DepthwiseConv2d, 8), (FullyConnected, 1), (AveragePool, 1)], clamps: &[("none", 2), ("relu", 17)] },
    Form { name: "imagenet_mobilenet_v1_025_224", input: "224x224x3", ops: &[(Conv2d, 15), (DepthwiseConv2d, 13), (AveragePool, 1)], clamps: &[("none", 2), ("relu6", 27)] },
    Form { name: "mlperf_kws_dscnn", input: "49x10x1", ops: &[(Conv2d, 5), (DepthwiseConv2d, 4), (FullyConnected, 1), (AveragePool, 1)], clamps: &[("none", 2), ("relu", 9)] },
    Form { name: "mlperf_resnet8", input: "32x32x3", ops: &[(Conv2d, 9), (FullyConnected, 1), (Add, 3), (AveragePool, 1)], clamps: &[("none", 7), ("relu", 7)] },
    Form { name: "mlperf_vww_mobilenet_v1", input: "96x96x3", ops: &[(Conv2d, 14), (DepthwiseConv2d, 13), (FullyConnected, 1), (AveragePool, 1)], clamps: &[("none", 2), ("relu", 27)] },
];

fn counts<K: Ord + Clone>(items: impl Iterator<Item = K>) -> Vec<(K, usize)> {
    let mut counts = BTreeMap::new();
    for item in items {
        *counts.entry(item).or_insert(0) += 1;
    }
    counts.into_iter().collect()
}

fn check_form(form: &Form, network: &Network) -> Result<(), String> {
    let input = network.shape(network.input).to_string();
    let ops = counts(network.nodes.iter().filter_map(|n| n.op.kernel_kind()));
    let clamps = counts(network.nodes.iter().map(|n| n.op.clamp().to_string()));
    let clamps: Vec<(&str, usize)> = clamps.iter().map(|(clamp, n)| (clamp.as_str(), *n)).collect();
    let affine = network.nodes.iter().any(|n| matches!(n.op, Op::ChannelAffine(_)));
    if affine || (input.as_str(), &ops[..], &clamps[..]) != (form.input, form.ops, form.clamps) {
        return Err(format!("has input {input}, {ops:?}, clamps {clamps:?}\n{network}"));
    }
    Ok(())
}

fn check(path: &Path, form: &Form, expected: &Expected) -> Result<(), String> {
    let imported = import(path)?;
    let input = seeded_input(expected.input_shape.iter().product(), expected.amplitude);
    check_output(&imported.network, &imported, &input, &expected.outputs)?;
    let (rewritten, log) = rewrite(imported.network.clone()).map_err(|e| e.to_string())?;
    check_output(&rewritten, &imported, &input, &expected.outputs).map_err(|e| format!("rewritten: {e}\n{log}"))?;
    check_form(form, &rewritten)
}

#[test]
fn trained_networks_compute_what_onnx_runtime_computes() {
    let models = shared().join("models");
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/expected.json");
    let expected: BTreeMap<String, Expected> = serde_json::from_str(&fs::read_to_string(fixtures).unwrap()).unwrap();
    assert!(FORMS.iter().map(|f| f.name).eq(expected.keys()), "the fixtures and the forms name different networks");
    if !models.is_dir() {
        eprintln!("SKIPPED: {} is not there; set BITESIZE_SHARED to the folder that holds `models`", models.display());
        return;
    }
    let mut failures = Vec::new();
    for form in FORMS {
        let path = models.join(format!("{}.onnx", form.name));
        if let Err(problem) = check(&path, form, &expected[form.name]) {
            failures.push(format!("{}: {problem}", form.name));
        }
    }
    assert!(failures.is_empty(), "{} networks:\n{}", failures.len(), failures.join("\n"));
}
