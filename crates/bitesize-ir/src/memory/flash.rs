//! FLASH: packed weights, quantization constants, code.

use super::kernel_costs::{KernelSet, KernelTable};
use super::widths::Widths;
use super::word::word;
use crate::code::{Code, Implementation};
use crate::grid::BitWidth;
use crate::network::{Network, Node, NodeId};
use crate::op::{Conv2d, DepthwiseConv2d, Op};
use crate::requantize::WeightLayout;
use crate::shape::{Pads, Window};
use crate::target::CoreCosts;

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
/// (depthwise); rows start on a byte. Where a convolution or a fully connected layer is computed row by row, its rows are
/// whole words, and an even number of them in each group.
pub fn packed_weight_bytes(op: &Op, bits: BitWidth, implementation: Implementation) -> usize {
    let Some(layout) = WeightLayout::of(op) else { return 0 };
    if let (Implementation::Rows, WeightLayout::ChannelMajor { out_c, per_channel, out_per_group, .. }) =
        (implementation, &layout)
    {
        return out_c / out_per_group * out_per_group.next_multiple_of(2) * word(bits.row_bytes(*per_channel));
    }
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
        Op::AveragePool(pool) => 8 * pool.window.divisors(pool.count_include_pad, network.shape(node.inputs[0])).len(),
        op => {
            let padding = match op {
                Op::Conv2d(Conv2d { window, .. }) | Op::DepthwiseConv2d(DepthwiseConv2d { window, .. }) => {
                    padding_array_bytes(window, network.reads_pixels(node), network.shape(node.inputs[0]).c)
                }
                _ => 0,
            };
            WeightLayout::of(op).map_or(0, |layout| per_channel(layout.out_channels()) + padding)
        }
    }
}

/// Bytes of the array of padding codes, one for each of `channels`, that a layer with `window` needs: 0 where it does
/// without. It needs one where it pads the network's pixels, whose zero point is another for each channel.
pub fn padding_array_bytes(window: &Window, reads_pixels: bool, channels: usize) -> usize {
    if reads_pixels && window.pads != Pads::default() { word(channels) } else { 0 }
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
    /// `rolling` bytes are what chains take beside their layers.
    pub(super) fn of(network: &Network, core: &CoreCosts, implementations: &[Implementation], rolling: u64) -> Self {
        let nodes = || network.nodes.iter().zip(implementations.iter().copied());
        let packed = |(node, implementation): (&Node, Implementation)| {
            BitWidth::ALL.map(|bits| packed_weight_bytes(&node.op, bits, implementation) as u64)
        };
        let fixed = |(node, implementation): (&Node, Implementation)| {
            let layer = node.op.kernel_kind().map(|kind| core.layer(kind, implementation));
            let calls = if matches!(node.op, Op::Concat) { node.inputs.len() as u64 } else { 1 };
            FlashLayer {
                weights: 0,
                quantization: quantization_bytes(network, node) as u64,
                code: layer.map_or(0, |cost| calls * (cost.descriptor_bytes + cost.call_bytes)),
            }
        };
        Self {
            weights: nodes().map(packed).collect(),
            fixed: nodes().map(fixed).collect(),
            base_code: core.base_code_bytes + rolling,
        }
    }

    fn layer(&self, index: usize, widths: &Widths) -> FlashLayer {
        let weights = widths.weights[index].map_or(0, |bits| self.weights[index][bits.index()]);
        FlashLayer { weights, ..self.fixed[index] }
    }

    fn kernel_bytes(called: impl Iterator<Item = Code>, kernels: &KernelTable) -> u64 {
        let mut seen = KernelSet::default();
        called.filter(|code| seen.insert(*code)).map(|code| kernels.cost(code).code_bytes).sum()
    }

    pub(super) fn count(&self, widths: &Widths, called: impl Iterator<Item = Code>, kernels: &KernelTable) -> FlashUse {
        let layers: Vec<FlashLayer> = (0..self.fixed.len()).map(|i| self.layer(i, widths)).collect();
        let weights = layers.iter().map(|l| l.weights).sum();
        let quantization = layers.iter().map(|l| l.quantization).sum();
        let code = self.base_code + layers.iter().map(|l| l.code).sum::<u64>() + Self::kernel_bytes(called, kernels);
        FlashUse { total: weights + quantization + code, weights, quantization, code, layers }
    }

    /// The total of [`Self::count`] without the list of layers.
    pub(super) fn total(&self, widths: &Widths, called: impl Iterator<Item = Code>, kernels: &KernelTable) -> u64 {
        self.base_code + self.layers_bytes(widths) + Self::kernel_bytes(called, kernels)
    }

    /// Everything that belongs to one layer each, over all layers.
    pub(super) fn layers_bytes(&self, widths: &Widths) -> u64 {
        (0..self.fixed.len()).map(|i| self.layer(i, widths).total()).sum()
    }

    /// Packed weights of node `index` at `bits`; 0 where it has none.
    pub(super) fn packed_bytes_at(&self, index: usize, bits: BitWidth) -> u64 {
        self.weights[index][bits.index()]
    }

    /// Packed weights of `node`; 0 where it has none.
    pub(super) fn packed_bytes(&self, node: NodeId, widths: &Widths) -> u64 {
        self.layer(node.0, widths).weights
    }
}
