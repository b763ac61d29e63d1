//! `weights.safetensors`: the integer weights, their scales and biases, and the encodings of all activations.
//!
//! For each row with weights `NAME.levels` (i8, in the float weights' layout), `NAME.scales` and `NAME.bias` (f64, one for
//! each output channel); for each tensor `activation.NAME` (f64: scale, zero point, bits). The metadata has one entry
//! `bitesize`, a JSON text with the form's name, the version, the model's SHA-256 and the policy.

use bitesize_ir::{ActivationQuant, BitWidth, Network, Policy, PolicySpace, QuantizedModel, WeightQuant};
use bitesize_search::problem::{from_compact, to_compact};
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::sync::Arc;

const FORMAT: &str = "bitesize-weights-1";

/// The key of the metadata, whose value is [`About`] in JSON.
const ENTRY: &str = "bitesize";

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
    let mut buffers: Vec<(String, Dtype, Vec<u8>)> = Vec::new();
    let doubles = |values: &[f64]| values.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>();
    for (node, weights) in model.network.nodes.iter().zip(&model.weights) {
        let Some(weights) = weights else { continue };
        let levels = weights.levels.iter().map(|l| l.cast_unsigned()).collect();
        buffers.push((format!("{}.levels", node.name), Dtype::I8, levels));
        buffers.push((format!("{}.scales", node.name), Dtype::F64, doubles(&weights.scales)));
        buffers.push((format!("{}.bias", node.name), Dtype::F64, doubles(&weights.bias)));
    }
    for (tensor, quant) in model.network.tensors.iter().zip(&model.activations) {
        let values = [quant.scale, f64::from(quant.zero), f64::from(quant.bits.bits())];
        buffers.push((format!("activation.{}", tensor.name), Dtype::F64, doubles(&values)));
    }
    let mut views = Vec::with_capacity(buffers.len());
    for (name, dtype, bytes) in &buffers {
        let size = if *dtype == Dtype::I8 { 1 } else { 8 };
        views.push((name.clone(), TensorView::new(*dtype, vec![bytes.len() / size], bytes)?));
    }
    let about = About {
        format: FORMAT.into(),
        version: env!("CARGO_PKG_VERSION").into(),
        model_sha256: model_sha256.into(),
        policy: to_compact(&model.policy),
    };
    // One entry, because several would be written in an order that changes from run to run.
    let metadata = HashMap::from([(ENTRY.to_owned(), serde_json::to_string(&about)?)]);
    Ok(safetensors::serialize(views, Some(metadata))?)
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
    let damaged = |e: safetensors::SafeTensorError| format!("not a safetensors file, or a damaged one: {e}");
    let (_, header) = SafeTensors::read_metadata(bytes).map_err(damaged)?;
    let entry = header.metadata().as_ref().and_then(|m| m.get(ENTRY)).map(String::as_str).unwrap_or_default();
    let about: About = serde_json::from_str(entry).map_err(|_| format!("it is not of the form `{FORMAT}`"))?;
    if about.format != FORMAT {
        return Err(format!("its form is `{}`, this version reads `{FORMAT}`", about.format));
    }
    if about.model_sha256 != model_sha256 {
        return Err("it was made from another model file (the SHA-256 differs)".into());
    }
    let policy = from_compact(&about.policy, space)?;
    let file = Reader(SafeTensors::deserialize(bytes).map_err(damaged)?);
    let activations = network.tensors.iter().map(|t| file.activation(&t.name)).collect::<Result<_, _>>()?;
    let weights =
        (0..network.nodes.len()).map(|i| file.weights(network, space, &policy, i)).collect::<Result<_, _>>()?;
    Ok(QuantizedModel { network: Arc::new(network.clone()), policy, activations, weights })
}

struct Reader<'a>(SafeTensors<'a>);

impl Reader<'_> {
    fn bytes(&self, name: &str, dtype: Dtype) -> Result<&[u8], String> {
        let tensor = self.0.tensor(name).map_err(|_| format!("it lacks the tensor `{name}`"))?;
        if tensor.dtype() == dtype { Ok(tensor.data()) } else { Err(format!("`{name}` has another element type")) }
    }

    fn doubles(&self, name: &str) -> Result<Vec<f64>, String> {
        let chunk = |c: &[u8]| f64::from_le_bytes(c.try_into().expect("chunks of 8 bytes"));
        Ok(self.bytes(name, Dtype::F64)?.chunks_exact(8).map(chunk).collect())
    }

    fn activation(&self, tensor: &str) -> Result<ActivationQuant, String> {
        let name = format!("activation.{tensor}");
        let wrong = || format!("`{name}` is not scale, zero point and bits");
        let [scale, zero, bits] = self.doubles(&name)?[..] else { return Err(wrong()) };
        let bits = BitWidth::try_from(bits as u8).map_err(|_| wrong())?;
        if scale.is_finite() && scale > 0.0 && (0.0..=f64::from(bits.max_code())).contains(&zero) {
            Ok(ActivationQuant { bits, scale, zero: zero as u8 })
        } else {
            Err(wrong())
        }
    }

    fn weights(
        &self,
        network: &Network,
        space: &PolicySpace,
        policy: &Policy,
        index: usize,
    ) -> Result<Option<WeightQuant>, String> {
        let node = &network.nodes[index];
        let Some(parameters) = node.op.parameters() else { return Ok(None) };
        let bits =
            policy.weight_bits(space, bitesize_ir::NodeId(index)).ok_or("the policy lacks a row with weights")?;
        let levels_name = format!("{}.levels", node.name);
        let levels: Arc<[i8]> = self.bytes(&levels_name, Dtype::I8)?.iter().map(|b| b.cast_signed()).collect();
        let scales = self.doubles(&format!("{}.scales", node.name))?;
        let bias = self.doubles(&format!("{}.bias", node.name))?;
        let grid = bitesize_ir::grid::WeightGrid::of(bits);
        let lengths_fit = levels.len() == parameters.weights.len()
            && scales.len() == parameters.bias.len()
            && bias.len() == parameters.bias.len();
        let values_fit = levels.iter().all(|l| grid.contains(*l))
            && scales.iter().all(|s| grid.takes_scale(*s))
            && bias.iter().all(|b| b.is_finite());
        if lengths_fit && values_fit {
            Ok(Some(WeightQuant { bits, levels, scales, bias }))
        } else {
            Err(format!("the weights of `{}` do not suit the network or their width", node.name))
        }
    }
}
