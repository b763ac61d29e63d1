//! Padding before a window becomes the window's own padding; pads in a row become one.

use super::graph::Graph;
use super::rule::Outcome;
use crate::network::NodeId;
use crate::op::{AveragePool, Op};
use crate::shape::{Pads, Shape, Window};

/// Tried at the reader of the pad: each reader of one takes it for itself.
pub(super) fn at(graph: &mut Graph, id: NodeId) -> Outcome {
    let node = graph.node(id);
    let Some(producer) = graph.producer(node.inputs[0]).map(|p| graph.node(p)) else { return Outcome::NoMatch };
    let Op::Pad(added) = producer.op else { return Outcome::NoMatch };
    let source = producer.inputs[0];
    let name = &producer.name;
    let folded = match &node.op {
        Op::Pad(own) => Ok(Op::Pad(sum(*own, added))),
        Op::Conv2d(op) => {
            let mut op = op.clone();
            op.window.pads = sum(op.window.pads, added);
            Ok(Op::Conv2d(op))
        }
        Op::DepthwiseConv2d(op) => {
            let mut op = op.clone();
            op.window.pads = sum(op.window.pads, added);
            Ok(Op::DepthwiseConv2d(op))
        }
        Op::AveragePool(op) => into_average(*op, added, graph.shape(source)),
        Op::MaxPool(window) => {
            let lowest = graph.range_before(id, source).lo;
            into_max(*window, added, lowest, graph.shape(source)).map(Op::MaxPool)
        }
        op => Err(format!("{} has no padding to put `{name}` into", op.name())),
    };
    match folded {
        Ok(op) => {
            let done = Outcome::Applied(format!("takes `{name}`"));
            *graph.op_mut(id) = op;
            graph.read_instead(id, source);
            done
        }
        Err(reason) => Outcome::Refused(reason),
    }
}

fn sum(a: Pads, b: Pads) -> Pads {
    Pads { top: a.top + b.top, left: a.left + b.left, bottom: a.bottom + b.bottom, right: a.right + b.right }
}

/// Zeros that were part of the image count in every divisor; a pool that leaves its own padding out of the divisor
/// cannot tell the two apart.
fn into_average(mut op: AveragePool, added: Pads, image: Shape) -> Result<Op, String> {
    if op.window.pads != Pads::default() && !op.count_include_pad {
        return Err("it has padding of its own that it leaves out of its divisor".into());
    }
    op.window.pads = sum(op.window.pads, added);
    op.count_include_pad = true;
    if op.window.touches_everywhere(image) { Ok(Op::AveragePool(op)) } else { Err(ONLY_PADDING.into()) }
}

const ONLY_PADDING: &str = "some of its windows would see nothing but padding";

/// A max-pool ignores its padding: the same as zeros only where no value is below zero and every window sees a value.
fn into_max(mut window: Window, added: Pads, lowest: f32, image: Shape) -> Result<Window, String> {
    if lowest < 0.0 {
        return Err("its input can be below the zeros that are padded, which a max-pool's own padding is not".into());
    }
    window.pads = sum(window.pads, added);
    if window.touches_everywhere(image) { Ok(window) } else { Err(ONLY_PADDING.into()) }
}
