//! An integer network in an arena, as a memory plan says: the proof that the plan keeps everything until it was read.
//!
//! [`Placed`] does what the emitted C does, step by step, with the golden interpreter's arithmetic, and knows of each
//! byte what it holds. A row that was read for the last time becomes garbage, and so does everything else that nobody
//! is to read; what is read has to be there, and what is written must not lie where something is that is still
//! needed. It is slow, and for tests.
//!
//! - `violation`: what a plan can do wrong.
//! - `memory`: bytes, and what holds them.
//! - `order`: what of a layer is read and written together.
//! - `check`: whether a plan is one of the network at all.
//! - `placed`: the network's run.

mod check;
mod memory;
mod order;
mod placed;
mod violation;

pub use placed::Placed;
pub use violation::{Piece, Problem, Violation};
