//! The integer network: what lowering makes, the interpreter runs and the emitter writes.

use bitesize_ir::code::Implementation;
use bitesize_ir::grid::BitWidth;
use bitesize_ir::memory::{LayerShape, RowNode};
use bitesize_ir::op::KernelKind;
use bitesize_ir::requantize::{AddIntegers, Multiplier};
use bitesize_ir::shape::{Axis, Pads, Shape, Window};
use bitesize_ir::{NodeId, Tail, TensorId};
use std::sync::Arc;

/// An activation tensor of codes `0..=2^bits - 1`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IntTensor {
    /// Unique, the float tensor's.
    pub name: String,
    /// Without the batch.
    pub shape: Shape,
    /// Width of a code.
    pub bits: BitWidth,
    /// The code of real 0. That of a pixel input is 0 and is not used: its zero points are its consumers' padding.
    pub zero: u8,
}

/// A network of integers with one input and one output, both of 8 bits. Tensor and node ids are the float network's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IntNetwork {
    /// The float network's name.
    pub name: String,
    /// Every activation tensor.
    pub tensors: Vec<IntTensor>,
    /// In topological order.
    pub nodes: Vec<IntNode>,
    /// What the caller feeds.
    pub input: TensorId,
    /// What the caller reads.
    pub output: TensorId,
    /// Scale of the input's codes (1 for pixels), for the header: the arithmetic does not use it.
    pub input_scale: Multiplier,
    /// Scale of the output's codes, for the header: the arithmetic does not use it.
    pub output_scale: Multiplier,
    /// Scale and zero point of each channel of the output, for the header: empty where all have [`Self::output_scale`] and the
    /// output's zero point. Else that zero point is only what the last layer adds.
    pub output_channels: Vec<OutputChannel>,
    /// Whether the input is raw pixels with the preprocessing in the first layer.
    pub input_is_pixels: bool,
    /// What the source does to the output last and was left out.
    pub tail: Option<Tail>,
}

/// How codes of one channel of the output are read: `real = scale * (code - zero)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutputChannel {
    /// The scale.
    pub scale: Multiplier,
    /// The code of real 0.
    pub zero: u8,
}

/// One application of an operator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IntNode {
    /// The float node's name.
    pub name: String,
    /// What it computes.
    pub op: IntOp,
    /// What it reads.
    pub inputs: Vec<TensorId>,
    /// What it writes.
    pub output: TensorId,
}

/// Weight levels of [`bitesize_ir::grid::WeightGrid`], not packed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IntWeights {
    /// Width of a level.
    pub bits: BitWidth,
    /// In the float operator's layout: OHWI, `[kh][kw][c]` or `[out_c][in_c]`.
    pub levels: Arc<[i8]>,
}

/// From accumulator to output code, per output channel:
/// `clamp(zero_out + ((((sum << acc_shift) + bias) * m + 2^(n-1)) >> n), lo, hi)`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rescale {
    /// In 0..=15.
    pub acc_shift: u8,
    /// One for each output channel, the input's zero point folded in.
    pub bias: Vec<i32>,
    /// One for each output channel.
    pub multipliers: Vec<Multiplier>,
    /// Lowest code.
    pub lo: u8,
    /// Highest code.
    pub hi: u8,
}

/// The operators, with all their integers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IntOp {
    /// `sum` over the window of `level * code`, padding holding `padding`.
    Conv2d {
        /// Geometry.
        window: Window,
        /// Groups.
        groups: usize,
        /// OHWI, `in_c / groups` innermost.
        weights: IntWeights,
        /// To output codes.
        rescale: Rescale,
        /// Codes that padding holds: one for all input channels, or one for each (pixel inputs).
        padding: Vec<u8>,
    },
    /// As [`Self::Conv2d`], each channel by itself.
    DepthwiseConv2d {
        /// Geometry.
        window: Window,
        /// `[kh][kw][c]`.
        weights: IntWeights,
        /// To output codes.
        rescale: Rescale,
        /// Codes that padding holds: one, or one for each channel.
        padding: Vec<u8>,
    },
    /// `sum` over the input vector.
    FullyConnected {
        /// `[out_c][in_c]`.
        weights: IntWeights,
        /// To output codes.
        rescale: Rescale,
    },
    /// `clamp(zero + (((qa-za)*ma + (qb-zb)*mb + 2^(n-1)) >> n), lo, hi)`.
    Add {
        /// `ma`, `mb`, `n`.
        integers: AddIntegers,
        /// Lowest code.
        lo: u8,
        /// Highest code.
        hi: u8,
    },
    /// Each input requantized with `acc = q - zero_in`, clamped to the code range, while copying.
    Concat {
        /// One for each input.
        multipliers: Vec<Multiplier>,
    },
    /// Largest code of each window; padding is ignored.
    MaxPool {
        /// Geometry.
        window: Window,
    },
    /// `acc = sum of (q - zero)` over the pixels of the window inside the image.
    AveragePool {
        /// Geometry.
        window: Window,
        /// Whether the divisor is the whole window everywhere.
        count_include_pad: bool,
        /// The multiplier for each distinct divisor, by divisor ascending, 1/divisor inside.
        multipliers: Vec<(usize, Multiplier)>,
        /// Lowest code.
        lo: u8,
        /// Highest code.
        hi: u8,
    },
    /// Codes clamped.
    Clamp {
        /// Lowest code.
        lo: u8,
        /// Highest code.
        hi: u8,
    },
    /// The zero point round the image.
    Pad {
        /// How much at each side.
        pads: Pads,
    },
    /// All codes as one vector.
    Flatten {
        /// The axes along which the codes follow one another, the last the fastest.
        order: [Axis; 3],
    },
}

impl IntOp {
    /// The kernel kind.
    pub fn kernel_kind(&self) -> KernelKind {
        match self {
            Self::Conv2d { .. } => KernelKind::Conv2d,
            Self::DepthwiseConv2d { .. } => KernelKind::DepthwiseConv2d,
            Self::FullyConnected { .. } => KernelKind::FullyConnected,
            Self::Add { .. } => KernelKind::Add,
            Self::Concat { .. } => KernelKind::Concat,
            Self::MaxPool { .. } => KernelKind::MaxPool,
            Self::AveragePool { .. } => KernelKind::AveragePool,
            Self::Clamp { .. } => KernelKind::Clamp,
            Self::Pad { .. } => KernelKind::Pad,
            Self::Flatten { .. } => KernelKind::Flatten,
        }
    }

    /// The weights, where the operator has some.
    pub fn weights(&self) -> Option<&IntWeights> {
        match self {
            Self::Conv2d { weights, .. }
            | Self::DepthwiseConv2d { weights, .. }
            | Self::FullyConnected { weights, .. } => Some(weights),
            Self::Add { .. }
            | Self::Concat { .. }
            | Self::MaxPool { .. }
            | Self::AveragePool { .. }
            | Self::Clamp { .. }
            | Self::Pad { .. }
            | Self::Flatten { .. } => None,
        }
    }
}

impl IntNetwork {
    /// The tensor.
    pub fn tensor(&self, id: TensorId) -> &IntTensor {
        &self.tensors[id.0]
    }

    /// The node.
    pub fn node(&self, id: NodeId) -> &IntNode {
        &self.nodes[id.0]
    }

    /// Whether `node` reads the network's raw pixels, whose zero point is another for each channel.
    pub fn reads_pixels(&self, node: &IntNode) -> bool {
        self.input_is_pixels && node.inputs.contains(&self.input)
    }

    /// `node` as its loops see it.
    pub fn layer_shape(&self, node: &IntNode) -> LayerShape {
        let (window, groups) = match &node.op {
            IntOp::Conv2d { window, groups, .. } => (*window, *groups),
            IntOp::DepthwiseConv2d { window, .. } | IntOp::MaxPool { window } | IntOp::AveragePool { window, .. } => {
                (*window, 1)
            }
            IntOp::Pad { pads } => (Window { pads: *pads, ..Window::of([1, 1]) }, 1),
            IntOp::FullyConnected { .. }
            | IntOp::Add { .. }
            | IntOp::Concat { .. }
            | IntOp::Clamp { .. }
            | IntOp::Flatten { .. } => (Window::of([1, 1]), 1),
        };
        LayerShape {
            kind: node.op.kernel_kind(),
            window,
            groups,
            inputs: node.inputs.iter().map(|input| self.tensor(*input).shape).collect(),
            output: self.tensor(node.output).shape,
        }
    }

    /// `node`, computed as `implementation` says, as its rows see it.
    pub fn row_node(&self, node: &IntNode, implementation: Implementation) -> RowNode {
        let layer = self.layer_shape(node);
        RowNode { layer, implementation, inputs: node.inputs.clone(), output: node.output }
    }

    /// All nodes with their ids, in topological order.
    pub fn iter(&self) -> impl Iterator<Item = (NodeId, &IntNode)> {
        self.nodes.iter().enumerate().map(|(i, node)| (NodeId(i), node))
    }
}
