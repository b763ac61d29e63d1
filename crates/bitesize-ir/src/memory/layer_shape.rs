//! What of a layer its loops see: shapes and windows, no weights.

use crate::grid::BitWidth;
use crate::network::{Network, Node};
use crate::op::{KernelKind, Op};
use crate::shape::{Shape, Window};

/// A layer as its loops see it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct LayerShape {
    /// What it computes.
    pub kind: KernelKind,
    /// The window that slides over the input; one pixel where none does, with the zeros round the image where it is padded.
    pub window: Window,
    /// Groups of channels; 1 where there are none.
    pub groups: usize,
    /// Its inputs.
    pub inputs: Vec<Shape>,
    /// Its output.
    pub output: Shape,
}

impl LayerShape {
    /// That of `node`; `None` where it has no kernel.
    pub fn of(network: &Network, node: &Node) -> Option<Self> {
        let (window, groups) = match &node.op {
            Op::Conv2d(op) => (op.window, op.groups),
            Op::DepthwiseConv2d(op) => (op.window, 1),
            Op::MaxPool(window) => (*window, 1),
            Op::AveragePool(op) => (op.window, 1),
            Op::Pad(pads) => (Window { pads: *pads, ..Window::of([1, 1]) }, 1),
            Op::FullyConnected(_) | Op::Add(_) | Op::Concat | Op::Clamp(_) | Op::Flatten(_) | Op::ChannelAffine(_) => {
                (Window::of([1, 1]), 1)
            }
        };
        Some(Self {
            kind: node.op.kernel_kind()?,
            window,
            groups,
            inputs: node.inputs.iter().map(|input| network.shape(*input)).collect(),
            output: network.shape(node.output),
        })
    }

    /// Codes under one window of one group.
    pub(super) fn length(&self) -> usize {
        self.window.area() * (self.inputs[0].c / self.groups)
    }

    /// Output channels of a group.
    pub(super) fn out_per_group(&self) -> usize {
        self.output.c / self.groups
    }
}

/// The widths of a layer's call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CallWidths {
    /// Of the input that the call reads first.
    pub input: BitWidth,
    /// Of the weights, or of the second input of an addition; `None` where there is neither.
    pub second: Option<BitWidth>,
    /// Of the output.
    pub output: BitWidth,
}
