//! Lowered layers that several models of one network share.

use crate::network::IntOp;
use bitesize_ir::grid::BitWidth;
use bitesize_ir::{ActivationQuant, Network, NodeId, QuantizedModel, WeightQuant};
use std::collections::HashMap;
use std::sync::Arc;

/// Keeps layers with their integers for the next model ([`crate::lower::lower_with`]): one entry for each node, weights,
/// and encodings of what it reads and writes. Policies that differ in one width differ in the layers that touch it. The
/// entries are those of one network and go where a model of another one comes.
#[derive(Debug, Default)]
pub struct LayerCache {
    network: Option<Arc<Network>>,
    entries: HashMap<Key, Entry>,
    capacity: usize,
}

/// A node's surroundings; scales by their bits.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Key {
    node: NodeId,
    weights: Option<BitWidth>,
    encodings: Vec<(BitWidth, u64, u8)>,
    /// Of the channels of the output, where the node makes it.
    channels: Vec<(BitWidth, u64, u8)>,
}

#[derive(Debug)]
struct Entry {
    weights: Option<WeightQuant>,
    op: IntOp,
}

impl LayerCache {
    /// An empty one for at most `capacity` layers; where it is full, the next layer empties it.
    pub fn new(capacity: usize) -> Self {
        Self { network: None, entries: HashMap::new(), capacity }
    }

    /// Whether the entries are those of `network`, the very same.
    pub(crate) fn is_of(&self, network: &Arc<Network>) -> bool {
        self.network.as_ref().is_some_and(|own| Arc::ptr_eq(own, network))
    }

    /// Forgets everything and begins with `network`.
    pub(crate) fn begin(&mut self, network: &Arc<Network>) {
        self.entries.clear();
        self.network = Some(Arc::clone(network));
    }

    /// Node `id` of `model`, where it was kept with the same weights and encodings.
    pub(crate) fn get(&self, model: &QuantizedModel, id: NodeId) -> Option<IntOp> {
        let entry = self.entries.get(&key(model, id))?;
        same(entry.weights.as_ref(), model.weights[id.0].as_ref()).then(|| entry.op.clone())
    }

    /// Keeps node `id` of `model`, whose numbers were found to be legal.
    pub(crate) fn keep(&mut self, model: &QuantizedModel, id: NodeId, op: &IntOp) {
        if self.capacity == 0 {
            return;
        }
        if self.entries.len() >= self.capacity {
            self.entries.clear();
        }
        let entry = Entry { weights: model.weights[id.0].clone(), op: op.clone() };
        self.entries.insert(key(model, id), entry);
    }
}

fn key(model: &QuantizedModel, id: NodeId) -> Key {
    let node = model.network.node(id);
    let encoding = |quant: &ActivationQuant| (quant.bits, quant.scale.to_bits(), quant.zero);
    let makes_output = node.output == model.network.output;
    let channels = model.output_channels.iter().flatten().filter(|_| makes_output);
    Key {
        node: id,
        channels: channels.map(encoding).collect(),
        weights: model.weights[id.0].as_ref().map(|weights| weights.bits),
        encodings: node.inputs.iter().chain([&node.output]).map(|id| encoding(&model.activations[id.0])).collect(),
    }
}

/// Whether both are the same weights; levels are compared where they do not lie in the same place.
fn same(a: Option<&WeightQuant>, b: Option<&WeightQuant>) -> bool {
    match (a, b) {
        (Some(a), Some(b)) => {
            (Arc::ptr_eq(&a.levels, &b.levels) || a.levels == b.levels) && a.scales == b.scales && a.bias == b.bias
        }
        (None, None) => true,
        _ => false,
    }
}
