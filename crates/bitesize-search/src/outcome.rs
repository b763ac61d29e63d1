//! What a search ends with.

use crate::problem::Footprint;
use bitesize_ir::Policy;
use serde::{Deserialize, Serialize};

/// How a search ended.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// With a policy that keeps every limit.
    Found(Box<Found>),
    /// It was stopped before its first episode ended.
    Nothing(StopReason),
}

/// What a search found.
#[derive(Clone, Debug, PartialEq)]
pub struct Found {
    /// The policy of the highest reward, of the earliest episode where several have it.
    pub policy: Policy,
    /// Its bytes.
    pub footprint: Footprint,
    /// Its reward.
    pub reward: f64,
    /// The episode that found it.
    pub episode: usize,
    /// Episodes run.
    pub episodes: usize,
    /// Different policies evaluated.
    pub evaluations: usize,
    /// Different policies probed, to measure what single widths cost.
    pub probes: usize,
    /// The [`finalists`], this policy first.
    pub finalists: Vec<Policy>,
    /// The episodes of the policies that models proposed.
    pub proposed: Vec<usize>,
    /// What there is to say beside: how sure an optimum is.
    pub note: String,
    /// Why it stopped.
    pub stop_reason: StopReason,
}

/// Why a search stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StopReason {
    /// Uniform 8 bits keeps every budget: there is nothing to search.
    UniformFits,
    /// The strategy has no other policy to offer.
    Finished,
    /// All episodes were run, those that probes cost counted.
    Episodes,
    /// No new best for as many episodes as patience allows.
    Patience,
    /// A time limit.
    TimeLimit,
    /// The user.
    Interrupted,
}

impl StopReason {
    /// The name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::UniformFits => "uniform_fits",
            Self::Finished => "finished",
            Self::Episodes => "episodes",
            Self::Patience => "patience",
            Self::TimeLimit => "time_limit",
            Self::Interrupted => "interrupted",
        }
    }
}

/// How many policies get a final quantization.
pub const FINALISTS: usize = 6;

/// The policies worth a final quantization, at most [`FINALISTS`]: the first of `ranked`, which has them by reward, the
/// best first, and those that models of the losses proposed, in the place of the last where they are not among them.
/// What is best of hundreds is in part the winner of luck on the held-out samples, by roundings that the final
/// quantization changes; what a model proposes is chosen by no such reward.
pub fn finalists<P: PartialEq + Clone>(ranked: impl IntoIterator<Item = P>, proposed: &[P]) -> Vec<P> {
    let proposed = &proposed[..proposed.len().min(FINALISTS - 1)];
    let mut chosen: Vec<P> = Vec::new();
    for policy in ranked {
        if chosen.len() < FINALISTS && !chosen.contains(&policy) {
            chosen.push(policy);
        }
    }
    for policy in proposed {
        if chosen.contains(policy) {
            continue;
        }
        if chosen.len() == FINALISTS
            && let Some(last) = chosen.iter().rposition(|other| !proposed.contains(other))
        {
            chosen.remove(last);
        }
        chosen.push(policy.clone());
    }
    chosen
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finalists_are_the_best_and_what_models_proposed() {
        let of = |ranked: &str, proposed: &str| {
            finalists(ranked.chars(), &proposed.chars().collect::<Vec<_>>()).into_iter().collect::<String>()
        };
        assert_eq!(of("abbcdefgh", ""), "abcdef");
        assert_eq!(of("abcdefgh", "z"), "abcdez");
        assert_eq!(of("abcdezg", "zy"), "abcdzy", "what is there already stays");
        assert_eq!(of("abcdefgh", "wxyz"), "abwxyz");
        assert_eq!(of("abcdefgh", "uvwxyz"), "auvwxy", "the best is always one");
        assert_eq!(of("ab", "by"), "aby");
    }
}
