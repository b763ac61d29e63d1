//! Instructions of an inference: a sum over the layers, each of them by the widths of what it reads and writes.

use super::layer_shape::{CallWidths, LayerShape};
use super::widths::Widths;
use super::work::work;
use crate::code::Implementation;
use crate::grid::BitWidth;
use crate::network::{Network, Node};
use crate::op::KernelKind;
use crate::target::InstructionCosts;
use std::collections::HashMap;

/// Instructions of one node on a core, by widths.
#[derive(Clone, Debug, PartialEq, Eq)]
struct NodeInstructions {
    /// Whether the second width is that of a second input, whether of weights, whether there is none.
    second: Second,
    /// Of each call, by input, second and output width. A concatenation calls for each input, others once.
    calls: Vec<[[[u64; 3]; 3]; 3]>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Second {
    None,
    Weights,
    Input,
}

impl NodeInstructions {
    /// Those of `node`; nothing where it has no kernel.
    fn of(network: &Network, node: &Node, implementation: Implementation, costs: &InstructionCosts) -> Self {
        let Some(layer) = LayerShape::of(network, node) else {
            return Self { second: Second::None, calls: Vec::new() };
        };
        let second = match layer.kind {
            KernelKind::Conv2d | KernelKind::DepthwiseConv2d | KernelKind::FullyConnected => Second::Weights,
            KernelKind::Add => Second::Input,
            _ => Second::None,
        };
        let calls = if layer.kind == KernelKind::Concat { node.inputs.len() } else { 1 };
        let of_call = |call: usize| {
            BitWidth::ALL.map(|input| {
                BitWidth::ALL.map(|other| {
                    BitWidth::ALL.map(|output| {
                        // Of kernels that keep their input's width there is none for another.
                        let output = if node.op.passes_encoding_on() { input } else { output };
                        let widths = CallWidths { input, second: (second != Second::None).then_some(other), output };
                        costs.of_work(&work(&layer, implementation, call, widths))
                    })
                })
            })
        };
        Self { second, calls: (0..calls).map(of_call).collect() }
    }

    /// At `widths`, of which those of the node at `index` of the network are read. Where the width of its weights is left open, the
    /// least over it.
    fn at(&self, node: &Node, index: usize, widths: &Widths) -> u64 {
        let output = widths.tensors[node.output.0].index();
        let input = |i: usize| widths.tensors[node.inputs[i].0].index();
        let of_call = |(call, by_width): (usize, &[[[u64; 3]; 3]; 3])| {
            let by_second = &by_width[input(call)];
            match self.second {
                Second::None => by_second[0][output],
                Second::Input => by_second[input(1)][output],
                Second::Weights => match widths.weights[index] {
                    Some(bits) => by_second[bits.index()][output],
                    None => by_second.iter().map(|by_output| by_output[output]).min().unwrap_or(0),
                },
            }
        };
        self.calls.iter().enumerate().map(of_call).sum()
    }
}

/// Instructions of every node.
#[derive(Clone, Debug)]
pub(super) struct InstructionModel {
    base: u64,
    nodes: Vec<NodeInstructions>,
}

impl InstructionModel {
    pub(super) fn of(network: &Network, implementations: &[Implementation], costs: &InstructionCosts) -> Self {
        // Networks repeat their layers.
        let mut known: HashMap<(Option<LayerShape>, Implementation), NodeInstructions> = HashMap::new();
        let of_node = |(node, implementation): (&Node, &Implementation)| {
            let of_new = || NodeInstructions::of(network, node, *implementation, costs);
            known.entry((LayerShape::of(network, node), *implementation)).or_insert_with(of_new).clone()
        };
        let nodes = network.nodes.iter().zip(implementations).map(of_node).collect();
        Self { base: costs.base, nodes }
    }

    pub(super) fn of_node(&self, network: &Network, index: usize, widths: &Widths) -> u64 {
        self.nodes[index].at(&network.nodes[index], index, widths)
    }

    pub(super) fn total(&self, network: &Network, widths: &Widths) -> u64 {
        self.base + (0..self.nodes.len()).map(|index| self.of_node(network, index, widths)).sum::<u64>()
    }
}
