//! FLASH: packed weights, quantization constants, code.

use super::{Widths, word};
use crate::grid::BitWidth;
use crate::network::{Network, Node};
use crate::op::{KernelKind, Op};
use crate::requantize::WeightLayout;
use crate::target::{CoreCosts, KernelKey};
use std::collections::BTreeSet;

/// Bytes of FLASH of a package, and how they split.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FlashUse {
    /// All of it.
    pub total: u64,
    /// Packed weights.
    pub weights: u64,
    /// Bias, multiplier and shift of each output channel, and the constants of operators without weights.
    pub quantization: u64,
    /// Kernels, descriptors, calls, entry points.
    pub code: u64,
    /// One for each node.
    pub layers: Vec<FlashLayer>,
}

/// FLASH of one node: everything but the kernels, which layers share.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FlashLayer {
    /// Packed weights, padded to a word.
    pub weights: u64,
    /// Quantization constants, each array padded to a word.
    pub quantization: u64,
    /// Descriptor and call.
    pub code: u64,
}

impl FlashLayer {
    /// All of it.
    pub fn total(self) -> u64 {
        self.weights + self.quantization + self.code
    }
}

/// Bytes of the packed weights of `op` at `bits`, padded to a word; 0 where it has none.
///
/// A row is one output channel's kernel (convolution), one input vector (fully connected) or one tap's channels
/// (depthwise); rows start on a byte.
pub fn packed_weight_bytes(op: &Op, bits: BitWidth) -> usize {
    let Some(layout) = WeightLayout::of(op) else { return 0 };
    let total = op.parameters().map_or(0, |p| p.weights.len());
    let row = match layout {
        WeightLayout::ChannelMajor { per_channel, .. } => per_channel,
        WeightLayout::ChannelMinor { channels } => channels,
    };
    word(total / row * bits.row_bytes(row))
}

/// Bytes of the constants that requantize `node`'s output, each array padded to a word.
///
/// With weights: bias 4, multiplier 4 and shift 1 for each output channel, and one padding code for each channel
/// where the padded input is the network's pixels. Average pools: 4 and 1 for each distinct number of pixels that a
/// window covers. Everything else keeps its constants in the descriptor.
pub fn quantization_bytes(network: &Network, node: &Node) -> usize {
    let per_channel = |n: usize| word(4 * n) + word(4 * n) + word(n);
    match &node.op {
        Op::AveragePool(pool) => {
            let counts = average_pool_counts(pool, network.shape(node.inputs[0]), network.shape(node.output)).len();
            word(4 * counts) + word(counts)
        }
        op => match WeightLayout::of(op) {
            Some(layout) => per_channel(layout.out_channels()) + padding_bytes(network, node),
            None => 0,
        },
    }
}

/// Bytes of the per-channel padding codes of a node that reads the network's pixels.
fn padding_bytes(network: &Network, node: &Node) -> usize {
    if reads_pixels(network, node) { word(network.shape(network.input).c) } else { 0 }
}

/// Whether `node` is a layer that reads raw pixels (and so has a zero point for each channel).
pub fn reads_pixels(network: &Network, node: &Node) -> bool {
    node.inputs[0] == network.input && matches!(network.input_encoding, crate::InputEncoding::Pixels { .. })
}

/// The distinct divisors of an average pool's windows, ascending.
pub fn average_pool_counts(
    pool: &crate::op::AveragePool,
    input: crate::Shape,
    output: crate::Shape,
) -> BTreeSet<usize> {
    let [kh, kw] = pool.window.kernel;
    if pool.count_include_pad {
        return BTreeSet::from([kh * kw]);
    }
    let along = |axis: usize, outputs: usize, taps: usize, size: usize| -> BTreeSet<usize> {
        (0..outputs)
            .map(|at| (0..taps).filter(|&tap| pool.window.source(axis, at, tap, size).is_some()).count())
            .collect()
    };
    let (rows, columns) = (along(0, output.h, kh, input.h), along(1, output.w, kw, input.w));
    rows.iter().flat_map(|r| columns.iter().map(move |c| r * c)).collect()
}

/// The kernels that `node` calls, in the order of its inputs (a concatenation calls one for each input, every other
/// operator one in all).
pub fn kernel_keys(node: &Node, index: usize, widths: &Widths) -> Vec<KernelKey> {
    let Some(kind) = node.op.kernel_kind() else { return Vec::new() };
    let bits = |i: usize| widths.tensors[node.inputs[i].0];
    let output = widths.tensors[node.output.0];
    match kind {
        KernelKind::Concat => {
            (0..node.inputs.len()).map(|i| KernelKey { kind, input: bits(i), second: None, output }).collect()
        }
        KernelKind::Add => vec![KernelKey { kind, input: bits(0), second: Some(bits(1)), output }],
        KernelKind::Conv2d | KernelKind::DepthwiseConv2d | KernelKind::FullyConnected => {
            vec![KernelKey { kind, input: bits(0), second: widths.weights[index], output }]
        }
        KernelKind::MaxPool | KernelKind::AveragePool | KernelKind::Clamp | KernelKind::Pad => {
            vec![KernelKey { kind, input: bits(0), second: None, output }]
        }
    }
}

/// FLASH of `network` at `widths` on a core.
pub fn flash(network: &Network, widths: &Widths, core: &CoreCosts) -> FlashUse {
    let mut layers = Vec::with_capacity(network.nodes.len());
    let mut kernels = BTreeSet::new();
    for (i, node) in network.nodes.iter().enumerate() {
        let keys = kernel_keys(node, i, widths);
        let code = keys.iter().map(|key| core.layer(key.kind)).map(|c| c.descriptor_bytes + c.call_bytes).sum();
        kernels.extend(keys);
        layers.push(FlashLayer {
            weights: widths.weights[i].map_or(0, |bits| packed_weight_bytes(&node.op, bits) as u64),
            quantization: quantization_bytes(network, node) as u64,
            code,
        });
    }
    let weights = layers.iter().map(|l| l.weights).sum();
    let quantization = layers.iter().map(|l| l.quantization).sum();
    let code = core.base_code_bytes
        + layers.iter().map(|l| l.code).sum::<u64>()
        + kernels.into_iter().map(|key| core.kernel(key).code_bytes).sum::<u64>();
    FlashUse { total: weights + quantization + code, weights, quantization, code, layers }
}
