//! Everything that is counted, in one place to ask.

use super::flash::{FlashModel, FlashUse};
use super::instructions::InstructionModel;
use super::kernel_costs::{KernelTable, node_code};
use super::ram::{RamModel, RamUse, peak};
use super::widths::Widths;
use crate::code::{Code, Implementation};
use crate::grid::BitWidth;
use crate::network::{Network, NodeId, TensorId};
use crate::target::{CoreCosts, KernelCost};

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
    /// `None` where the core's file says nothing of instructions.
    instructions: Option<InstructionModel>,
}

impl<'a> MemoryModel<'a> {
    /// The model of `network` (rewritten) on `core`.
    pub fn of(network: &'a Network, core: &CoreCosts) -> Self {
        let of_node = |node| Implementation::of(network, node, core.has_rows());
        let implementations: Vec<Implementation> = network.nodes.iter().map(of_node).collect();
        Self {
            network,
            flash: FlashModel::of(network, core, &implementations),
            ram: RamModel::of(network, core, &implementations),
            kernels: KernelTable::of(core),
            instructions: core
                .instructions
                .as_ref()
                .map(|costs| InstructionModel::of(network, &implementations, costs)),
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

    /// Bytes of scratch that node `id` needs where its first input has `bits`.
    pub fn scratch_bytes(&self, id: NodeId, bits: BitWidth) -> usize {
        self.ram.scratch_bytes(id.0, bits)
    }

    /// FLASH at `widths`, and how it splits.
    pub fn flash(&self, widths: &Widths) -> FlashUse {
        self.flash.count(widths, self.called(widths), &self.kernels)
    }

    /// RAM at `widths`, how it splits, and where everything lies.
    pub fn ram(&self, widths: &Widths) -> RamUse {
        self.ram.count(self.network, widths, &self.implementations, self.stack_bytes(widths))
    }

    /// `flash(widths).total`, faster.
    pub fn flash_bytes(&self, widths: &Widths) -> u64 {
        self.flash.total(widths, self.called(widths), &self.kernels)
    }

    /// `ram(widths).total`, faster.
    pub fn ram_bytes(&self, widths: &Widths) -> u64 {
        self.ram.plan(self.network, widths).arena_bytes as u64 + self.stack_bytes(widths)
    }

    /// Bytes that have to lie in the arena during each node: its inputs, output, scratch, and what waits for later
    /// nodes. The largest is a lower bound of the arena, and nearly always the arena.
    pub fn alive_bytes(&self, widths: &Widths) -> Vec<usize> {
        self.ram.alive(self.network, widths)
    }

    /// The first node during which the most bytes are alive at `widths`, and how many; `None` where there is no node.
    pub fn peak(&self, widths: &Widths) -> Option<(NodeId, usize)> {
        peak(&self.alive_bytes(widths))
    }

    /// Whether arena and stack take at most `limit` bytes at `widths` (`None` for any number): as [`Self::ram_bytes`] says,
    /// but nothing is planned where the bytes alive already pass it, and planning ends where a plan keeps it.
    pub fn ram_fits(&self, widths: &Widths, limit: Option<u64>) -> bool {
        let most = self.alive_bytes(widths).into_iter().max().unwrap_or(0);
        self.ram.fits(self.network, widths, self.stack_bytes(widths), limit, most).0
    }

    /// Tensors that are alive during node `step`, by id.
    pub fn alive_at(&self, step: NodeId) -> impl Iterator<Item = TensorId> + use<> {
        self.ram.alive_at(step)
    }

    /// Bytes of each tensor at the width of those that `allowed` gives it at which it takes the least, with the scratch of
    /// the nodes that read it first: [`Self::alive_bytes`] at no such widths is smaller anywhere.
    pub fn least_alive_bytes<W: Iterator<Item = BitWidth>>(&self, allowed: impl Fn(TensorId) -> W) -> Vec<usize> {
        self.ram.least_alive(self.network, allowed)
    }

    /// Bytes alive during node `step` at `widths`, as [`Self::alive_bytes`] has them.
    pub fn alive_bytes_at(&self, step: NodeId, widths: &Widths) -> usize {
        self.alive_at(step).map(|tensor| self.bytes_at(step, tensor, widths.tensors[tensor.0])).sum()
    }

    /// What `tensor`, alive during node `step`, adds to the bytes alive there if it has `bits`: its own, and where the
    /// node reads it first, the scratch that this width asks for.
    pub fn bytes_at(&self, step: NodeId, tensor: TensorId, bits: BitWidth) -> usize {
        let node = self.network.node(step);
        let scratch = if node.inputs[0] == tensor { self.scratch_bytes(step, bits) } else { 0 };
        self.ram.tensor_bytes(tensor, bits) + scratch
    }

    /// Bytes of stack at `widths`.
    pub fn stack_bytes(&self, widths: &Widths) -> u64 {
        self.ram.stack(self.called(widths), &self.kernels)
    }

    /// Instructions of an inference at `widths`: the sum of [`Self::instructions_of`] and what the entry takes. `None` where
    /// the core's file says nothing of them. Within 3 % of what is counted on whole networks (docs/kernels.md).
    pub fn instructions(&self, widths: &Widths) -> Option<u64> {
        self.instructions.as_ref().map(|model| model.total(self.network, widths))
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

    /// First and last node during which `tensor` is alive, inclusive: from the node that writes it to the last that
    /// reads it; the input from the first node, the output until the last.
    pub fn lifetime(&self, tensor: TensorId) -> (usize, usize) {
        self.ram.lifetime(tensor)
    }

    /// How many nodes write or read `tensor`.
    pub fn touching(&self, tensor: TensorId) -> usize {
        self.ram.touching(tensor).len()
    }

    /// Bytes of FLASH that every package has whatever its layers.
    pub fn base_code_bytes(&self) -> u64 {
        self.flash.base_code
    }

    /// Bytes of stack that every package has whatever its layers.
    pub fn base_stack_bytes(&self) -> u64 {
        self.ram.base_stack
    }

    /// What a piece of code that the network may call costs on the core.
    pub fn code(&self, code: Code) -> KernelCost {
        self.kernels.cost(code)
    }
}

/// FLASH of `network` at `widths` on a core; [`MemoryModel`] where many widths are counted.
pub fn flash(network: &Network, widths: &Widths, core: &CoreCosts) -> FlashUse {
    MemoryModel::of(network, core).flash(widths)
}

/// RAM of `network` at `widths` on a core; [`MemoryModel`] where many widths are counted.
pub fn ram(network: &Network, widths: &Widths, core: &CoreCosts) -> RamUse {
    MemoryModel::of(network, core).ram(widths)
}
