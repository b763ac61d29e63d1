//! Integer networks: what a quantized model becomes before C is written, and the arithmetic that everything else is
//! compared with.
//!
//! ```
//! # use bitesize_ir::{network::Tensor, *};
//! # let shape = Shape::vector(4);
//! # let tensor = |name: &str| Tensor { name: name.into(), shape };
//! # let network = Network {
//! #     name: "example".into(),
//! #     tensors: vec![tensor("in"), tensor("out")],
//! #     nodes: vec![Node {
//! #         name: "relu".into(),
//! #         op: Op::Clamp(op::Clamp::RELU),
//! #         inputs: vec![TensorId(0)],
//! #         output: TensorId(1),
//! #     }],
//! #     input: TensorId(0),
//! #     output: TensorId(1),
//! #     input_encoding: InputEncoding::Real,
//! #     tail: None,
//! # };
//! # let policy = Policy::uniform(&PolicySpace::of(&network), BitWidth::B8, BitWidth::B8);
//! # let activation = ActivationQuant::from_range(-1.0, 1.0, BitWidth::B8);
//! # let model = QuantizedModel { network: network.into(), policy, activations: vec![activation; 2], output_channels: None, weights: vec![None], equalized: Vec::new() };
//! let network = bitesize_integer::lower(&model)?;
//! println!("{network}");
//! let interpreter = bitesize_integer::Interpreter::new(&network);
//! let output = interpreter.run(&[0, 100, 200, 255]);
//! assert_eq!(output, [128, 128, 200, 255]);
//! assert_eq!(bitesize_integer::top1(&output), 3);
//! # Ok::<(), bitesize_integer::LowerError>(())
//! ```
//!
//! The numbers follow `docs/numerics.md`. In reading order:
//!
//! - [`network`]: [`IntNetwork`], a network of integers with its text form; nothing in it is a float.
//! - [`validate`]: the rules of a legal one.
//! - [`mod@lower`]: from [`bitesize_ir::QuantizedModel`] to it, with the [`LayerCache`] of a search; the only module that
//!   sees floats.
//! - [`packing`]: the packed bytes of activations and weights.
//! - [`interpreter`]: the golden interpreter, its operators in [`operators`].
//! - [`engine`]: the fast engine, which gives the interpreter's bytes with vector instructions.
//! - [`arena`]: the interpreter in an arena, which proves memory plans.
// Only the kernels of vector instructions allow it, each in a module of its own.
#![deny(unsafe_code)]

pub mod arena;
pub mod engine;
pub mod interpreter;
mod lanes;
pub mod lower;
pub mod network;
pub mod operators;
pub mod packing;
mod text;
pub mod validate;

pub use engine::Engine;
pub use interpreter::{Interpreter, top1};
pub use lower::{LayerCache, LowerError, lower, lower_with};
pub use network::{IntNetwork, IntNode, IntOp, IntTensor, IntWeights, OutputChannel, Rescale};
pub use validate::InvalidIntNetwork;
