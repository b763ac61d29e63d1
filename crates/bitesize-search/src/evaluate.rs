//! How good a policy is: asked of the outside, never twice for the same policy.

use crate::problem::to_compact;
use crate::record::Record;
use bitesize_ir::Policy;
use std::collections::{HashMap, HashSet};

/// Judges policies. The search knows nothing of how.
pub trait Evaluator {
    /// The reward of `policy` in 0..=1: the accuracy of the integer network over held-out training images. The same
    /// policy always has the same reward.
    ///
    /// # Errors
    /// [`EvaluationError::Interrupted`] to end the search with what it has, or that the evaluation failed.
    fn reward(&mut self, policy: &Policy) -> Result<f64, EvaluationError>;
}

impl<F: FnMut(&Policy) -> Result<f64, EvaluationError>> Evaluator for F {
    fn reward(&mut self, policy: &Policy) -> Result<f64, EvaluationError> {
        self(policy)
    }
}

/// Why there is no reward.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EvaluationError {
    /// The user or a time limit asked to stop.
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
    known: HashMap<String, f64>,
    asked: HashSet<String>,
}

impl<'a> Memo<'a> {
    /// A memory that knows nothing yet.
    pub fn new(evaluator: &'a mut dyn Evaluator) -> Self {
        Self::resuming(evaluator, &[])
    }

    /// A memory that knows the rewards in `records`.
    pub fn resuming(evaluator: &'a mut dyn Evaluator, records: &[Record]) -> Self {
        let known = records.iter().map(|record| (record.policy.clone(), record.reward)).collect();
        Self { evaluator, known, asked: HashSet::new() }
    }

    /// The reward of `policy`, from memory where it is there.
    ///
    /// # Errors
    /// Those of the evaluator; a reward outside 0..=1.
    pub fn reward(&mut self, policy: &Policy) -> Result<f64, EvaluationError> {
        let key = to_compact(policy);
        let reward = match self.known.get(&key) {
            Some(reward) => *reward,
            None => self.evaluator.reward(policy)?,
        };
        if !(0.0..=1.0).contains(&reward) {
            return Err(EvaluationError::Failed(format!("the reward {reward} of policy `{key}` is not in 0..=1")));
        }
        self.known.insert(key.clone(), reward);
        self.asked.insert(key);
        Ok(reward)
    }

    /// Number of different policies asked for so far, those from memory included: an interrupted and resumed run
    /// counts as an uninterrupted one.
    pub fn evaluations(&self) -> usize {
        self.asked.len()
    }
}
