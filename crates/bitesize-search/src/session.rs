//! What strategies work with: episodes, probes, what is left of them, and the best so far.

use crate::compact::to_compact;
use crate::evaluate::EvaluationError;
use crate::memo::Memo;
use crate::outcome::{Found, Outcome, StopReason, finalists};
use crate::problem::Problem;
use crate::record::Record;
use crate::settings::SearchSettings;
use bitesize_ir::Policy;
use std::collections::HashSet;
use std::ops::ControlFlow;

/// Called with each record as it happens; `Break` ends the search with what it has.
pub type OnRecord<'a> = dyn FnMut(&Record) -> ControlFlow<StopReason> + 'a;

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

/// A policy that was evaluated.
pub(crate) struct Episode {
    pub(crate) policy: Policy,
    pub(crate) reward: f64,
    pub(crate) loss: f64,
}

/// One search on its way.
pub(crate) struct Session<'a, 'm> {
    pub(crate) problem: &'a Problem<'a>,
    pub(crate) settings: &'a SearchSettings,
    rewards: &'a mut Memo<'m>,
    on_record: &'a mut OnRecord<'a>,
    /// In order.
    episodes: Vec<Episode>,
    /// The episode of the highest reward, the earliest where several have it.
    best: Option<usize>,
    /// The episodes whose policies models of the losses proposed.
    proposed: Vec<usize>,
    /// The policies of which [`Session::try_new`] was asked.
    met: HashSet<Policy>,
    pub(crate) note: String,
}

impl<'a, 'm> Session<'a, 'm> {
    pub(crate) fn new(
        problem: &'a Problem<'a>,
        settings: &'a SearchSettings,
        rewards: &'a mut Memo<'m>,
        on_record: &'a mut OnRecord<'a>,
    ) -> Self {
        let (episodes, proposed) = (Vec::new(), Vec::new());
        let (met, note) = (HashSet::new(), String::new());
        Self { problem, settings, rewards, on_record, episodes, best: None, proposed, met, note }
    }

    /// Evaluates `policy`, which keeps every limit, as the next episode; its reward.
    pub(crate) fn episode(&mut self, policy: &Policy) -> Result<f64, Halt> {
        let score = self.rewards.score(policy)?;
        let reward = self.settings.reward.of(score);
        let episode = self.episodes.len();
        self.episodes.push(Episode { policy: policy.clone(), reward, loss: score.loss });
        let best = self.best.filter(|best| reward <= self.episodes[*best].reward).unwrap_or(episode);
        self.best = Some(best);
        let footprint = self.problem.footprint(policy);
        let record = Record {
            episode,
            policy: to_compact(policy),
            flash_bytes: footprint.flash_bytes,
            ram_bytes: footprint.ram_bytes,
            accuracy: score.accuracy,
            loss: score.loss,
            reward,
            best_reward: self.episodes[best].reward,
        };
        match (self.on_record)(&record) {
            ControlFlow::Continue(()) => Ok(reward),
            ControlFlow::Break(reason) => Err(Halt::Stopped(reason)),
        }
    }

    /// The loss of `policy`, which need not fit, by a probe.
    pub(crate) fn probe(&mut self, policy: &Policy) -> Result<f64, Halt> {
        Ok(self.rewards.probe(policy)?)
    }

    /// Episodes that are left, with what probes cost counted.
    pub(crate) fn left(&self) -> usize {
        self.settings.episodes.saturating_sub(self.episodes.len() + self.rewards.cost_of_probes())
    }

    /// What was evaluated so far, in order.
    pub(crate) fn episodes(&self) -> &[Episode] {
        &self.episodes
    }

    /// Each policy evaluated so far, of its first episode, by reward, the best first and of equals the earliest.
    pub(crate) fn ranked(&self) -> Vec<&Episode> {
        let mut seen = HashSet::new();
        let mut ranked: Vec<&Episode> = self.episodes.iter().filter(|episode| seen.insert(&episode.policy)).collect();
        ranked.sort_by(|a, b| b.reward.total_cmp(&a.reward));
        ranked
    }

    /// Whether no policy so far has less loss than a network that answers the same to everything may have.
    pub(crate) fn knows_nothing(&self) -> bool {
        self.episodes.iter().all(|episode| episode.loss > self.settings.loss_of_knowing_nothing)
    }

    /// Makes `policy`, where it was evaluated, a finalist whatever its reward: a model proposed it.
    pub(crate) fn propose(&mut self, policy: &Policy) {
        let episode = self.episodes.iter().position(|episode| episode.policy == *policy);
        self.proposed.extend(episode.filter(|episode| !self.proposed.contains(episode)));
    }

    /// Whether [`Session::try_new`] was asked for `policy` before.
    pub(crate) fn has_met(&self, policy: &Policy) -> bool {
        self.met.contains(policy)
    }

    /// Evaluates `policy` unless it was met before or nothing is left; its reward. The first is evaluated in any case.
    pub(crate) fn try_new(&mut self, policy: &Policy) -> Result<Option<f64>, Halt> {
        if !self.met.insert(policy.clone()) {
            return Ok(None);
        }
        let any_left = self.left() > 0 || self.episodes.is_empty();
        if any_left { self.episode(policy).map(Some) } else { Ok(None) }
    }

    /// Whether patience has run out, for a strategy that learns from episode `learns_from` on.
    pub(crate) fn out_of_patience(&self, learns_from: usize) -> bool {
        let since = self.best.map_or(0, |best| best + 1).max(learns_from);
        self.settings.patience.is_some_and(|patience| self.episodes.len().saturating_sub(since) >= patience)
    }

    /// What the search led to when it stopped for `stop_reason`.
    pub(crate) fn end(self, stop_reason: StopReason) -> Outcome {
        let Some(best) = self.best else { return Outcome::Nothing(stop_reason) };
        let Episode { policy, reward, .. } = &self.episodes[best];
        let proposed: Vec<&Policy> = self.proposed.iter().map(|episode| &self.episodes[*episode].policy).collect();
        let ranked = self.ranked().into_iter().map(|episode| &episode.policy);
        Outcome::Found(Box::new(Found {
            policy: policy.clone(),
            footprint: self.problem.footprint(policy),
            reward: *reward,
            episode: best,
            episodes: self.episodes.len(),
            evaluations: self.rewards.evaluations(),
            probes: self.rewards.probes(),
            finalists: finalists(ranked, &proposed).into_iter().cloned().collect(),
            proposed: self.proposed,
            note: self.note,
            stop_reason,
        }))
    }
}
