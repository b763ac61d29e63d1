//! One order in which a network is computed, and what is alive in it when.
//!
//! Time goes by *segments* (a layer, or a chain of them) for places in the arena, and by *moments* for bytes: a segment has
//! one moment, or, where tensors are born and die in it part by part, those at which the most may be alive.

use super::intervals::Intervals;
use super::planner::{Apart, Buffer};
use super::rows::{Chain, InputRows, Overlap, Pair, RowNetwork, RowNode, Schedule, Segment, of_chain, of_layer};
use super::tensor_bytes::tensor_bytes;
use super::word::word;
use crate::grid::BitWidth;
use crate::network::{NodeId, TensorId};
use crate::shape::Shape;
use std::ops::Range;

/// What is computed together.
#[derive(Clone, Debug)]
pub(super) enum Step {
    Layer(NodeId),
    Chain(Chain),
}

/// Bytes of a tensor during some moments, by width.
#[derive(Clone, Copy, Debug)]
pub(super) struct Piece {
    pub(super) first: usize,
    pub(super) last: usize,
    pub(super) bytes: [usize; 3],
}

/// Two tensors that may overlap: by the widths of the first and of the second, how many bytes the first has to begin before the
/// second.
#[derive(Clone, Debug)]
struct Gap {
    born: TensorId,
    dying: TensorId,
    bytes: [[usize; 3]; 3],
}

/// What every policy shares of a schedule.
#[derive(Clone, Debug)]
pub(super) struct Timeline {
    pub(super) schedule: Schedule,
    pub(super) steps: Vec<Step>,
    /// The moments of each segment.
    moments: Vec<Range<usize>>,
    /// The segment of each moment.
    pub(super) segment_of: Vec<usize>,
    /// Bytes beside tensors that do not depend on widths, at each moment: a chain's scratch and state.
    pub(super) fixed: Vec<usize>,
    /// First and last moment of each tensor.
    pub(super) spans: Vec<(usize, usize)>,
    index: Intervals,
    /// For each tensor what it takes when, in order.
    pub(super) pieces: Vec<Vec<Piece>>,
    /// For each tensor the bytes that its place has, by width, and its first and last segment.
    places: Vec<([usize; 3], (usize, usize))>,
    gaps: Vec<Gap>,
    /// Bytes of scratch of each chain; 0 of a layer.
    chain_scratch: Vec<usize>,
}

impl Timeline {
    /// Of `network` in the order of `schedule`; `scratch` is that of each node by the width of its first input.
    pub(super) fn of(network: &RowNetwork, schedule: Schedule, scratch: &[[usize; 3]]) -> Self {
        let (nodes, tensors) = (&network.nodes, network.shapes.len());
        let mut schedule = schedule;
        if schedule.segments.is_empty() {
            // A network without nodes: its tensors have to be alive somewhere.
            schedule.segments.push(Segment { nodes: 0..0, is_rolling: true });
        }
        let segments = schedule.segments.len();
        let mut segment_of_node = vec![0; nodes.len()];
        for (segment, range) in schedule.segments.iter().enumerate() {
            segment_of_node[range.nodes.clone()].fill(segment);
        }
        let is_pushed = schedule.input == InputRows::Pushed;
        let life = |tensor: usize| {
            let (first, last) = network.lifetimes[tensor];
            let at = |node: usize| segment_of_node.get(node).copied().unwrap_or(0);
            // The input and what is pushed are there from the first segment on, whichever reads them first.
            let first = if TensorId(tensor) == network.input { 0 } else { at(first) };
            (first, at(last).max(first))
        };
        let lives: Vec<(usize, usize)> = (0..tensors).map(life).collect();
        let stays_behind = |tensor: TensorId, segment: usize| lives[tensor.0].1 > segment || tensor == network.output;
        let mut timeline = Self {
            steps: Vec::with_capacity(segments),
            moments: Vec::with_capacity(segments),
            segment_of: Vec::new(),
            fixed: Vec::new(),
            spans: Vec::new(),
            index: Intervals::of(std::iter::empty()),
            pieces: vec![Vec::new(); tensors],
            places: Vec::new(),
            gaps: Vec::new(),
            chain_scratch: vec![0; segments],
            schedule,
        };
        let mut of_segments: Vec<Overlap> = Vec::with_capacity(segments);
        let mut kept_rows = vec![None; tensors];
        for (number, segment) in timeline.schedule.segments.iter().enumerate() {
            let dies = |tensor: TensorId| {
                !stays_behind(tensor, number) && (lives[tensor.0].0 < number || tensor == network.input)
            };
            let (step, overlap) = if segment.is_rolling {
                let members: Vec<RowNode> = nodes[segment.nodes.clone()].iter().flatten().cloned().collect();
                let pushed = (is_pushed && number == 0).then(|| (network.input, network.shapes[network.input.0]));
                let chain = Chain::of(&members, segment.nodes.start, |t| stays_behind(t, number), pushed);
                for band in &chain.bands {
                    if band.rows < band.height {
                        kept_rows[band.tensor.0] = Some(band.rows);
                    }
                }
                let overlap =
                    of_chain(&chain, |tensor| dies(tensor) && pushed.is_none_or(|(pushed, _)| pushed != tensor));
                let most = |node: usize| scratch[node].into_iter().max().unwrap_or(0);
                timeline.chain_scratch[number] = segment.nodes.clone().map(most).max().unwrap_or(0);
                (Step::Chain(chain), overlap)
            } else {
                let node = segment.nodes.start;
                let overlap = nodes[node].as_ref().filter(|_| timeline.schedule.in_place);
                (Step::Layer(NodeId(node)), overlap.map_or_else(Overlap::none, |node| of_layer(node, dies)))
            };
            timeline.steps.push(step);
            of_segments.push(overlap);
        }
        for (number, overlap) in of_segments.iter().enumerate() {
            let first = timeline.segment_of.len();
            timeline.moments.push(first..first + overlap.moments.len());
            // The state of the chain that rows are pushed into says how many came, until the end.
            let pushed = if is_pushed && number > 0 { timeline.state_bytes(0) } else { 0 };
            let fixed = timeline.chain_scratch[number] + timeline.state_bytes(number) + pushed;
            timeline.fixed.extend(overlap.moments.iter().map(|_| fixed));
            timeline.segment_of.extend(overlap.moments.iter().map(|_| number));
            let gap = |pair: &Pair| {
                let bytes = BitWidth::ALL.map(|born| BitWidth::ALL.map(|dying| word(pair.gap(born, dying))));
                Gap { born: pair.born.tensor, dying: pair.dying.tensor, bytes }
            };
            timeline.gaps.extend(overlap.pairs.iter().map(gap));
        }
        for (tensor, (first, last)) in lives.iter().enumerate() {
            let shape = network.shapes[tensor];
            let of_place = BitWidth::ALL.map(|bits| match kept_rows[tensor] {
                Some(rows) => tensor_bytes(Shape { h: rows, ..shape }, bits),
                None => tensor_bytes(shape, bits),
            });
            timeline.places.push((of_place, (*first, *last)));
            timeline.spans.push((timeline.moments[*first].start, timeline.moments[*last].end - 1));
            timeline.pieces[tensor] = timeline.pieces_of(TensorId(tensor), shape, of_place, &of_segments);
        }
        timeline.index = Intervals::of(timeline.spans.iter().copied());
        timeline
    }

    /// What `tensor`, whose place has `of_place` bytes, takes when.
    fn pieces_of(&self, tensor: TensorId, shape: Shape, of_place: [usize; 3], of_segments: &[Overlap]) -> Vec<Piece> {
        let (first, last) = self.places[tensor.0].1;
        let mut pieces: Vec<Piece> = Vec::new();
        for (moments, overlap) in self.moments.iter().zip(of_segments).take(last + 1).skip(first) {
            let changes = overlap.changing.iter().position(|alive| alive.tensor == tensor);
            for (moment, pixels) in moments.clone().zip(&overlap.moments) {
                let alive = changes.map_or(shape.pixels(), |at| pixels[at]);
                let bytes = if alive == shape.pixels() {
                    of_place
                } else {
                    BitWidth::ALL.map(|bits| alive * bits.row_bytes(shape.c))
                };
                match pieces.last_mut() {
                    Some(piece) if piece.bytes == bytes => piece.last = moment,
                    _ => pieces.push(Piece { first: moment, last: moment, bytes }),
                }
            }
        }
        pieces
    }

    /// Whether `node` is computed some rows at a time, in turns with others.
    pub(super) fn takes_turns(&self, node: usize) -> bool {
        self.schedule.segments[self.segment_with(node)].is_rolling
    }

    /// The number of the segment that computes `node`.
    fn segment_with(&self, node: usize) -> usize {
        self.schedule.segments.partition_point(|segment| segment.nodes.end <= node)
    }

    /// Its chains, but for one without bands.
    pub(super) fn chains(&self) -> impl Iterator<Item = &Chain> {
        self.steps.iter().filter_map(|step| match step {
            Step::Layer(_) => None,
            Step::Chain(chain) => Some(chain).filter(|chain| !chain.bands.is_empty()),
        })
    }

    /// Whether all of a pushed input comes before the first layer.
    fn comes_first(&self) -> bool {
        let first = self.schedule.segments.first();
        self.schedule.input == InputRows::Pushed && first.is_some_and(|segment| segment.nodes.is_empty())
    }

    fn state_bytes(&self, segment: usize) -> usize {
        match &self.steps[segment] {
            Step::Layer(_) => 0,
            Step::Chain(chain) => chain.state_bytes(),
        }
    }

    /// How many moments there are.
    pub(super) fn moments(&self) -> usize {
        self.segment_of.len()
    }

    /// The node at a moment: of a chain the first.
    pub(super) fn node_at(&self, moment: usize) -> Option<NodeId> {
        let first_of_chain = || self.chain_at(moment)?.members.first().map(|member| NodeId(member.node));
        self.alone_at(moment).or_else(first_of_chain)
    }

    /// The chain at a moment.
    pub(super) fn chain_at(&self, moment: usize) -> Option<&Chain> {
        match &self.steps[self.segment_of[moment]] {
            Step::Layer(_) => None,
            Step::Chain(chain) => Some(chain),
        }
    }

    /// The node that is computed alone at a moment.
    pub(super) fn alone_at(&self, moment: usize) -> Option<NodeId> {
        match &self.steps[self.segment_of[moment]] {
            Step::Layer(node) => Some(*node),
            Step::Chain(_) => None,
        }
    }

    /// The moments at which `node` is computed.
    pub(super) fn moments_of(&self, node: NodeId) -> Range<usize> {
        self.moments[self.segment_with(node.0)].clone()
    }

    /// Tensors alive at a moment, by id.
    pub(super) fn alive_at(&self, moment: usize) -> impl Iterator<Item = TensorId> + use<> {
        let mut alive: Vec<usize> = self.index.alive_at(moment).collect();
        alive.sort_unstable();
        alive.into_iter().map(TensorId)
    }

    /// Bytes of `tensor` at a moment.
    pub(super) fn bytes_at(&self, moment: usize, tensor: TensorId, bits: BitWidth) -> usize {
        let pieces = &self.pieces[tensor.0];
        let at = pieces.partition_point(|piece| piece.last < moment);
        pieces.get(at).filter(|piece| piece.first <= moment).map_or(0, |piece| piece.bytes[bits.index()])
    }

    /// Bytes of the place of `tensor`.
    pub(super) fn place_bytes(&self, tensor: TensorId, bits: BitWidth) -> usize {
        self.places[tensor.0].0[bits.index()]
    }

    /// One buffer for each tensor, then one for each scratch (with the segments whose they are), then one for each chain's state;
    /// and which of them may overlap.
    pub(super) fn buffers(&self, widths: &[BitWidth], scratch: impl Fn(NodeId) -> usize) -> Buffers {
        let mut buffers = Vec::with_capacity(self.places.len() + self.steps.len());
        // Where all of a pushed input comes before the first layer, places are those of a whole image, whose time begins there.
        let before = usize::from(self.comes_first());
        let from = |segment: usize| segment.saturating_sub(before);
        for ((bytes, (first, last)), bits) in self.places.iter().zip(widths) {
            buffers.push(Buffer { bytes: bytes[bits.index()], first: from(*first), last: from(*last) });
        }
        let (mut of_scratch, mut of_state, mut behind) = (Vec::new(), Vec::new(), 0);
        for (segment, step) in self.steps.iter().enumerate() {
            let bytes = match step {
                Step::Layer(node) => scratch(*node),
                Step::Chain(_) => self.chain_scratch[segment],
            };
            if bytes > 0 {
                of_scratch.push((segment, buffers.len()));
                buffers.push(Buffer { bytes, first: from(segment), last: from(segment) });
            }
            if let Step::Chain(chain) = step {
                if self.schedule.input == InputRows::Pushed && segment == 0 {
                    // Alive all the time: nowhere does it part what is free less than behind all else.
                    behind = chain.state_bytes();
                    of_state.push((segment, None));
                } else {
                    of_state.push((segment, Some(buffers.len())));
                    let bytes = chain.state_bytes();
                    buffers.push(Buffer { bytes, first: from(segment), last: from(segment) });
                }
            }
        }
        let apart = |gap: &Gap| {
            let [born, dying] = [gap.born, gap.dying].map(|tensor| widths[tensor.0].index());
            Apart {
                below: gap.born.0,
                above: gap.dying.0,
                bytes: gap.bytes[born][dying].min(buffers[gap.born.0].bytes),
            }
        };
        let apart = self.gaps.iter().map(apart).collect();
        Buffers { buffers, apart, of_scratch, of_state, behind }
    }
}

/// What the planner places.
pub(super) struct Buffers {
    pub(super) buffers: Vec<Buffer>,
    pub(super) apart: Vec<Apart>,
    /// Segment and buffer.
    pub(super) of_scratch: Vec<(usize, usize)>,
    /// Of a chain's state, `None` for that which lies behind all else.
    pub(super) of_state: Vec<(usize, Option<usize>)>,
    /// Bytes of that.
    pub(super) behind: usize,
}
