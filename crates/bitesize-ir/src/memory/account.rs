//! Bytes under change: a policy's FLASH and RAM, kept up to date width by width.

use super::kernel_costs::KernelTally;
use super::load::Load;
use super::model::MemoryModel;
use super::planner::Plan;
use super::ram::Touch;
use super::widths::Widths;
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
    load: Load,
}

impl<'m> Account<'m> {
    /// Of `widths` in `model`.
    pub fn of(model: &'m MemoryModel<'m>, widths: Widths) -> Self {
        let network = model.network;
        let mut load = Load::new(network.nodes.len());
        for (tensor, bits) in (0..network.tensors.len()).map(TensorId).zip(&widths.tensors) {
            load.change(model.lifetime(tensor), 0, model.ram.tensor_bytes(tensor, *bits));
        }
        for (id, node) in network.iter() {
            load.change((id.0, id.0), 0, model.scratch_bytes(id, widths.tensors[node.inputs[0].0]));
        }
        let layers = model.flash.layers_bytes(&widths);
        let mut account = Self { model, widths, layers, kernels: KernelTally::default(), load };
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
        let own = |bits| model.ram.tensor_bytes(tensor, bits);
        self.load.change(model.lifetime(tensor), own(before), own(bits));
        for &Touch { node, reads } in model.ram.touching(tensor) {
            let reader = &network.nodes[node];
            if reads > 0 && reader.inputs[0] == tensor {
                let scratch = |bits| model.scratch_bytes(NodeId(node), bits);
                self.load.change((node, node), scratch(before), scratch(bits));
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

    /// Bytes of stack, as [`MemoryModel::stack_bytes`] counts them.
    pub fn stack_bytes(&self) -> u64 {
        self.model.ram.base_stack + self.kernels.deepest_stack(&self.model.kernels)
    }

    /// Bytes alive during node `step`, as [`MemoryModel::alive_bytes_at`] counts them.
    pub fn alive_bytes_at(&self, step: NodeId) -> usize {
        self.load.at(step.0)
    }

    /// The most bytes that are alive during a node: the arena is at least as large, and nearly always as large.
    pub fn arena_lower_bound(&self) -> usize {
        self.load.most()
    }

    /// The first node during which the most bytes are alive; `None` where there is no node.
    pub fn peak(&self) -> Option<NodeId> {
        self.load.peak().map(NodeId)
    }

    /// The arena, as the planner places it at these widths.
    pub fn plan(&self) -> Plan {
        self.model.ram.plan(self.model.network, &self.widths)
    }

    /// Whether arena and stack take at most `limit` bytes (`None` for any number), and the visits that planning took
    /// ([`Plan::visits`]); plans only where the bound leaves it open.
    pub fn ram_fits(&self, limit: Option<u64>) -> (bool, usize) {
        self.model.ram.fits(self.model.network, &self.widths, self.stack_bytes(), limit, self.arena_lower_bound())
    }
}
