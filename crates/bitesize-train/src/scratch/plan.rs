//! What each node of a network is to training from scratch, and how a batch is cut.

use crate::TrainError;
use crate::engine::kernels::dense::Dense;
use crate::engine::kernels::depthwise::Depthwise;
use crate::engine::kernels::padded::padded;
use bitesize_ir::op::{Clamp, Op};
use bitesize_ir::shape::{Pads, Window};
use bitesize_ir::{InputEncoding, Network, TensorId};
use std::ops::Range;

/// Lanes that a batch is cut into at most, and the images of one at least: constants, so that the machine does not decide the order of additions.
const LANES: usize = 8;
const LANE_IMAGES: usize = 4;

/// Elements of an operator's larger tensor that are computed together: so that what a lane reads again is in the cache.
const CHUNK_ELEMENTS: usize = 1 << 16;

/// A layer with weights.
#[derive(Clone, Copy)]
pub(super) enum Layer<'a> {
    Dense(Dense<'a>),
    Depthwise(Depthwise<'a>),
}

/// The layer that `node` of `network` is, where it has weights.
pub(super) fn layer(network: &Network, node: usize) -> Option<Layer<'_>> {
    static POINT: Window = Window {
        kernel: [1, 1],
        stride: [1, 1],
        dilation: [1, 1],
        pads: Pads { top: 0, left: 0, bottom: 0, right: 0 },
    };
    let node = &network.nodes[node];
    let (input, output) = (network.shape(node.inputs[0]), network.shape(node.output));
    match &node.op {
        Op::Conv2d(op) => Some(Layer::Dense(Dense { window: &op.window, groups: op.groups, input, output })),
        Op::FullyConnected(_) => Some(Layer::Dense(Dense { window: &POINT, groups: 1, input, output })),
        Op::DepthwiseConv2d(op) => Some(Layer::Depthwise(Depthwise { window: &op.window, input, output })),
        _ => None,
    }
}

impl Layer<'_> {
    /// The padding that the layer reads.
    pub(super) fn pads(&self) -> Pads {
        match self {
            Self::Dense(dense) => dense.window.pads,
            Self::Depthwise(depthwise) => depthwise.window.pads,
        }
    }
}

/// Whether batch normalization follows the layer that `op` is: convolutions have one, fully connected layers a bias.
pub(super) fn is_normalized(op: &Op) -> bool {
    matches!(op, Op::Conv2d(_) | Op::DepthwiseConv2d(_))
}

/// Refuses what training from scratch does not know.
///
/// # Errors
/// [`TrainError::Segment`] with the node.
pub(super) fn check(network: &Network) -> Result<(), TrainError> {
    let fail = |problem: String| Err(TrainError::Segment { problem });
    if network.input_encoding != InputEncoding::Real {
        return fail("a network that takes pixels as they are has no place for what training makes of them".into());
    }
    for node in &network.nodes {
        let clamp = node.op.clamp();
        let is_known = match &node.op {
            Op::Conv2d(_) | Op::DepthwiseConv2d(_) => true,
            Op::FullyConnected(_) | Op::AveragePool(_) => clamp == Clamp::NONE,
            Op::Add(_) => clamp == Clamp::NONE && node.inputs[0] != node.inputs[1],
            _ => false,
        };
        if !is_known {
            return fail(format!(
                "`{}`, a {} with the clamp {clamp}, is not trained from scratch",
                node.name,
                node.op.name()
            ));
        }
    }
    match network.nodes.last() {
        Some(node) if node.output == network.output && !is_normalized(&node.op) => Ok(()),
        _ => fail("the last node must be the output and without batch normalization".into()),
    }
}

/// The images of each lane of a batch.
pub(super) fn lanes(images: usize) -> Vec<Range<usize>> {
    let lanes = (images / LANE_IMAGES).clamp(1, LANES);
    (0..lanes).map(|lane| lane * images / lanes..(lane + 1) * images / lanes).collect()
}

/// Images that a node takes together.
pub(super) fn chunk(network: &Network, node: usize) -> usize {
    let pads = layer(network, node).map_or(Pads::default(), |layer| layer.pads());
    let node = &network.nodes[node];
    let inputs = node.inputs.iter().map(|tensor| padded(network.shape(*tensor), pads).elements());
    let largest = inputs.chain([network.shape(node.output).elements()]).max().unwrap_or(1);
    (CHUNK_ELEMENTS / largest).max(1)
}

/// Of each tensor the first node that reads it: in reverse order the last that adds to its gradient.
pub(super) fn first_readers(network: &Network) -> Vec<Option<usize>> {
    let reads = |node: &bitesize_ir::Node, tensor: usize| node.inputs.contains(&TensorId(tensor));
    (0..network.tensors.len()).map(|tensor| network.nodes.iter().position(|node| reads(node, tensor))).collect()
}
