//! The memory model: how many bytes of FLASH and RAM a network takes at given widths. The only place that counts.
//!
//! FLASH = packed weights + quantization constants + code; RAM = arena (packed tensors and kernel scratch, placed by
//! the planner) + stack. The same numbers are the search's budget, the report's figures and the emitted arena.

mod flash;
mod planner;
mod ram;

pub use flash::{
    FlashLayer, FlashUse, average_pool_counts, flash, kernel_keys, packed_weight_bytes, quantization_bytes,
    reads_pixels,
};
pub use planner::{Buffer, Placement, Plan, plan};
pub use ram::{MemoryPlan, RamUse, ram, scratch_bytes, tensor_bytes};

use crate::grid::BitWidth;
use crate::network::Network;
use crate::policy::{Policy, PolicySpace};

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

/// `bytes` rounded up to a word of 4.
pub fn word(bytes: usize) -> usize {
    bytes.next_multiple_of(4)
}
