//! Which channels of which tensors can be scaled, and which of them only together.

use bitesize_ir::op::Op;
use bitesize_ir::shape::nhwc_indices;
use bitesize_ir::{Network, Node, TensorId};

/// The channels of all tensors in classes: those of a class take the same factor.
///
/// A layer with weights takes the factors of what it reads into its weights, and those of what it writes into weights and
/// biases; so it ties nothing. An addition ties its inputs and its output channel by channel, a concatenation each input to
/// its part of the output, and what moves values (pools, clamps, pads, a flattening) what it reads to what it writes.
#[derive(Clone, Debug)]
pub(super) struct Ties {
    /// For each tensor the class of each channel, `None` where it cannot be scaled: at the network's ends, and what is tied
    /// to them.
    pub(super) class: Vec<Vec<Option<usize>>>,
    /// Number of classes.
    pub(super) classes: usize,
    /// Tensors with channels of the same classes, those that can be scaled, in rising order, each in one group.
    pub(super) groups: Vec<Vec<TensorId>>,
}

impl Ties {
    /// The classes of a rewritten network.
    pub(super) fn of(network: &Network) -> Self {
        let mut sets = Sets::default();
        let starts: Vec<usize> = network.tensors.iter().map(|tensor| sets.grow(tensor.shape.c)).collect();
        let channel = |tensor: TensorId, channel: usize| starts[tensor.0] + channel;
        let fixed = sets.grow(1);
        for tensor in [network.input, network.output] {
            (0..network.shape(tensor).c).for_each(|c| sets.join(fixed, channel(tensor, c)));
        }
        for node in &network.nodes {
            tie(network, node, |from, c, to| sets.join(channel(from, c), channel(node.output, to)));
        }
        // Of a group are tensors that share a class.
        let mut tensors = Sets::default();
        tensors.grow(network.tensors.len());
        let fixed = sets.root(fixed);
        let mut numbers = vec![None; sets.parents.len()];
        let mut first_of = Vec::new();
        let mut class = Vec::with_capacity(starts.len());
        for (t, tensor) in network.tensors.iter().enumerate() {
            let mut class_of = |c: usize| {
                let root = sets.root(starts[t] + c);
                if root == fixed {
                    return None;
                }
                let number = *numbers[root].get_or_insert_with(|| {
                    first_of.push(t);
                    first_of.len() - 1
                });
                tensors.join(first_of[number], t);
                Some(number)
            };
            class.push((0..tensor.shape.c).map(&mut class_of).collect::<Vec<_>>());
        }
        let mut groups: Vec<Vec<TensorId>> = vec![Vec::new(); starts.len()];
        for t in (0..starts.len()).filter(|t| class[*t].iter().any(Option::is_some)) {
            groups[tensors.root(t)].push(TensorId(t));
        }
        groups.retain(|group| !group.is_empty());
        groups.sort();
        Self { class, classes: first_of.len(), groups }
    }
}

/// Calls `join(input tensor, channel, channel of the output)` for what `node` ties.
fn tie(network: &Network, node: &Node, mut join: impl FnMut(TensorId, usize, usize)) {
    match &node.op {
        Op::Conv2d(_) | Op::DepthwiseConv2d(_) | Op::FullyConnected(_) => {}
        Op::Concat => {
            let mut at = 0;
            for input in &node.inputs {
                for c in 0..network.shape(*input).c {
                    join(*input, c, at);
                    at += 1;
                }
            }
        }
        Op::Flatten(order) => {
            let shape = network.shape(node.inputs[0]);
            for (to, from) in nhwc_indices(shape, order.iter().copied()).into_iter().enumerate() {
                join(node.inputs[0], from % shape.c, to);
            }
        }
        // An affine map is gone from a rewritten network.
        Op::Add(_) | Op::MaxPool(_) | Op::AveragePool(_) | Op::Clamp(_) | Op::Pad(_) | Op::ChannelAffine(_) => {
            for input in &node.inputs {
                (0..network.shape(*input).c).for_each(|c| join(*input, c, c));
            }
        }
    }
}

/// Disjoint sets, each known by its least member.
#[derive(Default)]
struct Sets {
    parents: Vec<usize>,
}

impl Sets {
    /// Adds `count` sets of one and returns the first.
    fn grow(&mut self, count: usize) -> usize {
        let first = self.parents.len();
        self.parents.extend(first..first + count);
        first
    }

    fn root(&mut self, of: usize) -> usize {
        let mut at = of;
        while self.parents[at] != at {
            self.parents[at] = self.parents[self.parents[at]];
            at = self.parents[at];
        }
        at
    }

    fn join(&mut self, a: usize, b: usize) {
        let (a, b) = (self.root(a), self.root(b));
        self.parents[a.max(b)] = a.min(b);
    }
}
