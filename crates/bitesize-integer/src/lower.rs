//! From a quantized model to the integer network. The only module of this crate that sees floats; every integer
//! comes from [`bitesize_ir::requantize`].

mod cache;

pub use cache::LayerCache;

use crate::network::{IntNetwork, IntNode, IntOp, IntTensor, IntWeights, OutputChannel, Rescale};
use crate::validate::InvalidIntNetwork;
use bitesize_ir::grid::{BitWidth, WeightGrid};
use bitesize_ir::memory::Widths;
use bitesize_ir::network::InvalidNetwork;
use bitesize_ir::requantize::{
    AddIntegers, LayerInput, LayerIntegers, LayerOutput, Multiplier, Unrepresentable, WeightLayout, clamp_codes,
};
use bitesize_ir::{ActivationQuant, InputEncoding, NodeId, Op, PolicySpace, QuantizedModel, WeightQuant};

/// A model that cannot be lowered.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum LowerError {
    /// The float network is not legal.
    #[error("the network to lower is not legal: {0}")]
    Network(#[from] InvalidNetwork),
    /// A layer whose numbers do not fit the integer arithmetic.
    #[error("layer `{layer}` cannot be expressed in integers: {reason}")]
    Layer {
        /// The node, or the tensor.
        layer: String,
        /// Which number does not fit.
        reason: Unrepresentable,
    },
    /// Widths, encodings or weights that do not belong to the network.
    #[error("the quantized model does not fit its network at `{place}`: {problem}")]
    Model {
        /// The node or tensor.
        place: String,
        /// What was found.
        problem: String,
    },
    /// What was made breaks a rule of [`IntNetwork::validate`].
    #[error("the lowered network is not legal: {0}")]
    Lowered(#[from] InvalidIntNetwork),
}

/// Lowers `model` to integers.
///
/// # Errors
/// [`LowerError`], naming the layer.
pub fn lower(model: &QuantizedModel) -> Result<IntNetwork, LowerError> {
    lower_with(model, &mut LayerCache::new(0))
}

/// As [`lower`], taking layers from `cache` where it has them: only layers that differ from those of the models before are lowered and
/// their numbers checked.
///
/// # Errors
/// As [`lower`].
pub fn lower_with(model: &QuantizedModel, cache: &mut LayerCache) -> Result<IntNetwork, LowerError> {
    let network = &model.network;
    if !cache.is_of(network) {
        network.validate()?;
        cache.begin(network);
    }
    check_model(model)?;
    let pixels = matches!(network.input_encoding, InputEncoding::Pixels { .. });
    let tensors = network.tensors.iter().zip(&model.activations);
    let tensors = tensors.map(|(tensor, quant)| IntTensor {
        name: tensor.name.clone(),
        shape: tensor.shape,
        bits: quant.bits,
        zero: quant.zero,
    });
    let mut nodes = Vec::with_capacity(network.nodes.len());
    let mut known = vec![false; network.nodes.len()];
    for (id, node) in network.iter() {
        let kept = cache.get(model, id);
        known[id.0] = kept.is_some();
        let op = match kept {
            Some(op) => op,
            None => lower_op(model, id)
                .map_err(|reason| LowerError::Layer { layer: node.name.clone(), reason })?
                .ok_or_else(|| wrong(&node.name, "it is a channel_affine; run the rewrites first".into()))?,
        };
        nodes.push(IntNode { name: node.name.clone(), op, inputs: node.inputs.clone(), output: node.output });
    }
    let multiplier = |id: bitesize_ir::TensorId, scale: f64| {
        let layer = || network.tensor(id).name.clone();
        Multiplier::from_real(scale).map_err(|reason| LowerError::Layer { layer: layer(), reason })
    };
    let scale = |id: bitesize_ir::TensorId| multiplier(id, model.activations[id.0].scale);
    let channel = |quant: &ActivationQuant| {
        Ok::<_, LowerError>(OutputChannel { scale: multiplier(network.output, quant.scale)?, zero: quant.zero })
    };
    let lowered = IntNetwork {
        name: network.name.clone(),
        tensors: tensors.collect(),
        nodes,
        input: network.input,
        output: network.output,
        input_scale: scale(network.input)?,
        output_scale: scale(network.output)?,
        output_channels: model.output_channels.iter().flatten().map(channel).collect::<Result<_, _>>()?,
        input_is_pixels: pixels,
        tail: network.tail,
    };
    lowered.validate_but(&|id| known[id.0])?;
    for (id, node) in lowered.iter().filter(|(id, _)| !known[id.0]) {
        cache.keep(model, id, &node.op);
    }
    Ok(lowered)
}

fn wrong(place: &str, problem: String) -> LowerError {
    LowerError::Model { place: place.into(), problem }
}

/// The integers of one node; `None` for an operator that has no integer form.
fn lower_op(model: &QuantizedModel, id: NodeId) -> Result<Option<IntOp>, Unrepresentable> {
    let network = &model.network;
    let node = network.node(id);
    let quant = |tensor: bitesize_ir::TensorId| &model.activations[tensor.0];
    let output = quant(node.output);
    let (lo, hi) = clamp_codes(node.op.clamp(), output);
    let ratio =
        |input: &ActivationQuant, divisor: usize| Multiplier::from_real(input.scale / (divisor as f64 * output.scale));
    let layer = || -> Result<(IntWeights, Rescale, Vec<u8>), Unrepresentable> {
        let weights = model.weights[id.0].as_ref().expect("check_model has seen it");
        let integers = LayerIntegers::of_node(network, node, weights, model.encodings())?;
        let LayerOutput { lo, hi, .. } = LayerOutput::of(network, node, model.encodings());
        let LayerIntegers { levels, acc_shift, bias, multipliers, .. } = integers;
        let padding = LayerInput::of(network, node.inputs[0], quant(node.inputs[0])).padding_codes();
        Ok((IntWeights { bits: weights.bits, levels }, Rescale { acc_shift, bias, multipliers, lo, hi }, padding))
    };
    Ok(Some(match &node.op {
        Op::Conv2d(op) => {
            let (weights, rescale, padding) = layer()?;
            IntOp::Conv2d { window: op.window, groups: op.groups, weights, rescale, padding }
        }
        Op::DepthwiseConv2d(op) => {
            let (weights, rescale, padding) = layer()?;
            IntOp::DepthwiseConv2d { window: op.window, weights, rescale, padding }
        }
        Op::FullyConnected(_) => {
            let (weights, rescale, _) = layer()?;
            IntOp::FullyConnected { weights, rescale }
        }
        Op::Add(_) => {
            let integers = AddIntegers::derive(quant(node.inputs[0]), quant(node.inputs[1]), output.scale)?;
            IntOp::Add { integers, lo, hi }
        }
        Op::Concat => {
            let multipliers = node.inputs.iter().map(|&input| ratio(quant(input), 1)).collect::<Result<_, _>>()?;
            IntOp::Concat { multipliers }
        }
        Op::MaxPool(window) => IntOp::MaxPool { window: *window },
        Op::AveragePool(op) => {
            let divisors = op.window.divisors(op.count_include_pad, network.shape(node.inputs[0]));
            let input = quant(node.inputs[0]);
            let multipliers = divisors.into_iter().map(|divisor| Ok((divisor, ratio(input, divisor)?)));
            IntOp::AveragePool {
                window: op.window,
                count_include_pad: op.count_include_pad,
                multipliers: multipliers.collect::<Result<_, _>>()?,
                lo,
                hi,
            }
        }
        Op::Clamp(_) => IntOp::Clamp { lo, hi },
        Op::Pad(pads) => IntOp::Pad { pads: *pads },
        Op::Flatten(order) => IntOp::Flatten { order: *order },
        Op::ChannelAffine(_) => return Ok(None),
    }))
}

/// Checks that widths, encodings and weights belong to the network:
///
/// 1. the policy has the network's rows, and encodings and weights have its widths;
/// 2. every scale is positive and finite, every zero point a code;
/// 3. an encoding that is passed on is the same on both sides;
/// 4. a pixel input has scale 1 and zero point 0, and only layers with weights read it;
/// 5. weights are there exactly where the operator has some, in the right number, with a scale and a bias for each
///    output channel, all finite;
/// 6. channels of the output have encodings of their own only where a layer with weights makes it and nobody else reads it: one
///    for each, of 8 bits, as rule 2 says.
fn check_model(model: &QuantizedModel) -> Result<(), LowerError> {
    let network = &model.network;
    let space = PolicySpace::of(network);
    let rows_match = space.rows.len() == model.policy.rows.len()
        && space.rows.iter().zip(&model.policy.rows).all(|(row, choice)| {
            (row.name == choice.name)
                && (row.weights == choice.weights.is_some())
                && (row.activations == choice.activations.is_some())
        });
    let lists = model.activations.len() == network.tensors.len() && model.weights.len() == network.nodes.len();
    if !rows_match || !lists {
        return Err(wrong(&network.name, "its policy, encodings or weights are those of another network".into()));
    }
    let widths = Widths::of(network, &space, &model.policy);
    for ((tensor, quant), bits) in network.tensors.iter().zip(&model.activations).zip(&widths.tensors) {
        if quant.bits != *bits {
            return Err(wrong(&tensor.name, format!("{} bits where the policy says {bits}", quant.bits)));
        }
        if !(quant.scale.is_finite() && quant.scale > 0.0 && quant.zero <= quant.bits.max_code()) {
            return Err(wrong(&tensor.name, format!("scale {} and zero point {}", quant.scale, quant.zero)));
        }
    }
    let pixels = matches!(network.input_encoding, InputEncoding::Pixels { .. });
    let input = &model.activations[network.input.0];
    if pixels && (input.scale, input.zero) != (1.0, 0) {
        return Err(wrong(&network.tensor(network.input).name, "a pixel input has scale 1 and zero point 0".into()));
    }
    if let Some(channels) = &model.output_channels {
        let output = network.tensor(network.output);
        let legal =
            |quant: &ActivationQuant| quant.bits == BitWidth::B8 && quant.scale.is_finite() && quant.scale > 0.0;
        if network.output_layer().is_none() || channels.len() != output.shape.c || !channels.iter().all(legal) {
            return Err(wrong(&output.name, "its channels cannot have these encodings of their own".into()));
        }
    }
    for (i, node) in network.nodes.iter().enumerate() {
        if node.op.passes_encoding_on() && model.activations[node.inputs[0].0] != model.activations[node.output.0] {
            return Err(wrong(&node.name, "it passes its input's encoding on, but its output has another".into()));
        }
        let has_weights = node.op.parameters().is_some();
        if !has_weights && network.reads_pixels(node) {
            return Err(wrong(&node.name, "only layers with weights can read a pixel input".into()));
        }
        match (WeightLayout::of(&node.op), &model.weights[i]) {
            (None, None) => {}
            (Some(layout), Some(weights)) => {
                let bits = widths.weights[i];
                if Some(weights.bits) != bits {
                    return Err(wrong(&node.name, format!("weights of {} bits against the policy", weights.bits)));
                }
                check_weights(&node.name, &node.op, layout, weights)?;
            }
            _ => return Err(wrong(&node.name, "quantized weights are missing, or there are some too many".into())),
        }
    }
    Ok(())
}

fn check_weights(name: &str, op: &Op, layout: WeightLayout, weights: &WeightQuant) -> Result<(), LowerError> {
    let channels = layout.out_channels();
    let count = op.parameters().map_or(0, |p| p.weights.len());
    if (weights.levels.len(), weights.scales.len(), weights.bias.len()) != (count, channels, channels) {
        return Err(wrong(name, format!("{} levels, not {count}, or not {channels} scales", weights.levels.len())));
    }
    if let Some(channel) = weights.scales.iter().position(|s| !WeightGrid::of(weights.bits).takes_scale(*s)) {
        return Err(wrong(name, format!("the scale of channel {channel} is {}", weights.scales[channel])));
    }
    if let Some(channel) = weights.bias.iter().position(|b| !b.is_finite()) {
        return Err(wrong(name, format!("the bias of channel {channel} is {}", weights.bias[channel])));
    }
    Ok(())
}
