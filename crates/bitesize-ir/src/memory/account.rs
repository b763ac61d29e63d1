//! Bytes under change: a policy's FLASH and RAM, kept up to date width by width.

use super::kernel_costs::KernelTally;
use super::load::Load;
use super::model::{MemoryModel, Touch};
use super::planner::Plan;
use super::ram::Moment;
use super::timeline::Timeline;
use super::widths::Widths;
use super::word::word;
use crate::code::{Code, Implementation};
use crate::grid::BitWidth;
use crate::network::{NodeId, TensorId};
use crate::op::{KernelKind, Op};

/// What [`MemoryModel`] counts at some widths, where one of them changes at a time: a change takes time by the nodes that
/// the tensor touches and the logarithm of the steps, where counting anew takes it by the network.
///
/// The weights of a node without a width for them (`None`) are left out, and the code that depends on it: who chooses such
/// widths by other means adds what they take.
#[derive(Clone, Debug)]
pub struct Account<'m> {
    model: &'m MemoryModel<'m>,
    widths: Widths,
    /// FLASH of the layers, kernels not counted.
    layers: u64,
    kernels: KernelTally,
    /// One for each timeline.
    loads: Vec<Load>,
}

impl<'m> Account<'m> {
    /// Of `widths` in `model`.
    pub fn of(model: &'m MemoryModel<'m>, widths: Widths) -> Self {
        let network = model.network;
        let of_timeline = |timeline: &Timeline| {
            let mut load = Load::new(timeline.moments());
            for (pieces, bits) in timeline.pieces.iter().zip(&widths.tensors) {
                for piece in pieces {
                    load.change((piece.first, piece.last), 0, piece.bytes[bits.index()]);
                }
            }
            for moment in 0..timeline.moments() {
                let scratch = |node| model.ram.scratch_of(node, &widths.tensors);
                let fixed = timeline.fixed[moment] + timeline.alone_at(moment).map_or(0, scratch);
                load.change((moment, moment), 0, fixed);
            }
            load
        };
        let loads = model.ram.timelines.iter().map(of_timeline).collect();
        let layers = model.flash.layers_bytes(&widths);
        let mut account = Self { model, widths, layers, kernels: KernelTally::default(), loads };
        (0..network.nodes.len()).for_each(|node| account.call(node, true));
        account
    }

    /// The widths now.
    pub fn widths(&self) -> &Widths {
        &self.widths
    }

    /// Gives `tensor` the width `bits`. What passes its encoding on is not changed with it.
    pub fn set_tensor(&mut self, tensor: TensorId, bits: BitWidth) {
        let before = std::mem::replace(&mut self.widths.tensors[tensor.0], bits);
        if before == bits {
            return;
        }
        let (model, network) = (self.model, self.model.network);
        for (timeline, load) in model.ram.timelines.iter().zip(&mut self.loads) {
            for piece in &timeline.pieces[tensor.0] {
                let own = |bits: BitWidth| piece.bytes[bits.index()];
                load.change((piece.first, piece.last), own(before), own(bits));
            }
        }
        for &Touch { node, reads } in &model.touching[tensor.0] {
            let reader = &network.nodes[node];
            if reads > 0 && reader.inputs[0] == tensor {
                let scratch = |bits| model.scratch_bytes(NodeId(node), bits);
                for (timeline, load) in model.ram.timelines.iter().zip(&mut self.loads) {
                    let moments = timeline.moments_of(NodeId(node));
                    if timeline.alone_at(moments.start).is_some() {
                        load.change((moments.start, moments.end - 1), scratch(before), scratch(bits));
                    }
                }
            }
            for (width, counted) in [(before, false), (bits, true)] {
                self.widths.tensors[tensor.0] = width;
                // A concatenation calls a kernel for each input: the others' stay.
                match reader.op {
                    Op::Concat if reads > 0 => self.call_for_inputs(node, width, reads, counted),
                    _ => self.call(node, counted),
                }
            }
        }
    }

    /// Gives the weights of `node` the width `bits`, or leaves them out.
    pub fn set_weights(&mut self, node: NodeId, bits: Option<BitWidth>) {
        let bytes = |account: &Self| account.model.flash.packed_bytes(node, &account.widths);
        self.layers -= bytes(self);
        self.call(node.0, false);
        self.widths.weights[node.0] = bits;
        self.call(node.0, true);
        self.layers += bytes(self);
    }

    /// Counts the kernels that `node` calls, or counts them no longer.
    fn call(&mut self, node: usize, counted: bool) {
        for code in self.model.code_of(NodeId(node), &self.widths) {
            self.kernels.call(code, counted);
        }
    }

    /// Counts what `node`, a concatenation, calls for `reads` inputs of width `bits`.
    fn call_for_inputs(&mut self, node: usize, bits: BitWidth, reads: usize, counted: bool) {
        let output = self.widths.tensors[self.model.network.nodes[node].output.0];
        let inputs = std::iter::repeat_n(bits, reads);
        for code in Code::of_calls(Implementation::Whole, KernelKind::Concat, inputs, None, output) {
            self.kernels.call(code, counted);
        }
    }

    /// Bytes of FLASH, as [`MemoryModel::flash_bytes`] counts them.
    pub fn flash_bytes(&self) -> u64 {
        self.model.flash.base_code + self.layers + self.kernels.code_bytes(&self.model.kernels)
    }

    /// As [`MemoryModel::deepest_stack_bytes`].
    pub fn deepest_stack_bytes(&self) -> u64 {
        self.model.base_stack_bytes() + self.kernels.deepest_stack(&self.model.kernels)
    }

    /// Bytes of stack that a timeline whose layers take turns has more than others, where entry point and kernels have
    /// `deepest`.
    pub fn rolling_stack_bytes(&self, deepest: u64) -> u64 {
        self.model.ram.stacks.of(true, deepest) - deepest
    }

    /// The first moment of node `id` in timeline `timeline` at which the most bytes are alive, and how many.
    pub fn alive_bytes_during(&self, timeline: usize, id: NodeId) -> (Moment, usize) {
        let moments = self.model.ram.timelines[timeline].moments_of(id);
        let most = moments.rev().max_by_key(|at| self.loads[timeline].at(*at)).expect("a node has a moment");
        (Moment { timeline, at: most }, word(self.loads[timeline].at(most)))
    }

    /// The most bytes that are alive at a moment, and the stack where entry point and kernels have `deepest`, in the
    /// timeline in which these are the fewest: RAM is at least as large, and nearly always as large.
    pub fn ram_lower_bound(&self, deepest: u64) -> u64 {
        (0..self.loads.len()).map(|timeline| self.least_ram(timeline, deepest)).min().unwrap_or(0)
    }

    fn least_ram(&self, timeline: usize, deepest: u64) -> u64 {
        word(self.loads[timeline].most()) as u64 + self.model.stack_bytes(timeline, deepest)
    }

    /// As [`MemoryModel::peak`] has it; `None` where there is no node.
    pub fn peak(&self) -> Option<Moment> {
        let deepest = self.deepest_stack_bytes();
        let timeline = (0..self.loads.len()).min_by_key(|timeline| self.least_ram(*timeline, deepest))?;
        let at = self.loads[timeline].peak().filter(|_| !self.model.network.nodes.is_empty())?;
        Some(Moment { timeline, at })
    }

    /// RAM at these widths, where entry point and kernels have `deepest` bytes of stack, and the plan, with the visits
    /// of all.
    pub fn plan(&self, deepest: u64) -> (u64, Plan) {
        self.model.ram.plan(&self.widths.tensors, deepest)
    }

    /// Whether arena and stack take at most `limit` bytes (`None` for any number), and the visits that planning took
    /// ([`Plan::visits`]); plans only where the bound leaves it open.
    pub fn ram_fits(&self, limit: Option<u64>) -> (bool, usize) {
        let most: Vec<usize> = self.loads.iter().map(|load| word(load.most())).collect();
        self.model.ram.fits(&self.widths.tensors, self.deepest_stack_bytes(), limit, &most)
    }
}
