//! RAM: the arena with every packed tensor and scratch, and the stack.

use super::planner::{Buffer, Plan, plan};
use super::{Widths, kernel_keys, word};
use crate::grid::BitWidth;
use crate::network::{Network, Node, NodeId, TensorId};
use crate::op::Op;
use crate::shape::{Pads, Shape};
use crate::target::CoreCosts;

/// Bytes of RAM of a package, and how they split.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RamUse {
    /// Arena and stack.
    pub total: u64,
    /// The arena, scratch included.
    pub arena: u64,
    /// The largest scratch of any layer; part of the arena.
    pub scratch: u64,
    /// Bound of the stack.
    pub stack: u64,
    /// Where everything lies.
    pub plan: MemoryPlan,
}

/// Where tensors and scratch lie in the arena.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemoryPlan {
    /// Bytes of the arena, a multiple of 4.
    pub arena_bytes: usize,
    /// Largest sum of buffers alive together: no plan can be smaller.
    pub lower_bound: usize,
    /// Offset of each tensor.
    pub tensors: Vec<usize>,
    /// Offset of each node's scratch, `None` where it needs none.
    pub scratch: Vec<Option<usize>>,
    /// The node during which the most bytes are alive (the first such).
    pub peak: NodeId,
    /// Bytes alive during each node: its inputs, output, scratch, and what waits for later nodes.
    pub alive: Vec<usize>,
}

/// Bytes of a packed activation tensor: a row is one pixel's channels; padded to a word.
pub fn tensor_bytes(shape: Shape, bits: BitWidth) -> usize {
    word(shape.pixels() * bits.row_bytes(shape.c))
}

/// Bytes of scratch that the kernel of `node` needs, a multiple of 4.
///
/// A convolution gathers the input codes of one window and group into bytes before it multiplies, a fully connected
/// layer its input vector; neither does where the input already is bytes in that order: 8 bits, and a 1x1 window of
/// one group without padding (convolution). Other kernels read and write in place.
pub fn scratch_bytes(network: &Network, node: &Node, widths: &Widths) -> usize {
    let input = network.shape(node.inputs[0]);
    let bits = widths.tensors[node.inputs[0].0];
    match &node.op {
        Op::Conv2d(op) => {
            let [kh, kw] = op.window.kernel;
            let direct =
                bits == BitWidth::B8 && [kh, kw] == [1, 1] && op.groups == 1 && op.window.pads == Pads::default();
            if direct { 0 } else { word(kh * kw * (input.c / op.groups)) }
        }
        Op::FullyConnected(_) if bits != BitWidth::B8 => word(input.c),
        Op::FullyConnected(_)
        | Op::DepthwiseConv2d(_)
        | Op::Add(_)
        | Op::Concat
        | Op::MaxPool(_)
        | Op::AveragePool(_)
        | Op::Clamp(_)
        | Op::Pad(_)
        | Op::ChannelAffine(_) => 0,
    }
}

/// RAM of `network` at `widths` on a core.
pub fn ram(network: &Network, widths: &Widths, core: &CoreCosts) -> RamUse {
    let nodes = network.nodes.len();
    // The input lives from before the first node, the output until after the last.
    let mut buffers = Vec::with_capacity(network.tensors.len() + nodes);
    for (i, tensor) in network.tensors.iter().enumerate() {
        let id = TensorId(i);
        let first = network.producer(id).map_or(0, |n| n.0);
        let last_read = network.consumers(id).last().map_or(first, |n| n.0);
        let last = if id == network.output { nodes.saturating_sub(1) } else { last_read };
        buffers.push(Buffer { bytes: tensor_bytes(tensor.shape, widths.tensors[i]), first, last });
    }
    let mut scratch_nodes = Vec::new();
    for (i, node) in network.nodes.iter().enumerate() {
        let bytes = scratch_bytes(network, node, widths);
        if bytes > 0 {
            scratch_nodes.push(i);
            buffers.push(Buffer { bytes, first: i, last: i });
        }
    }
    let Plan { arena_bytes, lower_bound, placements } = plan(&buffers);
    let offsets: Vec<usize> = placements.iter().map(|p| p.offset).collect();
    let tensors = network.tensors.len();
    let mut scratch = vec![None; nodes];
    for (k, &node) in scratch_nodes.iter().enumerate() {
        scratch[node] = Some(offsets[tensors + k]);
    }
    let alive: Vec<usize> =
        (0..nodes).map(|t| buffers.iter().filter(|b| b.first <= t && t <= b.last).map(|b| b.bytes).sum()).collect();
    let peak = (0..nodes).fold(0, |best, t| if alive[t] > alive[best] { t } else { best });
    let stack = core.base_stack_bytes
        + (0..nodes)
            .flat_map(|i| kernel_keys(&network.nodes[i], i, widths))
            .map(|key| core.kernel(key).stack_bytes)
            .max()
            .unwrap_or(0);
    let largest_scratch = buffers[tensors..].iter().map(|b| b.bytes).max().unwrap_or(0) as u64;
    RamUse {
        total: arena_bytes as u64 + stack,
        arena: arena_bytes as u64,
        scratch: largest_scratch,
        stack,
        plan: MemoryPlan {
            arena_bytes,
            lower_bound,
            tensors: offsets[..tensors].to_vec(),
            scratch,
            peak: NodeId(peak),
            alive,
        },
    }
}
