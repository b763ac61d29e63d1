//! Held-out samples with what the float network makes of them: how good an integer network is, against labels and
//! against the float network.

use super::candidate::{Candidate, float_outputs};
use super::guessing;
use super::opened::Opened;
use crate::input::Batch;
use crate::observe::{Interrupted, Monitor};
use crate::task::loss::{self, Comparison, Fidelity, Spread};
use crate::task::{Measured, Meter, Objective};
use bitesize_integer::engine::PackCache;
use bitesize_ir::Network;
use bitesize_search::Score;
use std::ops::Range;

/// Held-out samples with what the float network makes of them.
pub struct HeldOut {
    /// The samples.
    pub batch: Batch,
    /// What networks are judged by.
    pub objective: Objective,
    /// What the float network reaches on them; `None` without labels.
    pub float: Option<Measured>,
    /// The float network's outputs, `[sample][pixel][channel]`.
    outputs: Vec<f32>,
    spread: Spread,
}

/// Numbers of outputs that are looked at together: 32 MiB of them.
const TOGETHER: usize = 1 << 22;

/// The samples `0..count` in parts of at most [`TOGETHER`] outputs.
pub(super) fn parts(objective: &Objective, count: usize) -> impl Iterator<Item = Range<usize>> {
    let step = (TOGETHER / objective.shape.elements()).max(1);
    (0..count).step_by(step).map(move |start| start..count.min(start + step))
}

/// Outputs as they are compared, with the tail where that asks for it.
pub(super) fn compared(objective: &Objective, outputs: impl Iterator<Item = f64>) -> Vec<f64> {
    let mut outputs: Vec<f64> = outputs.collect();
    objective.apply_tail(&mut outputs);
    outputs
}

impl HeldOut {
    /// The samples that the run of `opened` holds out.
    ///
    /// # Errors
    /// As [`Self::of`]; samples that cannot be read.
    pub fn of_run(opened: &Opened) -> anyhow::Result<Self> {
        let reward = opened.split()?.reward;
        opened.held_shares()?.warn_of_reward(reward.len(), opened.monitor);
        let batch = opened.train()?.load(&reward)?;
        let held_out = Self::of(&opened.inputs.model.network, opened.inputs.objective, batch, opened.monitor)?;
        match held_out.float.as_ref().and_then(Measured::first) {
            Some((metric, value)) => opened.monitor.note(format_args!(
                "float {} on {} held-out training samples: {}",
                metric.title(),
                held_out.batch.len(),
                metric.shown(Some(value))
            )),
            None => opened.monitor.note(format_args!(
                "{} held-out training samples without labels: policies are judged by how near they come to the float network",
                held_out.batch.len()
            )),
        }
        guessing::warn_of_float(held_out.float.as_ref(), opened);
        Ok(held_out)
    }

    /// Runs `network`, which is for `objective`, on `batch`.
    ///
    /// # Errors
    /// [`Interrupted`]; samples that the network does not take.
    pub fn of(network: &Network, objective: Objective, batch: Batch, monitor: &Monitor) -> anyhow::Result<Self> {
        let outputs = float_outputs(network, &batch, monitor)?;
        let n = objective.shape.elements();
        let mut meter = Meter::new(objective);
        let mut spread = loss::SpreadOf::new(&objective);
        for part in parts(&objective, batch.len()) {
            let outputs = outputs[part.start * n..part.end * n].iter().map(|x| f64::from(*x));
            let outputs = compared(&objective, outputs);
            meter.add(&outputs, &batch.labels.slice(part));
            spread.add(&outputs);
        }
        Ok(Self { batch, objective, float: meter.finish(), outputs, spread: spread.finish() })
    }

    /// The first `count` samples, or as many as there are.
    pub(super) fn first(&self, count: usize) -> Self {
        let count = count.min(self.batch.len());
        Self {
            batch: self.batch.slice(0..count),
            objective: self.objective,
            float: None,
            outputs: self.outputs[..count * self.objective.shape.elements()].to_vec(),
            spread: self.spread.clone(),
        }
    }

    /// The score of the float network.
    pub fn float_score(&self) -> Score {
        Score { accuracy: self.float.as_ref().and_then(Measured::fraction), loss: 0.0 }
    }

    /// The score of `candidate`.
    ///
    /// # Errors
    /// [`Interrupted`].
    pub fn score(
        &self,
        candidate: &Candidate,
        cache: Option<&PackCache>,
        monitor: &Monitor,
    ) -> Result<Score, Interrupted> {
        let mut loss = 0.0;
        let mut meter = Meter::new(self.objective);
        self.with_outputs(candidate, cache, monitor, |float, own, samples| {
            loss += loss::total(&self.objective, &self.spread, float, own);
            if self.objective.fraction().is_some() {
                meter.add(own, &self.batch.labels.slice(samples));
            }
        })?;
        let samples = self.batch.len().max(1) as f64;
        let accuracy = meter.finish().as_ref().and_then(Measured::fraction);
        Ok(Score { accuracy, loss: (loss / samples).max(0.0) })
    }

    /// What `candidate` reaches against labels, where there are any, and how near it comes to the float network.
    ///
    /// # Errors
    /// [`Interrupted`].
    pub fn measure(
        &self,
        candidate: &Candidate,
        monitor: &Monitor,
    ) -> Result<(Option<Measured>, Fidelity), Interrupted> {
        let (mut meter, mut comparison) = (Meter::new(self.objective), Comparison::new(self.objective));
        self.with_outputs(candidate, None, monitor, |float, own, samples| {
            meter.add(own, &self.batch.labels.slice(samples));
            comparison.add(float, own);
        })?;
        Ok((meter.finish(), comparison.finish()))
    }

    /// Hands on the outputs of the float network and of `candidate`, part after part.
    fn with_outputs(
        &self,
        candidate: &Candidate,
        cache: Option<&PackCache>,
        monitor: &Monitor,
        mut take: impl FnMut(&[f64], &[f64], Range<usize>),
    ) -> Result<(), Interrupted> {
        let (objective, n) = (&self.objective, self.objective.shape.elements());
        let codes = candidate.output_codes(&self.batch, cache, monitor)?;
        for part in parts(objective, self.batch.len()) {
            let range = part.start * n..part.end * n;
            let float = compared(objective, self.outputs[range.clone()].iter().map(|x| f64::from(*x)));
            let own = compared(objective, candidate.model.output_values(&codes[range]).into_iter());
            take(&float, &own, part);
        }
        Ok(())
    }
}
