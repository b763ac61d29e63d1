//! The second stage: the range of every tensor.
//!
//! Needs [`Opened`]. Owns `calibration.json`. Depends on network, preprocessing, seed, the settings of calibration and
//! the contents of the calibration samples.

use super::candidate::{samples, train_error};
use super::equalized::{Equalized, JUDGES};
use super::held_out::HeldOut;
use super::opened::Opened;
use crate::input::Batch;
use crate::input::split::{Shares, Split};
use crate::observe::Monitor;
use crate::run::names::CALIBRATION;
use crate::run::{Commit, Provenance, Stage};
use bitesize_ir::Network;
use bitesize_ir::shown::ShownPath as _;
use bitesize_train::{Calibration, CalibrationSettings, LeftOut, PreparedLayer, TrainError};

/// Ranges, and the samples that they were found on.
pub struct Calibrated<'a> {
    /// What it was made from.
    pub opened: Opened<'a>,
    /// For ranges, rounding and bias correction, less those that calibration left out; known answers and verification take
    /// theirs from here.
    pub samples: Batch,
    /// Ranges and encodings.
    pub calibration: Calibration,
    /// Layers that were quantized to judge the equalization, by node: none where the folder had it.
    pub(super) layers: Vec<Option<PreparedLayer>>,
    /// Whether the folder has them.
    is_kept: bool,
}

const REMEDY: &str = "remove it, and it is made again";

impl<'a> Calibrated<'a> {
    /// What ranges depend on.
    ///
    /// # Errors
    /// No training data, or some that cannot be read.
    pub fn made_from(opened: &Opened) -> anyhow::Result<Provenance> {
        let made_from = opened.made_from_calibration(&["calibration"])?;
        if !opened.config.calibration.equalize {
            return Ok(made_from);
        }
        let judges = opened.train()?.content_hash(&judges_of(opened)?)?;
        Ok(made_from.with_contents("the samples that judge equalization", judges))
    }

    /// Takes the ranges that the folder holds, or finds them.
    ///
    /// # Errors
    /// A folder whose ranges are of other inputs or were altered; a float network that overflows on the samples;
    /// [`Interrupted`](crate::observe::Interrupted).
    pub fn of(opened: Opened<'a>) -> anyhow::Result<Self> {
        let Opened { config, inputs, folder, monitor } = opened;
        let made_from = Self::made_from(&opened)?;
        let kept = folder.read(Stage::Calibrated, CALIBRATION, REMEDY)?;
        if kept.is_some() {
            opened.refuse_other_inputs(Stage::Calibrated, &made_from)?;
        }
        monitor.checkpoint()?;
        opened.held_shares()?.warn_of_calibration(opened.split()?.calibration.len(), monitor);
        let samples = opened.calibration_samples(usize::MAX)?;
        let is_kept = kept.is_some();
        let mut calibration = match kept {
            Some(text) => serde_json::from_slice(&text)
                .map_err(|e| anyhow::anyhow!("`{}` is damaged: {e}; {REMEDY}", folder.join(CALIBRATION).shown()))?,
            None => calibrate(&inputs.model.network, &samples, &config.calibration.ranges, monitor)
                .map_err(|error| naming_sample(error, &opened))?,
        };
        let samples = warn_of_left_out(&calibration, samples, &opened)?;
        let mut layers = vec![None; inputs.model.network.nodes.len()];
        if !is_kept && config.calibration.equalize {
            let held_out = judges(&opened)?;
            let found = Equalized::of(&inputs.model.network, &samples, &calibration, &held_out, monitor)?;
            (calibration.equalization, layers) = (found.equalization, found.layers);
        }
        Ok(Self { opened, samples, calibration, layers, is_kept })
    }

    /// Whether the folder has them already.
    pub fn is_kept(&self) -> bool {
        self.is_kept
    }

    /// Puts the ranges into their place.
    ///
    /// # Errors
    /// They cannot be written.
    pub fn put(&self, commit: &mut Commit) -> anyhow::Result<()> {
        commit.stage(Stage::Calibrated, Self::made_from(&self.opened)?);
        commit.put(Stage::Calibrated, CALIBRATION, serde_json::to_string_pretty(&self.calibration)?.as_bytes())
    }

    /// Puts the ranges into their place, before long work, where they are not there.
    ///
    /// # Errors
    /// As [`Self::put`].
    pub fn keep(self) -> anyhow::Result<Self> {
        if self.is_kept {
            return Ok(self);
        }
        let mut commit = self.opened.folder.begin()?;
        self.put(&mut commit)?;
        commit.finish()?;
        Ok(Self { is_kept: true, ..self })
    }
}

/// The training samples that judge equalization: the first after those of calibration, whatever a search holds out.
fn judges_of(opened: &Opened) -> anyhow::Result<Vec<usize>> {
    let most = opened.held_shares()?.get();
    let shares = Shares { reward: JUDGES, ..most };
    Ok(Split::of(opened.train()?, shares, opened.config.seed)?.reward)
}

fn judges(opened: &Opened) -> anyhow::Result<HeldOut> {
    let batch = opened.train()?.load(&judges_of(opened)?)?;
    HeldOut::of(&opened.inputs.model.network, opened.inputs.objective, batch, opened.monitor)
}

/// What a user knows a calibration sample by, given its place among those that were loaded.
fn sample_name(sample: usize, opened: &Opened) -> anyhow::Result<String> {
    let train = opened.train()?;
    let loaded = train.loaded(&opened.split()?.calibration);
    Ok(loaded.get(sample).map_or_else(|| format!("calibration sample {sample}"), |index| train.name_of(*index)))
}

/// An error of calibration, with the name of the sample that it is about.
fn naming_sample(error: anyhow::Error, opened: &Opened) -> anyhow::Error {
    let Some(TrainError::NotFinite { sample, tensor }) = error.downcast_ref() else { return error };
    // The number that the error tells is that of the sample among those drawn, which nobody else knows.
    match sample_name(*sample, opened) {
        Ok(name) => anyhow::anyhow!(
            "{name} cannot be used to calibrate: the float network gives infinite or undefined values for it in tensor \
             `{tensor}`; leave out the sample if its values are wrong, or train the network to bear them"
        ),
        Err(other) => other,
    }
}

/// Samples that are named one by one where more were left out.
const NAMED: usize = 5;

/// Says which samples calibration left out and why, and gives the others.
fn warn_of_left_out(calibration: &Calibration, samples: Batch, opened: &Opened) -> anyhow::Result<Batch> {
    let left_out = &calibration.left_out;
    for LeftOut { sample, tensor, factor } in left_out.iter().take(NAMED) {
        opened.monitor.warn(format_args!(
            "{} is left out of calibration: in tensor `{tensor}` its values reach {factor:.0} times as far as those of nine in \
             ten samples, and would rule the range by themselves. Check it; if the device will meet such values, have more \
             samples like it in --train",
            sample_name(*sample, opened)?
        ));
    }
    if left_out.len() > NAMED {
        opened.monitor.warn(format_args!(
            "{} more samples are left out of calibration for the same reason ({CALIBRATION} lists them by their place)",
            left_out.len() - NAMED
        ));
    }
    let is_left_out = |sample| left_out.binary_search_by_key(&sample, |left_out| left_out.sample).is_ok();
    Ok(if left_out.is_empty() { samples } else { samples.without(is_left_out) })
}

/// Ranges and encodings of every tensor of `network` on `batch`.
///
/// # Errors
/// A float network that overflows on the samples; [`Interrupted`](crate::observe::Interrupted).
pub fn calibrate(
    network: &Network,
    batch: &Batch,
    settings: &CalibrationSettings,
    monitor: &Monitor,
) -> anyhow::Result<Calibration> {
    let step = monitor.step("calibrate", 2 * batch.len());
    let found = bitesize_train::calibrate(network, &samples(batch), settings, &mut step.callback());
    let calibration = found.map_err(train_error)?;
    step.finish(format_args!("ranges of {} tensors on {} samples", calibration.tensors.len(), batch.len()));
    Ok(calibration)
}
