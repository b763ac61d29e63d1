//! How good a policy is: asked of the outside, never twice for the same policy.

use crate::problem::to_compact;
use crate::record::Record;
use bitesize_ir::Policy;
use serde::{Deserialize, Serialize};
use std::collections::{HashMap, HashSet};
use std::str::FromStr;

/// How good an integer network is over held-out images.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Score {
    /// Share of the images that it classifies as labelled, in 0..=1.
    pub accuracy: f64,
    /// Mean Kullback-Leibler divergence of its output distribution from the float network's, in nats, at least 0. No
    /// label is used.
    pub loss: f64,
}

impl Score {
    /// Of a policy whose network cannot be made integer-only.
    pub const WORTHLESS: Self = Self { accuracy: 0.0, loss: 1000.0 };
}

/// What a search maximises.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RewardKind {
    /// The accuracy: what is wanted in the end, but few images tell it in coarse steps, with noise.
    Accuracy,
    /// `exp(-loss)`: every image tells by how much its output changed, so few images tell good from better.
    #[default]
    Loss,
}

impl RewardKind {
    /// The reward for `score`, in 0..=1.
    pub fn of(self, score: Score) -> f64 {
        match self {
            Self::Accuracy => score.accuracy,
            Self::Loss => (-score.loss).exp(),
        }
    }

    /// The name given to `--reward`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Accuracy => "accuracy",
            Self::Loss => "loss",
        }
    }
}

impl FromStr for RewardKind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        [Self::Accuracy, Self::Loss]
            .into_iter()
            .find(|kind| kind.name() == text)
            .ok_or_else(|| format!("`{text}` is none of accuracy, loss"))
    }
}

/// Judges policies. The search knows nothing of how.
pub trait Evaluator {
    /// How good `policy` is over held-out training images. The same policy always has the same score.
    ///
    /// # Errors
    /// [`EvaluationError::Interrupted`] to end the search with what it has, or that the evaluation failed.
    fn evaluate(&mut self, policy: &Policy) -> Result<Score, EvaluationError>;

    /// The loss of `policy`, on [`Self::probe_share`] of the images: to measure what single widths cost. `policy` need
    /// not keep any limit.
    ///
    /// # Errors
    /// As [`Self::evaluate`].
    fn probe(&mut self, policy: &Policy) -> Result<f64, EvaluationError> {
        self.evaluate(policy).map(|score| score.loss)
    }

    /// What a probe costs, in evaluations.
    fn probe_share(&self) -> f64 {
        1.0
    }
}

impl<F: FnMut(&Policy) -> Result<Score, EvaluationError>> Evaluator for F {
    fn evaluate(&mut self, policy: &Policy) -> Result<Score, EvaluationError> {
        self(policy)
    }
}

/// Why there is no reward.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EvaluationError {
    /// The user asked to stop.
    #[error("interrupted")]
    Interrupted,
    /// The network could not be evaluated at this policy.
    #[error("{0}")]
    Failed(String),
}

/// An evaluator with a memory: a policy is evaluated once, and not at all where an earlier run's records know it.
///
/// Strategies are deterministic, so a run that starts over with the records of an interrupted one takes the same
/// course up to where that ended, without evaluating, and goes on from there.
pub struct Memo<'a> {
    evaluator: &'a mut dyn Evaluator,
    known: HashMap<String, Score>,
    asked: HashSet<String>,
    probed: HashMap<String, f64>,
}

impl<'a> Memo<'a> {
    /// A memory that knows nothing yet.
    pub fn new(evaluator: &'a mut dyn Evaluator) -> Self {
        Self::resuming(evaluator, &[])
    }

    /// A memory that knows the scores in `records`.
    pub fn resuming(evaluator: &'a mut dyn Evaluator, records: &[Record]) -> Self {
        let known = records.iter().map(|record| (record.policy.clone(), record.score())).collect();
        Self { evaluator, known, asked: HashSet::new(), probed: HashMap::new() }
    }

    /// The score of `policy`, from memory where it is there.
    ///
    /// # Errors
    /// Those of the evaluator; an accuracy outside 0..=1 or a loss below 0.
    pub fn score(&mut self, policy: &Policy) -> Result<Score, EvaluationError> {
        let key = to_compact(policy);
        let score = match self.known.get(&key) {
            Some(score) => *score,
            None => self.evaluator.evaluate(policy)?,
        };
        if !(0.0..=1.0).contains(&score.accuracy) || !score.loss.is_finite() || score.loss < 0.0 {
            return Err(EvaluationError::Failed(format!(
                "policy `{key}` has accuracy {} and loss {}: not in 0..=1, or below 0",
                score.accuracy, score.loss
            )));
        }
        self.known.insert(key.clone(), score);
        self.asked.insert(key);
        Ok(score)
    }

    /// The loss of `policy` by a probe, from memory where it is there.
    ///
    /// # Errors
    /// Those of the evaluator; no number.
    pub fn probe(&mut self, policy: &Policy) -> Result<f64, EvaluationError> {
        let key = to_compact(policy);
        if let Some(loss) = self.probed.get(&key) {
            return Ok(*loss);
        }
        let loss = self.evaluator.probe(policy)?;
        if loss.is_nan() {
            return Err(EvaluationError::Failed(format!("the loss of policy `{key}` is not a number")));
        }
        self.probed.insert(key, loss);
        Ok(loss)
    }

    /// Number of different policies probed so far.
    pub fn probes(&self) -> usize {
        self.probed.len()
    }

    /// What all probes so far cost, in evaluations.
    pub fn cost_of_probes(&self) -> usize {
        (self.probed.len() as f64 * self.evaluator.probe_share()).ceil() as usize
    }

    /// Number of different policies asked for so far, those from memory included: an interrupted and resumed run
    /// counts as an uninterrupted one.
    pub fn evaluations(&self) -> usize {
        self.asked.len()
    }
}
