//! Instructions of an inference: a sum over the layers, each of them by the widths of what it reads and writes.

use super::layer_shape::{CallWidths, LayerShape};
use super::ram::RamModel;
use super::rows::{Band, Chain, InputRows, Member, RowNetwork, RowNode};
use super::timeline::Timeline;
use super::widths::Widths;
use super::work::work;
use crate::code::Implementation;
use crate::grid::BitWidth;
use crate::network::{Network, Node, TensorId};
use crate::op::KernelKind;
use crate::target::{InstructionCosts, RollingInstructions};
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
    /// Those of `node`, computed in so many turns; nothing where it has no kernel.
    fn of(
        network: &Network,
        node: &Node,
        implementation: Implementation,
        turns: usize,
        costs: &InstructionCosts,
    ) -> Self {
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
                        costs.of_work(&work(&layer, implementation, call, widths, turns))
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
    rolling: RollingInstructions,
    /// Computed at once.
    nodes: Vec<NodeInstructions>,
    /// Computed some rows at a time, where some order of computing the network has that.
    in_turns: Vec<Option<NodeInstructions>>,
    /// What chains take beside their layers in the order in which they take the most, all tensors at 8 bits.
    most_rolling: u64,
    /// In the order in which they take the fewest, without the moves of rows.
    fewest_rolling: u64,
    /// Whether it depends on the order what a node takes, or what chains do.
    depends_on_order: bool,
}

impl InstructionModel {
    /// Of `network`, each of whose nodes may take turns ([`Self::taking_turns`] says which do).
    pub(super) fn of(network: &Network, rows: &RowNetwork, costs: &InstructionCosts) -> Self {
        // Networks repeat their layers.
        let mut known: HashMap<(Option<LayerShape>, Implementation, usize), NodeInstructions> = HashMap::new();
        let implementations = rows.implementations();
        let mut of_node = |index: usize, turns: usize| {
            let implementation = implementations[index];
            let of_new = || NodeInstructions::of(network, &network.nodes[index], implementation, turns, costs);
            let layer = rows.nodes[index].as_ref().map(|node| node.layer.clone());
            known.entry((layer, implementation, turns)).or_insert_with(of_new).clone()
        };
        let turns = |index: usize| rows.nodes[index].as_ref().map(RowNode::turns);
        Self {
            base: costs.base,
            rolling: costs.rolling.unwrap_or(RollingInstructions { step: 0.0, moved_byte: 0.0 }),
            nodes: (0..network.nodes.len()).map(|index| of_node(index, 1)).collect(),
            in_turns: (0..network.nodes.len()).map(|index| Some(of_node(index, turns(index)?))).collect(),
            most_rolling: 0,
            fewest_rolling: 0,
            depends_on_order: false,
        }
    }

    /// The same, of whose nodes those may take turns that do in some timeline of `ram`.
    pub(super) fn taking_turns(mut self, network: &Network, ram: &RamModel) -> Self {
        for (node, in_turns) in self.in_turns.iter_mut().enumerate() {
            in_turns.take_if(|_| !ram.takes_turns(node));
        }
        self.most_rolling = ram.timelines.iter().map(|timeline| self.rolling_of(network, timeline)).max().unwrap_or(0);
        let steps = |timeline: &Timeline| timeline.chains().map(|chain| self.of_chain(chain, |_| 0)).sum();
        self.fewest_rolling = ram.timelines.iter().map(steps).min().unwrap_or(0);
        self.depends_on_order =
            self.most_rolling > self.fewest_rolling || self.in_turns.iter().any(|in_turns| in_turns.is_some());
        self
    }

    /// Which part of the network's instructions each node takes more in turns than at once, the moves of rows left out: the larger of
    /// what uniform 8 and 4 bits give.
    pub(super) fn rises(&self, network: &Network, rows: &RowNetwork) -> Vec<f64> {
        let at = |bits: BitWidth| {
            let widths = uniform(network, bits);
            let of = |node: usize, in_turns| self.of_way(network, node, &widths, in_turns) as f64;
            let total = (0..self.nodes.len()).map(|node| of(node, false)).sum::<f64>().max(1.0);
            let steps = |node: usize| rows.nodes[node].as_ref().map_or(0, RowNode::turns) as f64 * self.rolling.step;
            let rise = move |node: usize| (of(node, true) - of(node, false) + steps(node)).max(0.0) / total;
            (0..self.nodes.len()).map(rise).collect::<Vec<f64>>()
        };
        at(BitWidth::B8).into_iter().zip(at(BitWidth::B4)).map(|(eight, four)| eight.max(four)).collect()
    }

    /// Which part of the network's instructions a byte of a row that moves takes: the larger of what uniform 8 and 4
    /// bits give.
    pub(super) fn rise_of_moved_byte(&self, network: &Network) -> f64 {
        let total = |bits: BitWidth| {
            let widths = uniform(network, bits);
            (0..self.nodes.len()).map(|node| self.of_way(network, node, &widths, false)).sum::<u64>()
        };
        self.rolling.moved_byte / total(BitWidth::B8).min(total(BitWidth::B4)).max(1) as f64
    }

    /// What `chain` takes beside its layers where rows have `row_bytes`.
    pub(super) fn of_chain(&self, chain: &Chain, row_bytes: impl Fn(TensorId) -> usize) -> u64 {
        let moved = |(band, rows): (&Band, &usize)| rows * row_bytes(band.tensor);
        let moved: usize = chain.bands.iter().zip(&chain.moved_rows).map(moved).sum();
        (chain.steps as f64 * self.rolling.step + moved as f64 * self.rolling.moved_byte).round() as u64
    }

    /// What the steps of `member`, one of `chain`, take of that.
    pub(super) fn of_member(&self, chain: &Chain, member: &Member, row_bytes: impl Fn(TensorId) -> usize) -> u64 {
        let moved = chain.moved_rows[member.output] * row_bytes(chain.bands[member.output].tensor);
        let steps = member.rows.turns() as f64 * self.rolling.step;
        (steps + moved as f64 * self.rolling.moved_byte).floor() as u64
    }

    /// Of node `index`, computed at once or in turns.
    pub(super) fn of_way(&self, network: &Network, index: usize, widths: &Widths, in_turns: bool) -> u64 {
        let nodes = self.in_turns[index].as_ref().filter(|_| in_turns).unwrap_or(&self.nodes[index]);
        nodes.at(&network.nodes[index], index, widths)
    }

    /// Of node `index`, in the way in which it takes the most of those that there are.
    pub(super) fn of_node(&self, network: &Network, index: usize, widths: &Widths) -> u64 {
        let at_once = self.of_way(network, index, widths, false);
        if self.in_turns[index].is_some() { at_once.max(self.of_way(network, index, widths, true)) } else { at_once }
    }

    /// Of node `index`, in the way in which it takes the fewest of those that there are.
    pub(super) fn fewest_of_node(&self, network: &Network, index: usize, widths: &Widths) -> u64 {
        let at_once = self.of_way(network, index, widths, false);
        if self.in_turns[index].is_some() { at_once.min(self.of_way(network, index, widths, true)) } else { at_once }
    }

    /// Of an inference, every node and all chains taking the fewest.
    pub(super) fn fewest(&self, network: &Network, widths: &Widths) -> u64 {
        let nodes = (0..self.nodes.len()).map(|index| self.fewest_of_node(network, index, widths)).sum::<u64>();
        self.base + self.fewest_rolling + nodes
    }

    /// Whether the order in which a policy's plan computes the network has to be known to say what it takes.
    pub(super) fn depends_on_order(&self) -> bool {
        self.depends_on_order
    }

    /// Of an inference, every node and all chains taking the most.
    pub(super) fn total(&self, network: &Network, widths: &Widths) -> u64 {
        let nodes = (0..self.nodes.len()).map(|index| self.of_node(network, index, widths)).sum::<u64>();
        self.base + self.most_rolling + nodes
    }

    /// What the chains of `timeline` take beside their layers, all tensors at 8 bits.
    pub(super) fn rolling_of(&self, network: &Network, timeline: &Timeline) -> u64 {
        let row_bytes = |tensor: TensorId| network.shape(tensor).w * network.shape(tensor).c;
        timeline.chains().map(|chain| self.of_chain(chain, row_bytes)).sum()
    }

    /// How many times the instructions of layers computed at once `timeline` takes: the larger of what uniform 8 and 4 bits give.
    pub(super) fn rise_of(&self, network: &Network, timeline: &Timeline) -> f64 {
        let rise = |bits: BitWidth| {
            let widths = uniform(network, bits);
            let sum = |in_turns: &dyn Fn(usize) -> bool| {
                (0..self.nodes.len()).map(|node| self.of_way(network, node, &widths, in_turns(node))).sum::<u64>()
            };
            let rolling = sum(&|node| timeline.takes_turns(node)) + self.rolling_of(network, timeline);
            // Who pushes rows does so in every schedule.
            let pushes = if timeline.schedule.input == InputRows::Pushed { network.shape(network.input).h } else { 0 };
            let at_once = sum(&|_| false) as f64 + pushes as f64 * self.rolling.step;
            rolling as f64 / at_once.max(1.0)
        };
        rise(BitWidth::B8).max(rise(BitWidth::B4))
    }

    /// Of every inference beside nodes and chains.
    pub(super) fn base(&self) -> u64 {
        self.base
    }
}

/// `bits` for every tensor and all weights.
fn uniform(network: &Network, bits: BitWidth) -> Widths {
    let of_weights = |node: &Node| node.op.parameters().is_some().then_some(bits);
    Widths { tensors: vec![bits; network.tensors.len()], weights: network.nodes.iter().map(of_weights).collect() }
}
