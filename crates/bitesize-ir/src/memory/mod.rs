//! The memory model: how many bytes of FLASH and RAM a network takes at given widths, and how many instructions. The only
//! place that counts.
//!
//! FLASH = packed weights + quantization constants + code; RAM = arena (packed tensors and kernel scratch, placed by
//! the planner) + stack. The same numbers are the search's budget, the report's figures and the emitted arena.

mod account;
mod flash;
mod instructions;
mod intervals;
mod kernel_costs;
mod layer_shape;
mod lifetimes;
mod load;
mod model;
mod picture;
mod planner;
mod ram;
mod rolling;
mod rows;
mod scratch;
mod tensor_bytes;
mod timeline;
mod widths;
mod word;
mod work;

pub use account::Account;
pub use flash::{FlashLayer, FlashUse, packed_weight_bytes, padding_array_bytes, quantization_bytes};
pub use layer_shape::{CallWidths, LayerShape};
pub use lifetimes::{last_uses, lifetimes};
pub use model::{MemoryModel, flash, ram};
pub use planner::{Buffer, Placement, Plan, plan};
pub use ram::{MemoryPlan, Moment, PlannedSegment, RamUse, plan_rows};
pub use rows::{
    Band, Chain, ChainRun, ChainStep, InputRows, Member, RowNetwork, RowNode, STATE_BYTES, Schedule, Scheduling,
    Segment, chain_gap, layer_gap,
};
pub use scratch::{COLUMNS, LANES, scratch_of_layer};
pub use tensor_bytes::tensor_bytes;
pub use widths::Widths;
pub use word::word;
pub use work::work;
