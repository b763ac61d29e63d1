//! RAM: the arena with every packed tensor and scratch, and the stack.

use super::intervals::Intervals;
use super::kernel_costs::KernelTable;
use super::layer_shape::LayerShape;
use super::lifetimes::of_network;
use super::load::Load;
use super::planner::{Buffer, Plan, alive_bytes, fits_within, plan};
use super::rows::{Chain, InputRows};
use super::scratch::scratch_of_layer;
use super::widths::Widths;
use super::word::word;
use crate::code::{Code, Implementation};
use crate::grid::BitWidth;
use crate::network::{Network, Node, NodeId, TensorId};
use crate::shape::Shape;
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
    /// As [`Plan::cut_short`].
    pub cut_short: bool,
    /// Offset of each tensor; of one that a chain keeps some rows of, that of the place of these.
    pub tensors: Vec<usize>,
    /// Offset of each node's scratch, `None` where it needs none. The nodes of a chain share theirs.
    pub scratch: Vec<Option<usize>>,
    /// What is computed together, in order.
    pub segments: Vec<PlannedSegment>,
    /// Output rows that each node computes at a time where it is computed alone: all of them, or, of a depthwise convolution by
    /// rows that writes over its own input, [`RowNode::at_once`].
    pub at_once: Vec<usize>,
    /// How the input comes.
    pub input: InputRows,
    /// The node during which the most bytes are alive (the first such).
    pub peak: NodeId,
    /// Bytes alive during each node: its inputs, output, scratch, and what waits for later nodes.
    pub alive: Vec<usize>,
    /// How each node is computed.
    pub implementations: Vec<Implementation>,
}

/// What is computed together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PlannedSegment {
    /// One node, all of it.
    Layer(NodeId),
    /// Nodes in turns.
    Chain {
        /// Which, and what they read and write.
        chain: Chain,
        /// Offset of its state: for each band two numbers of 16 bits, [`STATE_BYTES`](super::STATE_BYTES) together.
        state: usize,
    },
}

/// Bytes of a packed activation tensor: a row is one pixel's channels; padded to a word.
pub fn tensor_bytes(shape: Shape, bits: BitWidth) -> usize {
    word(shape.pixels() * bits.row_bytes(shape.c))
}

/// A node that writes a tensor or reads it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Touch {
    pub(super) node: usize,
    /// How often it is among the node's inputs; 0 where the node writes it.
    pub(super) reads: usize,
}

/// What every policy shares: when each tensor is alive and how many bytes it has at each width.
#[derive(Clone, Debug)]
pub(super) struct RamModel {
    /// First and last step of each tensor.
    lifetimes: Vec<(usize, usize)>,
    /// The same, to find those that are alive at a step.
    index: Intervals,
    /// For each tensor the nodes that write or read it, in order.
    touching: Vec<Vec<Touch>>,
    /// Packed bytes of each tensor by [`BitWidth`].
    bytes: Vec<[usize; 3]>,
    /// Scratch of each node by the width of its first input.
    scratch: Vec<[usize; 3]>,
    pub(super) base_stack: u64,
}

impl RamModel {
    pub(super) fn of(network: &Network, core: &CoreCosts, implementations: &[Implementation]) -> Self {
        let scratch = |(node, implementation): (&Node, &Implementation)| {
            let layer = LayerShape::of(network, node);
            let bytes = |bits| layer.as_ref().map_or(0, |layer| scratch_of_layer(layer, *implementation, bits));
            BitWidth::ALL.map(bytes)
        };
        let sizes = |shape: Shape| BitWidth::ALL.map(|bits| tensor_bytes(shape, bits));
        let lifetimes = of_network(network);
        let mut touching = vec![Vec::new(); network.tensors.len()];
        for (id, node) in network.iter() {
            touching[node.output.0].push(Touch { node: id.0, reads: 0 });
            for tensor in &node.inputs {
                let nodes: &mut Vec<Touch> = &mut touching[tensor.0];
                match nodes.last_mut().filter(|touch| touch.node == id.0) {
                    Some(touch) => touch.reads += 1,
                    None => nodes.push(Touch { node: id.0, reads: 1 }),
                }
            }
        }
        Self {
            index: Intervals::of(lifetimes.iter().copied()),
            lifetimes,
            touching,
            bytes: network.tensors.iter().map(|tensor| sizes(tensor.shape)).collect(),
            scratch: network.nodes.iter().zip(implementations).map(scratch).collect(),
            base_stack: core.base_stack_bytes,
        }
    }

    /// One buffer for each tensor, then one for each scratch; and the nodes whose scratch they are.
    fn buffers(&self, network: &Network, widths: &Widths) -> (Vec<Buffer>, Vec<usize>) {
        let mut buffers = Vec::with_capacity(self.bytes.len() + network.nodes.len());
        for ((bytes, &(first, last)), bits) in self.bytes.iter().zip(&self.lifetimes).zip(&widths.tensors) {
            buffers.push(Buffer { bytes: bytes[bits.index()], first, last });
        }
        let mut scratch_nodes = Vec::new();
        for (i, node) in network.nodes.iter().enumerate() {
            let bytes = self.scratch_bytes(i, widths.tensors[node.inputs[0].0]);
            if bytes > 0 {
                scratch_nodes.push(i);
                buffers.push(Buffer { bytes, first: i, last: i });
            }
        }
        (buffers, scratch_nodes)
    }

    pub(super) fn alive(&self, network: &Network, widths: &Widths) -> Vec<usize> {
        alive_bytes(&self.buffers(network, widths).0, network.nodes.len())
    }

    /// Bytes of scratch of node `index` where its first input has `bits`.
    pub(super) fn scratch_bytes(&self, index: usize, bits: BitWidth) -> usize {
        self.scratch[index][bits.index()]
    }

    /// Bytes of stack where `called` is called.
    pub(super) fn stack(&self, called: impl Iterator<Item = Code>, kernels: &KernelTable) -> u64 {
        self.base_stack + called.map(|code| kernels.cost(code).stack_bytes).max().unwrap_or(0)
    }

    pub(super) fn count(
        &self,
        network: &Network,
        widths: &Widths,
        implementations: &[Implementation],
        stack: u64,
    ) -> RamUse {
        let (buffers, scratch_nodes) = self.buffers(network, widths);
        let Plan { arena_bytes, lower_bound, placements, cut_short, .. } = plan(&buffers);
        let offsets: Vec<usize> = placements.iter().map(|p| p.offset).collect();
        let tensors = self.bytes.len();
        let mut scratch = vec![None; network.nodes.len()];
        for (k, &node) in scratch_nodes.iter().enumerate() {
            scratch[node] = Some(offsets[tensors + k]);
        }
        let alive = alive_bytes(&buffers, network.nodes.len());
        let peak = peak(&alive).map_or(NodeId(0), |(step, _)| step);
        RamUse {
            total: arena_bytes as u64 + stack,
            arena: arena_bytes as u64,
            scratch: buffers[tensors..].iter().map(|b| b.bytes).max().unwrap_or(0) as u64,
            stack,
            plan: MemoryPlan {
                arena_bytes,
                lower_bound,
                cut_short,
                tensors: offsets[..tensors].to_vec(),
                scratch,
                segments: (0..network.nodes.len()).map(|node| PlannedSegment::Layer(NodeId(node))).collect(),
                at_once: network.nodes.iter().map(|node| network.shape(node.output).h).collect(),
                input: InputRows::Image,
                peak,
                alive,
                implementations: implementations.to_vec(),
            },
        }
    }

    /// The arena at `widths`.
    pub(super) fn plan(&self, network: &Network, widths: &Widths) -> Plan {
        plan(&self.buffers(network, widths).0)
    }

    /// Whether arena and `stack` take at most `limit`, and the visits that planning took; `most` bytes are alive at a step.
    pub(super) fn fits(
        &self,
        network: &Network,
        widths: &Widths,
        stack: u64,
        limit: Option<u64>,
        most: usize,
    ) -> (bool, usize) {
        let Some(limit) = limit else { return (true, 0) };
        let Some(arena) = limit.checked_sub(stack).map(|arena| usize::try_from(arena).unwrap_or(usize::MAX)) else {
            return (false, 0);
        };
        if most > arena { (false, 0) } else { fits_within(&self.buffers(network, widths).0, arena) }
    }

    /// Bytes alive during each node with every tensor at the width of least bytes among those `allowed` for it.
    pub(super) fn least_alive<W: Iterator<Item = BitWidth>>(
        &self,
        network: &Network,
        allowed: impl Fn(TensorId) -> W,
    ) -> Vec<usize> {
        let least = |tensor| allowed(tensor).map(|bits| self.tensor_bytes(tensor, bits)).min().unwrap_or(0);
        let mut load = Load::new(network.nodes.len());
        for tensor in (0..self.bytes.len()).map(TensorId) {
            load.change(self.lifetimes[tensor.0], 0, least(tensor));
        }
        let mut alive = Vec::with_capacity(network.nodes.len());
        for (id, node) in network.iter() {
            // A wider first input may save more scratch than it costs.
            let first = node.inputs[0];
            let with_scratch = |bits| self.tensor_bytes(first, bits) + self.scratch_bytes(id.0, bits);
            let least_with_scratch = allowed(first).map(with_scratch).min().unwrap_or(0);
            alive.push(load.at(id.0) - least(first) + least_with_scratch);
        }
        alive
    }

    /// Tensors that are alive during node `step`, by id.
    pub(super) fn alive_at(&self, step: NodeId) -> impl Iterator<Item = TensorId> + use<> {
        let mut alive: Vec<usize> = self.index.alive_at(step.0).collect();
        alive.sort_unstable();
        alive.into_iter().map(TensorId)
    }

    /// The nodes that write or read `tensor`, each once.
    pub(super) fn touching(&self, tensor: TensorId) -> &[Touch] {
        &self.touching[tensor.0]
    }

    /// Packed bytes of `tensor` at `bits`.
    pub(super) fn tensor_bytes(&self, tensor: TensorId, bits: BitWidth) -> usize {
        self.bytes[tensor.0][bits as usize]
    }

    /// First and last step (node index) at which `tensor` is alive.
    pub(super) fn lifetime(&self, tensor: TensorId) -> (usize, usize) {
        self.lifetimes[tensor.0]
    }
}

/// The first of the steps with the most bytes `alive`, and how many.
pub(super) fn peak(alive: &[usize]) -> Option<(NodeId, usize)> {
    // The last of several maxima is taken: from the back, that is the first.
    alive.iter().copied().enumerate().rev().max_by_key(|(_, bytes)| *bytes).map(|(step, bytes)| (NodeId(step), bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_peak_is_the_first_of_the_largest() {
        assert_eq!(peak(&[1, 3, 2, 3]), Some((NodeId(1), 3)));
        assert_eq!(peak(&[]), None);
    }
}
