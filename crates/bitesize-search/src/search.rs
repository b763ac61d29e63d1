//! Runs a strategy: limits, the diary, the best so far, and why it stopped.

use crate::ddpg::{self, DdpgSettings};
use crate::evaluate::{EvaluationError, Memo};
use crate::feasibility::Diagnosis;
use crate::problem::{Memory, Problem, to_compact};
use crate::record::Record;
use crate::rules::cut_by_rules;
use bitesize_ir::{BitWidth, Policy};
use serde::{Deserialize, Serialize};
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
}

impl Strategy {
    /// Every strategy, in the order in which help lists them.
    pub const ALL: [Self; 2] = [Self::Rules, Self::Ddpg];

    /// The name given to `--search`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Rules => "rules",
            Self::Ddpg => "ddpg",
        }
    }

    /// One line of help.
    pub fn description(self) -> &'static str {
        match self {
            Self::Rules => "cut activations, then weights, by the 2019 rules until both budgets hold; no search",
            Self::Ddpg => "a reinforcement-learning agent (DDPG, as in HAQ) that learns widths from episodes",
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
    /// Where all chance comes from.
    pub seed: u64,
    /// The accuracy, in 0..=1, that rewards are measured from: that of the float network, or of uniform 8 bits.
    pub reference_accuracy: f64,
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
    let mut session = Session { problem, settings, rewards, on_record, best: None, episodes: 0 };
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
        }
    };
    let stop_reason = match ended {
        Ok(reason) | Err(Halt::Stopped(reason)) => reason,
        Err(Halt::Failed(error)) => return Err(error),
    };
    let (episodes, evaluations) = (session.episodes, session.rewards.evaluations());
    Ok(match session.best {
        Some(best) => Outcome::Found(Box::new(Found { episodes, evaluations, stop_reason, ..best })),
        None => Outcome::Nothing(stop_reason),
    })
}

/// Why a strategy has to return.
pub(crate) enum Halt {
    Stopped(StopReason),
    Failed(EvaluationError),
}

/// What strategies work with.
pub(crate) struct Session<'a, 'm> {
    pub(crate) problem: &'a Problem<'a>,
    pub(crate) settings: &'a Settings,
    rewards: &'a mut Memo<'m>,
    on_record: &'a mut OnRecord<'a>,
    best: Option<Found>,
    episodes: usize,
}

impl Session<'_, '_> {
    /// Evaluates `policy`, which keeps both budgets, as the next episode; its reward.
    pub(crate) fn episode(&mut self, policy: Policy) -> Result<f64, Halt> {
        let reward = self.rewards.reward(&policy).map_err(|error| match error {
            EvaluationError::Interrupted => Halt::Stopped(StopReason::Interrupted),
            failed @ EvaluationError::Failed(_) => Halt::Failed(failed),
        })?;
        let (memory, episode) = (self.problem.memory(&policy), self.episodes);
        let text = to_compact(&policy);
        if self.best.as_ref().is_none_or(|best| reward > best.reward) {
            let (evaluations, stop_reason) = (0, StopReason::Episodes);
            self.best = Some(Found { policy, memory, reward, episode, episodes: 0, evaluations, stop_reason });
        }
        self.episodes += 1;
        let record = Record {
            episode,
            policy: text,
            flash_bytes: memory.flash_bytes,
            ram_bytes: memory.ram_bytes,
            reward,
            best_reward: self.best.as_ref().map_or(reward, |best| best.reward),
        };
        match (self.on_record)(&record) {
            ControlFlow::Continue(()) => Ok(reward),
            ControlFlow::Break(reason) => Err(Halt::Stopped(reason)),
        }
    }

    /// Whether patience has run out, for a strategy that learns from episode `learns_from` on.
    pub(crate) fn out_of_patience(&self, learns_from: usize) -> bool {
        let since = self.best.as_ref().map_or(0, |best| best.episode + 1).max(learns_from);
        self.settings.patience.is_some_and(|patience| self.episodes.saturating_sub(since) >= patience)
    }
}
