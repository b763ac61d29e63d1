//! How good a policy is, as a number: what is measured, and what of it is maximised.

use serde::{Deserialize, Serialize};
use std::str::FromStr;

/// How good an integer network is over held-out images.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Score {
    /// Share of its answers that are as labelled, in 0..=1; `None` without labels, or where answers are not right or wrong.
    pub accuracy: Option<f64>,
    /// How far its outputs are from the float network's, mean over images, at least 0: of a classifier the
    /// Kullback-Leibler divergence of its output distribution, in nats. No label is used.
    pub loss: f64,
}

impl Score {
    /// Of a policy whose network cannot be made integer-only.
    pub const WORTHLESS: Self = Self { accuracy: None, loss: 1000.0 };
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
    /// The reward for `score`, in 0..=1; 0 for an accuracy that there is not.
    pub fn of(self, score: Score) -> f64 {
        match self {
            Self::Accuracy => score.accuracy.unwrap_or(0.0),
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
