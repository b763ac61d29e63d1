//! `prepared.safetensors`: layers quantized under float inputs, by layer, width and equalization of the inputs.
//!
//! For each layer with weights `NAME.means` (f64, one for each output channel); for each width that it is there at
//! `NAME@BITS.levels` (i8, in the float weights' layout), `NAME@BITS.scales` and `NAME@BITS.bias` (f64, one for each
//! output channel). Where the input's channels are divided by factors, `BITS` is `BITS~CHOICE`, the number of the choice among
//! those of their group in `calibration.json`.

use super::tensors::{Tensors, Writer};
use bitesize_ir::{BitWidth, Network, Node};
use bitesize_train::{Equalization, PreparedLayer, Variant};
use std::collections::BTreeMap;

/// The file's bytes for `layers`, one for each node of `network`.
///
/// # Errors
/// A name that the format cannot hold.
pub fn to_bytes(network: &Network, layers: &[Option<PreparedLayer>]) -> anyhow::Result<Vec<u8>> {
    let mut writer = Writer::default();
    for (node, layer) in network.nodes.iter().zip(layers) {
        let Some(layer) = layer else { continue };
        writer.doubles(format!("{}.means", node.name), &layer.float_means);
        for (variant, quant) in &layer.quants {
            writer.weights(&at(node, *variant), quant);
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
        let mut quants = BTreeMap::new();
        let choices = [None].into_iter().chain((0..Equalization::MOST_CHOICES).map(Some));
        for factors in choices {
            for bits in BitWidth::ALL {
                let variant = Variant { bits, factors };
                let name = at(node, variant);
                if file.has(&format!("{name}.levels")) {
                    quants.insert(variant, file.weights(&name, bits, parameters)?);
                }
            }
        }
        Ok(Some(PreparedLayer { float_means: file.doubles(&means)?, quants }))
    };
    network.nodes.iter().map(layer).collect()
}

fn at(node: &Node, Variant { bits, factors }: Variant) -> String {
    match factors {
        None => format!("{}@{bits}", node.name),
        Some(choice) => format!("{}@{bits}~{choice}", node.name),
    }
}
