//! Memory plans of integer networks that no float network stands behind.

use bitesize_integer::{IntNetwork, IntNode};
use bitesize_ir::code::Implementation;
use bitesize_ir::memory::{
    Chain, InputRows, MemoryPlan, PlannedSegment, RowNetwork, RowNode, Schedule, Scheduling, Segment, lifetimes,
    plan_rows, scratch_of_layer, tensor_bytes, word,
};
use bitesize_ir::{BitWidth, NodeId, TensorId};

/// What each node of `network` is to the schedules of rows, with layers by rows where they can be, or none of them.
/// None is left out: every operator of an integer network has a kernel.
pub fn row_nodes(network: &IntNetwork, by_rows: bool) -> Vec<Option<RowNode>> {
    network.nodes.iter().map(|node| Some(row_node(network, node, by_rows))).collect()
}

fn row_node(network: &IntNetwork, node: &IntNode, by_rows: bool) -> RowNode {
    let layer = network.layer_shape(node);
    let implementation = Implementation::of_kind(layer.kind, layer.groups, layer.output.c, by_rows);
    network.row_node(node, implementation)
}

/// `network` as its rows see it, with layers by rows where they can be, or none of them.
pub fn row_network(network: &IntNetwork, by_rows: bool) -> RowNetwork {
    let nodes = network.nodes.iter().map(|node| (node.inputs.as_slice(), node.output));
    RowNetwork {
        nodes: row_nodes(network, by_rows),
        shapes: network.tensors.iter().map(|tensor| tensor.shape).collect(),
        lifetimes: lifetimes(network.tensors.len(), nodes, network.output),
        input: network.input,
        output: network.output,
    }
}

/// Where the tensors and the scratch of `network` lie in the smallest plan found among those that `scheduling` leaves, its input
/// coming as `input` says.
pub fn plan_of(network: &IntNetwork, by_rows: bool, scheduling: Scheduling, input: InputRows) -> MemoryPlan {
    let widths: Vec<BitWidth> = network.tensors.iter().map(|tensor| tensor.bits).collect();
    plan_rows(row_network(network, by_rows), &widths, scheduling, input)
}

/// A plan of `schedule` that puts everything at a place of its own: tensors, of which chains keep the rows only that
/// they need; scratch, shared by the nodes of a chain; states of chains. Layers are by rows where they can be, or
/// none of them.
///
/// # Panics
/// A chain of `schedule` has a node that does not compute by rows.
pub fn plan_apart(network: &IntNetwork, schedule: &Schedule, by_rows: bool) -> MemoryPlan {
    let nodes: Vec<RowNode> = network.nodes.iter().map(|node| row_node(network, node, by_rows)).collect();
    let mut bytes: Vec<usize> = network.tensors.iter().map(|t| tensor_bytes(t.shape, t.bits)).collect();
    let scratch_bytes =
        |node: &RowNode| scratch_of_layer(&node.layer, node.implementation, network.tensor(node.inputs[0]).bits);
    let mut arena_bytes = 0;
    let mut place = |bytes: usize| {
        let at = arena_bytes;
        arena_bytes = word(at + bytes);
        at
    };
    let mut segments = Vec::new();
    let mut scratch = vec![None; nodes.len()];
    for (index, Segment { nodes: range, is_rolling }) in schedule.segments.iter().enumerate() {
        let of_segment = &nodes[range.clone()];
        let most = of_segment.iter().map(scratch_bytes).max().unwrap_or(0);
        if most > 0 {
            scratch[range.clone()].fill(Some(place(most)));
        }
        if *is_rolling {
            let stays = |tensor: TensorId| {
                tensor == network.output || nodes[range.end..].iter().any(|node| node.inputs.contains(&tensor))
            };
            let is_pushed = index == 0 && schedule.input == InputRows::Pushed;
            let pushed = is_pushed.then(|| (network.input, network.tensor(network.input).shape));
            let chain = Chain::of(of_segment, range.start, stays, pushed);
            for band in &chain.bands {
                let tensor = network.tensor(band.tensor);
                bytes[band.tensor.0] = word(band.rows * tensor.shape.w * tensor.bits.row_bytes(tensor.shape.c));
            }
            let state = place(chain.state_bytes());
            segments.push(PlannedSegment::Chain { chain, state });
        } else {
            segments.extend(range.clone().map(|node| PlannedSegment::Layer(NodeId(node))));
        }
    }
    let tensors = bytes.into_iter().map(&mut place).collect();
    MemoryPlan {
        arena_bytes,
        lower_bound: 0,
        cut_short: false,
        tensors,
        scratch,
        segments,
        at_once: nodes.iter().map(RowNode::height).collect(),
        input: schedule.input,
        scheduling: schedule.scheduling(),
        peak: NodeId(0),
        alive: vec![0; nodes.len()],
        implementations: nodes.iter().map(|node| node.implementation).collect(),
    }
}
