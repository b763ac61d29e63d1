//! Models without statistics.

use super::checks::check_calibration;
use super::layer::LayerQuantizer;
use super::moments::{Blocks, Moments};
use super::settings::{PtqSettings, Rounding};
use crate::equalization::Equalization;
use crate::{Calibration, TrainError};
use bitesize_ir::{Network, Policy, PolicySpace, QuantizedModel};
use std::sync::Arc;

/// The model of `policy` with every weight rounded to the nearest level and no bias changed: what needs no images
/// beyond those of the calibration.
///
/// # Errors
/// [`TrainError::Mismatch`] where `calibration` is that of another network.
pub fn quantize_nearest(
    network: &Network,
    calibration: &Calibration,
    policy: &Policy,
) -> Result<QuantizedModel, TrainError> {
    check_calibration(network, calibration)?;
    let space = PolicySpace::of(network);
    let settings = PtqSettings { rounding: Rounding::Nearest, bias_correction: false, ..PtqSettings::default() };
    let equalization = &calibration.equalization;
    let equalized = equalization.factors(&equalization.picks(network, &space, policy), network.tensors.len());
    let scaled = Equalization::scaled(network, &equalized);
    let weights = scaled.iter().map(|(id, node)| {
        let bits = policy.weight_bits(&space, id)?;
        let moments = Moments::new(Blocks::of(&node.op, &settings)?);
        let quantizer = LayerQuantizer::new(&node.op, &moments, 0, &settings, None);
        Some(quantizer.quantize(bits, &moments.means(), &[]))
    });
    Ok(QuantizedModel {
        network: Arc::new(network.clone()),
        policy: policy.clone(),
        activations: calibration.activations(network, &space, policy),
        output_channels: calibration.output_channels.clone(),
        weights: weights.collect(),
        equalized,
    })
}
