//! What the integration tests share: reading a file as the command line does, and comparing with ONNX Runtime.

use bitesize_import::{Imported, import_onnx};
use bitesize_ir::Network;
use bitesize_ir::reference::run_float;
use std::fs;
use std::path::Path;

/// Imports a file; the error's text begins with the file's name, which the caller of the importer adds.
pub(crate) fn import(path: &Path) -> Result<Imported, String> {
    let bytes = fs::read(path).map_err(|e| format!("{}: {e}", path.display()))?;
    let folder = path.parent().unwrap().to_owned();
    let external = move |location: &str, offset: u64, length: usize| {
        let bytes = fs::read(folder.join(location))?;
        Ok(bytes.into_iter().skip(offset as usize).take(length).collect())
    };
    let name = path.file_stem().unwrap().to_string_lossy().into_owned();
    import_onnx(&bytes, &external, &name).map_err(|e| format!("{}: {e}", path.file_name().unwrap().to_string_lossy()))
}

/// Checks that `network`, which is `imported`'s or made of it, computes `expected` over `input` (both in the order of
/// the file) within 1e-4 of the largest magnitude: both sides sum in another order, and single precision loses some
/// 1e-6 on networks of this depth.
pub(crate) fn check_output(
    network: &Network,
    imported: &Imported,
    input: &[f32],
    expected: &[f32],
) -> Result<(), String> {
    let fed = imported.input.layout.to_nhwc(network.shape(network.input), input);
    let values = run_float(network, &fed).swap_remove(network.output.0);
    let output = imported.output.layout.from_nhwc(network.shape(network.output), &values);
    if output.len() != expected.len() {
        return Err(format!("{} outputs instead of {}", output.len(), expected.len()));
    }
    let largest = expected.iter().fold(0f64, |m, v| m.max(f64::from(v.abs())));
    let worst = output.iter().zip(expected).fold(0f64, |m, (a, b)| m.max((f64::from(*a) - f64::from(*b)).abs()));
    let difference = worst / largest.max(f64::MIN_POSITIVE);
    if difference <= 1e-4 {
        Ok(())
    } else {
        Err(format!("off by {difference:.1e} of the largest magnitude\n{network}"))
    }
}
