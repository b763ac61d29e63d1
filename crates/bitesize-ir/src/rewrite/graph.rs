//! A network while rewrites go over it: who writes and who reads each tensor, and what bounds its values.
//!
//! Nodes keep their places until the network is taken out again; those that are removed, and those whose output nobody reads any
//! more, are only marked. So an edit costs what it touches, and a sweep over the nodes what all its edits touch.

use super::ranges;
use crate::network::{Network, Node, NodeId, Tensor, TensorId};
use crate::op::{Clamp, Op};
use crate::shape::Shape;
use std::cell::RefCell;
use std::collections::BTreeSet;

/// Bounds of the tensors that nodes before `until` write.
#[derive(Debug)]
struct Known {
    ranges: Vec<Clamp>,
    until: usize,
}

/// A network with an index of its edges.
#[derive(Debug)]
pub struct Graph {
    network: Network,
    /// Which nodes are left.
    live: Vec<bool>,
    /// The node that writes each tensor.
    producers: Vec<Option<NodeId>>,
    /// The nodes that read each tensor, in order.
    readers: Vec<BTreeSet<NodeId>>,
    /// Found as they are asked for.
    ranges: RefCell<Known>,
    /// Nodes that were removed since [`Self::take_removed`] was asked.
    removed: Vec<NodeId>,
}

impl Graph {
    /// Of a legal network.
    pub(super) fn of(network: Network) -> Self {
        let mut producers = vec![None; network.tensors.len()];
        let mut readers = vec![BTreeSet::new(); network.tensors.len()];
        for (id, node) in network.iter() {
            producers[node.output.0] = Some(id);
            for input in &node.inputs {
                readers[input.0].insert(id);
            }
        }
        let live = vec![true; network.nodes.len()];
        let ranges = RefCell::new(Known { ranges: ranges::of_inputs(&network), until: 0 });
        Self { network, live, producers, readers, ranges, removed: Vec::new() }
    }

    /// The network without what was removed.
    pub(super) fn finish(self) -> Network {
        let Self { mut network, live, .. } = self;
        let mut live = live.into_iter();
        network.nodes.retain(|_| live.next().is_none_or(|live| live));
        network.compact();
        network
    }

    /// The network's input.
    pub fn input(&self) -> TensorId {
        self.network.input
    }

    /// The network's output.
    pub fn output(&self) -> TensorId {
        self.network.output
    }

    /// The tensor's description.
    pub fn tensor(&self, id: TensorId) -> &Tensor {
        self.network.tensor(id)
    }

    /// The tensor's shape.
    pub fn shape(&self, id: TensorId) -> Shape {
        self.network.shape(id)
    }

    /// The node.
    pub fn node(&self, id: NodeId) -> &Node {
        self.network.node(id)
    }

    /// Makes the node compute something else of the same shape.
    pub fn op_mut(&mut self, id: NodeId) -> &mut Op {
        self.forget_from(id);
        &mut self.network.nodes[id.0].op
    }

    /// The node that writes `tensor`; `None` for the input.
    pub fn producer(&self, tensor: TensorId) -> Option<NodeId> {
        self.producers[tensor.0]
    }

    /// The nodes that read `tensor`, in order, each once.
    pub fn readers(&self, tensor: TensorId) -> impl Iterator<Item = NodeId> + '_ {
        self.readers[tensor.0].iter().copied()
    }

    /// The node that makes the (first) input of `id`, provided that nobody else reads that input.
    ///
    /// # Errors
    /// Why there is no such node.
    pub(super) fn sole_producer(&self, id: NodeId) -> Result<NodeId, String> {
        let tensor = self.node(id).inputs[0];
        let Some(producer) = self.producer(tensor) else {
            return Err(format!("`{}` is the network's input", self.tensor(tensor).name));
        };
        self.only_reader(tensor, id)?;
        Ok(producer)
    }

    /// Checks that `id` is the only one that reads `tensor`, the network's caller included.
    ///
    /// # Errors
    /// Who else reads it.
    fn only_reader(&self, tensor: TensorId, id: NodeId) -> Result<(), String> {
        let name = &self.tensor(tensor).name;
        if tensor == self.network.output {
            return Err(format!("`{name}` is the network's output too"));
        }
        match self.readers(tensor).find(|other| *other != id) {
            Some(other) => Err(format!("`{}` reads `{name}` too", self.node(other).name)),
            None => Ok(()),
        }
    }

    /// Whether the node is left.
    pub(super) fn is_live(&self, id: NodeId) -> bool {
        self.live[id.0]
    }

    /// How many places for nodes there are.
    pub(super) fn places(&self) -> usize {
        self.live.len()
    }

    /// The nodes that were removed since this was last asked.
    pub(super) fn take_removed(&mut self) -> Vec<NodeId> {
        std::mem::take(&mut self.removed)
    }

    /// For every input of the network the bounds of `tensor`, which is written before `id`. An average in single precision may
    /// pass them by a rounding.
    pub(super) fn range_before(&self, id: NodeId, tensor: TensorId) -> Clamp {
        let Known { ranges, until } = &mut *self.ranges.borrow_mut();
        for at in *until..id.0 {
            if self.live[at] {
                let node = &self.network.nodes[at];
                let inputs = node.inputs.iter().map(|input| ranges[input.0]);
                ranges[node.output.0] = ranges::after(&node.op, ranges[node.inputs[0].0], inputs);
            }
        }
        *until = id.0.max(*until);
        ranges[tensor.0]
    }

    /// Forgets the bounds of what `id` and nodes behind it write.
    fn forget_from(&mut self, id: NodeId) {
        let until = &mut self.ranges.get_mut().until;
        *until = id.0.min(*until);
    }

    /// Makes the first input of `id` another tensor, which is written before it.
    pub(super) fn read_instead(&mut self, id: NodeId, tensor: TensorId) {
        let inputs = &mut self.network.nodes[id.0].inputs;
        let before = std::mem::replace(&mut inputs[0], tensor);
        let still_read = inputs.contains(&before);
        self.forget_from(id);
        self.readers[tensor.0].insert(id);
        if !still_read {
            self.readers[before.0].remove(&id);
            self.drop_unread(before);
        }
    }

    /// Makes `producer`, whose output only `id` reads, write what `id` wrote, and removes `id`.
    pub(super) fn merge_into_producer(&mut self, producer: NodeId, id: NodeId) {
        let output = self.network.node(id).output;
        let before = std::mem::replace(&mut self.network.nodes[producer.0].output, output);
        self.producers[before.0] = None;
        self.forget_from(producer);
        self.remove(id);
        self.producers[output.0] = Some(producer);
    }

    /// Removes `id`, whose output equals its first input: readers of the output read the input.
    pub(super) fn bypass(&mut self, id: NodeId) {
        let (from, to) = (self.network.node(id).output, self.network.node(id).inputs[0]);
        let moved = std::mem::take(&mut self.readers[from.0]);
        for reader in &moved {
            for input in &mut self.network.nodes[reader.0].inputs {
                if *input == from {
                    *input = to;
                }
            }
        }
        if self.network.output == from {
            self.network.output = to;
        }
        self.forget_from(id);
        self.readers[to.0].extend(moved);
        self.remove(id);
    }

    /// Marks a node whose output nobody reads, and those that only it reads.
    fn remove(&mut self, id: NodeId) {
        let mut gone = vec![id];
        while let Some(id) = gone.pop() {
            self.live[id.0] = false;
            self.removed.push(id);
            let node = &mut self.network.nodes[id.0];
            self.producers[node.output.0] = None;
            for input in std::mem::take(&mut node.inputs) {
                let was_read = self.readers[input.0].remove(&id);
                if was_read && self.readers[input.0].is_empty() && input != self.network.output {
                    gone.extend(self.producers[input.0].filter(|producer| self.live[producer.0]));
                }
            }
        }
    }

    /// Removes what writes `tensor` where nobody reads it.
    fn drop_unread(&mut self, tensor: TensorId) {
        let is_unread = self.readers[tensor.0].is_empty() && tensor != self.network.output;
        if let Some(producer) = self.producers[tensor.0].filter(|_| is_unread) {
            self.remove(producer);
        }
    }
}
