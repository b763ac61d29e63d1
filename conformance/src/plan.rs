//! Memory plans of integer networks that no float network stands behind.

use bitesize_integer::{IntNetwork, IntNode};
use bitesize_ir::NodeId;
use bitesize_ir::code::Implementation;
use bitesize_ir::memory::{
    Buffer, InputRows, MemoryPlan, Plan, PlannedSegment, RowNode, plan, scratch_of_layer, tensor_bytes,
};

/// What each node of `network` is to the schedules of rows, with layers by rows where they can be, or none of them. None is
/// left out: every operator of an integer network has a kernel.
pub fn row_nodes(network: &IntNetwork, by_rows: bool) -> Vec<Option<RowNode>> {
    network.nodes.iter().map(|node| Some(row_node(network, node, by_rows))).collect()
}

fn row_node(network: &IntNetwork, node: &IntNode, by_rows: bool) -> RowNode {
    let layer = network.layer_shape(node);
    let implementation = Implementation::of_kind(layer.kind, layer.groups, layer.output.c, by_rows);
    RowNode { layer, implementation, inputs: node.inputs.clone(), output: node.output }
}

/// Where the tensors and the scratch of `network` lie, with layers by rows where they can be, or none of them.
pub fn plan_of(network: &IntNetwork, by_rows: bool) -> MemoryPlan {
    let nodes: Vec<RowNode> = network.nodes.iter().map(|node| row_node(network, node, by_rows)).collect();
    let last = nodes.len().saturating_sub(1);
    let mut buffers: Vec<Buffer> = network
        .tensors
        .iter()
        .map(|tensor| Buffer { bytes: tensor_bytes(tensor.shape, tensor.bits), first: 0, last: 0 })
        .collect();
    for (step, node) in network.nodes.iter().enumerate() {
        buffers[node.output.0].first = step;
        for tensor in node.inputs.iter().chain([&node.output]) {
            buffers[tensor.0].last = step;
        }
    }
    for tensor in [network.input, network.output] {
        buffers[tensor.0].last = last;
    }
    let mut with_scratch = Vec::new();
    for (step, node) in nodes.iter().enumerate() {
        let bytes = scratch_of_layer(&node.layer, node.implementation, network.tensor(node.inputs[0]).bits);
        if bytes > 0 {
            with_scratch.push(step);
            buffers.push(Buffer { bytes, first: step, last: step });
        }
    }
    let Plan { arena_bytes, lower_bound, placements, cut_short, .. } = plan(&buffers);
    let (tensors, scratches) = placements.split_at(network.tensors.len());
    let mut scratch = vec![None; nodes.len()];
    for (step, placement) in with_scratch.into_iter().zip(scratches) {
        scratch[step] = Some(placement.offset);
    }
    MemoryPlan {
        arena_bytes,
        lower_bound,
        cut_short,
        tensors: tensors.iter().map(|placement| placement.offset).collect(),
        scratch,
        segments: (0..nodes.len()).map(|node| PlannedSegment::Layer(NodeId(node))).collect(),
        at_once: nodes.iter().map(RowNode::height).collect(),
        input: InputRows::Image,
        peak: NodeId(0),
        alive: vec![0; nodes.len()],
        implementations: nodes.iter().map(|node| node.implementation).collect(),
    }
}
