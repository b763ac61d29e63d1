//! Calibration and post-training quantization with progress.

use crate::console::Console;
use crate::data::Batch;
use crate::measure::{Candidate, train_error};
use bitesize_integer::LayerCache;
use bitesize_ir::{Network, Policy};
use bitesize_train::{Calibration, CalibrationSettings, Ptq, PtqSettings};

/// Ranges and encodings of every tensor of `network` on `batch`.
///
/// # Errors
/// A float network that overflows on the samples; [`crate::console::Interrupted`].
pub fn calibrate(
    network: &Network,
    batch: &Batch,
    settings: &CalibrationSettings,
    console: &Console,
) -> anyhow::Result<Calibration> {
    let stage = console.stage("calibrate", 2 * batch.len());
    let calibration =
        bitesize_train::calibrate(network, &batch.samples(), settings, &mut stage.callback()).map_err(train_error)?;
    stage.finish(format_args!("ranges of {} tensors on {} samples", calibration.tensors.len(), batch.len()));
    Ok(calibration)
}

/// Quantizes one network for any policy, on samples that it keeps.
pub struct Quantizer<'a> {
    ptq: Ptq<'a>,
    batch: &'a Batch,
    console: &'a Console,
}

impl<'a> Quantizer<'a> {
    /// Quantizes every layer at every width from its float inputs on `batch`.
    ///
    /// # Errors
    /// As [`Ptq::prepare`]; [`crate::console::Interrupted`].
    pub fn prepare(
        network: &'a Network,
        batch: &'a Batch,
        calibration: Calibration,
        console: &'a Console,
    ) -> anyhow::Result<Self> {
        let stage = console.stage("quantize layers", batch.len());
        let settings = PtqSettings::default();
        let ptq = Ptq::prepare(network, &batch.samples(), calibration, settings, &mut stage.callback())
            .map_err(train_error)?;
        stage.finish("every layer at 8, 4 and 2 bits");
        Ok(Self { ptq, batch, console })
    }

    /// The model that a search judges `policy` by: assembled from layers quantized beforehand.
    ///
    /// # Errors
    /// A layer that the integer arithmetic cannot hold.
    pub fn fast(&self, policy: &Policy) -> anyhow::Result<Candidate> {
        Candidate::new(self.ptq.quantize_fast(policy))
    }

    /// As [`Self::fast`], with layers that earlier policies had too taken from `layers`.
    ///
    /// # Errors
    /// As [`Self::fast`].
    pub fn fast_with(&self, policy: &Policy, layers: &mut LayerCache) -> anyhow::Result<Candidate> {
        Candidate::with_layers(self.ptq.quantize_fast(policy), layers)
    }

    /// The model that is delivered for `policy`: layer after layer under quantized inputs.
    ///
    /// # Errors
    /// As [`Self::fast`]; [`crate::console::Interrupted`].
    pub fn sequential(&self, name: &str, policy: &Policy) -> anyhow::Result<Candidate> {
        let stage = self.console.stage("quantize", policy.rows.len());
        let model =
            self.ptq.quantize_sequential(policy, &self.batch.samples(), &mut stage.callback()).map_err(train_error)?;
        stage.finish(format_args!("{name}, layer after layer"));
        Candidate::new(model)
    }
}
