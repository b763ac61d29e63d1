//! Packed weights that several engines share.

use super::conv::{Geometry, PackedWeights, carried};
use super::depthwise;
use super::set::InstructionSet;
use crate::network::{IntWeights, Rescale};
use bitesize_ir::grid::BitWidth;
use bitesize_ir::shape::Window;
use bitesize_ir::{NodeId, Shape};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Keeps packed weights for the next engine: one entry for each layer, width and accumulator shift, which is used as
/// long as the levels are the same and replaced when they are others. Engines of several threads may share one.
#[derive(Debug, Default)]
pub struct PackCache {
    entries: Mutex<HashMap<Key, Entry>>,
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Key {
    node: NodeId,
    bits: BitWidth,
    carried: u8,
    set: InstructionSet,
    depthwise: bool,
    shapes: [Shape; 2],
    window: Window,
    groups: usize,
}

#[derive(Debug)]
struct Entry {
    levels: Arc<[i8]>,
    packed: Arc<PackedWeights>,
}

/// A layer's weights to be packed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Unpacked<'a> {
    pub(crate) node: NodeId,
    pub(crate) depthwise: bool,
    pub(crate) geometry: Geometry<'a>,
    pub(crate) weights: &'a IntWeights,
    pub(crate) rescale: &'a Rescale,
}

impl Unpacked<'_> {
    pub(crate) fn pack(&self, set: InstructionSet) -> Arc<PackedWeights> {
        let layout = set.layout();
        let carried = carried(self.weights, self.rescale, layout);
        Arc::new(if self.depthwise {
            depthwise::pack(&self.geometry, self.weights, carried, layout)
        } else {
            self.geometry.pack(self.weights, carried, layout)
        })
    }
}

impl PackCache {
    /// An empty one.
    pub fn new() -> Self {
        Self::default()
    }

    pub(crate) fn packed(&self, layer: &Unpacked, set: InstructionSet) -> Arc<PackedWeights> {
        let key = Key {
            node: layer.node,
            bits: layer.weights.bits,
            carried: carried(layer.weights, layer.rescale, set.layout()),
            set,
            depthwise: layer.depthwise,
            shapes: [layer.geometry.input, layer.geometry.output],
            window: *layer.geometry.window,
            groups: layer.geometry.groups,
        };
        // A panic elsewhere leaves whole entries behind, so a poisoned lock is as good as any.
        let lock = || self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        let same = |levels: &Arc<[i8]>| Arc::ptr_eq(levels, &layer.weights.levels) || *levels == layer.weights.levels;
        if let Some(entry) = lock().get(&key).filter(|entry| same(&entry.levels)) {
            return Arc::clone(&entry.packed);
        }
        let packed = layer.pack(set);
        lock().insert(key, Entry { levels: layer.weights.levels.clone(), packed: Arc::clone(&packed) });
        packed
    }
}
