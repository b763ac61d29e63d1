//! Policies after the final quantization, compared on the held-out samples.

use super::candidate::Candidate;
use super::held_out::HeldOut;
use super::quantizer::Quantizer;
use crate::observe::Monitor;
use bitesize_ir::Policy;
use bitesize_search::RewardKind;
use bitesize_search::problem::Footprint;

/// Quantizes policies for delivery and judges them.
#[derive(Clone, Copy)]
pub struct FinalJudge<'a> {
    /// Makes models of policies.
    pub quantizer: &'a Quantizer<'a>,
    /// Held-out training samples.
    pub held_out: &'a HeldOut,
    /// What is maximised on them.
    pub reward: RewardKind,
    /// Who is told.
    pub monitor: &'a Monitor<'a>,
}

impl FinalJudge<'_> {
    /// `policy` quantized for delivery, and its reward.
    ///
    /// # Errors
    /// A layer that the integer arithmetic cannot hold; [`Interrupted`](crate::observe::Interrupted).
    pub fn judge(&self, name: &str, policy: &Policy) -> anyhow::Result<(Candidate, f64)> {
        let candidate = self.quantizer.sequential(name, policy)?;
        let reward = self.reward.of(self.held_out.score(&candidate, None, self.monitor)?);
        Ok((candidate, reward))
    }
}

/// The first of `items` that has the highest reward, with its reward; one without a reward comes after all others. `None`
/// without items.
pub fn first_highest<T>(items: impl IntoIterator<Item = (T, Option<f64>)>) -> Option<(T, Option<f64>)> {
    items.into_iter().reduce(|best, next| if next.1 > best.1 { next } else { best })
}

/// A policy after the final quantization.
#[derive(Clone, Debug)]
pub struct Finalist {
    /// `search`, `policy`, or the baseline's name.
    pub name: String,
    /// The widths.
    pub policy: Policy,
    /// Its bytes.
    pub footprint: Footprint,
    /// Whether it keeps every limit.
    pub fits: bool,
    /// The quantized network; `None` where it does not fit or cannot be quantized.
    pub candidate: Option<Candidate>,
    /// The loss after an epoch of training, where finalists are trained.
    pub trial: Option<f64>,
    /// Reward on the held-out split; `None` where it does not fit or cannot be quantized.
    pub reward: Option<f64>,
    /// Why it fits and cannot be quantized all the same, where that is so.
    pub failed: Option<String>,
}

impl Finalist {
    /// A policy of `footprint` that fits, with what [`FinalJudge::judge`] led to.
    pub fn that_fits(
        name: &str,
        policy: &Policy,
        footprint: Footprint,
        judged: Result<(Candidate, f64), String>,
    ) -> Self {
        let (candidate, reward, failed) = match judged {
            Ok((candidate, reward)) => (Some(candidate), Some(reward), None),
            Err(error) => (None, None, Some(error)),
        };
        let trial = None;
        Self { name: name.into(), policy: policy.clone(), footprint, fits: true, candidate, trial, reward, failed }
    }

    /// A policy that does not fit.
    pub fn that_does_not_fit(name: &str, policy: Policy, footprint: Footprint) -> Self {
        let (candidate, trial, reward, failed) = (None, None, None, None);
        Self { name: name.into(), policy, footprint, fits: false, candidate, trial, reward, failed }
    }

    /// What finalists are compared by, the higher the better.
    pub fn worth(&self) -> Option<f64> {
        self.trial.map(|loss| -loss).or(self.reward)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_of_the_highest_rewards_wins() {
        let best = |rewards: &[Option<f64>]| first_highest(rewards.iter().copied().enumerate()).map(|(i, _)| i);
        assert_eq!(best(&[Some(0.1), Some(0.3), Some(0.3)]), Some(1));
        assert_eq!(best(&[None, Some(0.0), None]), Some(1));
        assert_eq!((best(&[None, None]), best(&[])), (Some(0), None));
    }
}
