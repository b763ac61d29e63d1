//! The integer network: its types, lowering, packing, and the golden interpreter.
//!
//! - [`network`]: [`IntNetwork`], a checked network of integers; nothing in it is a float.
#![forbid(unsafe_code)]

pub mod network;

pub use network::{IntNetwork, IntNode, IntOp, IntTensor, IntWeights, Rescale};
