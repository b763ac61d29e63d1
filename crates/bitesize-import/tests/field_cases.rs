//! The small networks of `../shared/field/import`, rebuilt from what people reported. Where that folder is not there (set
//! `BITESIZE_SHARED` to its parent), the tests say so and do nothing.

mod common;

use bitesize_ir::Op;
use bitesize_ir::rewrite::rewrite;
use common::{check_output, import};
use std::path::{Path, PathBuf};

/// The folder of the cases.
fn cases() -> Option<PathBuf> {
    let shared = match std::env::var_os("BITESIZE_SHARED") {
        Some(folder) => folder.into(),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared"),
    };
    let folder = shared.join("field/import");
    if folder.is_dir() {
        return Some(folder);
    }
    eprintln!("SKIPPED: {} is not there; set BITESIZE_SHARED to the folder that holds `field`", folder.display());
    None
}

/// The seeded input of `fixtures/make_expected.py`, of magnitude 1.
fn seeded_input(count: usize) -> Vec<f32> {
    let mut state = 1u64;
    let next = |_| {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (state >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    };
    (0..count).map(next).collect()
}

/// The layer of two exporters, of which one leaves arithmetic with Ceil and Clip in the file, and ONNX Runtime's (1.32)
/// outputs over the seeded input. Their weights differ.
#[test]
fn both_exporters_of_a_padding_give_one_form_of_network() {
    let Some(cases) = cases() else { return };
    let form = |exporter: &str, outputs: [f32; 4]| {
        let imported = import(&cases.join(format!("timm_conv2dsame_{exporter}.onnx"))).unwrap();
        let (network, _) = rewrite(imported.network.clone()).unwrap();
        check_output(&network, &imported, &seeded_input(3 * 32 * 32), &outputs).unwrap();
        let window = |op: &Op| match op {
            Op::Conv2d(conv) => Some(conv.window),
            Op::AveragePool(pool) => Some(pool.window),
            _ => None,
        };
        let windows: Vec<_> = network.nodes.iter().map(|node| (node.op.kernel_kind(), window(&node.op))).collect();
        let shapes: Vec<_> = network.tensors.iter().map(|tensor| tensor.shape).collect();
        (windows, shapes)
    };
    let traced = form("torchscript", [-0.096_955_67, 0.147_34, -0.039_932_862, 0.020_531_982]);
    assert_eq!(traced, form("dynamo", [0.184_410_88, -0.079_526_745, 0.292_205_04, 0.106_301_524]));
}

/// Checks that a file is refused for `lines`, each of which is the beginning of one.
fn check_refused(name: &str, lines: &[&str]) {
    let Some(cases) = cases() else { return };
    let error = import(&cases.join(name)).unwrap_err();
    let found: Vec<&str> = error.lines().skip(1).map(str::trim).collect();
    assert_eq!(found.len(), lines.len(), "{error}");
    for (found, line) in found.iter().zip(lines) {
        assert!(found.starts_with(line), "{line:?} does not begin {found:?}");
    }
}

#[test]
fn a_slice_hides_nothing() {
    check_refused(
        "slice_hides_later_refusals.onnx",
        &[
            "Slice `/Slice`: its input depends on the image",
            "Sigmoid `/Sigmoid`: it is not the end of the network",
            "Mul `/Mul`: both inputs are activations",
        ],
    );
}

#[test]
fn both_units_of_a_shuffle_are_told() {
    check_refused(
        "shuffle_2_units.onnx",
        &[
            "Slice `/Slice`, `/Slice_1`, `/Slice_2` and 1 more: its input depends on the image",
            "Reshape `/Reshape`, `/Reshape_2`: it would cut up axes",
        ],
    );
}
