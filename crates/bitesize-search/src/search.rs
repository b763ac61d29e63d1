//! Runs a strategy: limits, the diary, the best so far, and why it stopped.

use crate::ddpg::{self, DdpgSettings};
use crate::evaluate::{EvaluationError, Memo, RewardKind};
use crate::feasibility::{Diagnosis, fitting_policy};
use crate::problem::{Memory, Problem, to_compact};
use crate::record::Record;
use crate::rules::cut_by_rules;
use crate::{evolution, exact, greedy, random};
use bitesize_ir::{BitWidth, Policy};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
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
    /// `evolution`, guided by costs that its evaluations correct.
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
            Self::Auto => "exact, then evolution guided by costs that its evaluations correct",
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
    /// Episodes at most, at least 1. For strategies that measure single widths, what their probes cost
    /// ([`crate::Evaluator::probe_share`]) counts too.
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
    /// The [`finalists`], this policy first.
    pub finalists: Vec<Policy>,
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
    let mut session = Session {
        problem,
        settings,
        rewards,
        on_record,
        best: None,
        leaders: Vec::new(),
        proposed: Vec::new(),
        met: HashMap::new(),
        scores: Vec::new(),
        note: String::new(),
        episodes: 0,
    };
    let uniform = problem.uniform(BitWidth::B8);
    let ended = if problem.fits(&uniform) {
        session.episode(uniform).map(|_| StopReason::UniformFits)
    } else {
        let Some(fallback) = fitting_policy(problem) else {
            return Ok(Outcome::DoesNotFit(Box::new(Diagnosis::of(problem))));
        };
        match strategy {
            Strategy::Rules => {
                let policy = cut_by_rules(problem).unwrap_or(fallback);
                session.episode(policy).map(|_| StopReason::Finished)
            }
            Strategy::Ddpg => ddpg::run(&mut session, &fallback),
            Strategy::Exact => exact::run(&mut session, &fallback),
            Strategy::Greedy => greedy::run(&mut session, fallback),
            Strategy::Random => random::run(&mut session, &fallback),
            Strategy::Evolution => evolution::run(&mut session, &fallback, false),
            Strategy::Auto => evolution::run(&mut session, &fallback, true),
        }
    };
    let stop_reason = match ended {
        Ok(reason) | Err(Halt::Stopped(reason)) => reason,
        Err(Halt::Failed(error)) => return Err(error),
    };
    let Some(Best { policy, reward, episode }) = session.best else { return Ok(Outcome::Nothing(stop_reason)) };
    let (proposed, policies): (Vec<usize>, Vec<Policy>) = session.proposed.into_iter().unzip();
    Ok(Outcome::Found(Box::new(Found {
        memory: problem.memory(&policy),
        policy,
        reward,
        episode,
        episodes: session.episodes,
        evaluations: session.rewards.evaluations(),
        probes: session.rewards.probes(),
        finalists: finalists(session.leaders.into_iter().map(|(_, policy)| policy), &policies),
        proposed,
        note: session.note,
        stop_reason,
    })))
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
    best: Option<Best>,
    /// The best few, with their rewards, best first.
    leaders: Vec<(f64, Policy)>,
    /// What models of the losses proposed, with the episode.
    proposed: Vec<(usize, Policy)>,
    /// The policies of which [`Session::try_new`] was asked, with the episodes of those that were evaluated.
    met: HashMap<Policy, Option<usize>>,
    /// What was evaluated, with the losses.
    scores: Vec<(Policy, f64)>,
    pub(crate) note: String,
    episodes: usize,
}

/// Policies that are remembered at most, at least [`FINALISTS`].
const LEADERS: usize = 8;

/// The policy of the highest reward, of the earliest episode where several have it.
struct Best {
    policy: Policy,
    reward: f64,
    episode: usize,
}

impl Session<'_, '_> {
    /// Evaluates `policy`, which keeps both budgets, as the next episode; its reward.
    pub(crate) fn episode(&mut self, policy: Policy) -> Result<f64, Halt> {
        let score = self.rewards.score(&policy).map_err(Halt::from)?;
        let reward = self.settings.reward.of(score);
        let (memory, episode) = (self.problem.memory(&policy), self.episodes);
        let text = to_compact(&policy);
        self.scores.push((policy.clone(), score.loss));
        if !self.leaders.iter().any(|(_, other)| *other == policy) {
            let place = self.leaders.partition_point(|(other, _)| *other >= reward);
            self.leaders.insert(place, (reward, policy.clone()));
            self.leaders.truncate(LEADERS);
        }
        if self.best.as_ref().is_none_or(|best| reward > best.reward) {
            self.best = Some(Best { policy, reward, episode });
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

    /// Episodes that are left, with what probes cost counted.
    pub(crate) fn left(&self) -> usize {
        self.settings.episodes.saturating_sub(self.episodes + self.rewards.cost_of_probes())
    }

    /// The best few so far, best first.
    pub(crate) fn leaders(&self) -> &[(f64, Policy)] {
        &self.leaders
    }

    /// What was evaluated so far, in order, with the losses.
    pub(crate) fn scores(&self) -> &[(Policy, f64)] {
        &self.scores
    }

    /// Whether no policy so far has less loss than an output that gives all classes the same probability may have.
    pub(crate) fn knows_nothing(&self) -> bool {
        let network = self.problem.network();
        let classes = network.shape(network.output).elements() as f64;
        self.scores.iter().all(|(_, loss)| *loss > classes.ln())
    }

    /// Makes `policy`, where it was evaluated, a finalist whatever its reward: a model proposed it.
    pub(crate) fn propose(&mut self, policy: &Policy) {
        if let Some(Some(episode)) = self.met.get(policy)
            && self.proposed.iter().all(|(other, _)| other != episode)
        {
            self.proposed.push((*episode, policy.clone()));
        }
    }

    /// Whether [`Session::try_new`] was asked for `policy` before.
    pub(crate) fn has_met(&self, policy: &Policy) -> bool {
        self.met.contains_key(policy)
    }

    /// Evaluates `policy` unless it was met before or nothing is left; its reward. The first is evaluated in any case.
    pub(crate) fn try_new(&mut self, policy: &Policy) -> Result<Option<f64>, Halt> {
        if self.has_met(policy) {
            return Ok(None);
        }
        let any_left = self.left() > 0 || self.episodes == 0;
        self.met.insert(policy.clone(), any_left.then_some(self.episodes));
        if any_left { self.episode(policy.clone()).map(Some) } else { Ok(None) }
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
