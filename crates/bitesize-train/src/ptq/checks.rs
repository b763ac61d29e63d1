//! What quantization asks of a network, of its calibration and of the images.

use crate::{Calibration, Samples, TrainError};
use bitesize_ir::{Network, Op};

pub(super) fn check_calibration(network: &Network, calibration: &Calibration) -> Result<(), TrainError> {
    let (found, expected) = (calibration.tensors.len(), network.tensors.len());
    if found != expected {
        return Err(TrainError::Mismatch { what: "calibration", found, expected });
    }
    if let Some(channels) = &calibration.output_channels {
        let expected = network.output_layer().map_or(0, |_| network.shape(network.output).c);
        if channels.len() != expected {
            return Err(TrainError::Mismatch {
                what: "calibration of the output's channels",
                found: channels.len(),
                expected,
            });
        }
    }
    calibration.equalization.check(network)
}

pub(crate) fn check(network: &Network, samples: &Samples<'_>, calibration: &Calibration) -> Result<(), TrainError> {
    if let Some(node) = network.nodes.iter().find(|n| matches!(n.op, Op::ChannelAffine(_))) {
        return Err(TrainError::NotRewritten { node: node.name.clone(), op: node.op.name() });
    }
    check_calibration(network, calibration)?;
    samples.check(network)?;
    if samples.is_empty() { Err(TrainError::NoSamples) } else { Ok(()) }
}
