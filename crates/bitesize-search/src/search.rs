//! Runs a strategy: limits, the diary, the best so far, and why it stopped.

use crate::ddpg::{self, DdpgSettings};
use crate::evaluate::{EvaluationError, Memo, RewardKind};
use crate::feasibility::Diagnosis;
use crate::problem::{Memory, Problem, to_compact};
use crate::record::Record;
use crate::rules::cut_by_rules;
use crate::{auto, evolution, exact, greedy, random};
use bitesize_ir::{BitWidth, Policy};
use serde::{Deserialize, Serialize};
use std::collections::HashSet;
use std::fmt;
use std::ops::ControlFlow;
use std::str::FromStr;

/// A way of choosing a policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Strategy {
    /// The rule-based bit cutting of 2019 ([`crate::rules`]): one policy, no search.
    Rules,
    /// HAQ's reinforcement-learning agent ([`crate::ddpg`]).
    Ddpg,
    /// The optimum of an additive model of measured sensitivities.
    Exact,
    /// Least loss for each byte saved.
    Greedy,
    /// Policies at random.
    Random,
    /// A population, from what `exact` and `rules` find.
    Evolution,
    /// `exact`, measured again round its best, then `evolution`.
    Auto,
}

impl Strategy {
    /// Every strategy, in the order in which help lists them.
    pub const ALL: [Self; 7] =
        [Self::Auto, Self::Exact, Self::Evolution, Self::Ddpg, Self::Greedy, Self::Rules, Self::Random];

    /// The name given to `--search`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Rules => "rules",
            Self::Ddpg => "ddpg",
            Self::Exact => "exact",
            Self::Greedy => "greedy",
            Self::Random => "random",
            Self::Evolution => "evolution",
            Self::Auto => "auto",
        }
    }

    /// Episodes of a run for which no number is given: HAQ's 600 for its agent, which learns from them; 200 for the others,
    /// which take them up to use what is left.
    pub fn usual_episodes(self) -> usize {
        match self {
            Self::Ddpg => 600,
            Self::Auto | Self::Exact | Self::Evolution | Self::Greedy | Self::Rules | Self::Random => 200,
        }
    }

    /// One line of help.
    pub fn description(self) -> &'static str {
        match self {
            Self::Rules => "cut activations, then weights, by the 2019 rules until both budgets hold; no search",
            Self::Ddpg => "a reinforcement-learning agent (DDPG, as in HAQ) that learns widths from episodes",
            Self::Exact => "measure what each width costs, then the proved optimum of the sum",
            Self::Greedy => "cut what costs the least measured loss for each byte saved; no search",
            Self::Random => "random policies, cut until they fit: what others have to beat",
            Self::Evolution => "a population that starts from exact and rules and uses up slack bytes",
            Self::Auto => "exact, measured again round its best policy, then evolution with what is left",
        }
    }
}

impl fmt::Display for Strategy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Strategy {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|strategy| strategy.name() == text).ok_or_else(|| {
            let names: Vec<&str> = Self::ALL.iter().map(|strategy| strategy.name()).collect();
            format!("`{text}` is not a search strategy: use one of {}", names.join(", "))
        })
    }
}

/// What a search is given beside the problem.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Episodes at most, at least 1.
    pub episodes: usize,
    /// Stop after this many episodes in a row without a new best, counted from when the strategy has begun to learn;
    /// `None` never does.
    pub patience: Option<usize>,
    /// What is maximised.
    #[serde(default)]
    pub reward: RewardKind,
    /// Where all chance comes from.
    pub seed: u64,
    /// The reward, in 0..=1, that the agent's are measured from: the float network's.
    pub reference_reward: f64,
    /// The agent's own.
    pub ddpg: DdpgSettings,
}

/// Why a search stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StopReason {
    /// Uniform 8 bits keeps every budget: there is nothing to search.
    UniformFits,
    /// The strategy has only this one policy to offer.
    Finished,
    /// All episodes were run.
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

/// What a search found.
#[derive(Clone, Debug, PartialEq)]
pub struct Found {
    /// The policy of the highest reward, of the earliest episode where several have it.
    pub policy: Policy,
    /// Its bytes.
    pub memory: Memory,
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
    /// The [`candidates`] for the final quantization, this policy first.
    pub best: Vec<Policy>,
    /// The episodes of the policies that models proposed.
    pub proposed: Vec<usize>,
    /// What there is to say beside: how sure an optimum is.
    pub note: String,
    /// Why it stopped.
    pub stop_reason: StopReason,
}

/// How a search ended.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// With a policy that keeps both budgets.
    Found(Box<Found>),
    /// No policy keeps both budgets, as far as could be found out.
    DoesNotFit(Box<Diagnosis>),
    /// It was stopped before its first episode ended.
    Nothing(StopReason),
}

/// How many policies get a final quantization.
pub const CANDIDATES: usize = 6;

/// The policies worth a final quantization, at most [`CANDIDATES`]: the first of `ranked`, which has them by reward, the
/// best first, and those that models of the losses proposed, in the place of the last where they are not among them.
/// What is best of hundreds is in part the winner of luck on the held-out samples, by roundings that the final
/// quantization changes; what a model proposes is less so.
pub fn candidates<P: PartialEq + Clone>(ranked: impl IntoIterator<Item = P>, proposed: &[P]) -> Vec<P> {
    let mut chosen: Vec<P> = Vec::new();
    for policy in ranked {
        if chosen.len() < CANDIDATES && !chosen.contains(&policy) {
            chosen.push(policy);
        }
    }
    for policy in proposed.iter().take(CANDIDATES - 1) {
        if chosen.contains(policy) {
            continue;
        }
        if chosen.len() == CANDIDATES
            && let Some(last) = chosen.iter().rposition(|other| !proposed.contains(other))
        {
            chosen.remove(last);
        }
        chosen.push(policy.clone());
    }
    chosen
}

/// Called with each record as it happens; `Break` ends the search with what it has.
pub type OnRecord<'a> = dyn FnMut(&Record) -> ControlFlow<StopReason> + 'a;

/// Searches `problem` with `strategy`.
///
/// Where uniform 8 bits keeps both budgets it is the answer of every strategy, evaluated once. The same problem,
/// settings and rewards give the same records and the same outcome, whatever `rewards` knows beforehand.
///
/// # Errors
/// The message of an evaluation that failed.
pub fn search(
    problem: &Problem,
    strategy: Strategy,
    settings: &Settings,
    rewards: &mut Memo,
    on_record: &mut OnRecord,
) -> Result<Outcome, EvaluationError> {
    let (best, leaders, proposed, note) = (None, Vec::new(), Vec::new(), String::new());
    let mut session = Session { problem, settings, rewards, on_record, best, leaders, proposed, note, episodes: 0 };
    let uniform = problem.uniform(BitWidth::B8);
    let ended = if problem.fits(&uniform) {
        session.episode(uniform).map(|_| StopReason::UniformFits)
    } else {
        let diagnosis = Diagnosis::of(problem);
        let Some(fallback) = diagnosis.fitting() else { return Ok(Outcome::DoesNotFit(Box::new(diagnosis))) };
        match strategy {
            Strategy::Rules => {
                let policy = cut_by_rules(problem).unwrap_or_else(|| fallback.clone());
                session.episode(policy).map(|_| StopReason::Finished)
            }
            Strategy::Ddpg => ddpg::run(&mut session, fallback),
            Strategy::Exact => exact::run(&mut session, fallback),
            Strategy::Greedy => greedy::run(&mut session, fallback),
            Strategy::Random => random::run(&mut session, fallback),
            Strategy::Evolution => evolution::run(&mut session, fallback),
            Strategy::Auto => auto::run(&mut session, fallback),
        }
    };
    let stop_reason = match ended {
        Ok(reason) | Err(Halt::Stopped(reason)) => reason,
        Err(Halt::Failed(error)) => return Err(error),
    };
    let (episodes, evaluations) = (session.episodes, session.rewards.evaluations());
    let (probes, note) = (session.rewards.probes(), session.note);
    let (proposed, policies): (Vec<usize>, Vec<Policy>) = session.proposed.into_iter().unzip();
    let best = candidates(session.leaders.into_iter().map(|(_, policy)| policy), &policies);
    Ok(match session.best {
        Some(found) => {
            let found = Found { episodes, evaluations, probes, best, proposed, note, stop_reason, ..found };
            Outcome::Found(Box::new(found))
        }
        None => Outcome::Nothing(stop_reason),
    })
}

/// Why a strategy has to return.
pub(crate) enum Halt {
    Stopped(StopReason),
    Failed(EvaluationError),
}

impl From<EvaluationError> for Halt {
    fn from(error: EvaluationError) -> Self {
        match error {
            EvaluationError::Interrupted => Self::Stopped(StopReason::Interrupted),
            failed @ EvaluationError::Failed(_) => Self::Failed(failed),
        }
    }
}

/// What strategies work with.
pub(crate) struct Session<'a, 'm> {
    pub(crate) problem: &'a Problem<'a>,
    pub(crate) settings: &'a Settings,
    rewards: &'a mut Memo<'m>,
    on_record: &'a mut OnRecord<'a>,
    best: Option<Found>,
    /// The best few, with their rewards, best first.
    leaders: Vec<(f64, Policy)>,
    /// What models of the losses proposed, with the episode.
    proposed: Vec<(usize, Policy)>,
    pub(crate) note: String,
    episodes: usize,
}

/// Policies that are remembered at most.
const LEADERS: usize = 8;

impl Session<'_, '_> {
    /// Evaluates `policy`, which keeps both budgets, as the next episode; its reward.
    pub(crate) fn episode(&mut self, policy: Policy) -> Result<f64, Halt> {
        let score = self.rewards.score(&policy).map_err(Halt::from)?;
        let reward = self.settings.reward.of(score);
        let (memory, episode) = (self.problem.memory(&policy), self.episodes);
        let text = to_compact(&policy);
        if !self.leaders.iter().any(|(_, other)| *other == policy) {
            let place = self.leaders.partition_point(|(other, _)| *other >= reward);
            self.leaders.insert(place, (reward, policy.clone()));
            self.leaders.truncate(LEADERS);
        }
        if self.best.as_ref().is_none_or(|best| reward > best.reward) {
            let (best, proposed, note) = (Vec::new(), Vec::new(), String::new());
            let (episodes, evaluations, probes, stop_reason) = (0, 0, 0, StopReason::Episodes);
            self.best = Some(Found {
                policy,
                memory,
                reward,
                episode,
                episodes,
                evaluations,
                probes,
                best,
                proposed,
                note,
                stop_reason,
            });
        }
        self.episodes += 1;
        let record = Record {
            episode,
            policy: text,
            flash_bytes: memory.flash_bytes,
            ram_bytes: memory.ram_bytes,
            accuracy: score.accuracy,
            loss: score.loss,
            reward,
            best_reward: self.best.as_ref().map_or(reward, |best| best.reward),
        };
        match (self.on_record)(&record) {
            ControlFlow::Continue(()) => Ok(reward),
            ControlFlow::Break(reason) => Err(Halt::Stopped(reason)),
        }
    }

    /// The loss of `policy`, which need not fit, by a probe.
    pub(crate) fn probe(&mut self, policy: &Policy) -> Result<f64, Halt> {
        self.rewards.probe(policy).map_err(Halt::from)
    }

    /// Evaluations that are left, with those that probes took counted.
    pub(crate) fn left(&self) -> usize {
        self.settings.episodes.saturating_sub(self.episodes + self.rewards.cost_of_probes())
    }

    /// The best so far, with its reward.
    pub(crate) fn best(&self) -> Option<(&Policy, f64)> {
        self.best.as_ref().map(|best| (&best.policy, best.reward))
    }

    /// The best few so far, best first.
    pub(crate) fn leaders(&self) -> &[(f64, Policy)] {
        &self.leaders
    }

    /// Makes `policy`, just evaluated, a candidate for the final quantization whatever comes: a model proposed it.
    pub(crate) fn propose(&mut self, policy: &Policy) {
        self.keep(self.episodes.saturating_sub(1), policy.clone());
    }

    /// As [`propose`](Self::propose), for the best policy so far.
    pub(crate) fn propose_best(&mut self) {
        if let Some((episode, policy)) = self.best.as_ref().map(|best| (best.episode, best.policy.clone())) {
            self.keep(episode, policy);
        }
    }

    fn keep(&mut self, episode: usize, policy: Policy) {
        if self.proposed.iter().all(|(other, _)| *other != episode) {
            self.proposed.push((episode, policy));
        }
    }

    /// Evaluates `policy` unless `seen` has it or nothing is left; its reward.
    pub(crate) fn try_new(&mut self, seen: &mut HashSet<Policy>, policy: &Policy) -> Result<Option<f64>, Halt> {
        if !seen.insert(policy.clone()) || (self.left() == 0 && self.episodes > 0) {
            return Ok(None);
        }
        self.episode(policy.clone()).map(Some)
    }

    /// Whether patience has run out, for a strategy that learns from episode `learns_from` on.
    pub(crate) fn out_of_patience(&self, learns_from: usize) -> bool {
        let since = self.best.as_ref().map_or(0, |best| best.episode + 1).max(learns_from);
        self.settings.patience.is_some_and(|patience| self.episodes.saturating_sub(since) >= patience)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn candidates_are_the_best_and_what_models_proposed() {
        let of = |ranked: &str, proposed: &str| {
            candidates(ranked.chars(), &proposed.chars().collect::<Vec<_>>()).into_iter().collect::<String>()
        };
        assert_eq!(of("abbcdefgh", ""), "abcdef");
        assert_eq!(of("abcdefgh", "z"), "abcdez");
        assert_eq!(of("abcdezg", "zy"), "abcdzy", "what is there already stays");
        assert_eq!(of("abcdefgh", "wxyz"), "abwxyz");
        assert_eq!(of("abcdefgh", "uvwxyz"), "auvwxy", "the best is always one");
        assert_eq!(of("ab", "by"), "aby");
    }
}
