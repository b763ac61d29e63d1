//! Whether a plan is one of a network: what the run relies on.

use crate::network::{IntNetwork, IntNode};
use bitesize_ir::NodeId;
use bitesize_ir::memory::{Chain, InputRows, MemoryPlan, PlannedSegment, scratch_of_layer};

/// Bytes of scratch that `node` needs, computed as `plan` says.
pub(super) fn scratch_bytes(network: &IntNetwork, plan: &MemoryPlan, id: NodeId) -> usize {
    let node = network.node(id);
    scratch_of_layer(&network.layer_shape(node), plan.implementations[id.0], network.tensor(node.inputs[0]).bits)
}

/// Whether `plan` is one of `network`.
///
/// # Errors
/// What it lacks, in words.
pub(super) fn check(network: &IntNetwork, plan: &MemoryPlan) -> Result<(), String> {
    let nodes = network.nodes.len();
    let count = |what: &str, found: usize, expected: usize| {
        if found == expected { Ok(()) } else { Err(format!("it has {found} {what} instead of {expected}")) }
    };
    count("offsets of tensors", plan.tensors.len(), network.tensors.len())?;
    count("offsets of scratch", plan.scratch.len(), nodes)?;
    count("implementations", plan.implementations.len(), nodes)?;
    count("numbers of rows at once", plan.at_once.len(), nodes)?;
    for (id, node) in network.iter() {
        if scratch_bytes(network, plan, id) > 0 && plan.scratch[id.0].is_none() {
            return Err(format!("`{}` has no scratch", node.name));
        }
        if plan.at_once[id.0] == 0 {
            return Err(format!("`{}` computes no rows at a time", node.name));
        }
    }
    let mut next = 0;
    for segment in &plan.segments {
        match segment {
            PlannedSegment::Layer(id) => {
                count("as the next node", id.0, next)?;
                next += 1;
            }
            PlannedSegment::Chain { chain, .. } => {
                for member in &chain.members {
                    count("as the next node, of a chain,", member.node, next)?;
                    next += 1;
                }
                check_chain(network, plan, chain)?;
            }
        }
    }
    count("nodes in segments", next, nodes)?;
    let is_pushed = |segment: &PlannedSegment| match segment {
        PlannedSegment::Layer(_) => false,
        PlannedSegment::Chain { chain, .. } => {
            chain.bands.iter().any(|band| band.is_pushed && band.tensor == network.input)
        }
    };
    let pushed = plan.segments.iter().filter(|segment| is_pushed(segment)).count();
    match plan.input {
        InputRows::Image => count("chains with pushed rows", pushed, 0),
        InputRows::Pushed => count("chains with pushed rows", pushed, 1),
    }
}

fn check_chain(network: &IntNetwork, plan: &MemoryPlan, chain: &Chain) -> Result<(), String> {
    for member in &chain.members {
        let Some(node): Option<&IntNode> = network.nodes.get(member.node) else {
            return Err(format!("a chain computes node {}, which does not exist", member.node));
        };
        let rows = &member.rows;
        let is_of = rows.layer == network.layer_shape(node)
            && rows.implementation == plan.implementations[member.node]
            && (&rows.inputs, rows.output) == (&node.inputs, node.output);
        let tensor = |band: &usize| chain.bands.get(*band).map(|band| band.tensor);
        let has_bands = member.inputs.iter().map(tensor).eq(node.inputs.iter().map(|input| Some(*input)))
            && tensor(&member.output) == Some(node.output);
        if !is_of || !has_bands || !rows.has_rows() {
            return Err(format!("a chain takes `{}` for another node", node.name));
        }
    }
    match chain.bands.iter().find(|band| network.tensor(band.tensor).shape.h != band.height) {
        Some(band) => Err(format!("a chain takes `{}` for {} rows", network.tensor(band.tensor).name, band.height)),
        None => Ok(()),
    }
}
