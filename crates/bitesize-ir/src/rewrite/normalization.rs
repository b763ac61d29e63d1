//! From real inputs to raw pixels: their normalization moves into the first weights.

use super::edit;
use crate::network::{InputEncoding, Network, NodeId, TensorId};
use crate::op::{Clamp, DepthwiseConv2d, Op};
use crate::requantize::WeightLayout;
use crate::shape::{Pads, Window};

/// How a real value is made of a pixel: `(pixel * scale - mean[c]) / std[c]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Normalization {
    /// Finite and not 0.
    pub scale: f64,
    /// One for each channel, finite.
    pub mean: Vec<f64>,
    /// One for each channel, finite and not 0.
    pub std: Vec<f64>,
}

/// A normalization that cannot be folded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NormalizationError {
    /// A number of means or standard deviations other than the input's channels.
    #[error("the preprocessing has {means} means and {stds} standard deviations for {channels} channels")]
    Channels {
        /// Length of `mean`.
        means: usize,
        /// Length of `std`.
        stds: usize,
        /// Channels of the network's input.
        channels: usize,
    },
    /// A number that is not finite, or 0 where it divides.
    #[error(
        "the preprocessing has scale {scale}, means {mean} and standard deviations {std}: none may be infinite or NaN, scale and std not 0"
    )]
    Numbers {
        /// As given.
        scale: String,
        /// As given.
        mean: String,
        /// As given.
        std: String,
    },
    /// The network's input is pixels already.
    #[error("the network's input is raw pixels already")]
    Twice,
    /// The weights with the preprocessing in them are not finite.
    #[error("the weights of `{0}` leave the range of single precision when the preprocessing is folded into them")]
    Range(String),
}

/// `slope[c] * (pixel - offset[c])`: the same map, in the form that weights and [`InputEncoding::Pixels`] need.
struct PixelMap {
    slope: Vec<f64>,
    offset: Vec<f64>,
}

/// Turns a network of real inputs into one that takes raw pixels, with `normalization` in its first weights.
///
/// `network` is rewritten ([`super::rewrite`]). Where some consumer of the input is no layer with weights, a 1x1
/// depthwise convolution `preprocessing` is put before all of them. A 1x1 depthwise convolution that is the input's
/// only consumer (preprocessing that was part of the file) is joined with the preprocessing, as long as the padding
/// of what follows stays a pixel value.
///
/// # Errors
/// [`NormalizationError`].
pub fn fold_normalization(mut network: Network, normalization: &Normalization) -> Result<Network, NormalizationError> {
    let mut map = PixelMap::of(&network, normalization)?;
    join_depthwise(&mut network, &mut map);
    let has_weights = |network: &Network| {
        let consumers = network.consumers(network.input);
        consumers.iter().all(|id| network.node(*id).op.parameters().is_some())
    };
    if !has_weights(&network) || network.output == network.input {
        let channels = network.shape(network.input).c;
        let identity = DepthwiseConv2d {
            window: Window::of([1, 1]),
            weights: vec![1.0; channels],
            bias: vec![0.0; channels],
            clamp: Clamp::NONE,
        };
        let input = network.input;
        edit::insert_after(&mut network, input, Op::DepthwiseConv2d(identity), "preprocessing");
    }
    for id in network.consumers(network.input) {
        let node = &mut network.nodes[id.0];
        let layout = WeightLayout::of(&node.op).expect("every consumer of the input has weights now");
        let (weights, _) = node.op.parameters_mut().expect("every consumer of the input has weights now");
        for (index, weight) in weights.iter_mut().enumerate() {
            *weight = (f64::from(*weight) * map.slope[layout.in_channel(index)]) as f32;
        }
        if !edit::finite(weights) {
            return Err(NormalizationError::Range(node.name.clone()));
        }
    }
    network.input_encoding = InputEncoding::Pixels { offset: map.offset };
    network.compact();
    Ok(network)
}

impl PixelMap {
    fn of(network: &Network, normalization: &Normalization) -> Result<Self, NormalizationError> {
        let Normalization { scale, mean, std } = normalization;
        let channels = network.shape(network.input).c;
        if network.input_encoding != InputEncoding::Real {
            return Err(NormalizationError::Twice);
        }
        if mean.len() != channels || std.len() != channels {
            return Err(NormalizationError::Channels { means: mean.len(), stds: std.len(), channels });
        }
        let map =
            Self { slope: std.iter().map(|s| scale / s).collect(), offset: mean.iter().map(|m| m / scale).collect() };
        let usable = |v: &f64| v.is_finite() && *v != 0.0;
        if !usable(scale) || !map.slope.iter().all(usable) || !map.offset.iter().all(|v| v.is_finite()) {
            let [scale, mean, std] = [format!("{scale}"), format!("{mean:?}"), format!("{std:?}")];
            return Err(NormalizationError::Numbers { scale, mean, std });
        }
        Ok(map)
    }
}

/// Joins with `map` all 1x1 depthwise convolutions at the network's beginning that can be dropped, and drops them.
fn join_depthwise(network: &mut Network, map: &mut PixelMap) {
    let mut readers: Vec<Vec<NodeId>> = vec![Vec::new(); network.tensors.len()];
    for (id, node) in network.iter() {
        for input in &node.inputs {
            readers[input.0].push(id);
        }
    }
    let mut joined = vec![false; network.nodes.len()];
    let mut end = network.input;
    while let [first] = readers[end.0][..]
        && let Some(map_with_first) = join_with(network, end, first, &readers, map)
    {
        (*map, joined[first.0], end) = (map_with_first, true, network.node(first).output);
    }
    let mut joined = joined.into_iter();
    network.nodes.retain(|_| !joined.next().unwrap_or(false));
    edit::redirect(network, end, network.input);
}

/// The map that `map` and `first`, the only reader of `tensor`, make together, where that is a 1x1 depthwise convolution
/// that can be dropped.
fn join_with(
    network: &Network,
    tensor: TensorId,
    first: NodeId,
    readers: &[Vec<NodeId>],
    map: &PixelMap,
) -> Option<PixelMap> {
    let node = network.node(first);
    let Op::DepthwiseConv2d(op) = &node.op else { return None };
    let droppable = op.window.is_pointwise() && op.clamp.is_none() && op.weights.iter().all(|w| *w != 0.0);
    if !droppable || node.output == network.output || network.output == tensor {
        return None;
    }
    // w * slope * (pixel - offset) + b = (w * slope) * (pixel - (offset - b / (w * slope)))
    let slope: Vec<f64> = op.weights.iter().zip(&map.slope).map(|(w, s)| f64::from(*w) * s).collect();
    let offset = |c: usize| map.offset[c] - f64::from(op.bias[c]) / slope[c];
    let offset: Vec<f64> = (0..slope.len()).map(offset).collect();
    let finite = slope.iter().chain(&offset).all(|v| v.is_finite());
    let pixel_values = offset.iter().all(|o| (-0.5..=255.5).contains(o));
    let joins = |op: &Op| match op {
        Op::Conv2d(op) => pixel_values || op.window.pads == Pads::default(),
        Op::DepthwiseConv2d(op) => pixel_values || op.window.pads == Pads::default(),
        op => op.parameters().is_some(),
    };
    let all_join = readers[node.output.0].iter().all(|id| joins(&network.node(*id).op));
    (finite && all_join).then_some(PixelMap { slope, offset })
}
