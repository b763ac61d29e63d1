//! Judges policies for a search: by the quantization that is prepared for each layer and width, on held-out samples.

use super::held_out::HeldOut;
use super::quantizer::Quantizer;
use crate::observe::{Interrupted, Monitor};
use crate::run::Journal;
use bitesize_integer::LayerCache;
use bitesize_integer::engine::PackCache;
use bitesize_ir::Policy;
use bitesize_search::to_compact;
use bitesize_search::{EvaluationError, Evaluator, Score, Scores};
use serde::{Deserialize, Serialize};
use std::time::{Duration, Instant};

/// Samples of a probe: single widths are compared on the same ones, so their noise is mostly shared.
pub const PROBE_SAMPLES: usize = 128;

/// Lowered layers that are kept: the 27 combinations of widths that each of several hundred layers can have. Levels are
/// shared, but for layers where a channel's scale had to grow, so most take tens of bytes for each output channel.
const KEPT_LAYERS: usize = 10_000;

/// Measures policies. It remembers no score: that is [`Scores`]' task.
pub struct Judge<'a> {
    quantizer: &'a Quantizer<'a>,
    held_out: &'a HeldOut,
    probe: HeldOut,
    layers: LayerCache,
    cache: PackCache,
    /// Where probes are written down.
    journal: Option<Journal>,
    spent: Duration,
    monitor: &'a Monitor<'a>,
}

impl<'a> Judge<'a> {
    /// A judge that writes the probes that it makes into `journal`.
    pub fn new(
        quantizer: &'a Quantizer<'a>,
        held_out: &'a HeldOut,
        journal: Option<Journal>,
        monitor: &'a Monitor<'a>,
    ) -> Self {
        let (probe, layers) = (held_out.first(PROBE_SAMPLES), LayerCache::new(KEPT_LAYERS));
        let cache = PackCache::new();
        Self { quantizer, held_out, probe, layers, cache, journal, spent: Duration::ZERO, monitor }
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
        let interrupted = |Interrupted| EvaluationError::Interrupted;
        self.monitor.checkpoint().map_err(interrupted)?;
        // A network that cannot be made integer-only at these widths is no reason to give up the search.
        let Ok(candidate) = self.quantizer.fast_with(policy, &mut self.layers) else { return Ok(Score::WORTHLESS) };
        let samples = if probe { &self.probe } else { self.held_out };
        samples.score(&candidate, Some(&self.cache), self.monitor).map_err(interrupted)
    }
}

impl Evaluator for Judge<'_> {
    fn evaluate(&mut self, policy: &Policy) -> Result<Score, EvaluationError> {
        self.score(policy, false)
    }

    fn probe(&mut self, policy: &Policy) -> Result<f64, EvaluationError> {
        let loss = self.score(policy, true)?.loss;
        if let Some(journal) = &mut self.journal {
            let line = serde_json::to_string(&Probe { policy: to_compact(policy), loss });
            let written = line.map_err(anyhow::Error::from).and_then(|line| journal.add(&line));
            written.map_err(|error| EvaluationError::Failed(format!("{error:#}")))?;
        }
        Ok(loss)
    }

    fn probe_share(&self) -> f64 {
        self.probe.batch.len() as f64 / self.held_out.batch.len().max(1) as f64
    }
}

/// A line of `probes.jsonl`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Probe {
    policy: String,
    loss: f64,
}

/// Teaches `scores` the probes in `lines` of a journal.
///
/// # Errors
/// A line that is no probe.
pub fn learn_probes(scores: &mut Scores, lines: &[String]) -> Result<(), serde_json::Error> {
    for line in lines {
        let Probe { policy, loss } = serde_json::from_str(line)?;
        scores.learn_probe(policy, loss);
    }
    Ok(())
}
