//! Rows: in which order they are computed, where they live, and when they die.
//!
//! A layer computes its output row by row from rows of its inputs ([`RowNode`]). Layer by layer is one order; in a
//! [`Chain`] layers take turns, so that of the tensors between them only the rows stay that are still needed.

mod chain;
mod choose;
mod node;
mod overlap;
mod schedule;

pub use chain::{Band, Chain, ChainRun, ChainStep, Member, STATE_BYTES};
pub(super) use choose::Rolled;
pub use node::{RowNetwork, RowNode};
pub(super) use overlap::{Overlap, Pair, of_chain, of_layer};
pub use overlap::{chain_gap, layer_gap};
pub use schedule::{InputRows, Schedule, Scheduling, Segment};
