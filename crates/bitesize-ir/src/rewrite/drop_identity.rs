//! Removes what changes nothing: a clamp whose input lies within its bounds, a pad of nothing, a 1x1 pool, the
//! flattening of a vector, an affine map of factor 1 and summand 0.

use super::graph::Graph;
use super::rule::Outcome;
use crate::network::NodeId;
use crate::op::{Clamp, Op};
use crate::shape::Pads;

pub(super) fn at(graph: &mut Graph, id: NodeId) -> Outcome {
    let node = graph.node(id);
    let what = match &node.op {
        Op::Clamp(clamp) => {
            let range = graph.range_before(id, node.inputs[0]);
            if range.lo < clamp.lo || range.hi > clamp.hi {
                return Outcome::NoMatch;
            }
            format!("its input lies within {} already", Bounds(*clamp))
        }
        Op::Pad(pads) if *pads == Pads::default() => "a pad of nothing".into(),
        Op::MaxPool(window) if window.is_pointwise() => "a 1x1 pool".into(),
        Op::AveragePool(op) if op.window.is_pointwise() && op.clamp.is_none() => "a 1x1 pool".into(),
        Op::Flatten(_) if graph.shape(node.inputs[0]).pixels() == 1 => "its input is a vector".into(),
        Op::ChannelAffine(op)
            if op.clamp.is_none() && op.scale.iter().all(|s| *s == 1.0) && op.shift.iter().all(|s| *s == 0.0) =>
        {
            "multiplies by 1 and adds 0".into()
        }
        _ => return Outcome::NoMatch,
    };
    if node.output == graph.output() && node.inputs[0] == graph.input() {
        return Outcome::Refused("nothing would be left between the network's input and output".into());
    }
    graph.bypass(id);
    Outcome::Applied(what)
}

/// A clamp's bounds for people.
struct Bounds(Clamp);

impl std::fmt::Display for Bounds {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}..={}", self.0.lo, self.0.hi)
    }
}
