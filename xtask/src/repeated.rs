//! Networks of one layer again and again, each reading what the one before it wrote: what costs are measured on.

use bitesize_integer::{IntNetwork, IntNode, IntOp, IntTensor};
use bitesize_ir::code::Implementation;
use bitesize_ir::memory::{InputRows, MemoryPlan, PlannedSegment, RowNode, Scheduling};
use bitesize_ir::requantize::Multiplier;
use bitesize_ir::{BitWidth, NodeId, Shape, TensorId};

/// `layers` times `op`, which keeps the `shape` of its input, at 8 bits.
pub(crate) fn repeated(op: &IntOp, shape: Shape, layers: usize) -> IntNetwork {
    let tensor = |i| IntTensor { name: format!("t{i}"), shape, bits: BitWidth::B8, zero: 0 };
    let node =
        |i| IntNode { name: format!("layer{i}"), op: op.clone(), inputs: vec![TensorId(i)], output: TensorId(i + 1) };
    IntNetwork {
        name: "repeated".into(),
        tensors: (0..=layers).map(tensor).collect(),
        nodes: (0..layers).map(node).collect(),
        input: TensorId(0),
        output: TensorId(layers),
        input_scale: Multiplier::ZERO,
        output_scale: Multiplier::ZERO,
        output_channels: Vec::new(),
        input_is_pixels: false,
        tail: None,
    }
}

/// The layers of `network` as their rows see them, by kernels of their widths.
pub(crate) fn row_nodes(network: &IntNetwork) -> Vec<RowNode> {
    network.nodes.iter().map(|node| network.row_node(node, Implementation::Whole)).collect()
}

/// `network` layer by layer, by kernels of their widths without scratch, its tensors at `offsets` in an arena of `arena_bytes`.
pub(crate) fn layer_by_layer(network: &IntNetwork, offsets: Vec<usize>, arena_bytes: usize) -> MemoryPlan {
    let layers = network.nodes.len();
    MemoryPlan {
        arena_bytes,
        lower_bound: 0,
        cut_short: false,
        tensors: offsets,
        scratch: vec![None; layers],
        segments: (0..layers).map(|node| PlannedSegment::Layer(NodeId(node))).collect(),
        at_once: network.nodes.iter().map(|node| network.tensor(node.output).shape.h).collect(),
        input: InputRows::Image,
        scheduling: Scheduling::Layers,
        peak: NodeId(0),
        alive: vec![0; layers],
        implementations: vec![Implementation::Whole; layers],
    }
}
