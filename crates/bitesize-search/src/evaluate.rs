//! How good a policy is: asked of the outside.

use crate::score::Score;
use bitesize_ir::Policy;

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
