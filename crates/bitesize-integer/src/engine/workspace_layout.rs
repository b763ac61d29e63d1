//! Where tensors lie in a workspace, and how many images each operator computes at once.
//!
//! Early operators have many pixels and few channels: their tensors fill the first-level cache with one image. Late
//! ones have few pixels and many weights, which are worth reading once for several images. So the operators are cut
//! into spans; each span takes all images of a chunk in groups of its own size. A tensor that only its own span reads
//! has room for a group; others have room for the chunk.

use super::aligned::LINE;
use crate::network::IntNetwork;
use bitesize_ir::memory::lifetimes;
use std::ops::Range;

/// Images that a thread takes through the network together.
pub(crate) const CHUNK: usize = 16;

/// Bytes that the input and output of an operator should not exceed for a group of images.
const GROUP_BYTES: usize = 48 * 1024;

/// Operators that follow one another and compute the same number of images at once.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Span {
    pub(crate) nodes: Range<usize>,
    /// Images of a group.
    pub(crate) group: usize,
}

/// The room of a tensor.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Room {
    pub(crate) slot: usize,
    /// Codes of an image.
    pub(crate) size: usize,
    /// Whether there is room for all images of a chunk, not for those of a group alone.
    pub(crate) whole_chunk: bool,
}

/// How a workspace is laid out.
#[derive(Clone, Debug)]
pub(crate) struct WorkspaceLayout {
    pub(crate) spans: Vec<Span>,
    /// By tensor.
    pub(crate) rooms: Vec<Room>,
    /// Bytes of each slot.
    pub(crate) slots: Vec<usize>,
}

/// First and last node during which a slot is taken.
type Lifetime = (usize, usize);

impl WorkspaceLayout {
    pub(crate) fn new(network: &IntNetwork) -> Self {
        let spans = spans(network);
        let edges = network.nodes.iter().map(|node| (node.inputs.as_slice(), node.output));
        let lifetimes = lifetimes(network.tensors.len(), edges, network.output);
        let span_of = |node: usize| spans.iter().position(|s| s.nodes.contains(&node)).unwrap_or(0);
        let mut order: Vec<usize> = (0..lifetimes.len()).collect();
        order.sort_by_key(|&tensor| lifetimes[tensor].0);
        let mut rooms = vec![Room { slot: 0, size: 0, whole_chunk: false }; lifetimes.len()];
        let mut slots: Vec<Slot> = Vec::new();
        for tensor in order {
            let lifetime = lifetimes[tensor];
            let (first, last) = (span_of(lifetime.0), span_of(lifetime.1));
            let whole_chunk = first != last;
            let size = network.tensors[tensor].shape.elements();
            // Groups take turns in a span, so a tensor of the chunk lives through the whole of its spans.
            let lifetime = if whole_chunk { (spans[first].nodes.start, spans[last].nodes.end - 1) } else { lifetime };
            let images = if whole_chunk { CHUNK } else { spans[first].group };
            rooms[tensor] = Room { slot: take_slot(&mut slots, lifetime, size * images + LINE), size, whole_chunk };
        }
        Self { spans, rooms, slots: slots.into_iter().map(|slot| slot.bytes).collect() }
    }
}

/// Consecutive nodes with the same size of group, which never shrinks.
fn spans(network: &IntNetwork) -> Vec<Span> {
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
    let mut spans: Vec<Span> = Vec::new();
    for (node, &group) in groups.iter().enumerate() {
        match spans.last_mut() {
            Some(span) if span.group == group => span.nodes.end = node + 1,
            _ => spans.push(Span { nodes: node..node + 1, group }),
        }
    }
    if spans.is_empty() {
        // A network without operators hands its input on.
        spans.push(Span { nodes: 0..0, group: CHUNK });
    }
    spans
}

#[derive(Debug)]
struct Slot {
    bytes: usize,
    taken: Vec<Lifetime>,
    /// The last node during which it is taken.
    last: usize,
}

/// A slot whose tensors live at other times, the one that fits best, or a new one.
fn take_slot(slots: &mut Vec<Slot>, lifetime: Lifetime, bytes: usize) -> usize {
    // Tensors come nearly in the order of their first nodes: what is in the way was mostly taken last.
    let is_free = |slot: &Slot| {
        slot.last < lifetime.0 || slot.taken.iter().rev().all(|other| other.1 < lifetime.0 || lifetime.1 < other.0)
    };
    let free = (0..slots.len()).filter(|&slot| is_free(&slots[slot]));
    let slot = free.min_by_key(|&slot| slots[slot].bytes.abs_diff(bytes)).unwrap_or_else(|| {
        slots.push(Slot { bytes: 0, taken: Vec::new(), last: 0 });
        slots.len() - 1
    });
    slots[slot].bytes = slots[slot].bytes.max(bytes);
    slots[slot].taken.push(lifetime);
    slots[slot].last = slots[slot].last.max(lifetime.1);
    slot
}
