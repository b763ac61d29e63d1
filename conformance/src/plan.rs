//! Memory plans of integer networks that no float network stands behind.

use bitesize_integer::{IntNetwork, IntNode, IntOp};
use bitesize_ir::NodeId;
use bitesize_ir::code::Implementation;
use bitesize_ir::memory::{
    Buffer, InputRows, LayerShape, MemoryPlan, Plan, PlannedSegment, plan, scratch_of_layer, tensor_bytes,
};
use bitesize_ir::shape::Window;

fn layer_shape(network: &IntNetwork, node: &IntNode) -> LayerShape {
    let (window, groups) = match &node.op {
        IntOp::Conv2d { window, groups, .. } => (*window, *groups),
        IntOp::DepthwiseConv2d { window, .. } => (*window, 1),
        _ => (Window::of([1, 1]), 1),
    };
    LayerShape {
        kind: node.op.kernel_kind(),
        window,
        groups,
        inputs: node.inputs.iter().map(|input| network.tensor(*input).shape).collect(),
        output: network.tensor(node.output).shape,
    }
}

/// Where the tensors and the scratch of `network` lie, with layers by rows where they can be, or none of them.
pub(crate) fn plan_of(network: &IntNetwork, by_rows: bool) -> MemoryPlan {
    let last = network.nodes.len().saturating_sub(1);
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
    let mut implementations = Vec::new();
    let mut with_scratch = Vec::new();
    for (step, node) in network.nodes.iter().enumerate() {
        let shape = layer_shape(network, node);
        let implementation = Implementation::of_kind(shape.kind, shape.groups, shape.output.c, by_rows);
        let bytes = scratch_of_layer(&shape, implementation, network.tensor(node.inputs[0]).bits);
        implementations.push(implementation);
        if bytes > 0 {
            with_scratch.push(step);
            buffers.push(Buffer { bytes, first: step, last: step });
        }
    }
    let Plan { arena_bytes, lower_bound, placements, cut_short, .. } = plan(&buffers);
    let (tensors, scratches) = placements.split_at(network.tensors.len());
    let mut scratch = vec![None; network.nodes.len()];
    for (step, placement) in with_scratch.into_iter().zip(scratches) {
        scratch[step] = Some(placement.offset);
    }
    MemoryPlan {
        arena_bytes,
        lower_bound,
        cut_short,
        tensors: tensors.iter().map(|placement| placement.offset).collect(),
        scratch,
        segments: (0..network.nodes.len()).map(|node| PlannedSegment::Layer(NodeId(node))).collect(),
        at_once: network.nodes.iter().map(|node| network.tensor(node.output).shape.h).collect(),
        input: InputRows::Image,
        peak: NodeId(0),
        alive: vec![0; network.nodes.len()],
        implementations,
    }
}
