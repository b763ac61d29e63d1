//! RAM: the arena with every packed tensor and scratch, and the stack.

use super::kernel_costs::KernelTable;
use super::load::Load;
use super::planner::{Plan, fits_within, plan_apart};
use super::rolling::{Rises, rolling};
use super::rows::{Chain, InputRows, Rolled, RowNetwork, RowNode, Schedule, Scheduling};
use super::scratch::scratch_of_layer;
use super::tensor_bytes::tensor_bytes;
use super::timeline::{Buffers, Step, Timeline};
use super::word::word;
use crate::code::{Code, Implementation};
use crate::grid::BitWidth;
use crate::network::{NodeId, TensorId};
use crate::op::KernelKind;
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
    pub(super) network: RowNetwork,
    /// Packed bytes of each tensor by [`BitWidth`].
    bytes: Vec<[usize; 3]>,
    /// Scratch of each node by the width of its first input.
    scratch: Vec<[usize; 3]>,
    pub(super) stacks: Stacks,
    /// The least bytes alive at the peak at 8 bits that chains would reach if they were to take any number of
    /// instructions; `None` where those that there are come within a tenth of it.
    pub(super) unlimited_peak: Option<usize>,
}

/// Bytes of stack beside those of kernels.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Stacks {
    /// The entry point's.
    pub(super) base: u64,
    /// Where layers take turns, what stands between the entry point and a kernel.
    pub(super) between: u64,
    /// Where layers take turns, what chooses the next step, in the place of a kernel.
    pub(super) driver: u64,
}

impl Stacks {
    /// Where entry point and kernels have `deepest`; `rolls` says whether layers take turns or rows are pushed.
    pub(super) fn of(self, rolls: bool, deepest: u64) -> u64 {
        if rolls { deepest.max(self.base + self.driver) + self.between } else { deepest }
    }
}

/// A plan of a timeline.
struct TimelinePlan {
    timeline: usize,
    plan: Plan,
    buffers: Buffers,
}

impl RamModel {
    /// Of `network`; `rises` says which part of its instructions it takes that layers take turns, where they may.
    pub(super) fn of(
        network: RowNetwork,
        rises: Option<&Rises>,
        scheduling: Scheduling,
        input: InputRows,
        stacks: Stacks,
    ) -> Self {
        let scratch = network.nodes.iter().map(|node| {
            let of = |node: &RowNode, bits| scratch_of_layer(&node.layer, node.implementation, bits);
            BitWidth::ALL.map(|bits| node.as_ref().map_or(0, |node| of(node, bits)))
        });
        let sizes = |shape: &Shape| BitWidth::ALL.map(|bits| tensor_bytes(*shape, bits));
        let mut model = Self {
            timelines: Vec::new(),
            scratch: scratch.collect(),
            bytes: network.shapes.iter().map(sizes).collect(),
            network,
            stacks,
            unlimited_peak: None,
        };
        let ways: &[bool] = if scheduling == Scheduling::Layers { &[false] } else { &[false, true] };
        for in_place in ways {
            let schedule = Schedule::layers(model.network.nodes.len(), *in_place);
            model.timelines.push(Timeline::of(&model.network, schedule, &model.scratch));
        }
        if let (Scheduling::Auto, Some(rises)) = (scheduling, rises) {
            model.roll(rises, input);
        } else if input == InputRows::Pushed {
            let pushed = model.timelines.iter().map(|timeline| model.pushed(timeline.schedule.clone()));
            model.timelines = pushed.collect();
        }
        model
    }

    /// The timeline of a schedule of whole images, or of one into whose first chain rows are pushed, where rows are pushed.
    fn pushed(&self, mut schedule: Schedule) -> Timeline {
        schedule.take_input(InputRows::Pushed);
        Timeline::of(&self.network, schedule, &self.scratch)
    }

    /// The same with other stacks.
    pub(super) fn with_stacks(&self, stacks: Stacks) -> Self {
        Self { stacks, ..self.clone() }
    }

    /// Adds the timelines that roll.
    fn roll(&mut self, rises: &Rises, input: InputRows) {
        let (network, bits) = (&self.network, BitWidth::B8);
        let widths = vec![bits; network.shapes.len()];
        let in_place = self.timelines.last().expect("a model has a timeline");
        let loads = self.loads_of(in_place, &widths);
        let alone = |node: usize| in_place.moments_of(NodeId(node)).map(|moment| loads[moment]).max().unwrap_or(0);
        let rolled = Rolled {
            network,
            bytes: self.bytes.iter().map(|bytes| bytes[bits.index()]).collect(),
            row_bytes: network.shapes.iter().map(|shape| shape.w * bits.row_bytes(shape.c)).collect(),
            scratch: self.scratch.iter().map(|bytes| bytes.iter().copied().max().unwrap_or(0)).collect(),
            alone: (0..network.nodes.len()).map(alone).collect(),
            rise: &rises.of_nodes,
            moved_byte: rises.moved_byte,
        };
        let timeline = |schedule: Schedule| Timeline::of(network, schedule, &self.scratch);
        let mut found = rolling(&rolled, InputRows::Image, rises, timeline);
        let mut unlimited = vec![found.unlimited];
        if input == InputRows::Pushed {
            // All of a pushed input may as well be kept: every order of whole images is one of pushed rows, too, so these take no more.
            let more = rolling(&rolled, InputRows::Pushed, rises, |schedule| self.pushed(schedule));
            found.schedules.extend(more.schedules);
            unlimited.push(more.unlimited);
        }
        // The less a schedule looks further, the simpler it is.
        found.schedules.sort_by_key(|(number, _)| *number);
        let mut schedules: Vec<Schedule> = self.timelines.iter().map(|timeline| timeline.schedule.clone()).collect();
        schedules.extend(found.schedules.into_iter().map(|(_, schedule)| schedule));
        let of_input = |schedule: Schedule| match input {
            InputRows::Image => timeline(schedule),
            InputRows::Pushed => self.pushed(schedule),
        };
        let mut timelines: Vec<Timeline> = Vec::new();
        for timeline in schedules.into_iter().map(of_input) {
            if timelines.iter().all(|other| other.schedule != timeline.schedule) {
                timelines.push(timeline);
            }
        }
        let peak = |timeline: &Timeline| self.loads_of(timeline, &widths).into_iter().max().unwrap_or(0);
        let least = timelines.iter().map(peak).min();
        self.unlimited_peak = unlimited
            .into_iter()
            .map(|schedule| peak(&of_input(schedule)))
            .min()
            .filter(|peak| least.is_some_and(|least| *peak <= least / 10 * 9));
        self.timelines = timelines;
    }

    /// Whether some timeline computes `node` in turns with others. A depthwise convolution by rows that writes over its own input some
    /// rows at a time, as it does where both widths differ, is not counted here: it takes little more than at once.
    pub(super) fn takes_turns(&self, node: usize) -> bool {
        self.timelines.iter().any(|timeline| timeline.takes_turns(node))
    }

    /// Bytes of FLASH that it takes that layers take turns and rows are pushed, in the timeline that takes the most.
    pub(super) fn rolling_bytes(&self, core: &CoreCosts) -> u64 {
        let Some(costs) = core.rolling else { return 0 };
        let of_chain = |chain: &Chain| {
            let parts = chain.members.iter().filter(|member| member.rows.layer.kind == KernelKind::Concat);
            let parts: usize = parts.map(|member| member.inputs.len().saturating_sub(1)).sum();
            let [bands, members, parts] = [chain.bands.len(), chain.members.len(), parts].map(|count| count as u64);
            costs.chain_bytes + costs.band_bytes * bands + costs.member_bytes * members + costs.part_bytes * parts
        };
        let of_timeline = |timeline: &Timeline| {
            let is_pushed = timeline.schedule.input == InputRows::Pushed;
            match (timeline.schedule.scheduling(), is_pushed) {
                (Scheduling::Auto, _) => {
                    let push = if is_pushed { costs.push_bytes } else { 0 };
                    push + costs.code_bytes + timeline.chains().map(of_chain).sum::<u64>()
                }
                (_, true) => costs.push_alone_bytes,
                (_, false) => 0,
            }
        };
        self.timelines.iter().map(of_timeline).max().unwrap_or(0)
    }

    /// The buffers of a timeline.
    fn buffers(&self, timeline: &Timeline, widths: &[BitWidth]) -> Buffers {
        timeline.buffers(widths, |node| self.scratch_of(node, widths))
    }

    /// Bytes of scratch of node `id` where tensors have `widths`.
    pub(super) fn scratch_of(&self, id: NodeId, widths: &[BitWidth]) -> usize {
        let first = self.network.first_input(id);
        first.map_or(0, |first| self.scratch_bytes(id.0, widths[first.0]))
    }

    /// Bytes alive at each moment of a timeline.
    fn loads_of(&self, timeline: &Timeline, widths: &[BitWidth]) -> Vec<usize> {
        let mut born = vec![0usize; timeline.moments() + 1];
        for (pieces, bits) in timeline.pieces.iter().zip(widths) {
            for piece in pieces {
                let bytes = piece.bytes[bits.index()];
                born[piece.first] = born[piece.first].wrapping_add(bytes);
                born[piece.last + 1] = born[piece.last + 1].wrapping_sub(bytes);
            }
        }
        let mut alive = 0usize;
        let at = |moment: usize| {
            alive = alive.wrapping_add(born[moment]);
            let scratch = |node: NodeId| self.scratch_of(node, widths);
            alive + timeline.fixed[moment] + timeline.alone_at(moment).map_or(0, scratch)
        };
        (0..timeline.moments()).map(at).collect()
    }

    /// Bytes alive at each moment of timeline `timeline`.
    pub(super) fn loads(&self, timeline: usize, widths: &[BitWidth]) -> Vec<usize> {
        self.loads_of(&self.timelines[timeline], widths)
    }

    /// For each timeline the most bytes alive at a moment: its arena is as large at least.
    fn most(&self, widths: &[BitWidth]) -> Vec<usize> {
        let most = |timeline| word(self.loads_of(timeline, widths).into_iter().max().unwrap_or(0));
        self.timelines.iter().map(most).collect()
    }

    /// Timelines with what their RAM comes to at least, in the order in which they are planned: the least first, of
    /// equals the simplest.
    fn order(&self, bounds: &[usize], deepest: u64) -> Vec<(u64, usize)> {
        let with_stack = |(number, bound): (usize, &usize)| (*bound as u64 + self.stack_of(number, deepest), number);
        let mut order: Vec<(u64, usize)> = bounds.iter().enumerate().map(with_stack).collect();
        order.sort_unstable();
        order
    }

    /// Bytes of scratch of node `index` where its first input has `bits`.
    pub(super) fn scratch_bytes(&self, index: usize, bits: BitWidth) -> usize {
        self.scratch[index][bits.index()]
    }

    /// Bytes of stack of the entry point and the deepest kernel where `called` is called.
    pub(super) fn deepest(&self, called: impl Iterator<Item = Code>, kernels: &KernelTable) -> u64 {
        self.stacks.base + called.map(|code| kernels.cost(code).stack_bytes).max().unwrap_or(0)
    }

    /// Bytes of stack of timeline `timeline` where entry point and kernels have `deepest`.
    pub(super) fn stack_of(&self, timeline: usize, deepest: u64) -> u64 {
        self.stacks.of(self.timelines[timeline].schedule.rolls(), deepest)
    }

    /// The smallest plan found of a timeline, at least `bound` bytes of which are alive at a moment.
    fn plan_of(&self, timeline: usize, widths: &[BitWidth], bound: usize) -> TimelinePlan {
        let buffers = self.buffers(&self.timelines[timeline], widths);
        let mut plan = plan_apart(&buffers.buffers, &buffers.apart, bound - buffers.behind);
        plan.arena_bytes += buffers.behind;
        plan.lower_bound += buffers.behind;
        TimelinePlan { timeline, plan, buffers }
    }

    /// The plan with the least RAM of any timeline, of equals that of the simplest, where entry point and kernels have
    /// `deepest` bytes of stack; its RAM, and the visits that planning took.
    fn best(&self, widths: &[BitWidth], deepest: u64) -> (TimelinePlan, u64, usize) {
        let bounds = self.most(widths);
        let mut best: Option<(u64, TimelinePlan)> = None;
        let mut visits = 0;
        for (least, timeline) in self.order(&bounds, deepest) {
            let is_better =
                |ram: u64| best.as_ref().is_none_or(|(other, best)| (ram, timeline) < (*other, best.timeline));
            if !is_better(least) {
                continue;
            }
            let own = self.plan_of(timeline, widths, bounds[timeline]);
            visits += own.plan.visits;
            let ram = own.plan.arena_bytes as u64 + self.stack_of(timeline, deepest);
            if is_better(ram) {
                best = Some((ram, own));
            }
        }
        let (ram, best) = best.expect("a model has a timeline");
        (best, ram, visits)
    }

    /// RAM where tensors have `widths`, and entry point and kernels `deepest` bytes of stack.
    pub(super) fn count(&self, widths: &[BitWidth], deepest: u64) -> RamUse {
        let (TimelinePlan { timeline: number, plan, buffers }, total, _) = self.best(widths, deepest);
        let stack = self.stack_of(number, deepest);
        let nodes = self.network.nodes.len();
        let timeline = &self.timelines[number];
        let offsets: Vec<usize> = plan.placements.iter().map(|p| p.offset).collect();
        let mut scratch = vec![None; nodes];
        for (segment, buffer) in &buffers.of_scratch {
            scratch[timeline.schedule.segments[*segment].nodes.clone()].fill(Some(offsets[*buffer]));
        }
        for (node, scratch) in scratch.iter_mut().enumerate() {
            *scratch = scratch.filter(|_| self.scratch_of(NodeId(node), widths) > 0);
        }
        let behind = plan.arena_bytes - buffers.behind;
        let of_state = |(at, buffer): &(usize, Option<usize>)| (*at, buffer.map_or(behind, |buffer| offsets[buffer]));
        let states: HashMap<usize, usize> = buffers.of_state.iter().map(of_state).collect();
        let place = |tensor: TensorId| {
            let bytes = timeline.place_bytes(tensor, widths[tensor.0]);
            offsets[tensor.0]..offsets[tensor.0] + bytes
        };
        let at_once = |node: &Option<RowNode>| {
            let Some(node) = node else { return 1 };
            let (input, output) = (node.inputs[0], node.output);
            let pixel = |tensor: TensorId| widths[tensor.0].row_bytes(self.network.shapes[tensor.0].c);
            let aligned = node.strips_align([input, output].map(pixel), offsets[input.0].abs_diff(offsets[output.0]));
            if node.overlaps(place) && !aligned { node.at_once() } else { node.height() }
        };
        let planned = |(segment, step): (usize, &Step)| match step {
            Step::Layer(node) => Some(PlannedSegment::Layer(*node)),
            Step::Chain(chain) if chain.bands.is_empty() => None,
            Step::Chain(chain) => Some(PlannedSegment::Chain { chain: chain.clone(), state: states[&segment] }),
        };
        let loads = self.loads_of(timeline, widths);
        let alive: Vec<usize> = (0..nodes)
            .map(|node| timeline.moments_of(NodeId(node)).map(|moment| loads[moment]).max().unwrap_or(0))
            .collect();
        let peak = peak(&alive).map_or(NodeId(0), |(step, _)| NodeId(step));
        RamUse {
            total,
            arena: plan.arena_bytes as u64,
            scratch: buffers.of_scratch.iter().map(|(_, buffer)| buffers.buffers[*buffer].bytes).max().unwrap_or(0)
                as u64,
            stack,
            plan: MemoryPlan {
                arena_bytes: plan.arena_bytes,
                lower_bound: plan.lower_bound,
                cut_short: plan.cut_short,
                tensors: offsets[..self.bytes.len()].to_vec(),
                scratch,
                segments: timeline.steps.iter().enumerate().filter_map(planned).collect(),
                at_once: self.network.nodes.iter().map(at_once).collect(),
                input: timeline.schedule.input,
                scheduling: timeline.schedule.scheduling(),
                peak,
                alive,
                implementations: self.network.implementations(),
            },
        }
    }

    /// The least RAM at `widths`, where entry point and kernels have `deepest` bytes of stack; and its plan, with the
    /// visits of all.
    pub(super) fn plan(&self, widths: &[BitWidth], deepest: u64) -> (u64, Plan) {
        let (TimelinePlan { plan, .. }, ram, visits) = self.best(widths, deepest);
        (ram, Plan { visits, ..plan })
    }

    /// Whether arena and stack take at most `limit`, and the visits that planning took; entry point and kernels have
    /// `deepest` bytes of stack, and `most` bytes are alive at a moment of each timeline.
    pub(super) fn fits(&self, widths: &[BitWidth], deepest: u64, limit: Option<u64>, most: &[usize]) -> (bool, usize) {
        let Some(limit) = limit else { return (true, 0) };
        let mut visits = 0;
        for (_, timeline) in self.order(most, deepest).into_iter().take_while(|(least, _)| *least <= limit) {
            let buffers = self.buffers(&self.timelines[timeline], widths);
            let arena = usize::try_from(limit - self.stack_of(timeline, deepest)).unwrap_or(usize::MAX);
            let bound = most[timeline] - buffers.behind;
            let (fits, more) = fits_within(&buffers.buffers, &buffers.apart, bound, arena - buffers.behind);
            visits += more;
            if fits {
                return (true, visits);
            }
        }
        (false, visits)
    }

    /// As [`Self::fits`], the bytes alive counted first.
    pub(super) fn fits_anew(&self, widths: &[BitWidth], deepest: u64, limit: Option<u64>) -> bool {
        limit.is_none() || self.fits(widths, deepest, limit, &self.most(widths)).0
    }

    /// The most bytes of stack that entry point and kernels may have where arena and stack are to take at most `limit`
    /// at `widths`; `None` where no arena leaves any.
    pub(super) fn deepest_within(&self, widths: &[BitWidth], limit: u64) -> Option<u64> {
        let Stacks { base, between, driver } = self.stacks;
        let left = |timeline: usize, arena: usize| {
            let left = limit.checked_sub(arena as u64)?;
            let rolls = self.timelines[timeline].schedule.rolls();
            if rolls { left.checked_sub(between).filter(|left| *left >= base + driver) } else { Some(left) }
        };
        let bounds = self.most(widths);
        let mut most = None;
        for (_, timeline) in self.order(&bounds, 0) {
            if left(timeline, bounds[timeline]) > most {
                most = most.max(left(timeline, self.plan_of(timeline, widths, bounds[timeline]).plan.arena_bytes));
            }
        }
        most
    }

    /// The least RAM with every tensor at the width of least bytes among those `allowed` for it, and entry point and
    /// kernels at `deepest` bytes of stack, in any timeline: no less is possible at such widths.
    pub(super) fn least<W: Iterator<Item = BitWidth>>(&self, allowed: impl Fn(TensorId) -> W, deepest: u64) -> u64 {
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
                let node = timeline.alone_at(moment);
                let Some((node, first)) = node.and_then(|node| Some((node, self.network.first_input(node)?))) else {
                    return word(alive);
                };
                // A wider first input may save more scratch than it costs.
                let bytes = |bits| timeline.bytes_at(moment, first, bits);
                let with_scratch = |bits| bytes(bits) + self.scratch_bytes(node.0, bits);
                let least = allowed(first).map(bytes).min().unwrap_or(0);
                word(alive - least + allowed(first).map(with_scratch).min().unwrap_or(0))
            };
            (0..timeline.moments()).map(at).max().unwrap_or(0)
        };
        let with_stack =
            |(number, timeline): (usize, &Timeline)| of_timeline(timeline) as u64 + self.stack_of(number, deepest);
        self.timelines.iter().enumerate().map(with_stack).min().unwrap_or(0)
    }

    /// Tensors that are alive at `moment`, by id.
    pub(super) fn alive_at(&self, moment: Moment) -> impl Iterator<Item = TensorId> + use<> {
        self.timelines[moment.timeline].alive_at(moment.at)
    }
}

/// The first of the steps with the most bytes `alive`, and how many.
pub(super) fn peak(alive: &[usize]) -> Option<(usize, usize)> {
    // The last of several maxima is taken: from the back, that is the first.
    alive.iter().copied().enumerate().rev().max_by_key(|(_, bytes)| *bytes)
}

/// The smallest plan found of `network`, whose tensors have `widths`, in any of the orders that `scheduling` leaves, its input coming as
/// `input` says: for networks that no [`MemoryModel`](super::MemoryModel) stands behind.
pub fn plan_rows(network: RowNetwork, widths: &[BitWidth], scheduling: Scheduling, input: InputRows) -> MemoryPlan {
    let rises = Rises { of_nodes: vec![0.0; network.nodes.len()], moved_byte: 0.0, of_timeline: &|_| 1.0 };
    RamModel::of(network, Some(&rises), scheduling, input, Stacks::default()).count(widths, 0).plan
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
