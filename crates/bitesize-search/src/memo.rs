//! What is known of policies, so that nothing is measured twice.

use crate::compact::to_compact;
use crate::evaluate::{EvaluationError, Evaluator};
use crate::record::Record;
use crate::score::Score;
use bitesize_ir::Policy;
use std::collections::{HashMap, HashSet};

/// Scores of policies and losses of probes: whatever was measured with the same network and samples. They depend on the
/// policy alone, so they outlive a search and serve searches under other budgets.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Scores {
    /// By policy, in its compact form.
    evaluated: HashMap<String, Score>,
    /// As `evaluated`.
    probed: HashMap<String, f64>,
}

impl Scores {
    /// Takes in the scores in `records`.
    pub fn learn(&mut self, records: &[Record]) {
        self.evaluated.extend(records.iter().map(|record| (record.policy.clone(), record.score())));
    }

    /// Takes in that a probe of `policy`, in its compact form, found `loss`.
    pub fn learn_probe(&mut self, policy: String, loss: f64) {
        self.probed.insert(policy, loss);
    }
}

/// An evaluator with the memory of [`Scores`], for one search: what is known is not measured again.
///
/// Strategies are deterministic, so a run that starts over with what an interrupted one has measured takes the same
/// course up to where that ended, without evaluating, and goes on from there.
pub struct Memo<'a> {
    evaluator: &'a mut dyn Evaluator,
    scores: &'a mut Scores,
    asked: HashSet<String>,
    probes_asked: HashSet<String>,
}

impl<'a> Memo<'a> {
    /// Asks `evaluator` for what `scores` do not know, and lets them know.
    pub fn new(evaluator: &'a mut dyn Evaluator, scores: &'a mut Scores) -> Self {
        Self { evaluator, scores, asked: HashSet::new(), probes_asked: HashSet::new() }
    }

    /// The score of `policy`, from memory where it is there.
    ///
    /// # Errors
    /// Those of the evaluator; an accuracy outside 0..=1 or a loss below 0.
    pub fn score(&mut self, policy: &Policy) -> Result<Score, EvaluationError> {
        let key = to_compact(policy);
        let score = match self.scores.evaluated.get(&key) {
            Some(score) => *score,
            None => self.evaluator.evaluate(policy)?,
        };
        let Score { accuracy, loss } = score;
        if accuracy.is_some_and(|share| !(0.0..=1.0).contains(&share)) || !loss.is_finite() || loss < 0.0 {
            return Err(EvaluationError::Failed(format!(
                "policy `{key}` has accuracy {} and loss {loss}: not in 0..=1, or below 0",
                accuracy.unwrap_or(0.0)
            )));
        }
        self.scores.evaluated.insert(key.clone(), score);
        self.asked.insert(key);
        Ok(score)
    }

    /// The loss of `policy` by a probe, from memory where it is there.
    ///
    /// # Errors
    /// Those of the evaluator; no number.
    pub fn probe(&mut self, policy: &Policy) -> Result<f64, EvaluationError> {
        let key = to_compact(policy);
        let loss = match self.scores.probed.get(&key) {
            Some(loss) => *loss,
            None => self.evaluator.probe(policy)?,
        };
        if loss.is_nan() {
            return Err(EvaluationError::Failed(format!("the loss of policy `{key}` is not a number")));
        }
        self.scores.probed.insert(key.clone(), loss);
        self.probes_asked.insert(key);
        Ok(loss)
    }

    /// Number of different policies probed so far, those from memory included.
    pub fn probes(&self) -> usize {
        self.probes_asked.len()
    }

    /// What all probes so far cost, in evaluations.
    pub fn cost_of_probes(&self) -> usize {
        (self.probes() as f64 * self.evaluator.probe_share()).ceil() as usize
    }

    /// Number of different policies asked for so far, those from memory included: an interrupted and resumed run
    /// counts as an uninterrupted one.
    pub fn evaluations(&self) -> usize {
        self.asked.len()
    }
}
