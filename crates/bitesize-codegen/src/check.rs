//! Whether a plan is the network's.

use crate::error::EmitError;
use bitesize_integer::IntNetwork;
use bitesize_ir::NodeId;
use bitesize_ir::memory::{Chain, InputRows, MemoryPlan, PlannedSegment, tensor_bytes, word};
use std::ops::Range;

/// Everything that the emitter takes from `plan` is as `network` has it.
pub(crate) fn check(network: &IntNetwork, plan: &MemoryPlan) -> Result<(), EmitError> {
    lengths(network, plan)?;
    segments(network, plan)?;
    input(network, plan)?;
    places(network, plan)
}

/// The chain whose rows are pushed, and which of its bands they are.
pub(crate) fn pushed(plan: &MemoryPlan) -> Option<(&Chain, usize)> {
    let PlannedSegment::Chain { chain, .. } = plan.segments.first()? else { return None };
    chain.bands.iter().position(|band| band.is_pushed).map(|band| (chain, band))
}

fn problem<T>(text: String) -> Result<T, EmitError> {
    Err(EmitError::Plan(text))
}

fn lengths(network: &IntNetwork, plan: &MemoryPlan) -> Result<(), EmitError> {
    let length = |what: &str, found: usize, expected: usize| {
        if found == expected { Ok(()) } else { problem(format!("it places {found} {what} instead of {expected}")) }
    };
    let nodes = network.nodes.len();
    length("tensors", plan.tensors.len(), network.tensors.len())?;
    length("nodes", plan.scratch.len(), nodes)?;
    length("nodes' implementations", plan.implementations.len(), nodes)?;
    length("nodes' rows at a time", plan.at_once.len(), nodes)?;
    match plan.at_once.iter().position(|rows| *rows == 0) {
        Some(node) => problem(format!("it computes 0 rows of `{}` at a time", network.nodes[node].name)),
        None => Ok(()),
    }
}

/// Each node once, in order, and the chains' bands are the tensors of their nodes.
fn segments(network: &IntNetwork, plan: &MemoryPlan) -> Result<(), EmitError> {
    let mut next = 0;
    let mut take = |node: usize| {
        next += 1;
        if node + 1 == next { Ok(()) } else { problem(format!("node {node} comes where node {} is due", next - 1)) }
    };
    for segment in &plan.segments {
        match segment {
            PlannedSegment::Layer(NodeId(node)) => take(*node)?,
            PlannedSegment::Chain { chain, .. } => {
                for member in &chain.members {
                    take(member.node)?;
                    let node = &network.nodes[member.node];
                    let tensor = |band: &usize| chain.bands.get(*band).map(|band| band.tensor);
                    let inputs: Vec<_> = member.inputs.iter().map(tensor).collect();
                    let same =
                        node.inputs.iter().copied().map(Some).eq(inputs) && tensor(&member.output) == Some(node.output);
                    if !same {
                        return problem(format!("its chain gives `{}` other tensors than the network", node.name));
                    }
                }
                for band in &chain.bands {
                    let tensor = network.tensors.get(band.tensor.0).filter(|tensor| tensor.shape.h == band.height);
                    if tensor.is_none_or(|tensor| band.rows > tensor.shape.h) {
                        return problem(format!("tensor {} has not {} rows", band.tensor.0, band.height));
                    }
                }
            }
        }
    }
    if next == network.nodes.len() {
        Ok(())
    } else {
        problem(format!("it computes {next} nodes instead of {}", network.nodes.len()))
    }
}

/// Rows of the network's input are pushed into the first segment, or none are anywhere.
fn input(network: &IntNetwork, plan: &MemoryPlan) -> Result<(), EmitError> {
    let bands = plan.segments.iter().filter_map(|segment| match segment {
        PlannedSegment::Chain { chain, .. } => Some(&chain.bands),
        PlannedSegment::Layer(_) => None,
    });
    let count = bands.flatten().filter(|band| band.is_pushed).count();
    let is_input = pushed(plan).is_some_and(|(chain, band)| chain.bands[band].tensor == network.input);
    match plan.input {
        InputRows::Image if count > 0 => problem("rows are pushed into it, and its input is an image".into()),
        InputRows::Pushed if count != 1 || !is_input => {
            problem("its input comes by rows, and the first segment is no chain into which they are pushed".into())
        }
        _ => Ok(()),
    }
}

/// Everything lies on a word and in the arena, and nothing over the state that counts rows which are pushed.
fn places(network: &IntNetwork, plan: &MemoryPlan) -> Result<(), EmitError> {
    let inside = |what: &str, place: &Range<usize>| {
        if !place.start.is_multiple_of(4) {
            return problem(format!("{what} lies at {}, which is no word", place.start));
        }
        let (end, arena) = (place.end, plan.arena_bytes);
        if end <= arena { Ok(()) } else { problem(format!("{what} ends at {end} in an arena of {arena} bytes")) }
    };
    let rows = rows_kept(network, plan);
    let place = |i: usize| {
        let tensor = &network.tensors[i];
        let row = tensor.shape.w * tensor.bits.row_bytes(tensor.shape.c);
        let bytes =
            if rows[i] < tensor.shape.h { word(rows[i] * row) } else { tensor_bytes(tensor.shape, tensor.bits) };
        plan.tensors[i]..plan.tensors[i] + bytes
    };
    for (i, tensor) in network.tensors.iter().enumerate() {
        inside(&format!("`{}`", tensor.name), &place(i))?;
    }
    for (i, node) in network.nodes.iter().enumerate() {
        if let Some(offset) = plan.scratch[i] {
            inside(&format!("the scratch of `{}`", node.name), &(offset..offset))?;
        }
    }
    for segment in &plan.segments {
        if let PlannedSegment::Chain { chain, state } = segment {
            let state = *state..state + chain.state_bytes();
            inside("a chain's state", &state)?;
            let over = |i: &usize| place(*i).start < state.end && state.start < place(*i).end;
            let own = || chain.bands.iter().map(|band| band.tensor.0);
            let of_all = || 0..network.tensors.len();
            let covered = match plan.input {
                InputRows::Pushed if chain.bands.iter().any(|band| band.is_pushed) => of_all().find(over),
                _ => own().find(over),
            };
            if let Some(tensor) = covered {
                let name = &network.tensors[tensor].name;
                return problem(format!("`{name}` lies over the state of a chain that is still needed"));
            }
        }
    }
    Ok(())
}

/// Rows of each tensor that there is room for.
fn rows_kept(network: &IntNetwork, plan: &MemoryPlan) -> Vec<usize> {
    let mut rows: Vec<usize> = network.tensors.iter().map(|tensor| tensor.shape.h).collect();
    for segment in &plan.segments {
        if let PlannedSegment::Chain { chain, .. } = segment {
            for band in &chain.bands {
                rows[band.tensor.0] = rows[band.tensor.0].min(band.rows);
            }
        }
    }
    rows
}
