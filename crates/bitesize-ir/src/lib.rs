//! What a network, a policy and a target *are*, and how many bytes they take.
//!
//! Every other crate speaks in the types of this one. It reads no files, knows no ONNX, trains nothing and emits
//! no C. In reading order:
//!
//! - [`shape`], [`op`], [`network`]: the float network: NHWC activations, OHWI weights, one input, one output.
//!   [`output_shape`]: the shapes that operators compute. [`BatchNorm`]: what training has beside it.
//! - [`rewrite`]: named rewrites in one visible list that bring an imported network into the form that is quantized.
//! - [`policy`]: which widths a network has to be given, and a choice of them (`policy.toml`).
//! - [`mod@reference`]: the slow, obvious way to run a float network.
//! - [`grid`]: the quantization grids: levels, rounding, clamping. [`requantize`]: from scales to integers.
//! - [`quantized`]: a network with its policy, activation scales and integer weights.
//! - [`target`]: a board and what the kernels cost on its core. [`memory`]: the only place that counts bytes.
//! - [`shown`]: how names and other texts from outside reach a terminal, a report and C.
#![forbid(unsafe_code)]

mod batch_norm;
pub mod code;
pub mod grid;
mod kernel_kind;
pub mod memory;
pub mod network;
pub mod op;
pub mod output_shape;
pub mod policy;
pub mod quantized;
pub mod reference;
pub mod requantize;
pub mod rewrite;
pub mod shape;
pub mod shown;
pub mod size;
mod tail;
pub mod target;
pub mod work_names;

pub use batch_norm::BatchNorm;
pub use grid::BitWidth;
pub use network::{InputEncoding, Network, Node, NodeId, Tensor, TensorId};
pub use op::Op;
pub use policy::{Policy, PolicyRow, PolicySpace};
pub use quantized::{ActivationQuant, Encodings, QuantizedModel, WeightQuant};
pub use shape::{Axis, Shape};
pub use tail::Tail;
