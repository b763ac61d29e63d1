//! Held-out samples with what the float network makes of them: how good an integer network is, against labels and
//! against the float network.

use super::accuracy::share;
use super::candidate::{Candidate, float_outputs, hits};
use super::guessing;
use super::opened::Opened;
use crate::input::Batch;
use crate::observe::{Interrupted, Monitor};
use bitesize_integer::engine::PackCache;
use bitesize_ir::Network;
use bitesize_search::Score;

/// Held-out samples with what the float network makes of them.
pub struct HeldOut {
    /// The samples.
    pub batch: Batch,
    /// How many of them the float network classifies as labelled.
    pub float_hits: usize,
    classes: usize,
    /// The float network's output distribution for each sample, as logarithms.
    log_probabilities: Vec<f64>,
}

impl HeldOut {
    /// The samples that the run of `opened` holds out.
    ///
    /// # Errors
    /// As [`Self::of`]; samples that cannot be read.
    pub fn of_run(opened: &Opened) -> anyhow::Result<Self> {
        let batch = opened.train()?.load(&opened.split()?.reward)?;
        let held_out = Self::of(&opened.inputs.model.network, &batch, opened.monitor)?;
        let accuracy = held_out.float_accuracy();
        opened.monitor.note(format_args!("float accuracy on {} held-out training samples: {accuracy:.4}", batch.len()));
        guessing::warn_of_float(accuracy, opened);
        Ok(held_out)
    }

    /// Runs `network` on `batch`.
    ///
    /// # Errors
    /// [`Interrupted`]; samples that the network does not take.
    pub fn of(network: &Network, batch: &Batch, monitor: &Monitor) -> anyhow::Result<Self> {
        let outputs = float_outputs(network, batch, monitor)?;
        let classes = network.shape(network.output).elements();
        let float_hits = hits(&bitesize_train::top1(&outputs, classes), batch);
        let rows = outputs.chunks_exact(classes);
        let log_probabilities = rows.flat_map(|row| log_softmax(row.iter().map(|x| f64::from(*x)).collect())).collect();
        Ok(Self { batch: batch.clone(), float_hits, classes, log_probabilities })
    }

    /// The first `count` samples, or as many as there are.
    pub(super) fn first(&self, count: usize) -> Self {
        let count = count.min(self.batch.len());
        Self {
            batch: self.batch.slice(0..count),
            float_hits: 0,
            classes: self.classes,
            log_probabilities: self.log_probabilities[..count * self.classes].to_vec(),
        }
    }

    /// The share of them that the float network classifies as labelled.
    pub fn float_accuracy(&self) -> f64 {
        share(self.float_hits, self.batch.len())
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
        let codes = candidate.output_codes(&self.batch, cache, monitor)?;
        let samples = self.batch.len().max(1) as f64;
        let classes: Vec<usize> = codes.chunks_exact(self.classes).map(bitesize_integer::top1).collect();
        let rows = codes.chunks_exact(self.classes).zip(self.log_probabilities.chunks_exact(self.classes));
        let loss: f64 = rows.map(|(codes, float)| divergence(float, candidate.model.output_values(codes))).sum();
        Ok(Score { accuracy: hits(&classes, &self.batch) as f64 / samples, loss: (loss / samples).max(0.0) })
    }
}

/// Kullback-Leibler divergence of the distribution of output values from the float one, in nats.
fn divergence(float: &[f64], values: Vec<f64>) -> f64 {
    let own = log_softmax(values);
    float.iter().zip(own).map(|(p, q)| p.exp() * (p - q)).sum()
}

fn log_softmax(mut row: Vec<f64>) -> Vec<f64> {
    let highest = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let sum: f64 = row.iter().map(|x| (x - highest).exp()).sum();
    row.iter_mut().for_each(|x| *x -= highest + sum.ln());
    row
}

#[cfg(test)]
mod tests {
    use super::*;
    use bitesize_ir::{ActivationQuant, BitWidth};

    #[test]
    fn divergence_of_distributions() {
        let output = ActivationQuant { bits: BitWidth::B8, scale: 0.5, zero: 100 };
        let values = |codes: [u8; 3]| codes.map(|code| output.dequantize(code)).to_vec();
        let float = log_softmax(vec![0.0, 1.0, -2.0]);
        assert!(divergence(&float, values([100, 102, 96])).abs() < 1e-12);
        // Shifting all outputs alike changes no probability.
        assert!(divergence(&float, values([110, 112, 106])).abs() < 1e-12);
        let other = log_softmax(vec![0.0, 0.5, -2.0]);
        let expected: f64 = float.iter().zip(&other).map(|(p, q)| p.exp() * (p - q)).sum();
        assert!((divergence(&float, values([100, 101, 96])) - expected).abs() < 1e-12 && expected > 0.0);
    }
}
