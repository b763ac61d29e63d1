//! RAM: the arena with every packed tensor and scratch, and the stack.

use super::kernels::{KernelTable, visit_kernel_keys};
use super::planner::{Buffer, Plan, alive_bytes, plan};
use super::{Widths, word};
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

/// What every policy shares: when each tensor is alive and how many bytes it has at each width.
#[derive(Clone, Debug)]
pub(super) struct RamModel {
    /// First and last step of each tensor.
    lifetimes: Vec<(usize, usize)>,
    /// Packed bytes of each tensor by [`BitWidth`].
    bytes: Vec<[usize; 3]>,
    pub(super) base_stack: u64,
}

impl RamModel {
    pub(super) fn of(network: &Network, core: &CoreCosts) -> Self {
        let sizes = |shape: Shape| BitWidth::ALL.map(|bits| tensor_bytes(shape, bits));
        Self {
            lifetimes: lifetimes(network),
            bytes: network.tensors.iter().map(|tensor| sizes(tensor.shape)).collect(),
            base_stack: core.base_stack_bytes,
        }
    }

    /// One buffer for each tensor, then one for each scratch; and the nodes whose scratch they are.
    fn buffers(&self, network: &Network, widths: &Widths) -> (Vec<Buffer>, Vec<usize>) {
        let mut buffers = Vec::with_capacity(self.bytes.len() + network.nodes.len());
        for ((bytes, &(first, last)), bits) in self.bytes.iter().zip(&self.lifetimes).zip(&widths.tensors) {
            buffers.push(Buffer { bytes: bytes[*bits as usize], first, last });
        }
        let mut scratch_nodes = Vec::new();
        for (i, node) in network.nodes.iter().enumerate() {
            let bytes = scratch_bytes(network, node, widths);
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

    pub(super) fn stack(&self, network: &Network, widths: &Widths, kernels: &KernelTable) -> u64 {
        let mut deepest = 0;
        for (i, node) in network.nodes.iter().enumerate() {
            visit_kernel_keys(node, i, widths, |key| deepest = deepest.max(kernels.cost(key).stack_bytes));
        }
        self.base_stack + deepest
    }

    pub(super) fn count(&self, network: &Network, widths: &Widths, kernels: &KernelTable) -> RamUse {
        let (buffers, scratch_nodes) = self.buffers(network, widths);
        let Plan { arena_bytes, lower_bound, placements } = plan(&buffers);
        let offsets: Vec<usize> = placements.iter().map(|p| p.offset).collect();
        let tensors = self.bytes.len();
        let mut scratch = vec![None; network.nodes.len()];
        for (k, &node) in scratch_nodes.iter().enumerate() {
            scratch[node] = Some(offsets[tensors + k]);
        }
        let alive = alive_bytes(&buffers, network.nodes.len());
        let peak = (0..alive.len()).fold(0, |best, t| if alive[t] > alive[best] { t } else { best });
        let stack = self.stack(network, widths, kernels);
        RamUse {
            total: arena_bytes as u64 + stack,
            arena: arena_bytes as u64,
            scratch: buffers[tensors..].iter().map(|b| b.bytes).max().unwrap_or(0) as u64,
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

    /// The total of [`Self::count`].
    pub(super) fn total(&self, network: &Network, widths: &Widths, kernels: &KernelTable) -> u64 {
        plan(&self.buffers(network, widths).0).arena_bytes as u64 + self.stack(network, widths, kernels)
    }

    /// First and last step (node index) at which `tensor` is alive.
    pub(super) fn lifetime(&self, tensor: TensorId) -> (usize, usize) {
        self.lifetimes[tensor.0]
    }
}

/// First and last step of each tensor, a step being a node's index: from the node that writes it to the last that
/// reads it. The input is alive from step 0, the output until the last step.
fn lifetimes(network: &Network) -> Vec<(usize, usize)> {
    let mut alive = vec![(0, 0); network.tensors.len()];
    for (id, node) in network.iter() {
        alive[node.output.0] = (id.0, id.0);
        for input in &node.inputs {
            alive[input.0].1 = id.0;
        }
    }
    alive[network.output.0].1 = network.nodes.len().saturating_sub(1);
    alive
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::op::Clamp;
    use crate::{InputEncoding, Tensor};

    /// `nodes` by what they read; node `i` writes tensor `i + 1`. Expected: first and last step of each tensor.
    fn check(nodes: &[&[usize]], output: usize, expected: &[(usize, usize)]) {
        let tensor = |i: usize| Tensor { name: format!("t{i}"), shape: Shape::new(2, 2, 4) };
        let node = |(i, inputs): (usize, &&[usize])| Node {
            name: format!("n{i}"),
            op: if inputs.len() == 2 { Op::Add(Clamp::NONE) } else { Op::Clamp(Clamp::RELU) },
            inputs: inputs.iter().map(|id| TensorId(*id)).collect(),
            output: TensorId(i + 1),
        };
        let network = Network {
            name: "test".into(),
            tensors: (0..=nodes.len()).map(tensor).collect(),
            nodes: nodes.iter().enumerate().map(node).collect(),
            input: TensorId(0),
            output: TensorId(output),
            input_encoding: InputEncoding::Real,
            softmax_dropped: false,
        };
        network.verify().expect("a legal network");
        assert_eq!(lifetimes(&network), expected, "{nodes:?}");
    }

    #[test]
    fn tensors_live_from_their_writer_to_their_last_reader() {
        check(&[&[0], &[1], &[2]], 3, &[(0, 0), (0, 1), (1, 2), (2, 2)]);
        // A residual waits for the addition, the input for one that comes late.
        check(&[&[0], &[1], &[2, 1], &[3, 0]], 4, &[(0, 3), (0, 2), (1, 2), (2, 3), (3, 3)]);
        // An output that is read on the way is kept until the end.
        check(&[&[0], &[1], &[2]], 1, &[(0, 0), (0, 2), (1, 2), (2, 2)]);
        // A tensor read twice by one node, and a network of one node.
        check(&[&[0, 0]], 1, &[(0, 0), (0, 0)]);
    }
}
