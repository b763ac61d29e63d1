//! Post-training quantization of one network for any policy, with progress.

use super::candidate::{Candidate, samples, train_error};
use crate::input::Batch;
use crate::observe::Monitor;
use bitesize_integer::LayerCache;
use bitesize_ir::{Network, Policy};
use bitesize_train::{Calibration, PrepareRequest, PreparedLayer, Ptq, PtqSettings, Variant};

/// Quantizes one network for any policy, on samples that it keeps.
pub struct Quantizer<'a> {
    ptq: Ptq<'a>,
    batch: &'a Batch,
    monitor: &'a Monitor<'a>,
}

impl<'a> Quantizer<'a> {
    /// Has every layer ready at the widths of `request`, from its float inputs on `batch`.
    ///
    /// # Errors
    /// As [`Ptq::prepare`]; [`Interrupted`](crate::observe::Interrupted).
    pub fn prepare(
        network: &'a Network,
        batch: &'a Batch,
        calibration: Calibration,
        request: PrepareRequest,
        monitor: &'a Monitor<'a>,
    ) -> anyhow::Result<Self> {
        let step = monitor.step("quantize layers", batch.len());
        let widths = describe_widths(network, &calibration, &request);
        let ptq = Ptq::prepare(network, &samples(batch), calibration, request, &mut step.callback());
        let ptq = ptq.map_err(train_error)?;
        step.finish(widths);
        Ok(Self { ptq, batch, monitor })
    }

    /// As [`Self::prepare`], at every width.
    ///
    /// # Errors
    /// As [`Self::prepare`].
    pub fn prepare_all(
        network: &'a Network,
        batch: &'a Batch,
        calibration: Calibration,
        monitor: &'a Monitor<'a>,
    ) -> anyhow::Result<Self> {
        let request = PrepareRequest::everything(network, PtqSettings::default());
        Self::prepare(network, batch, calibration, request, monitor)
    }

    /// The layers that are ready, by node.
    pub fn layers(&self) -> &[Option<PreparedLayer>] {
        self.ptq.layers()
    }

    /// The model that a search judges `policy` by: assembled from layers quantized beforehand.
    ///
    /// # Errors
    /// A layer that the integer arithmetic cannot hold, or that is not ready at the width.
    pub fn fast(&self, policy: &Policy) -> anyhow::Result<Candidate> {
        Candidate::new(self.ptq.quantize_fast(policy)?)
    }

    /// As [`Self::fast`], with layers that earlier policies had too taken from `layers`.
    ///
    /// # Errors
    /// As [`Self::fast`].
    pub fn fast_with(&self, policy: &Policy, layers: &mut LayerCache) -> anyhow::Result<Candidate> {
        Candidate::with_layers(self.ptq.quantize_fast(policy)?, layers)
    }

    /// The model that is delivered for `policy`: layer after layer under quantized inputs.
    ///
    /// # Errors
    /// A layer that the integer arithmetic cannot hold; [`Interrupted`](crate::observe::Interrupted).
    pub fn sequential(&self, name: &str, policy: &Policy) -> anyhow::Result<Candidate> {
        let step = self.monitor.step("quantize", policy.rows.len());
        let model = self.ptq.quantize_sequential(policy, &samples(self.batch), &mut step.callback());
        let model = model.map_err(train_error)?;
        step.finish(format_args!("{name}, layer after layer"));
        Candidate::new(model)
    }
}

/// How many layers had to be quantized, and at which widths.
fn describe_widths(network: &Network, calibration: &Calibration, request: &PrepareRequest) -> String {
    let (mut made, mut known) = (0, 0);
    for i in (0..request.wanted.len()).filter(|i| network.nodes[*i].op.parameters().is_some()) {
        let wanted = request.variants(network, &calibration.equalization, i);
        let held = |variant: &&Variant| request.known[i].as_ref().is_some_and(|k| k.quants.contains_key(variant));
        let held = wanted.iter().filter(held).count();
        (made, known) = (made + wanted.len() - held, known + held);
    }
    let what = if calibration.equalization.is_empty() {
        "pairs of a layer and a width"
    } else {
        "layers by width and equalization"
    };
    match known {
        0 => format!("{made} {what}"),
        known => format!("{made} {what}, {known} more were there"),
    }
}
