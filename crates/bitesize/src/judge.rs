//! How good a policy is: its integer network's output codes on held-out samples, against labels and the float network.

use crate::console::{Interrupted, stop_requested};
use crate::data::Batch;
use crate::measure::{Candidate, float_outputs, hits};
use crate::quantize::Quantizer;
use crate::run::{PROBES, RunFolder};
use anyhow::Context as _;
use bitesize_integer::LayerCache;
use bitesize_integer::engine::PackCache;
use bitesize_ir::{ActivationQuant, Network, Policy};
use bitesize_search::evaluate::{EvaluationError, Evaluator, Score};
use bitesize_search::problem::to_compact;
use bitesize_search::record::Record;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::fs::File;
use std::io::Write as _;
use std::time::{Duration, Instant};

/// Samples of a probe: single widths are compared on the same ones, so their noise is mostly shared.
pub const PROBE_SAMPLES: usize = 128;

/// Lowered layers that are kept: the 27 combinations of widths that each of several hundred layers can have. Levels are
/// shared, but for layers where a channel's scale had to grow, so most take tens of bytes for each output channel.
const KEPT_LAYERS: usize = 10_000;

/// Held-out samples with what the float network makes of them.
pub struct Target {
    /// The samples.
    pub batch: Batch,
    /// How many of them the float network classifies as labelled.
    pub float_hits: usize,
    classes: usize,
    /// The float network's output distribution for each sample, as logarithms.
    log_probabilities: Vec<f64>,
}

impl Target {
    /// Runs `network` on `batch`.
    ///
    /// # Errors
    /// [`Interrupted`]; samples that the network does not take.
    pub fn of(network: &Network, batch: &Batch) -> anyhow::Result<Self> {
        let outputs = float_outputs(network, batch)?;
        let classes = network.shape(network.output).elements();
        let float_hits = hits(&bitesize_train::top1(&outputs, classes), batch);
        let rows = outputs.chunks_exact(classes);
        let log_probabilities = rows.flat_map(|row| log_softmax(row.iter().map(|x| f64::from(*x)).collect())).collect();
        Ok(Self { batch: batch.clone(), float_hits, classes, log_probabilities })
    }

    /// The first `count` samples, or as many as there are.
    fn first(&self, count: usize) -> Self {
        let count = count.min(self.batch.len());
        Self {
            batch: self.batch.slice(0..count),
            float_hits: 0,
            classes: self.classes,
            log_probabilities: self.log_probabilities[..count * self.classes].to_vec(),
        }
    }

    /// The score of `candidate`.
    ///
    /// # Errors
    /// [`Interrupted`].
    pub fn score(&self, candidate: &Candidate, cache: Option<&PackCache>) -> Result<Score, Interrupted> {
        let codes = candidate.output_codes(&self.batch, cache)?;
        let output = candidate.model.activations[candidate.model.network.output.0];
        let samples = self.batch.len().max(1) as f64;
        let classes: Vec<usize> = codes.chunks_exact(self.classes).map(bitesize_integer::top1).collect();
        let rows = codes.chunks_exact(self.classes).zip(self.log_probabilities.chunks_exact(self.classes));
        let loss: f64 = rows.map(|(codes, float)| divergence(float, codes, &output)).sum();
        Ok(Score { accuracy: hits(&classes, &self.batch) as f64 / samples, loss: (loss / samples).max(0.0) })
    }
}

/// Kullback-Leibler divergence of the distribution of output codes from the float one, in nats.
fn divergence(float: &[f64], codes: &[u8], output: &ActivationQuant) -> f64 {
    let own = log_softmax(codes.iter().map(|code| output.dequantize(*code)).collect());
    float.iter().zip(own).map(|(p, q)| p.exp() * (p - q)).sum()
}

fn log_softmax(mut row: Vec<f64>) -> Vec<f64> {
    let highest = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let sum: f64 = row.iter().map(|x| (x - highest).exp()).sum();
    row.iter_mut().for_each(|x| *x -= highest + sum.ln());
    row
}

/// Judges policies for a search by the quantization that is prepared for each layer and width.
pub struct Judge<'a> {
    quantizer: &'a Quantizer<'a>,
    target: &'a Target,
    probe: Target,
    layers: LayerCache,
    cache: PackCache,
    probes: Probes,
    /// By policy, so that a second search need not measure again.
    scores: HashMap<String, Score>,
    spent: Duration,
}

impl<'a> Judge<'a> {
    /// A judge with the probes that `folder` keeps.
    ///
    /// # Errors
    /// A file of probes that cannot be read or written.
    pub fn new(quantizer: &'a Quantizer<'a>, target: &'a Target, folder: &RunFolder) -> anyhow::Result<Self> {
        let probe = target.first(PROBE_SAMPLES);
        let layers = LayerCache::new(KEPT_LAYERS);
        Ok(Self {
            quantizer,
            target,
            probe,
            layers,
            cache: PackCache::new(),
            probes: Probes::open(folder)?,
            scores: HashMap::new(),
            spent: Duration::ZERO,
        })
    }

    /// Takes the scores in `records` of the same network and samples as its own.
    pub fn learn(&mut self, records: &[Record]) {
        self.scores.extend(records.iter().map(|record| (record.policy.clone(), record.score())));
    }

    /// Time that quantizing and running networks took so far; the rest of a search is the strategy's own.
    pub fn spent(&self) -> Duration {
        self.spent
    }

    /// The score of `policy`: on the probe's samples where `probe` says so, else on all.
    fn score(&mut self, policy: &Policy, probe: bool) -> Result<Score, EvaluationError> {
        let start = Instant::now();
        let score = self.measured(policy, probe);
        self.spent += start.elapsed();
        score
    }

    fn measured(&mut self, policy: &Policy, probe: bool) -> Result<Score, EvaluationError> {
        if stop_requested() {
            return Err(EvaluationError::Interrupted);
        }
        // A network that cannot be made integer-only at these widths is no reason to give up the search.
        let Ok(candidate) = self.quantizer.fast_with(policy, &mut self.layers) else { return Ok(Score::WORTHLESS) };
        let target = if probe { &self.probe } else { self.target };
        target.score(&candidate, Some(&self.cache)).map_err(|Interrupted| EvaluationError::Interrupted)
    }
}

impl Evaluator for Judge<'_> {
    fn evaluate(&mut self, policy: &Policy) -> Result<Score, EvaluationError> {
        let key = to_compact(policy);
        if let Some(score) = self.scores.get(&key) {
            return Ok(*score);
        }
        let score = self.score(policy, false)?;
        self.scores.insert(key, score);
        Ok(score)
    }

    fn probe(&mut self, policy: &Policy) -> Result<f64, EvaluationError> {
        let key = to_compact(policy);
        if let Some(loss) = self.probes.known.get(&key) {
            return Ok(*loss);
        }
        let loss = self.score(policy, true)?.loss;
        self.probes.add(key, loss).map_err(|error| EvaluationError::Failed(format!("{error:#}")))?;
        Ok(loss)
    }

    fn probe_share(&self) -> f64 {
        self.probe.batch.len() as f64 / self.target.batch.len().max(1) as f64
    }
}

/// A line of `probes.jsonl`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Probe {
    policy: String,
    loss: f64,
}

/// Losses that were measured for policies that differ in single widths.
struct Probes {
    known: HashMap<String, f64>,
    file: File,
}

impl Probes {
    fn open(folder: &RunFolder) -> anyhow::Result<Self> {
        let path = folder.join(PROBES);
        let fail = || format!("cannot use the probes `{}`; remove the file, and they are made again", path.display());
        let text = folder.read_lines(PROBES).with_context(fail)?;
        let lines = text.lines().map(serde_json::from_str::<Probe>);
        let known = lines.map(|line| line.map(|probe| (probe.policy, probe.loss))).collect::<Result<_, _>>();
        let file = folder.append_to_lines(PROBES, &text).with_context(fail)?;
        Ok(Self { known: known.with_context(fail)?, file })
    }

    fn add(&mut self, policy: String, loss: f64) -> anyhow::Result<()> {
        let mut line = serde_json::to_string(&Probe { policy: policy.clone(), loss })?;
        line.push('\n');
        self.file.write_all(line.as_bytes()).with_context(|| format!("cannot write `{PROBES}`"))?;
        self.known.insert(policy, loss);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bitesize_ir::BitWidth;

    #[test]
    fn divergence_of_distributions() {
        let output = ActivationQuant { bits: BitWidth::B8, scale: 0.5, zero: 100 };
        let float = log_softmax(vec![0.0, 1.0, -2.0]);
        assert!(divergence(&float, &[100, 102, 96], &output).abs() < 1e-12);
        // Shifting all outputs alike changes no probability.
        assert!(divergence(&float, &[110, 112, 106], &output).abs() < 1e-12);
        let other = log_softmax(vec![0.0, 0.5, -2.0]);
        let expected: f64 = float.iter().zip(&other).map(|(p, q)| p.exp() * (p - q)).sum();
        assert!((divergence(&float, &[100, 101, 96], &output) - expected).abs() < 1e-12 && expected > 0.0);
    }
}
