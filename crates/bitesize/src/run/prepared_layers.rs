//! `prepared.safetensors`: layers quantized under float inputs, by layer and width.
//!
//! For each layer with weights `NAME.means` (f64, one for each output channel); for each width that it is there at
//! `NAME@BITS.levels` (i8, in the float weights' layout), `NAME@BITS.scales` and `NAME@BITS.bias` (f64, one for each
//! output channel).

use super::tensors::{Tensors, Writer};
use bitesize_ir::{BitWidth, Network, Node};
use bitesize_train::PreparedLayer;

/// The file's bytes for `layers`, one for each node of `network`.
///
/// # Errors
/// A name that the format cannot hold.
pub fn to_bytes(network: &Network, layers: &[Option<PreparedLayer>]) -> anyhow::Result<Vec<u8>> {
    let mut writer = Writer::default();
    for (node, layer) in network.nodes.iter().zip(layers) {
        let Some(layer) = layer else { continue };
        writer.doubles(format!("{}.means", node.name), &layer.float_means);
        for (bits, quant) in BitWidth::ALL.into_iter().zip(&layer.quants) {
            if let Some(quant) = quant {
                writer.weights(&at(node, bits), quant);
            }
        }
    }
    writer.finish(None)
}

/// The layers in `bytes`, one for each node of `network`.
///
/// # Errors
/// Not such a file, or not of this network.
pub fn from_bytes(bytes: &[u8], network: &Network) -> Result<Vec<Option<PreparedLayer>>, String> {
    let file = Tensors::read(bytes)?;
    let layer = |node: &Node| {
        let Some(parameters) = node.op.parameters() else { return Ok(None) };
        let means = format!("{}.means", node.name);
        if !file.has(&means) {
            return Ok(None);
        }
        let mut quants = [None, None, None];
        for (bits, quant) in BitWidth::ALL.into_iter().zip(&mut quants) {
            let name = at(node, bits);
            if file.has(&format!("{name}.levels")) {
                *quant = Some(file.weights(&name, bits, parameters)?);
            }
        }
        Ok(Some(PreparedLayer { float_means: file.doubles(&means)?, quants }))
    };
    network.nodes.iter().map(layer).collect()
}

fn at(node: &Node, bits: BitWidth) -> String {
    format!("{}@{bits}", node.name)
}
