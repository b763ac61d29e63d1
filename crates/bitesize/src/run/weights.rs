//! `weights.safetensors`: the integer weights, their scales and biases, and the encodings of all activations.
//!
//! For each row with weights `NAME.levels` (i8, in the float weights' layout), `NAME.scales` and `NAME.bias` (f64, one for
//! each output channel), `NAME` with `@` before it where it begins with `activation.` or `@`, so that no layer's key is a
//! tensor's; for each tensor `activation.NAME` (f64: scale, zero point, bits). The metadata has one entry
//! `bitesize`, a JSON text with the form's name, the version, the model's SHA-256 and the policy.

use super::tensors::{Tensors, Writer};
use bitesize_ir::{Network, Node, NodeId, PolicySpace, QuantizedModel};
use bitesize_search::{from_compact, to_compact};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::sync::Arc;

const FORMAT: &str = "bitesize-weights-1";

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct About {
    format: String,
    version: String,
    model_sha256: String,
    policy: String,
}

/// The file's bytes for `model`, which comes from the file with `model_sha256`.
///
/// # Errors
/// A tensor name that the format cannot hold.
pub fn to_bytes(model: &QuantizedModel, model_sha256: &str) -> anyhow::Result<Vec<u8>> {
    let mut writer = Writer::default();
    for (node, weights) in model.network.nodes.iter().zip(&model.weights) {
        if let Some(weights) = weights {
            writer.weights(&key(&node.name), weights);
        }
    }
    for (tensor, quant) in model.network.tensors.iter().zip(&model.activations) {
        let values = [quant.scale, f64::from(quant.zero), f64::from(quant.bits.bits())];
        writer.doubles(format!("activation.{}", tensor.name), &values);
    }
    let about = About {
        format: FORMAT.into(),
        version: env!("CARGO_PKG_VERSION").into(),
        model_sha256: model_sha256.into(),
        policy: to_compact(&model.policy),
    };
    writer.finish(Some(&serde_json::to_string(&about)?))
}

/// The model in `bytes`, for the rewritten `network` of the file with `model_sha256`.
///
/// # Errors
/// A sentence: not such a file, of another model, or without a tensor that the network needs.
pub fn from_bytes(
    bytes: &[u8],
    network: &Network,
    space: &PolicySpace,
    model_sha256: &str,
) -> Result<QuantizedModel, String> {
    let file = Tensors::read(bytes)?;
    let about: About = serde_json::from_str(file.about().unwrap_or_default())
        .map_err(|_| format!("it is not of the form `{FORMAT}`"))?;
    if about.format != FORMAT {
        return Err(format!("its form is `{}`, this version reads `{FORMAT}`", about.format));
    }
    if about.model_sha256 != model_sha256 {
        return Err("it was made from another model file (the SHA-256 differs)".into());
    }
    let policy = from_compact(&about.policy, space)?;
    let activations = network.tensors.iter().map(|t| file.activation(&t.name)).collect::<Result<_, _>>()?;
    let weights = |(i, node): (usize, &Node)| {
        let Some(parameters) = node.op.parameters() else { return Ok(None) };
        let bits = policy.weight_bits(space, NodeId(i)).ok_or("the policy lacks a row with weights")?;
        file.weights(&key(&node.name), bits, parameters).map(Some)
    };
    let weights = network.nodes.iter().enumerate().map(weights).collect::<Result<_, String>>()?;
    Ok(QuantizedModel { network: Arc::new(network.clone()), policy, activations, weights })
}

/// What stands before the keys of a layer.
fn key(layer: &str) -> Cow<'_, str> {
    if layer.starts_with("activation.") || layer.starts_with('@') { format!("@{layer}").into() } else { layer.into() }
}
