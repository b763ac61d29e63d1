//! From a quantizer and limits to the policy that is delivered: search, then the winner against every fitting baseline
//! after the same final quantization.

use super::candidate::Candidate;
use super::diary::Diary;
use super::finalists::{FinalJudge, Finalist, first_highest};
use super::judge::{Judge, learn_probes};
use super::trials::Trials;
use crate::observe::Interrupted;
use crate::run::Journal;
use anyhow::{Context as _, anyhow};
use bitesize_ir::Policy;
use bitesize_search::problem::Problem;
use bitesize_search::{
    EvaluationError, Fitting, Found, Memo, Outcome, RewardKind, Scores, SearchSettings, StopReason, Strategy,
    baselines, search,
};
use std::collections::HashMap;
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

/// What a search did, for the report.
#[derive(Clone, Debug, PartialEq)]
pub struct SearchSummary {
    /// The strategy's name.
    pub strategy: &'static str,
    /// Episodes run.
    pub episodes: usize,
    /// Different policies evaluated.
    pub evaluations: usize,
    /// Policies that were trained for an epoch before one was chosen.
    pub trials: usize,
    /// Different policies probed, to measure what single widths cost.
    pub probes: usize,
    /// What is maximised.
    pub reward_kind: RewardKind,
    /// What there is to say beside: how sure an optimum is.
    pub note: String,
    /// Wall-clock time of this run's part, without the final quantization.
    pub seconds: f64,
    /// The evaluations' share of it: quantizing and running networks. The rest is the strategy's own.
    pub evaluation_seconds: f64,
    /// Why it stopped.
    pub stop_reason: &'static str,
    /// Of its best policy after the final quantization, as the baselines' rewards are; `None` where none of its finalists
    /// can be quantized.
    pub reward: Option<f64>,
}

/// The policy that is delivered, and what it was compared with.
pub struct Winner {
    /// What the search did; `None` where the policy was given.
    pub search: Option<SearchSummary>,
    /// All of them; the first is the search's.
    pub finalists: Vec<Finalist>,
    /// Index of the one that is delivered.
    pub best: usize,
}

impl Winner {
    /// The one that is delivered.
    pub fn finalist(&self) -> &Finalist {
        &self.finalists[self.best]
    }

    /// The quantized network that is delivered.
    ///
    /// # Errors
    /// It was never quantized (a fault of bitesize).
    pub fn candidate(&self) -> anyhow::Result<&Candidate> {
        self.finalist().candidate.as_ref().context("the policy delivered was never quantized")
    }
}

/// What a policy is chosen by.
#[derive(Clone, Copy)]
pub struct Contest<'a> {
    /// Network, core, limits.
    pub problem: &'a Problem<'a>,
    /// That there is a policy which keeps the limits.
    pub fitting: &'a Fitting,
    /// How finalists are judged.
    pub judge: FinalJudge<'a>,
    /// The strategy that searches.
    pub strategy: Strategy,
    /// Its settings.
    pub settings: &'a SearchSettings,
    /// When to stop, whatever the number of evaluations.
    pub time_limit: Option<Duration>,
}

/// Networks quantized for delivery are kept for the next contest while they have no more parameters than this, of a byte
/// each.
const KEPT_PARAMETERS: usize = 256 << 20;

/// What contests under several budgets share, where quantizer and samples are the same: scores, probes and networks, all
/// of which depend on the policy alone. It changes how long a contest takes, and nothing else.
pub struct Shared<'a> {
    judge: Judge<'a>,
    scores: Scores,
    /// Policies after the final quantization with their rewards, or why there is none.
    finals: HashMap<Policy, Result<(Candidate, f64), String>>,
    /// Where finalists are trained before one is chosen.
    trials: Option<Trials<'a>>,
}

impl<'a> Shared<'a> {
    /// For contests judged as `judge` does; `journal` keeps the probes, of which it has `probes` already.
    ///
    /// # Errors
    /// A line that is no probe.
    pub fn new(judge: FinalJudge<'a>, journal: Option<Journal>, probes: &[String]) -> anyhow::Result<Self> {
        let mut scores = Scores::default();
        learn_probes(&mut scores, probes).context("a line of the kept probes is none")?;
        let judge = Judge::new(judge.quantizer, judge.held_out, journal, judge.monitor);
        Ok(Self { judge, scores, finals: HashMap::new(), trials: None })
    }

    /// Compares finalists by `trials`, where there are some.
    pub fn with_trials(self, trials: Option<Trials<'a>>) -> Self {
        Self { trials, ..self }
    }

    /// How many policies were trained before one was chosen.
    pub fn trials(&self) -> usize {
        self.trials.as_ref().map_or(0, Trials::count)
    }

    /// `finalist` with what an epoch of training makes of it, where finalists are trained.
    fn tried(&mut self, mut finalist: Finalist) -> anyhow::Result<Finalist> {
        if let (Some(trials), Some(candidate)) = (&mut self.trials, &finalist.candidate) {
            finalist.trial = Some(trials.loss(&finalist.policy, candidate)?);
        }
        Ok(finalist)
    }

    /// The network of `policy` after the final quantization, where it is kept.
    pub fn kept(&self, policy: &Policy) -> Option<&Candidate> {
        self.finals.get(policy)?.as_ref().ok().map(|(candidate, _)| candidate)
    }
}

/// A policy was found, and neither it nor any other that fits can be made integer-only.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no policy that fits can be delivered: {0}")]
pub struct Undeliverable(String);

impl Contest<'_> {
    /// Searches, then compares the winner with every fitting baseline. What `shared` holds changes how long it takes, and
    /// `diary` follows the search.
    ///
    /// Where uniform 8 bits fits it is delivered whatever the others' rewards; else the highest reward after the final
    /// quantization (where finalists are trained, the least loss after that), the search's own where several have it.
    ///
    /// # Errors
    /// [`Interrupted`]; a diary of another search or that cannot be written; [`Undeliverable`].
    pub fn hold(&self, shared: &mut Shared, diary: &mut Diary) -> anyhow::Result<Winner> {
        let start = Instant::now();
        let (found, evaluating) = self.search(shared, diary)?;
        let seconds = start.elapsed().as_secs_f64();
        let mut finalists = vec![self.best_of_search(shared, &found)?];
        let mut summary = SearchSummary {
            trials: 0,
            strategy: self.strategy.name(),
            episodes: found.episodes,
            evaluations: found.evaluations,
            probes: found.probes,
            reward_kind: self.judge.reward,
            note: found.note.clone(),
            seconds,
            evaluation_seconds: evaluating.as_secs_f64(),
            stop_reason: found.stop_reason.name(),
            reward: finalists[0].reward,
        };
        for baseline in baselines(self.problem, self.fitting) {
            finalists.push(if baseline.fits {
                self.finalist(shared, baseline.name, &baseline.policy)?
            } else {
                Finalist::that_does_not_fit(baseline.name, baseline.policy, baseline.footprint)
            });
        }
        // By the problem, not by why the search stopped: a time limit may have ended it at this one evaluation.
        let best = if self.fitting.uniform_fits() && finalists[0].candidate.is_some() {
            0
        } else {
            let worths = finalists.iter().map(Finalist::worth).enumerate();
            first_highest(worths).map_or(0, |(best, _)| best)
        };
        if let (None, Some(reason)) = (&finalists[best].candidate, &finalists[best].failed) {
            return Err(Undeliverable(reason.clone()).into());
        }
        summary.trials = shared.trials();
        Ok(Winner { search: Some(summary), finalists, best })
    }

    /// Of the search's finalists the one whose reward after the final quantization is the highest, or after an epoch of training whose loss is the
    /// least: what the search judges
    /// by is another quantization, and policies that are nearly as good under one may change places under the other.
    fn best_of_search(&self, shared: &mut Shared, found: &Found) -> anyhow::Result<Finalist> {
        let judged: Vec<Finalist> = found
            .finalists
            .iter()
            .map(|policy| self.finalist(shared, "search", policy))
            .collect::<anyhow::Result<_>>()?;
        let best = first_highest(judged.into_iter().map(|finalist| {
            let worth = finalist.worth();
            (finalist, worth)
        }));
        Ok(best.context("a search without a finalist")?.0)
    }

    /// Quantizes `policy` for delivery and takes its reward; from `shared` where it is there. A policy that cannot be
    /// quantized is no reason to lose the others: it is told, and noted.
    fn finalist(&self, shared: &mut Shared, name: &str, policy: &Policy) -> anyhow::Result<Finalist> {
        let monitor = self.judge.monitor;
        monitor.checkpoint()?;
        let footprint = self.problem.footprint(policy);
        if let Some(known) = shared.finals.get(policy).cloned() {
            return shared.tried(Finalist::that_fits(name, policy, footprint, known));
        }
        let judged = match self.judge.judge(name, policy) {
            Err(error) if error.is::<Interrupted>() => return Err(error),
            Err(error) => {
                monitor.warn(format_args!("`{name}` fits, but cannot be delivered: {error:#}"));
                Err(format!("{error:#}"))
            }
            Ok(judged) => Ok(judged),
        };
        if shared.finals.len() * self.problem.network().parameters() < KEPT_PARAMETERS {
            shared.finals.insert(policy.clone(), judged.clone());
        }
        shared.tried(Finalist::that_fits(name, policy, footprint, judged))
    }

    /// What the search found, and the time that evaluations took.
    fn search(&self, shared: &mut Shared, diary: &mut Diary) -> anyhow::Result<(Found, Duration)> {
        let monitor = self.judge.monitor;
        let Shared { judge, scores, .. } = shared;
        scores.learn(diary.earlier());
        let before = judge.spent();
        let start = Instant::now();
        let step = monitor.step("search", self.settings.episodes);
        let mut trouble: Option<anyhow::Error> = None;
        let mut rewards = Memo::new(judge, scores);
        let outcome = search(self.problem, self.fitting, self.strategy, self.settings, &mut rewards, &mut |record| {
            if let Err(error) = diary.add(record) {
                trouble = Some(error);
                return ControlFlow::Break(StopReason::Interrupted);
            }
            step.message(format_args!("best {:.4}", record.best_reward));
            step.set(record.episode + 1, self.settings.episodes);
            if monitor.stop_requested() {
                ControlFlow::Break(StopReason::Interrupted)
            } else if self.time_limit.is_some_and(|limit| start.elapsed() >= limit) {
                ControlFlow::Break(StopReason::TimeLimit)
            } else {
                ControlFlow::Continue(())
            }
        });
        if let Some(error) = trouble {
            return Err(error);
        }
        let outcome = outcome.map_err(|error| match error {
            EvaluationError::Interrupted => Interrupted.into(),
            EvaluationError::Failed(problem) => anyhow!("the search cannot evaluate a policy: {problem}"),
        })?;
        let Outcome::Found(found) = outcome else { return Err(Interrupted.into()) };
        if found.stop_reason == StopReason::Interrupted {
            return Err(Interrupted.into());
        }
        let Found { episodes, evaluations, probes, reward, note, .. } = found.as_ref();
        let kind = self.judge.reward.name();
        step.finish(format_args!(
            "{}, {episodes} episodes, {evaluations} different policies, {probes} probes, reward {reward:.4} ({kind})",
            self.strategy.name()
        ));
        if !note.is_empty() {
            monitor.note(note);
        }
        let spent = judge.spent() - before;
        Ok((*found, spent))
    }
}
