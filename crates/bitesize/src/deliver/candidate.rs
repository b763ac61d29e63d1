//! A quantized network with its integers, and what it and the float network make of samples.

use crate::input::{Batch, Values};
use crate::observe::{Interrupted, Monitor};
use anyhow::Context as _;
use bitesize_integer::engine::{InstructionSet, PackCache};
use bitesize_integer::{Engine, IntNetwork, LayerCache, lower, lower_with};
use bitesize_ir::{Network, QuantizedModel};
use bitesize_train::{FloatModel, Samples, TrainError};
use std::borrow::Cow;

/// `batch` as training and calibration take it.
pub fn samples(batch: &Batch) -> Samples<'_> {
    match &batch.values {
        Values::Pixels(values) => Samples::pixels(batch.shape, values),
        Values::Reals(values) => Samples::real(batch.shape, values),
    }
}

/// An error of the training crate, a stop as [`Interrupted`].
pub(crate) fn train_error(error: TrainError) -> anyhow::Error {
    match error {
        TrainError::Stopped => Interrupted.into(),
        other => other.into(),
    }
}

/// A quantized network with its integers.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// Levels, scales, encodings.
    pub model: QuantizedModel,
    /// What runs on the chip.
    pub integers: IntNetwork,
}

impl Candidate {
    /// Lowers `model`.
    ///
    /// # Errors
    /// A layer that the integer arithmetic cannot hold.
    pub fn new(model: QuantizedModel) -> anyhow::Result<Self> {
        let integers = lower(&model).context("the quantized network cannot be made integer-only")?;
        Ok(Self { model, integers })
    }

    /// As [`Self::new`], with layers that earlier candidates had too taken from `layers`.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn with_layers(model: QuantizedModel, layers: &mut LayerCache) -> anyhow::Result<Self> {
        let integers = lower_with(&model, layers).context("the quantized network cannot be made integer-only")?;
        Ok(Self { model, integers })
    }

    /// The codes that the network is fed for `batch`.
    pub fn input_codes<'a>(&self, batch: &'a Batch) -> Cow<'a, [u8]> {
        match &batch.values {
            Values::Pixels(pixels) => Cow::Borrowed(pixels),
            Values::Reals(values) => {
                let input = self.model.activations[self.model.network.input.0];
                Cow::Owned(values.iter().map(|v| input.quantize(f64::from(*v))).collect())
            }
        }
    }

    /// The output codes for every sample of `batch`; packed weights are taken from `cache` where it has them.
    ///
    /// # Errors
    /// [`Interrupted`].
    pub fn output_codes(
        &self,
        batch: &Batch,
        cache: Option<&PackCache>,
        monitor: &Monitor,
    ) -> Result<Vec<u8>, Interrupted> {
        let go_on = |_| monitor.go_on();
        let engine = Engine::with(&self.integers, InstructionSet::best(), cache);
        engine.run_batch_with(&self.input_codes(batch), &go_on).ok_or(Interrupted)
    }

    /// The output values, `[sample][pixel][channel]`, for every sample of `batch`.
    ///
    /// # Errors
    /// [`Interrupted`].
    pub fn outputs(
        &self,
        batch: &Batch,
        cache: Option<&PackCache>,
        monitor: &Monitor,
    ) -> Result<Vec<f64>, Interrupted> {
        Ok(self.model.output_values(&self.output_codes(batch, cache, monitor)?))
    }
}

/// The float network's output values for every sample of `batch`.
///
/// # Errors
/// [`Interrupted`]; samples that the network does not take.
pub fn float_outputs(network: &Network, batch: &Batch, monitor: &Monitor) -> anyhow::Result<Vec<f32>> {
    FloatModel::new(network).forward(&samples(batch), &mut |_, _| monitor.go_on()).map_err(train_error)
}
