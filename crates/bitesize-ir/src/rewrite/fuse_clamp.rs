//! A clamp goes into the operator that makes its input. Max-pools, pads and changes of order in
//! between are passed: clamping before them is the same (a pad's zeros, if the bounds contain 0).

use super::edit;
use super::rule::Outcome;
use crate::network::{Network, NodeId};
use crate::op::{Clamp, Op};

pub(super) fn at(network: &mut Network, id: NodeId) -> Outcome {
    let Op::Clamp(clamp) = network.node(id).op else { return Outcome::NoMatch };
    let target = match target(network, id, clamp) {
        Ok(target) => target,
        Err(reason) => return Outcome::Refused(reason),
    };
    let done = Outcome::Applied(format!("into `{}`", network.node(target).name));
    let own = network.nodes[target.0].op.clamp_mut().expect("a target can carry a clamp");
    *own = own.then(clamp);
    let producer = network.producer(network.node(id).inputs[0]).expect("a target lies before it");
    edit::merge_into_producer(network, producer, id);
    done
}

/// The nearest node upstream that can carry the clamp.
fn target(network: &Network, id: NodeId, clamp: Clamp) -> Result<NodeId, String> {
    let mut at = id;
    loop {
        at = edit::sole_producer(network, at)?;
        let node = network.node(at);
        match &node.op {
            Op::MaxPool(_) | Op::Flatten(_) => {}
            Op::Pad(_) if clamp.apply(0.0) == 0.0 => {}
            Op::Pad(_) => return Err(format!("it would change the zeros that `{}` pads with", node.name)),
            op if op.can_clamp() => return Ok(at),
            op => return Err(format!("`{}` before it is {}, which has no clamp", node.name, op.name())),
        }
    }
}
