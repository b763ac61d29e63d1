//! FLASH: packed weights, quantization constants, code.

use super::kernels::{KernelSet, KernelTable, visit_kernel_keys};
use super::{Widths, word};
use crate::grid::BitWidth;
use crate::network::{Network, Node};
use crate::op::{Conv2d, DepthwiseConv2d, Op};
use crate::requantize::WeightLayout;
use crate::shape::Pads;
use crate::target::CoreCosts;
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
/// where the window pads the network's pixels. Average pools: 8 for each distinct number of pixels that a window
/// covers (multiplier, count, shift). Everything else keeps its constants in the descriptor.
pub fn quantization_bytes(network: &Network, node: &Node) -> usize {
    let per_channel = |n: usize| word(4 * n) + word(4 * n) + word(n);
    match &node.op {
        Op::AveragePool(pool) => {
            8 * average_pool_counts(pool, network.shape(node.inputs[0]), network.shape(node.output)).len()
        }
        op => match WeightLayout::of(op) {
            Some(layout) => per_channel(layout.out_channels()) + padding_bytes(network, node),
            None => 0,
        },
    }
}

/// Bytes of the per-channel padding codes of a node that pads the network's pixels.
fn padding_bytes(network: &Network, node: &Node) -> usize {
    let (Op::Conv2d(Conv2d { window, .. }) | Op::DepthwiseConv2d(DepthwiseConv2d { window, .. })) = &node.op else {
        return 0;
    };
    let padded = window.pads != Pads::default();
    if padded && reads_pixels(network, node) { word(network.shape(network.input).c) } else { 0 }
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

/// What every policy shares: bytes by node, and by width where they depend on it.
#[derive(Clone, Debug)]
pub(super) struct FlashModel {
    /// Packed weights of each node by [`BitWidth`].
    weights: Vec<[u64; 3]>,
    /// Quantization constants and layer code of each node.
    fixed: Vec<FlashLayer>,
    pub(super) base_code: u64,
}

impl FlashModel {
    pub(super) fn of(network: &Network, core: &CoreCosts) -> Self {
        let packed = |node: &Node| BitWidth::ALL.map(|bits| packed_weight_bytes(&node.op, bits) as u64);
        let fixed = |node: &Node| {
            let layer = node.op.kernel_kind().map(|kind| core.layer(kind));
            let calls = if matches!(node.op, Op::Concat) { node.inputs.len() as u64 } else { 1 };
            FlashLayer {
                weights: 0,
                quantization: quantization_bytes(network, node) as u64,
                code: layer.map_or(0, |cost| calls * (cost.descriptor_bytes + cost.call_bytes)),
            }
        };
        Self {
            weights: network.nodes.iter().map(packed).collect(),
            fixed: network.nodes.iter().map(fixed).collect(),
            base_code: core.base_code_bytes,
        }
    }

    fn layer(&self, index: usize, widths: &Widths) -> FlashLayer {
        let weights = widths.weights[index].map_or(0, |bits| self.weights[index][bits as usize]);
        FlashLayer { weights, ..self.fixed[index] }
    }

    fn kernel_bytes(network: &Network, widths: &Widths, kernels: &KernelTable) -> u64 {
        let mut seen = KernelSet::default();
        let mut bytes = 0;
        for (i, node) in network.nodes.iter().enumerate() {
            visit_kernel_keys(node, i, widths, |key| {
                if seen.insert(key) {
                    bytes += kernels.cost(key).code_bytes;
                }
            });
        }
        bytes
    }

    pub(super) fn count(&self, network: &Network, widths: &Widths, kernels: &KernelTable) -> FlashUse {
        let layers: Vec<FlashLayer> = (0..self.fixed.len()).map(|i| self.layer(i, widths)).collect();
        let weights = layers.iter().map(|l| l.weights).sum();
        let quantization = layers.iter().map(|l| l.quantization).sum();
        let code =
            self.base_code + layers.iter().map(|l| l.code).sum::<u64>() + Self::kernel_bytes(network, widths, kernels);
        FlashUse { total: weights + quantization + code, weights, quantization, code, layers }
    }

    /// The total of [`Self::count`] without the list of layers.
    pub(super) fn total(&self, network: &Network, widths: &Widths, kernels: &KernelTable) -> u64 {
        let layers: u64 = (0..self.fixed.len()).map(|i| self.layer(i, widths).total()).sum();
        self.base_code + layers + Self::kernel_bytes(network, widths, kernels)
    }
}
