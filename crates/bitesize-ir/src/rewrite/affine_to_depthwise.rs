//! An affine map that fits into no neighbour becomes a 1x1 depthwise convolution. The last of the rewrites: it fires
//! only where none of the others does.

use super::graph::Graph;
use super::rule::Outcome;
use crate::network::NodeId;
use crate::op::{DepthwiseConv2d, Op};
use crate::shape::Window;

pub(super) fn at(graph: &mut Graph, id: NodeId) -> Outcome {
    let op = graph.op_mut(id);
    let Op::ChannelAffine(affine) = op else { return Outcome::NoMatch };
    *op = Op::DepthwiseConv2d(DepthwiseConv2d {
        window: Window::of([1, 1]),
        weights: std::mem::take(&mut affine.scale),
        bias: std::mem::take(&mut affine.shift),
        clamp: affine.clamp,
    });
    Outcome::Applied("as a 1x1 depthwise convolution".into())
}
