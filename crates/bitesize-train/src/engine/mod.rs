//! Gradients of a network or of some of its nodes, in float and as the integer network computes: for reconstruction and
//! training.
//!
//! An [`Engine`] runs a segment of nodes forwards and backwards. It is given effective weights, biases and encodings
//! ([`Parameters`]), what the segment reads ([`Boundary`]) and a loss on what it writes, and gives [`Gradients`] by real
//! weights, biases, activation scales and, where asked, by what the segment reads. How parameters became levels, and what that
//! makes of their gradients, is the matter of the quantizers on top ([`LearnedScales`], [`SoftRounding`]); how they move is
//! that of the optimizers ([`Sgd`], [`Adam`]).
//!
//! Operators are a closed set, so there is no tape: one sweep over the nodes in order, one in reverse, a backward kernel beside
//! each forward one. A node's output is kept as its sums; whoever reads it makes the codes anew, which costs less than to keep
//! both. A batch is cut into lanes by its size and the network's, never by the machine, each lane takes its images through
//! the whole segment and back a few at a time, and the lanes' gradients are added in order: results do not depend on the number
//! of threads, and memory not on the batch.
//!
//! In reading order: `parameters`, `boundary`, `segment`, `layer_constants`, `prepared`, `kernels`, `pass` (forward), `backward`,
//! `run`; then `losses`, `learned_scales`, `soft_rounding`, `optimizers`.

mod backward;
mod boundary;
mod drop;
mod gradients;
pub(crate) mod kernels;
mod lane;
mod layer_constants;
mod learned_scales;
mod losses;
mod optimizers;
mod parameters;
mod pass;
mod prepared;
mod run;
mod segment;
mod soft_rounding;

pub use boundary::Boundary;
pub use drop::Drop;
pub use gradients::{Gradients, LayerGradients};
pub(crate) use lane::Pool;
pub use learned_scales::LearnedScales;
pub use losses::{binary_divergence, cross_entropy, distillation, square_error};
pub(crate) use optimizers::warmed_cosine;
pub use optimizers::{Adam, Sgd, cosine_rate};
pub use parameters::{Encoding, LayerParameters, Parameters};
pub use run::{Batch, Engine, Loss, Step};
pub use soft_rounding::SoftRounding;
