//! A clamp goes into the operator that makes its input. Max-pools, pads and changes of order in
//! between are passed: clamping before them is the same (a pad's zeros, if the bounds contain 0).

use super::graph::Graph;
use super::rule::Outcome;
use crate::network::NodeId;
use crate::op::{Clamp, Op};

pub(super) fn at(graph: &mut Graph, id: NodeId) -> Outcome {
    let Op::Clamp(clamp) = graph.node(id).op else { return Outcome::NoMatch };
    let target = match target(graph, id, clamp) {
        Ok(target) => target,
        Err(reason) => return Outcome::Refused(reason),
    };
    let done = Outcome::Applied(format!("into `{}`", graph.node(target).name));
    let own = graph.op_mut(target).clamp_mut().expect("a target can carry a clamp");
    *own = own.then(clamp);
    let producer = graph.producer(graph.node(id).inputs[0]).expect("a target lies before it");
    graph.merge_into_producer(producer, id);
    done
}

/// The nearest node upstream that can carry the clamp.
fn target(graph: &Graph, id: NodeId, clamp: Clamp) -> Result<NodeId, String> {
    let mut at = id;
    loop {
        at = graph.sole_producer(at)?;
        let node = graph.node(at);
        match &node.op {
            Op::MaxPool(_) | Op::Flatten(_) => {}
            Op::Pad(_) if clamp.apply(0.0) == 0.0 => {}
            Op::Pad(_) => return Err(format!("it would change the zeros that `{}` pads with", node.name)),
            op if op.can_clamp() => return Ok(at),
            op => return Err(format!("`{}` before it is {}, which has no clamp", node.name, op.name())),
        }
    }
}
