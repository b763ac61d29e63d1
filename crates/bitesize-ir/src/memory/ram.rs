//! RAM: the arena with every packed tensor and scratch, and the stack.

use super::kernel_costs::KernelTable;
use super::lifetimes::of_network;
use super::load::Load;
use super::planner::{Plan, fits_within, plan_apart};
use super::rows::{Chain, InputRows, Rolled, RowNode, Schedule, Scheduling};
use super::scratch::scratch_of_layer;
use super::timeline::{Buffers, Step, Timeline, row_nodes};
use super::widths::Widths;
use super::word::word;
use crate::code::{Code, Implementation};
use crate::grid::BitWidth;
use crate::network::{Network, NodeId, TensorId};
use crate::shape::Shape;
use crate::target::CoreCosts;
use std::collections::HashMap;

/// Bytes of RAM of a package, and how they split.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RamUse {
    /// Arena and stack.
    pub total: u64,
    /// The arena, scratch included.
    pub arena: u64,
    /// The largest scratch of any layer; part of the arena.
    pub scratch: u64,
    /// Bound of the stack.
    pub stack: u64,
    /// Where everything lies.
    pub plan: MemoryPlan,
}

/// Where tensors and scratch lie in the arena.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemoryPlan {
    /// Bytes of the arena, a multiple of 4.
    pub arena_bytes: usize,
    /// The most bytes alive at a moment, rows that are dead or not yet born left out: no plan of these segments can be smaller.
    pub lower_bound: usize,
    /// As [`Plan::cut_short`].
    pub cut_short: bool,
    /// Offset of each tensor; of one that a chain keeps some rows of, that of the place of these.
    pub tensors: Vec<usize>,
    /// Offset of each node's scratch, `None` where it needs none. The nodes of a chain share theirs.
    pub scratch: Vec<Option<usize>>,
    /// What is computed together, in order.
    pub segments: Vec<PlannedSegment>,
    /// Output rows that each node computes at a time where it is computed alone: all of them, or, of a depthwise convolution by
    /// rows that writes over its own input, [`RowNode::at_once`].
    pub at_once: Vec<usize>,
    /// How the input comes.
    pub input: InputRows,
    /// What of rows the plan makes use of.
    pub scheduling: Scheduling,
    /// The node during which the most bytes are alive (the first such).
    pub peak: NodeId,
    /// The most bytes alive during each node (of a chain, during all of it): its inputs, output, scratch, and what waits for later
    /// nodes, of each the rows that are alive.
    pub alive: Vec<usize>,
    /// How each node is computed.
    pub implementations: Vec<Implementation>,
}

/// What is computed together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PlannedSegment {
    /// One node, all of it.
    Layer(NodeId),
    /// Nodes in turns.
    Chain {
        /// Which, and what they read and write.
        chain: Chain,
        /// Offset of its state: for each band two numbers of 16 bits, [`STATE_BYTES`](super::STATE_BYTES) together.
        state: usize,
    },
}

/// Bytes of a packed activation tensor: a row is one pixel's channels; padded to a word.
pub fn tensor_bytes(shape: Shape, bits: BitWidth) -> usize {
    word(shape.pixels() * bits.row_bytes(shape.c))
}

/// A node that writes a tensor or reads it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Touch {
    pub(super) node: usize,
    /// How often it is among the node's inputs; 0 where the node writes it.
    pub(super) reads: usize,
}

/// A moment of a timeline at which bytes are counted. The tensors alive at a node are all alive at the moments of its layer or
/// chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Moment {
    /// The timeline: a model has one for each order in which the network may be computed.
    pub timeline: usize,
    /// Its number among those of the timeline.
    pub at: usize,
}

/// What every policy shares: when each tensor is alive and how many bytes it has at each width, in each order in which the
/// network may be computed. A policy's RAM is that of the order that takes the least.
#[derive(Clone, Debug)]
pub(super) struct RamModel {
    /// The simplest first.
    pub(super) timelines: Vec<Timeline>,
    nodes: Vec<Option<RowNode>>,
    /// First and last node of each tensor.
    lifetimes: Vec<(usize, usize)>,
    /// For each tensor the nodes that write or read it, in order.
    touching: Vec<Vec<Touch>>,
    /// Packed bytes of each tensor by [`BitWidth`].
    bytes: Vec<[usize; 3]>,
    /// Scratch of each node by the width of its first input.
    scratch: Vec<[usize; 3]>,
    pub(super) base_stack: u64,
}

/// A plan of a timeline.
struct TimelinePlan {
    timeline: usize,
    plan: Plan,
    buffers: Buffers,
}

impl RamModel {
    pub(super) fn of(
        network: &Network,
        core: &CoreCosts,
        implementations: &[Implementation],
        scheduling: Scheduling,
        input: InputRows,
    ) -> Self {
        let nodes = row_nodes(network, implementations);
        let scratch: Vec<[usize; 3]> = nodes
            .iter()
            .map(|node| {
                let of = |node: &RowNode, bits| scratch_of_layer(&node.layer, node.implementation, bits);
                BitWidth::ALL.map(|bits| node.as_ref().map_or(0, |node| of(node, bits)))
            })
            .collect();
        let sizes = |shape: Shape| BitWidth::ALL.map(|bits| tensor_bytes(shape, bits));
        let lifetimes = of_network(network);
        let mut touching = vec![Vec::new(); network.tensors.len()];
        for (id, node) in network.iter() {
            touching[node.output.0].push(Touch { node: id.0, reads: 0 });
            for tensor in &node.inputs {
                let nodes: &mut Vec<Touch> = &mut touching[tensor.0];
                match nodes.last_mut().filter(|touch| touch.node == id.0) {
                    Some(touch) => touch.reads += 1,
                    None => nodes.push(Touch { node: id.0, reads: 1 }),
                }
            }
        }
        let mut model = Self {
            timelines: Vec::new(),
            nodes,
            lifetimes,
            touching,
            bytes: network.tensors.iter().map(|tensor| sizes(tensor.shape)).collect(),
            scratch,
            base_stack: core.base_stack_bytes,
        };
        model.timelines = model.timelines_of(network, core, scheduling, input);
        model
    }

    fn timelines_of(
        &self,
        network: &Network,
        core: &CoreCosts,
        scheduling: Scheduling,
        input: InputRows,
    ) -> Vec<Timeline> {
        let timeline = |schedule| Timeline::of(network, &self.nodes, schedule, &self.lifetimes, &self.scratch);
        let rolls = scheduling == Scheduling::Auto && core.rolling.is_some();
        let layers = |in_place| {
            let mut schedule = Schedule::layers(network.nodes.len(), in_place);
            schedule.take_input(input);
            schedule
        };
        let mut schedules = vec![layers(false)];
        if scheduling != Scheduling::Layers {
            schedules.push(layers(true));
        }
        let mut timelines: Vec<Timeline> = schedules.into_iter().map(timeline).collect();
        if rolls && let Some(in_place) = timelines.last() {
            let widest = Widths { tensors: vec![BitWidth::B8; network.tensors.len()], weights: Vec::new() };
            let loads = self.loads_of(in_place, network, &widest);
            let alone = |node: usize| in_place.moments_of(NodeId(node)).map(|moment| loads[moment]).max().unwrap_or(0);
            let bits = BitWidth::B8;
            let rolled = Rolled {
                nodes: &self.nodes,
                lifetimes: &self.lifetimes,
                input: network.input,
                output: network.output,
                bytes: self.bytes.iter().map(|bytes| bytes[bits.index()]).collect(),
                row_bytes: network.tensors.iter().map(|t| t.shape.w * bits.row_bytes(t.shape.c)).collect(),
                heights: network.tensors.iter().map(|tensor| tensor.shape.h).collect(),
                scratch: self.scratch.iter().map(|bytes| bytes.iter().copied().max().unwrap_or(0)).collect(),
                alone: (0..network.nodes.len()).map(alone).collect(),
            };
            let mut schedules = vec![rolled.schedule(input)];
            if input == InputRows::Pushed {
                // All of the input may as well be kept, and roll as an image does.
                let mut as_image = rolled.schedule(InputRows::Image);
                as_image.take_input(input);
                schedules.push(as_image);
            }
            for schedule in schedules {
                if timelines.iter().all(|timeline| timeline.schedule != schedule) {
                    timelines.push(timeline(schedule));
                }
            }
        }
        timelines
    }

    /// Bytes of FLASH that rolling takes, in the timeline that takes the most.
    pub(super) fn rolling_bytes(&self, core: &CoreCosts) -> u64 {
        let Some(costs) = core.rolling else { return 0 };
        let of_chain = |chain: &Chain| {
            let [bands, members] = [chain.bands.len(), chain.members.len()].map(|count| count as u64);
            costs.chain_bytes + costs.band_bytes * bands + costs.member_bytes * members
        };
        let of_timeline = |timeline: &Timeline| {
            let push = if timeline.schedule.input == InputRows::Pushed { costs.push_bytes } else { 0 };
            let code = if timeline.schedule.rolls() { costs.code_bytes } else { 0 };
            push + code + timeline.chains().map(of_chain).sum::<u64>()
        };
        self.timelines.iter().map(of_timeline).max().unwrap_or(0)
    }

    /// The buffers of a timeline.
    fn buffers(&self, timeline: &Timeline, network: &Network, widths: &Widths) -> Buffers {
        let scratch = |node: NodeId| self.scratch_bytes(node.0, widths.tensors[network.node(node).inputs[0].0]);
        timeline.buffers(widths, scratch)
    }

    /// Bytes alive at each moment of a timeline.
    fn loads_of(&self, timeline: &Timeline, network: &Network, widths: &Widths) -> Vec<usize> {
        let mut born = vec![0usize; timeline.moments() + 1];
        for (pieces, bits) in timeline.pieces.iter().zip(&widths.tensors) {
            for piece in pieces {
                let bytes = piece.bytes[bits.index()];
                born[piece.first] = born[piece.first].wrapping_add(bytes);
                born[piece.last + 1] = born[piece.last + 1].wrapping_sub(bytes);
            }
        }
        let mut alive = 0usize;
        let at = |moment: usize| {
            alive = alive.wrapping_add(born[moment]);
            let scratch = |node: NodeId| self.scratch_bytes(node.0, widths.tensors[network.node(node).inputs[0].0]);
            alive + timeline.fixed[moment] + timeline.alone_at(moment).map_or(0, scratch)
        };
        (0..timeline.moments()).map(at).collect()
    }

    /// Bytes alive at each moment of timeline `timeline`.
    pub(super) fn loads(&self, timeline: usize, network: &Network, widths: &Widths) -> Vec<usize> {
        self.loads_of(&self.timelines[timeline], network, widths)
    }

    /// For each timeline the most bytes alive at a moment: its arena is as large at least.
    fn most(&self, network: &Network, widths: &Widths) -> Vec<usize> {
        let most = |timeline| word(self.loads_of(timeline, network, widths).into_iter().max().unwrap_or(0));
        self.timelines.iter().map(most).collect()
    }

    /// Timelines in the order in which they are planned: that of the least bound first, of equals the simplest.
    fn order(bounds: &[usize]) -> Vec<usize> {
        let mut order: Vec<usize> = (0..bounds.len()).collect();
        order.sort_by_key(|timeline| bounds[*timeline]);
        order
    }

    /// Bytes of scratch of node `index` where its first input has `bits`.
    pub(super) fn scratch_bytes(&self, index: usize, bits: BitWidth) -> usize {
        self.scratch[index][bits.index()]
    }

    /// Bytes of stack where `called` is called.
    pub(super) fn stack(&self, called: impl Iterator<Item = Code>, kernels: &KernelTable) -> u64 {
        self.base_stack + called.map(|code| kernels.cost(code).stack_bytes).max().unwrap_or(0)
    }

    /// The smallest plan of any timeline; of equals that of the simplest that is looked at first.
    fn best(&self, network: &Network, widths: &Widths) -> (TimelinePlan, usize) {
        let bounds = self.most(network, widths);
        let mut best: Option<TimelinePlan> = None;
        let mut visits = 0;
        for timeline in Self::order(&bounds) {
            if best.as_ref().is_some_and(|best| best.plan.arena_bytes <= bounds[timeline]) {
                continue;
            }
            let buffers = self.buffers(&self.timelines[timeline], network, widths);
            let plan = plan_apart(&buffers.buffers, &buffers.apart, bounds[timeline]);
            visits += plan.visits;
            if best.as_ref().is_none_or(|best| plan.arena_bytes < best.plan.arena_bytes) {
                best = Some(TimelinePlan { timeline, plan, buffers });
            }
        }
        (best.expect("a model has a timeline"), visits)
    }

    pub(super) fn count(
        &self,
        network: &Network,
        widths: &Widths,
        implementations: &[Implementation],
        stack: u64,
    ) -> RamUse {
        let (TimelinePlan { timeline: number, plan, buffers }, _) = self.best(network, widths);
        let timeline = &self.timelines[number];
        let offsets: Vec<usize> = plan.placements.iter().map(|p| p.offset).collect();
        let mut scratch = vec![None; network.nodes.len()];
        for (segment, buffer) in &buffers.of_scratch {
            scratch[timeline.schedule.segments[*segment].nodes.clone()].fill(Some(offsets[*buffer]));
        }
        for (node, bytes) in self.scratch.iter().enumerate() {
            if bytes[widths.tensors[network.nodes[node].inputs[0].0].index()] == 0 {
                scratch[node] = None;
            }
        }
        let states: HashMap<usize, usize> = buffers.of_state.iter().map(|(at, buffer)| (*at, offsets[*buffer])).collect();
        let place = |tensor: TensorId| {
            let bytes = timeline.place_bytes(tensor, widths.tensors[tensor.0]);
            offsets[tensor.0]..offsets[tensor.0] + bytes
        };
        let at_once = |node: &Option<RowNode>| {
            node.as_ref().map_or(1, |node| if timeline.overlaps(node, place) { node.at_once() } else { node.height() })
        };
        let planned = |(segment, step): (usize, &Step)| match step {
            Step::Layer(node) => Some(PlannedSegment::Layer(*node)),
            Step::Chain(chain) if chain.bands.is_empty() => None,
            Step::Chain(chain) => Some(PlannedSegment::Chain { chain: chain.clone(), state: states[&segment] }),
        };
        let loads = self.loads_of(timeline, network, widths);
        let alive: Vec<usize> = (0..network.nodes.len())
            .map(|node| timeline.moments_of(NodeId(node)).map(|moment| loads[moment]).max().unwrap_or(0))
            .collect();
        let peak = peak(&alive).map_or(NodeId(0), |(step, _)| NodeId(step));
        RamUse {
            total: plan.arena_bytes as u64 + stack,
            arena: plan.arena_bytes as u64,
            scratch: buffers.of_scratch.iter().map(|(_, buffer)| buffers.buffers[*buffer].bytes).max().unwrap_or(0) as u64,
            stack,
            plan: MemoryPlan {
                arena_bytes: plan.arena_bytes,
                lower_bound: plan.lower_bound,
                cut_short: plan.cut_short,
                tensors: offsets[..self.bytes.len()].to_vec(),
                scratch,
                segments: timeline.steps.iter().enumerate().filter_map(planned).collect(),
                at_once: self.nodes.iter().map(at_once).collect(),
                input: timeline.schedule.input,
                scheduling: timeline.scheduling(),
                peak,
                alive,
                implementations: implementations.to_vec(),
            },
        }
    }

    /// The arena at `widths`, and what planning took.
    pub(super) fn plan(&self, network: &Network, widths: &Widths) -> Plan {
        let (TimelinePlan { plan, .. }, visits) = self.best(network, widths);
        Plan { visits, ..plan }
    }

    /// Whether arena and `stack` take at most `limit`, and the visits that planning took; `most` bytes are alive at a moment of each
    /// timeline.
    pub(super) fn fits(
        &self,
        network: &Network,
        widths: &Widths,
        stack: u64,
        limit: Option<u64>,
        most: &[usize],
    ) -> (bool, usize) {
        let Some(limit) = limit else { return (true, 0) };
        let Some(arena) = limit.checked_sub(stack).map(|arena| usize::try_from(arena).unwrap_or(usize::MAX)) else {
            return (false, 0);
        };
        let mut visits = 0;
        for timeline in Self::order(most).into_iter().filter(|timeline| most[*timeline] <= arena) {
            let buffers = self.buffers(&self.timelines[timeline], network, widths);
            let (fits, more) = fits_within(&buffers.buffers, &buffers.apart, most[timeline], arena);
            visits += more;
            if fits {
                return (true, visits);
            }
        }
        (false, visits)
    }

    /// As [`Self::fits`], the bytes alive counted first.
    pub(super) fn fits_anew(&self, network: &Network, widths: &Widths, stack: u64, limit: Option<u64>) -> bool {
        limit.is_none() || self.fits(network, widths, stack, limit, &self.most(network, widths)).0
    }

    /// The least arena with every tensor at the width of least bytes among those `allowed` for it, in any timeline: no smaller one
    /// is possible at such widths.
    pub(super) fn least_arena<W: Iterator<Item = BitWidth>>(
        &self,
        network: &Network,
        allowed: impl Fn(TensorId) -> W,
    ) -> usize {
        let of_timeline = |timeline: &Timeline| {
            let mut load = Load::new(timeline.moments());
            let least = |tensor, bytes: &[usize; 3]| allowed(tensor).map(|bits| bytes[bits.index()]).min().unwrap_or(0);
            for (tensor, pieces) in timeline.pieces.iter().enumerate() {
                for piece in pieces {
                    load.change((piece.first, piece.last), 0, least(TensorId(tensor), &piece.bytes));
                }
            }
            let at = |moment: usize| {
                let alive = load.at(moment) + timeline.fixed[moment];
                let Some(node) = timeline.alone_at(moment) else { return word(alive) };
                // A wider first input may save more scratch than it costs.
                let first = network.node(node).inputs[0];
                let bytes = |bits| timeline.bytes_at(moment, first, bits);
                let with_scratch = |bits| bytes(bits) + self.scratch_bytes(node.0, bits);
                let least = allowed(first).map(bytes).min().unwrap_or(0);
                word(alive - least + allowed(first).map(with_scratch).min().unwrap_or(0))
            };
            (0..timeline.moments()).map(at).max().unwrap_or(0)
        };
        self.timelines.iter().map(of_timeline).min().unwrap_or(0)
    }

    /// Tensors that are alive at `moment`, by id.
    pub(super) fn alive_at(&self, moment: Moment) -> impl Iterator<Item = TensorId> + use<> {
        self.timelines[moment.timeline].alive_at(moment.at)
    }

    /// The nodes that write or read `tensor`, each once.
    pub(super) fn touching(&self, tensor: TensorId) -> &[Touch] {
        &self.touching[tensor.0]
    }

    /// First and last node at which `tensor` is alive.
    pub(super) fn lifetime(&self, tensor: TensorId) -> (usize, usize) {
        self.lifetimes[tensor.0]
    }
}

/// The first of the steps with the most bytes `alive`, and how many.
pub(super) fn peak(alive: &[usize]) -> Option<(usize, usize)> {
    // The last of several maxima is taken: from the back, that is the first.
    alive.iter().copied().enumerate().rev().max_by_key(|(_, bytes)| *bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_peak_is_the_first_of_the_largest() {
        assert_eq!(peak(&[1, 3, 2, 3]), Some((1, 3)));
        assert_eq!(peak(&[]), None);
    }
}
