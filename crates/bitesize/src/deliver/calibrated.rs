//! The second stage: the range of every tensor.
//!
//! Needs [`Opened`]. Owns `calibration.json`. Depends on network, preprocessing, seed, the settings of calibration and
//! the contents of the calibration samples.

use super::candidate::{samples, train_error};
use super::opened::Opened;
use crate::input::Batch;
use crate::observe::Monitor;
use crate::run::names::CALIBRATION;
use crate::run::{Commit, Provenance, Stage};
use bitesize_ir::Network;
use bitesize_train::{Calibration, CalibrationSettings};

/// Ranges, and the samples that they were found on.
pub struct Calibrated<'a> {
    /// What it was made from.
    pub opened: Opened<'a>,
    /// For ranges, rounding and bias correction; known answers and verification take theirs from here.
    pub samples: Batch,
    /// Ranges and encodings.
    pub calibration: Calibration,
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
        opened.made_from_calibration(&["calibration"])
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
        let samples = opened.calibration_samples(usize::MAX)?;
        let is_kept = kept.is_some();
        let calibration = match kept {
            Some(text) => serde_json::from_slice(&text)
                .map_err(|e| anyhow::anyhow!("`{}` is damaged: {e}; {REMEDY}", folder.join(CALIBRATION).display()))?,
            None => calibrate(&inputs.model.network, &samples, &config.calibration.ranges, monitor)?,
        };
        Ok(Self { opened, samples, calibration, is_kept })
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
