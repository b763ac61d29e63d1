//! Everything that is counted, in one place to ask.

use super::flash::{FlashModel, FlashUse};
use super::instructions::InstructionModel;
use super::kernel_costs::{KernelTable, node_code};
use super::ram::{MemoryPlan, Moment, PlannedSegment, RamModel, RamUse, Stacks, peak};
use super::rolling::Rises;
use super::rows::{Chain, RowNetwork, Schedule, Scheduling};
use super::timeline::Timeline;
use super::widths::Widths;
use super::word::word;
use crate::code::{Code, Implementation};
use crate::grid::BitWidth;
use crate::network::{Network, NodeId, TensorId};
use crate::target::{CoreCosts, KernelCost};
use std::ops::Range;

/// The memory model of one network on one core: what does not depend on the widths is worked out once, so that a
/// policy is counted in microseconds.
#[derive(Clone, Debug)]
pub struct MemoryModel<'a> {
    pub(super) network: &'a Network,
    pub(super) flash: FlashModel,
    pub(super) ram: RamModel,
    pub(super) kernels: KernelTable,
    /// How each node is computed.
    pub(super) implementations: Vec<Implementation>,
    /// For each tensor the nodes that write or read it, in order.
    pub(super) touching: Vec<Vec<Touch>>,
    /// `None` where the core's file says nothing of instructions.
    instructions: Option<InstructionModel>,
}

impl<'a> MemoryModel<'a> {
    /// The model of `network` (rewritten) on `core`.
    pub fn of(network: &'a Network, core: &CoreCosts) -> Self {
        let of_node = |node| Implementation::of(network, node, core.has_rows());
        let implementations: Vec<Implementation> = network.nodes.iter().map(of_node).collect();
        let rows = RowNetwork::of(network, &implementations);
        let every = core.instructions.as_ref().map(|costs| InstructionModel::of(network, &rows, costs));
        let rise_of = |timeline: &Timeline| every.as_ref().map_or(1.0, |model| model.rise_of(network, timeline));
        let rises = core.rolling.map(|_| Rises {
            of_nodes: every.as_ref().map_or_else(|| vec![0.0; rows.nodes.len()], |model| model.rises(network, &rows)),
            moved_byte: every.as_ref().map_or(0.0, |model| model.rise_of_moved_byte(network)),
            of_timeline: &rise_of,
        });
        let ram = RamModel::of(rows, rises.as_ref(), core.scheduling, core.input, stacks_of(core));
        Self::with(network, core, implementations, every, ram)
    }

    /// The same network in the same orders, and with the same kernels, on another `core`, whose costs are another's: of
    /// what was made for the one, what it takes on the other.
    pub fn on(&self, core: &CoreCosts) -> Self {
        let every =
            core.instructions.as_ref().map(|costs| InstructionModel::of(self.network, &self.ram.network, costs));
        let ram = self.ram.with_stacks(stacks_of(core));
        Self::with(self.network, core, self.implementations.clone(), every, ram)
    }

    fn with(
        network: &'a Network,
        core: &CoreCosts,
        implementations: Vec<Implementation>,
        every: Option<InstructionModel>,
        ram: RamModel,
    ) -> Self {
        Self {
            network,
            flash: FlashModel::of(network, core, &implementations, ram.rolling_bytes(core)),
            instructions: every.map(|model| model.taking_turns(network, &ram)),
            ram,
            kernels: KernelTable::of(core),
            touching: touching(network),
            implementations,
        }
    }

    /// The code that node `id` calls at `widths`. Where the width of its weights is left open (`None`), what depends on it is
    /// left out.
    pub fn code_of<'w>(&'w self, id: NodeId, widths: &'w Widths) -> impl Iterator<Item = Code> + 'w {
        node_code(self.network.node(id), id.0, widths, self.implementations[id.0])
    }

    /// What is called at `widths`, as often as it is.
    fn called<'w>(&'w self, widths: &'w Widths) -> impl Iterator<Item = Code> + 'w {
        (0..self.implementations.len()).flat_map(|index| self.code_of(NodeId(index), widths))
    }

    /// The code of node `id` that depends on the width of its weights, this left open ([`Code::of_weights`]); `None` where it
    /// has none.
    pub fn code_of_weights(&self, id: NodeId, widths: &Widths) -> Option<Code> {
        let node = self.network.node(id);
        let (input, output) = (widths.tensors[node.inputs[0].0], widths.tensors[node.output.0]);
        Code::of_weights(self.implementations[id.0], node.op.kernel_kind()?, input, output)
    }

    /// Bytes of the packed weights of node `id` at `bits`; 0 where it has none.
    pub fn packed_weight_bytes(&self, id: NodeId, bits: BitWidth) -> u64 {
        self.flash.packed_bytes_at(id.0, bits)
    }

    /// FLASH at `widths`, and how it splits.
    pub fn flash(&self, widths: &Widths) -> FlashUse {
        self.flash.count(widths, self.called(widths), &self.kernels)
    }

    /// RAM at `widths`, how it splits, and where everything lies.
    pub fn ram(&self, widths: &Widths) -> RamUse {
        self.ram.count(&widths.tensors, self.deepest_stack_bytes(widths))
    }

    /// `flash(widths).total`, faster.
    pub fn flash_bytes(&self, widths: &Widths) -> u64 {
        self.flash.total(widths, self.called(widths), &self.kernels)
    }

    /// `ram(widths).total`, faster.
    pub fn ram_bytes(&self, widths: &Widths) -> u64 {
        self.ram.plan(&widths.tensors, self.deepest_stack_bytes(widths)).0
    }

    /// How many orders there are in which the network may be computed: RAM is that of the one that takes the least.
    pub fn timelines(&self) -> usize {
        self.ram.timelines.len()
    }

    /// The order in which timeline `timeline` computes the network.
    pub fn schedule_of(&self, timeline: usize) -> &Schedule {
        &self.ram.timelines[timeline].schedule
    }

    /// How many moments timeline `timeline` has.
    pub fn moments(&self, timeline: usize) -> usize {
        self.ram.timelines[timeline].moments()
    }

    /// The node that is computed at `moment`, of a chain its first; `None` while the input's rows come in.
    pub fn node_at(&self, moment: Moment) -> Option<NodeId> {
        self.ram.timelines[moment.timeline].node_at(moment.at)
    }

    /// The chain whose layers take turns at `moment`; `None` where a node is computed alone.
    pub fn chain_at(&self, moment: Moment) -> Option<&Chain> {
        self.ram.timelines[moment.timeline].chain_at(moment.at)
    }

    /// Whether layers take turns in some timeline.
    pub fn has_chains(&self) -> bool {
        (0..self.timelines()).any(|timeline| self.schedule_of(timeline).scheduling() == Scheduling::Auto)
    }

    /// Bytes that have to lie in the arena at each moment of a timeline: the rows alive of inputs, outputs and what waits for later
    /// nodes, and scratch. The largest is a lower bound of the timeline's arena, and nearly always the arena.
    pub fn alive_bytes(&self, timeline: usize, widths: &Widths) -> Vec<usize> {
        self.ram.loads(timeline, &widths.tensors)
    }

    /// Of the timeline whose peak and stack are the lowest at `widths`, of equals the simplest, the first moment at
    /// which the most bytes are alive, and how many; `None` where there is no node.
    pub fn peak(&self, widths: &Widths) -> Option<(Moment, usize)> {
        let of_timeline = |timeline: usize| {
            let (at, bytes) = peak(&self.alive_bytes(timeline, widths))?;
            Some((Moment { timeline, at }, bytes))
        };
        if self.network.nodes.is_empty() {
            return None;
        }
        let deepest = self.deepest_stack_bytes(widths);
        let ram = |(moment, bytes): &(Moment, usize)| word(*bytes) as u64 + self.stack_bytes(moment.timeline, deepest);
        (0..self.timelines()).filter_map(of_timeline).min_by_key(ram)
    }

    /// Whether arena and stack take at most `limit` bytes at `widths` (`None` for any number): as [`Self::ram_bytes`] says,
    /// but nothing is planned where the bytes alive already pass it, and planning ends where a plan keeps it.
    pub fn ram_fits(&self, widths: &Widths, limit: Option<u64>) -> bool {
        self.ram.fits_anew(&widths.tensors, self.deepest_stack_bytes(widths), limit)
    }

    /// Tensors that are alive at `moment`, or at another of the same layer or chain, by id.
    pub fn alive_at(&self, moment: Moment) -> impl Iterator<Item = TensorId> + use<> {
        self.ram.alive_at(moment)
    }

    /// The least RAM at the widths that `allowed` gives each tensor, where entry point and kernels have `deepest` bytes
    /// of stack: the planner's may be larger, none is smaller.
    pub fn least_ram_bytes<W: Iterator<Item = BitWidth>>(&self, allowed: impl Fn(TensorId) -> W, deepest: u64) -> u64 {
        self.ram.least(allowed, deepest)
    }

    /// The most bytes of stack that entry point and kernels may have where arena and stack are to take at most `limit`
    /// bytes at `widths`; `None` where no arena leaves any.
    pub fn deepest_stack_within(&self, widths: &Widths, limit: u64) -> Option<u64> {
        self.ram.deepest_within(&widths.tensors, limit)
    }

    /// The most bytes alive at a moment, with every tensor at 8 bits, that rolling chains would come down to if they
    /// were to take any number of instructions; `None` where those that there are come within a tenth of it.
    pub fn unlimited_peak_bytes(&self) -> Option<usize> {
        self.ram.unlimited_peak
    }

    /// What `tensor`, alive at `moment`, adds to the bytes alive there if it has `bits`: its rows that are alive, and where the
    /// node that is computed reads it first, the scratch that this width asks for.
    pub fn bytes_at(&self, moment: Moment, tensor: TensorId, bits: BitWidth) -> usize {
        let timeline = &self.ram.timelines[moment.timeline];
        let of_node = |node: NodeId| {
            let reads_first = self.network.node(node).inputs[0] == tensor;
            if reads_first { self.ram.scratch_bytes(node.0, bits) } else { 0 }
        };
        timeline.bytes_at(moment.at, tensor, bits) + timeline.alone_at(moment.at).map_or(0, of_node)
    }

    /// Bytes of the rows of `tensor` that are alive at `moment` if it has `bits`.
    pub fn tensor_bytes_at(&self, moment: Moment, tensor: TensorId, bits: BitWidth) -> usize {
        self.ram.timelines[moment.timeline].bytes_at(moment.at, tensor, bits)
    }

    /// The ranges of moments of timeline `timeline`, both ends inclusive, at which rows of `tensor` are alive.
    pub fn alive_during(&self, timeline: usize, tensor: TensorId) -> impl Iterator<Item = (usize, usize)> + '_ {
        let pieces = self.ram.timelines[timeline].pieces[tensor.0].iter();
        pieces.filter(|piece| piece.bytes != [0; 3]).map(|piece| (piece.first, piece.last))
    }

    /// The moments of timeline `timeline` at which node `id` is computed.
    pub fn moments_of(&self, timeline: usize, id: NodeId) -> Range<usize> {
        self.ram.timelines[timeline].moments_of(id)
    }

    /// Bytes at `moment` that do not depend on widths: scratch and state of a chain.
    pub fn fixed_bytes_at(&self, moment: Moment) -> usize {
        self.ram.timelines[moment.timeline].fixed[moment.at]
    }

    /// Bytes of scratch at `moment`, at `widths`.
    pub fn scratch_bytes_at(&self, moment: Moment, widths: &Widths) -> usize {
        let timeline = &self.ram.timelines[moment.timeline];
        let of_node = |node: NodeId| self.scratch_bytes(node, widths.tensors[self.network.node(node).inputs[0].0]);
        timeline.fixed[moment.at] + timeline.alone_at(moment.at).map_or(0, of_node)
    }

    /// Bytes of scratch that node `id` needs where its first input has `bits`.
    pub fn scratch_bytes(&self, id: NodeId, bits: BitWidth) -> usize {
        self.ram.scratch_bytes(id.0, bits)
    }

    /// Bytes that the place of `tensor` has in timeline `timeline`: all of it, or of one that a chain keeps some rows of, these.
    pub fn place_bytes(&self, timeline: usize, tensor: TensorId, bits: BitWidth) -> usize {
        self.ram.timelines[timeline].place_bytes(tensor, bits)
    }

    /// First and last moment of timeline `timeline` between which `tensor` is alive: all of those of the layers and chains from the one
    /// that writes it to the last that reads it; the input from the first, the output until the last.
    pub fn span(&self, timeline: usize, tensor: TensorId) -> (usize, usize) {
        self.ram.timelines[timeline].spans[tensor.0]
    }

    /// Bytes of stack of the entry point and the deepest kernel at `widths`; what stands between both where layers take
    /// turns is not among them ([`Self::stack_bytes`]).
    pub fn deepest_stack_bytes(&self, widths: &Widths) -> u64 {
        self.ram.deepest(self.called(widths), &self.kernels)
    }

    /// Bytes of stack in timeline `timeline`, where entry point and kernels have `deepest`.
    pub fn stack_bytes(&self, timeline: usize, deepest: u64) -> u64 {
        self.ram.stack_of(timeline, deepest)
    }

    /// Bytes of stack of `plan`, one of this network on some core, at `widths`.
    pub fn stack_of_plan(&self, plan: &MemoryPlan, widths: &Widths) -> u64 {
        let rolls = plan.segments.iter().any(|segment| matches!(segment, PlannedSegment::Chain { .. }));
        self.ram.stacks.of(rolls, self.deepest_stack_bytes(widths))
    }

    /// Instructions of an inference at `widths`, at most: the sum of [`Self::instructions_of`], what the entry takes and what chains
    /// take, each in the order in which it takes the most. `None` where the core's file says nothing of them. In the order that a policy's
    /// plan has, which may be another for each policy, it may take fewer: [`Self::instructions_of_plan`].
    pub fn instructions(&self, widths: &Widths) -> Option<u64> {
        self.instructions.as_ref().map(|model| model.total(self.network, widths))
    }

    /// Instructions of an inference at `widths`, at least: the sum of [`Self::fewest_instructions_of`], what the entry takes and what
    /// steps of chains take. In the order that a policy's plan has it takes as many or more, and at most [`Self::instructions`];
    /// where no layers take turns in any order, all are the same.
    pub fn fewest_instructions(&self, widths: &Widths) -> Option<u64> {
        self.instructions.as_ref().map(|model| model.fewest(self.network, widths))
    }

    /// RAM at `widths`, and the instructions of an inference in the order that takes it ([`Self::instructions_of_plan`]).
    pub fn ram_and_instructions(&self, widths: &Widths) -> (u64, Option<u64>) {
        match &self.instructions {
            Some(model) if model.depends_on_order() => {
                let ram = self.ram(widths);
                (ram.total, self.instructions_of_plan(&ram.plan, widths).map(|(count, _)| count))
            }
            _ => (self.ram_bytes(widths), self.instructions(widths)),
        }
    }

    /// Whether an inference at `widths` takes at most `limit` instructions (`None` for any number) in the order of its plan. Nothing is
    /// planned where the order makes no difference.
    pub fn instructions_fit(&self, widths: &Widths, limit: Option<u64>) -> bool {
        let (Some(limit), Some(most), Some(fewest)) =
            (limit, self.instructions(widths), self.fewest_instructions(widths))
        else {
            return true;
        };
        if most <= limit || fewest > limit {
            return most <= limit;
        }
        self.ram_and_instructions(widths).1.is_some_and(|count| count <= limit)
    }

    /// Instructions of an inference at `widths` as `plan`, which is that of these widths, computes the network: of all, and
    /// of each node (steps for rows that nothing needs count for a node only). Within 3 % of what is counted on whole
    /// networks (docs/kernels.md). `None` where the core's file says nothing of them.
    pub fn instructions_of_plan(&self, plan: &MemoryPlan, widths: &Widths) -> Option<(u64, Vec<u64>)> {
        let model = self.instructions.as_ref()?;
        let mut in_turns: Vec<bool> = (0..plan.at_once.len())
            .map(|node| self.ram.network.nodes[node].as_ref().is_some_and(|rows| plan.at_once[node] < rows.height()))
            .collect();
        let row_bytes = |tensor: TensorId| {
            let shape = self.network.shape(tensor);
            shape.w * widths.tensors[tensor.0].row_bytes(shape.c)
        };
        let mut total = model.base();
        // Steps of a layer, and moves of what it writes.
        let mut of_steps = vec![0; in_turns.len()];
        for segment in &plan.segments {
            if let PlannedSegment::Chain { chain, .. } = segment {
                total += model.of_chain(chain, row_bytes);
                for member in &chain.members {
                    in_turns[member.node] = true;
                    of_steps[member.node] = model.of_member(chain, member, row_bytes);
                }
            }
        }
        let of_node = |node: usize| model.of_way(self.network, node, widths, in_turns[node]);
        let nodes: Vec<u64> = (0..in_turns.len()).map(of_node).collect();
        total += nodes.iter().sum::<u64>();
        Some((total, nodes.into_iter().zip(of_steps).map(|(node, steps)| node + steps).collect()))
    }

    /// Whether the core's file says how many instructions code takes.
    pub fn counts_instructions(&self) -> bool {
        self.instructions.is_some()
    }

    /// Instructions of node `id` at `widths`; of the widths of weights only its own is read, and where that is left open,
    /// the least over it counts.
    pub fn instructions_of(&self, id: NodeId, widths: &Widths) -> Option<u64> {
        self.instructions.as_ref().map(|model| model.of_node(self.network, id.0, widths))
    }

    /// As [`Self::instructions_of`], in the order in which the node takes the fewest.
    pub fn fewest_instructions_of(&self, id: NodeId, widths: &Widths) -> Option<u64> {
        self.instructions.as_ref().map(|model| model.fewest_of_node(self.network, id.0, widths))
    }

    /// First and last node during which `tensor` is alive, inclusive: from the node that writes it to the last that
    /// reads it; the input from the first node, the output until the last.
    pub fn lifetime(&self, tensor: TensorId) -> (usize, usize) {
        self.ram.network.lifetimes[tensor.0]
    }

    /// How many nodes write or read `tensor`.
    pub fn touching(&self, tensor: TensorId) -> usize {
        self.touching[tensor.0].len()
    }

    /// Bytes of FLASH that every package has whatever its layers.
    pub fn base_code_bytes(&self) -> u64 {
        self.flash.base_code
    }

    /// Bytes of stack that every package has whatever its layers.
    pub fn base_stack_bytes(&self) -> u64 {
        self.ram.stacks.base
    }

    /// What a piece of code that the network may call costs on the core.
    pub fn code(&self, code: Code) -> KernelCost {
        self.kernels.cost(code)
    }
}

/// The stack of packages on `core`, beside that of kernels.
fn stacks_of(core: &CoreCosts) -> Stacks {
    let [between, driver] = core.rolling.map_or([0, 0], |costs| [costs.stack_bytes, costs.driver_stack_bytes]);
    Stacks { base: core.base_stack_bytes, between, driver }
}

/// A node that writes a tensor or reads it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Touch {
    pub(super) node: usize,
    /// How often it is among the node's inputs; 0 where the node writes it.
    pub(super) reads: usize,
}

fn touching(network: &Network) -> Vec<Vec<Touch>> {
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
    touching
}

/// FLASH of `network` at `widths` on a core; [`MemoryModel`] where many widths are counted.
pub fn flash(network: &Network, widths: &Widths, core: &CoreCosts) -> FlashUse {
    MemoryModel::of(network, core).flash(widths)
}

/// RAM of `network` at `widths` on a core; [`MemoryModel`] where many widths are counted.
pub fn ram(network: &Network, widths: &Widths, core: &CoreCosts) -> RamUse {
    MemoryModel::of(network, core).ram(widths)
}
