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

/// Images that a thread takes through the network together, where [`MAX_CHUNK_BYTES`] holds their slots.
pub(crate) const CHUNK: usize = 16;

/// Bytes of slots that a chunk of several images may take. Tensors with room for a chunk have at most a quarter of
/// [`GROUP_BYTES`], so that more than a thousand of them have to wait for one another to pass it.
const MAX_CHUNK_BYTES: usize = 256 << 20;

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
    /// Images that are taken through the network together.
    pub(crate) chunk: usize,
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
        let layout = Self::of_chunk(network, CHUNK);
        if layout.slot_bytes() > MAX_CHUNK_BYTES { Self::of_chunk(network, 1) } else { layout }
    }

    /// Bytes of all slots.
    pub(crate) fn slot_bytes(&self) -> usize {
        self.slots.iter().sum()
    }

    fn of_chunk(network: &IntNetwork, chunk: usize) -> Self {
        let spans = spans(network, chunk);
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
            let images = if whole_chunk { chunk } else { spans[first].group };
            rooms[tensor] = Room { slot: take_slot(&mut slots, lifetime, size * images + LINE), size, whole_chunk };
        }
        Self { chunk, spans, rooms, slots: slots.into_iter().map(|slot| slot.bytes).collect() }
    }
}

/// Consecutive nodes with the same size of group, which never shrinks and is at most `chunk`.
fn spans(network: &IntNetwork, chunk: usize) -> Vec<Span> {
    let bytes = |node: &crate::network::IntNode| {
        let tensors = node.inputs.iter().chain([&node.output]);
        tensors.map(|&id| network.tensor(id).shape.elements()).sum::<usize>()
    };
    let mut largest = 1;
    let mut groups: Vec<usize> = Vec::with_capacity(network.nodes.len());
    for node in network.nodes.iter().rev() {
        largest = largest.max(bytes(node));
        let group = match GROUP_BYTES / largest {
            0..4 => 1,
            4..CHUNK => 4,
            _ => CHUNK,
        };
        groups.push(group.min(chunk));
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
        spans.push(Span { nodes: 0..0, group: chunk });
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Engine;
    use crate::interpreter::Interpreter;
    use crate::network::{IntNode, IntOp, IntTensor};
    use bitesize_ir::requantize::{AddIntegers, Multiplier};
    use bitesize_ir::shape::Window;
    use bitesize_ir::{BitWidth, Shape, TensorId};

    /// `parts` pools of one input of `pixels` in one channel, which wait to be reduced to a pixel and added up one by one.
    fn waiting(pixels: usize, parts: usize) -> IntNetwork {
        let mut tensors = Vec::new();
        let mut tensor = |shape: Shape| {
            let name = format!("t{}", tensors.len());
            tensors.push(IntTensor { name, shape, bits: BitWidth::B8, zero: 0 });
            TensorId(tensors.len() - 1)
        };
        let input = tensor(Shape::new(1, pixels, 1));
        let mut nodes = Vec::new();
        let mut node = |op: IntOp, inputs: Vec<TensorId>, output: TensorId| {
            nodes.push(IntNode { name: format!("n{}", nodes.len()), op, inputs, output });
            output
        };
        let pool = |width: usize| IntOp::MaxPool { window: Window { stride: [1, width], ..Window::of([1, width]) } };
        let shape = Shape::new(1, pixels / 2, 1);
        let pooled: Vec<TensorId> = (0..parts).map(|_| node(pool(2), vec![input], tensor(shape))).collect();
        let one = Shape::new(1, 1, 1);
        let small: Vec<TensorId> = pooled.iter().map(|part| node(pool(pixels / 2), vec![*part], tensor(one))).collect();
        let add = IntOp::Add { integers: AddIntegers { ma: 1 << 10, mb: 1 << 10, n: 11 }, lo: 0, hi: 255 };
        let output = small.into_iter().reduce(|sum, part| node(add.clone(), vec![sum, part], tensor(one)));
        let output = output.expect("there are parts");
        let network = IntNetwork {
            name: "waiting".into(),
            tensors,
            nodes,
            input,
            output,
            input_scale: Multiplier::ZERO,
            output_scale: Multiplier::ZERO,
            output_channels: Vec::new(),
            input_is_pixels: false,
            tail: None,
        };
        network.validate().expect("a test's network is legal");
        network
    }

    /// Rooms for a chunk are sixteen times those for an image: where very many tensors wait, images go one by one.
    #[test]
    fn tensors_that_wait_do_not_take_sixteen_times_their_bytes_without_limit() {
        // The pools take 4 images at once, what reads them 16: their outputs have room for a chunk.
        let pixels = 6000;
        let few = WorkspaceLayout::new(&waiting(pixels, 8));
        assert_eq!((few.chunk, few.spans.len()), (CHUNK, 2));
        let parts = MAX_CHUNK_BYTES / (CHUNK * pixels / 2) + 100;
        let network = waiting(pixels, parts);
        assert!(WorkspaceLayout::of_chunk(&network, CHUNK).slot_bytes() > MAX_CHUNK_BYTES);
        let many = WorkspaceLayout::new(&network);
        assert_eq!(many.chunk, 1);
        assert!(many.slot_bytes() <= parts * (pixels / 2 + 2 * LINE) + pixels + LINE, "{}", many.slot_bytes());
        let images: Vec<u8> = (0..5 * pixels).map(|i| (i * 7919 % 251) as u8).collect();
        assert_eq!(Engine::new(&network).run_batch(&images), Interpreter::new(&network).run_batch(&images));
    }
}
