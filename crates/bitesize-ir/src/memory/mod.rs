//! The memory model: how many bytes of FLASH and RAM a network takes at given widths. The only place that counts.
//!
//! FLASH = packed weights + quantization constants + code; RAM = arena (packed tensors and kernel scratch, placed by
//! the planner) + stack. The same numbers are the search's budget, the report's figures and the emitted arena.

mod flash;
mod kernels;
mod picture;
mod planner;
mod ram;

pub use flash::{FlashLayer, FlashUse, average_pool_counts, packed_weight_bytes, quantization_bytes, reads_pixels};
pub use kernels::kernel_keys;
pub use planner::{Buffer, Placement, Plan, plan};
pub use ram::{MemoryPlan, RamUse, scratch_bytes, tensor_bytes};

use crate::grid::BitWidth;
use crate::network::{Network, TensorId};
use crate::policy::{Policy, PolicySpace};
use crate::target::{CoreCosts, KernelCost, KernelKey};
use flash::FlashModel;
use kernels::KernelTable;
use ram::RamModel;

/// A rewritten network with a width for every tensor and every weight: what the memory model counts.
#[derive(Clone, Debug)]
pub struct Widths {
    /// One for each tensor.
    pub tensors: Vec<BitWidth>,
    /// One for each node, `None` where it has no weights.
    pub weights: Vec<Option<BitWidth>>,
}

impl Widths {
    /// The widths that `policy` gives to `network`.
    pub fn of(network: &Network, space: &PolicySpace, policy: &Policy) -> Self {
        let mut weights = vec![None; network.nodes.len()];
        for (row, choice) in space.rows.iter().zip(&policy.rows) {
            weights[row.node.0] = choice.weights;
        }
        Self { tensors: policy.tensor_bits(network, space), weights }
    }
}

/// The memory model of one network on one core: what does not depend on the widths is worked out once, so that a
/// policy is counted in microseconds.
#[derive(Clone, Debug)]
pub struct MemoryModel<'a> {
    network: &'a Network,
    flash: FlashModel,
    ram: RamModel,
    kernels: KernelTable,
}

impl<'a> MemoryModel<'a> {
    /// The model of `network` (rewritten) on `core`.
    pub fn of(network: &'a Network, core: &CoreCosts) -> Self {
        Self {
            network,
            flash: FlashModel::of(network, core),
            ram: RamModel::of(network, core),
            kernels: KernelTable::of(core),
        }
    }

    /// FLASH at `widths`, and how it splits.
    pub fn flash(&self, widths: &Widths) -> FlashUse {
        self.flash.count(self.network, widths, &self.kernels)
    }

    /// RAM at `widths`, how it splits, and where everything lies.
    pub fn ram(&self, widths: &Widths) -> RamUse {
        self.ram.count(self.network, widths, &self.kernels)
    }

    /// `flash(widths).total`, faster.
    pub fn flash_bytes(&self, widths: &Widths) -> u64 {
        self.flash.total(self.network, widths, &self.kernels)
    }

    /// `ram(widths).total`, faster.
    pub fn ram_bytes(&self, widths: &Widths) -> u64 {
        self.ram.total(self.network, widths, &self.kernels)
    }

    /// Bytes that have to lie in the arena during each node: its inputs, output, scratch, and what waits for later
    /// nodes. The largest is a lower bound of the arena, and nearly always the arena.
    pub fn alive_bytes(&self, widths: &Widths) -> Vec<usize> {
        self.ram.alive(self.network, widths)
    }

    /// Bytes of stack at `widths`.
    pub fn stack_bytes(&self, widths: &Widths) -> u64 {
        self.ram.stack(self.network, widths, &self.kernels)
    }

    /// First and last node during which `tensor` is alive, inclusive: from the node that writes it to the last that
    /// reads it; the input from the first node, the output until the last.
    pub fn lifetime(&self, tensor: TensorId) -> (usize, usize) {
        self.ram.lifetime(tensor)
    }

    /// Bytes of FLASH that every package has whatever its layers.
    pub fn base_code_bytes(&self) -> u64 {
        self.flash.base_code
    }

    /// Bytes of stack that every package has whatever its layers.
    pub fn base_stack_bytes(&self) -> u64 {
        self.ram.base_stack
    }

    /// What the kernel costs on the core.
    pub fn kernel(&self, key: KernelKey) -> KernelCost {
        self.kernels.cost(key)
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

/// `bytes` rounded up to a word of 4.
pub fn word(bytes: usize) -> usize {
    bytes.next_multiple_of(4)
}
