//! Float and fake-quantized maths: float accuracy, calibration of activation ranges, post-training quantization, gradients.
//!
//! A rewritten [`Network`](bitesize_ir::Network) and some unlabelled images become a
//! [`QuantizedModel`](bitesize_ir::QuantizedModel) for any policy:
//!
//! ```
//! use bitesize_ir::{BitWidth, Network, Policy, PolicySpace, QuantizedModel};
//! use bitesize_train::{CalibrationSettings, PrepareRequest, Ptq, PtqSettings, Samples, TrainError, calibrate};
//! use std::ops::ControlFlow;
//!
//! fn quantize(network: &Network, pixels: &[u8]) -> Result<QuantizedModel, TrainError> {
//!     let samples = Samples::pixels(network.shape(network.input), pixels);
//!     let mut progress = |_done, _total| ControlFlow::Continue(());
//!     let calibration = calibrate(network, &samples, &CalibrationSettings::default(), &mut progress)?;
//!     let everything = PrepareRequest::everything(network, PtqSettings::default());
//!     let ptq = Ptq::prepare(network, &samples, calibration, everything, &mut progress)?;
//!     let policy = Policy::uniform(&PolicySpace::of(network), BitWidth::B4, BitWidth::B8);
//!     ptq.quantize_sequential(&policy, &samples, &mut progress)
//! }
//! ```
//!
//! During a search, [`Ptq::quantize_fast`] assembles a model from layers that were quantized under the float network's
//! activations, once for each width that [`PrepareRequest`] wants; what one run prepared can be given to a later one.
//! The final model comes from [`Ptq::quantize_sequential`], which quantizes layer after layer and lets each see what the
//! quantized layers before it really hand on.
//!
//! Everything is computed on the CPU, on chunks of images whose size depends on the network alone; results do not
//! depend on the number of threads. Matrix products and decompositions are `faer`'s. No labels are used, but for the losses
//! of the engine that ask for them.
//!
//! In reading order: [`Samples`], [`FloatModel`], [`calibrate`], [`Ptq`], [`fake_quant_forward`]; then
//! [`engine`], which computes gradients, and what learns by them: [`Reconstruction`] from unlabelled samples, [`Tuner`] from labels and the
//! float network's answers, [`Scratch`] a float network from its first weights.
#![forbid(unsafe_code)]

mod calibrate;
pub mod engine;
mod equalization;
mod equalize;
mod fake_quant;
mod float;
mod forward;
mod learner;
mod objective;
mod operators;
mod ptq;
mod reconstruct;
mod samples;
mod scratch;
mod tune;

pub use calibrate::{Calibration, CalibrationSettings, LeftOut, RangeMethod, TensorRange, calibrate};
pub use equalization::{Equalization, EqualizedGroup};
pub use equalize::equalize;
pub use fake_quant::{FakeQuantModel, fake_quant_forward};
pub use float::FloatModel;
pub use learner::{Freezing, Optimizer, Rates};
pub use objective::Objective;
pub use ptq::{PrepareRequest, PreparedLayer, Ptq, PtqSettings, Rounding, Variant, quantize_nearest};
pub use reconstruct::{ReconstructSettings, ReconstructState, Reconstruction, UnitOutcome};
pub use samples::{SampleValues, Samples, accuracy, top1};
pub use scratch::{Scratch, ScratchEpoch, ScratchSettings};
pub use tune::{
    Augmentation, Distillation, Epoch, LabelLoss, Loaded, LoadedValues, Source, Targets, TuneSettings, TuneState, Tuner,
};

use bitesize_ir::BitWidth;
use bitesize_ir::requantize::Unrepresentable;
use std::ops::ControlFlow;

/// Told how many of how many steps are done; answers whether to go on.
pub type Progress<'a> = &'a mut dyn FnMut(usize, usize) -> ControlFlow<()>;

/// Why calibration, quantization or a forward pass gave no result.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum TrainError {
    /// The images are not what the network takes.
    #[error("the images do not suit the network's input `{input}`: {problem}")]
    Samples {
        /// The input tensor.
        input: String,
        /// What differs.
        problem: String,
    },
    /// There are no images to calibrate with.
    #[error("calibration needs at least one image, there is none")]
    NoSamples,
    /// A float activation is infinite or NaN.
    #[error(
        "the float network gives infinite or undefined values in tensor `{tensor}` on calibration sample {sample}; it cannot \
         be quantized: leave out the sample if its values are wrong, or train the network to bear them"
    )]
    NotFinite {
        /// The first such tensor.
        tensor: String,
        /// The first such sample, counted from 0.
        sample: usize,
    },
    /// The network still holds an operator that the rewrites remove.
    #[error("`{node}` is a {op}, which has no quantized form; rewrite the network first")]
    NotRewritten {
        /// The node.
        node: String,
        /// Its operator.
        op: &'static str,
    },
    /// A layer cannot be expressed in the integer arithmetic.
    #[error("layer `{node}`: {reason}")]
    Layer {
        /// The node.
        node: String,
        /// Why.
        reason: Unrepresentable,
    },
    /// A calibration or policy that belongs to another network.
    #[error("the {what} has {found} entries, the network asks for {expected}")]
    Mismatch {
        /// What does not match.
        what: &'static str,
        /// Entries found.
        found: usize,
        /// Entries needed.
        expected: usize,
    },
    /// Nodes, outputs or inputs that do not fit together.
    #[error("the nodes to run: {problem}")]
    Segment {
        /// What does not fit.
        problem: String,
    },
    /// A layer was not prepared at the width that a policy gives it.
    #[error("layer `{node}` was not prepared at {bits} bits")]
    NotPrepared {
        /// The node.
        node: String,
        /// The width.
        bits: BitWidth,
    },
    /// What a reconstruction shall go on from is not of its model.
    #[error("the state of the reconstruction belongs to another model: begin it anew")]
    OtherModel,
    /// Samples to learn from cannot be had.
    #[error("samples cannot be loaded: {problem}")]
    Source {
        /// Why.
        problem: String,
    },
    /// What is learned has come to infinite or undefined values, or to weights that no integers express.
    #[error("training diverged in step {step}, in epoch {epoch}")]
    Diverged {
        /// Counted from 1.
        epoch: usize,
        /// Counted from 1.
        step: usize,
    },
    /// The progress callback asked to stop.
    #[error("stopped")]
    Stopped,
}
