//! Where tensors lie in a workspace, and how many images each operator computes at once.
//!
//! Early operators have many pixels and few channels: their tensors fill the first-level cache with one image. Late
//! ones have few pixels and many weights, which are worth reading once for several images. So the operators are cut
//! into stages; each stage takes all images of a chunk in groups of its own size. A tensor that only its own stage
//! reads has room for a group; others have room for the chunk.

use super::aligned::LINE;
use crate::network::IntNetwork;
use std::ops::Range;

/// Images that a thread takes through the network together.
pub(crate) const CHUNK: usize = 16;

/// Bytes that the input and output of an operator should not exceed for a group of images.
const GROUP_BYTES: usize = 48 * 1024;

/// Operators that compute the same number of images at once.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Stage {
    pub(crate) nodes: Range<usize>,
    /// Images of a group.
    pub(crate) group: usize,
}

/// Where a tensor lies.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Place {
    pub(crate) slot: usize,
    /// Codes of an image.
    pub(crate) size: usize,
    /// Whether there is room for all images of a chunk, not for those of a group alone.
    pub(crate) whole_chunk: bool,
}

/// The plan of a workspace.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) stages: Vec<Stage>,
    /// By tensor.
    pub(crate) places: Vec<Place>,
    /// Bytes of each slot.
    pub(crate) slots: Vec<usize>,
}

/// The nodes from the one that writes a tensor to the last that reads it.
#[derive(Clone, Copy, Debug)]
struct Life {
    begin: usize,
    end: usize,
}

impl Plan {
    pub(crate) fn new(network: &IntNetwork) -> Self {
        let stages = stages(network);
        let lives = lives(network);
        let stage_of = |node: usize| stages.iter().position(|s| s.nodes.contains(&node)).unwrap_or(0);
        let mut order: Vec<usize> = (0..lives.len()).collect();
        order.sort_by_key(|&tensor| lives[tensor].begin);
        let mut places = vec![Place { slot: 0, size: 0, whole_chunk: false }; lives.len()];
        let mut slots: Vec<Slot> = Vec::new();
        for tensor in order {
            let Life { begin, end } = lives[tensor];
            let (first, last) = (stage_of(begin), stage_of(end));
            let whole_chunk = first != last;
            let size = network.tensors[tensor].shape.elements();
            // Groups take turns in a stage, so a tensor of the chunk lives through the whole of its stages.
            let life = if whole_chunk {
                Life { begin: stages[first].nodes.start, end: stages[last].nodes.end - 1 }
            } else {
                Life { begin, end }
            };
            let images = if whole_chunk { CHUNK } else { stages[first].group };
            places[tensor] = Place { slot: take_slot(&mut slots, life, size * images + LINE), size, whole_chunk };
        }
        Self { stages, places, slots: slots.into_iter().map(|slot| slot.bytes).collect() }
    }
}

/// The nodes at which each tensor is written (0 for the input) and last read.
fn lives(network: &IntNetwork) -> Vec<Life> {
    let mut lives = vec![Life { begin: 0, end: 0 }; network.tensors.len()];
    for (id, node) in network.iter() {
        lives[node.output.0] = Life { begin: id.0, end: id.0 };
        for input in &node.inputs {
            lives[input.0].end = id.0;
        }
    }
    lives
}

/// Consecutive nodes with the same size of group, which never shrinks.
fn stages(network: &IntNetwork) -> Vec<Stage> {
    let bytes = |node: &crate::network::IntNode| {
        let tensors = node.inputs.iter().chain([&node.output]);
        tensors.map(|&id| network.tensor(id).shape.elements()).sum::<usize>()
    };
    let mut largest = 1;
    let mut groups: Vec<usize> = Vec::with_capacity(network.nodes.len());
    for node in network.nodes.iter().rev() {
        largest = largest.max(bytes(node));
        groups.push(match GROUP_BYTES / largest {
            0..4 => 1,
            4..CHUNK => 4,
            _ => CHUNK,
        });
    }
    groups.reverse();
    let mut stages: Vec<Stage> = Vec::new();
    for (node, &group) in groups.iter().enumerate() {
        match stages.last_mut() {
            Some(stage) if stage.group == group => stage.nodes.end = node + 1,
            _ => stages.push(Stage { nodes: node..node + 1, group }),
        }
    }
    if stages.is_empty() {
        // A network without operators hands its input on.
        stages.push(Stage { nodes: 0..0, group: CHUNK });
    }
    stages
}

#[derive(Debug)]
struct Slot {
    bytes: usize,
    lives: Vec<Life>,
}

/// A slot whose tensors live at other times, the one that fits best, or a new one.
fn take_slot(slots: &mut Vec<Slot>, life: Life, bytes: usize) -> usize {
    let is_free = |slot: &Slot| slot.lives.iter().all(|other| other.end < life.begin || life.end < other.begin);
    let free = (0..slots.len()).filter(|&slot| is_free(&slots[slot]));
    let slot = free.min_by_key(|&slot| slots[slot].bytes.abs_diff(bytes)).unwrap_or_else(|| {
        slots.push(Slot { bytes: 0, lives: Vec::new() });
        slots.len() - 1
    });
    slots[slot].bytes = slots[slot].bytes.max(bytes);
    slots[slot].lives.push(life);
    slot
}
