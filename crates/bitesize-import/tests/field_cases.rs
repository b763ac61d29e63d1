//! The small networks of `../shared/field/import`, rebuilt from what people reported. Where that folder is not there (set
//! `BITESIZE_SHARED` to its parent), the tests say so and do nothing.

mod common;

use bitesize_ir::rewrite::rewrite;
use common::import;
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

#[test]
fn both_exporters_give_one_network_of_the_same_padding() {
    let Some(cases) = cases() else { return };
    let network = |name: &str| {
        let imported = import(&cases.join(name)).unwrap();
        let mut network = rewrite(imported.network).unwrap().0;
        // The exporters agree in everything but names.
        network.name.clear();
        network.tensors.iter_mut().for_each(|tensor| tensor.name.clear());
        network.nodes.iter_mut().for_each(|node| node.name.clear());
        network
    };
    assert_eq!(network("timm_conv2dsame_torchscript.onnx"), network("timm_conv2dsame_dynamo.onnx"));
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
