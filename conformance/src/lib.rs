//! One set of cases for everything that computes an integer network.
//!
//! [`cases()`] makes them: tiny networks with random numbers from fixed seeds, every operator at every combination of
//! widths, odd geometries, numbers at the ends of what the arithmetic takes, and small networks of several layers. A case
//! holds the quantized model, the integer network lowered from it and inputs. The runners are tests:
//!
//! - the golden interpreter against [`mod@reference`], a second reading of `docs/numerics.md` as loops over indices;
//! - the fast engine against the interpreter ([`engine`]), also on emulated AArch64 and on random layers and networks
//!   ([`random_layer`], [`random_network`], of parts from [`draw`]);
//! - the fake-quantized model against the reference: at most one code off, next to a tie;
//! - lowering against real arithmetic ([`real`]);
//! - the emitted C, on the host and on emulated Cortex-M, against the interpreter ([`batch`] puts all cases into one
//!   program).
//!
//! `house_rules` (a test) checks what concerns the workspace as a whole; `onnx/` holds networks for the importer.
#![forbid(unsafe_code)]

pub mod batch;
pub mod builder;
pub mod cases;
pub mod draw;
pub mod engine;
pub mod plan;
mod random_layers;
mod random_networks;
pub mod real;
pub mod reference;
mod shared;

pub use cases::{Case, cases};
pub use random_layers::random_layer;
pub use random_networks::random_network;
pub use shared::shared;
