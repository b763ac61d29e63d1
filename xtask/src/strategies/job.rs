//! One search, read at one or several numbers of evaluations, and what it would deliver there.

use super::subject::{Failure, Subject};
use bitesize::deliver::candidate::Candidate;
use bitesize::deliver::finalists::{FinalJudge, first_highest};
use bitesize::deliver::judge::Judge;
use bitesize_ir::Policy;
use bitesize_search::{
    DdpgSettings, Effort, EvaluationError, Evaluator, Fitting, Footprint, Memo, Outcome, Problem, Record, Score,
    Scores, SearchSettings, Strategy, finalists, from_compact, search, to_compact,
};
use serde::{Deserialize, Serialize};
use std::cell::Cell;
use std::collections::HashMap;
use std::ops::ControlFlow;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

/// Every so many evaluations the best reward so far is kept for plots.
pub(super) const STEP: usize = 10;

/// A search to be run.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(super) struct Job {
    pub(super) network: String,
    pub(super) case: String,
    pub(super) strategy: Strategy,
    pub(super) seed: u64,
    /// Evaluations at most, probes counted by their share.
    pub(super) evaluations: usize,
}

/// What a job led to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Done {
    pub(super) job: Job,
    /// One for each number of evaluations at which the search is read, the last at its end.
    pub(super) readings: Vec<Reading>,
    /// The best reward after each [`STEP`] evaluations, probes counted, as far as it goes; 0 before the first.
    pub(super) curve: Vec<f64>,
    pub(super) seconds: f64,
    /// Of `seconds`, what quantizing and running networks took.
    pub(super) evaluation_seconds: f64,
    pub(super) episodes: usize,
    pub(super) different: usize,
    pub(super) probes: usize,
    pub(super) stop_reason: String,
}

/// A search after some evaluations.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Reading {
    pub(super) evaluations: usize,
    /// The best by the search's own quantization.
    pub(super) reward: f64,
    /// What would be delivered, after the final quantization.
    pub(super) delivered: Delivered,
}

/// A policy after the final quantization.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Delivered {
    pub(super) policy: String,
    /// On the held-out samples.
    pub(super) reward: f64,
    /// On the whole test set.
    pub(super) accuracy: f64,
    pub(super) flash_bytes: u64,
    pub(super) ram_bytes: u64,
}

/// What is known of policies after the final quantization: the reward, and of those delivered everything. Test samples
/// are many, so only these meet them.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Final {
    Reward(f64),
    Delivered(Delivered),
}

/// By policy.
pub(super) type Finals = Mutex<HashMap<String, Final>>;

/// What the jobs of one network work with.
pub(super) struct Bench<'a> {
    pub(super) subject: &'a Subject,
    pub(super) judge: FinalJudge<'a>,
    pub(super) finals: &'a Finals,
}

/// A judge that counts what it is asked.
struct Counting<'a, 'b> {
    judge: &'b mut Judge<'a>,
    probes: &'b Cell<usize>,
}

impl Evaluator for Counting<'_, '_> {
    fn evaluate(&mut self, policy: &Policy) -> Result<Score, EvaluationError> {
        self.judge.evaluate(policy)
    }

    fn probe(&mut self, policy: &Policy) -> Result<f64, EvaluationError> {
        self.probes.set(self.probes.get() + 1);
        self.judge.probe(policy)
    }

    fn probe_share(&self) -> f64 {
        self.judge.probe_share()
    }
}

/// A record, and the evaluations spent when it came, probes counted.
type Spent = (Record, usize);

impl Bench<'_> {
    /// Runs `job` under the limits of `problem`, and reads it at `readings` evaluations and at its end.
    pub(super) fn run(&self, job: &Job, problem: &Problem, readings: &[usize]) -> Result<Done, Failure> {
        let mut scores = Scores::default();
        let FinalJudge { quantizer, held_out, reward, monitor } = self.judge;
        let mut judge = Judge::new(quantizer, held_out, None, monitor);
        let fitting = Fitting::of(problem, &Effort::unwatched())
            .map_err(|error| error.to_string())?
            .ok_or_else(|| format!("{job:?}: nothing fits"))?;
        let settings = SearchSettings {
            episodes: job.evaluations,
            patience: None,
            reward,
            seed: job.seed,
            reference_reward: reward.of(held_out.float_score()),
            loss_of_knowing_nothing: held_out.objective.loss_of_knowing_nothing(),
            ddpg: DdpgSettings::default(),
        };
        let start = Instant::now();
        let (probe_share, probes) = (judge.probe_share(), Cell::new(0));
        let mut records: Vec<Spent> = Vec::new();
        let mut counting = Counting { judge: &mut judge, probes: &probes };
        let mut rewards = Memo::new(&mut counting, &mut scores);
        let outcome = search(problem, &fitting, job.strategy, &settings, &mut rewards, &mut |record| {
            let spent = record.episode + 1 + (probes.get() as f64 * probe_share).ceil() as usize;
            records.push((record.clone(), spent));
            ControlFlow::Continue(())
        })?;
        let seconds = start.elapsed().as_secs_f64();
        let Outcome::Found(found) = outcome else {
            return Err(format!("{job:?}: stopped before its first episode").into());
        };
        if found.finalists.iter().map(to_compact).ne(finalists_of(&records, &found.proposed)) {
            return Err(format!("{job:?}: its log does not lead to the finalists that the search names").into());
        }
        let at = |evaluations: usize| -> Result<Reading, Failure> {
            // A search that measures before it evaluates has nothing to offer until then: its first record stands for it.
            let count = records.iter().filter(|(_, spent)| *spent <= evaluations).count().max(1);
            let records = &records[..count];
            Ok(Reading {
                evaluations,
                reward: records[count - 1].0.best_reward,
                delivered: self.delivered(finalists_of(records, &found.proposed), problem)?,
            })
        };
        let spent = records.last().map_or(0, |(_, spent)| *spent);
        let curve = (0..=spent / STEP).map(|step| {
            let reached = records.iter().take_while(|(_, spent)| *spent <= step * STEP).last();
            reached.map_or(0.0, |(record, _)| record.best_reward)
        });
        Ok(Done {
            job: job.clone(),
            readings: readings.iter().map(|evaluations| at(*evaluations)).collect::<Result<_, _>>()?,
            curve: curve.collect(),
            seconds,
            evaluation_seconds: judge.spent().as_secs_f64(),
            episodes: found.episodes,
            different: found.evaluations,
            probes: found.probes,
            stop_reason: found.stop_reason.name().into(),
        })
    }

    /// Of `finalists` the one with the highest reward after the final quantization.
    fn delivered(&self, finalists: Vec<String>, problem: &Problem) -> Result<Delivered, Failure> {
        let finals = || self.finals.lock().unwrap_or_else(PoisonError::into_inner);
        let read = |policy: &str| from_compact(policy, problem.space());
        let judged = |policy: String| -> Result<_, Failure> {
            let known = finals().get(&policy).map(Final::reward);
            let (candidate, reward) = match known {
                Some(reward) => (None, reward),
                None => {
                    let (candidate, reward) = self.judge.judge("final", &read(&policy)?)?;
                    finals().entry(policy.clone()).or_insert(Final::Reward(reward));
                    (Some(candidate), reward)
                }
            };
            Ok(((policy, candidate, reward), Some(reward)))
        };
        let judged = finalists.into_iter().map(judged).collect::<Result<Vec<_>, _>>()?;
        let ((policy, candidate, reward), _) = first_highest(judged).ok_or("a search without a record")?;
        if let Some(Final::Delivered(known)) = finals().get(&policy) {
            return Ok(known.clone());
        }
        let again = || -> Result<Candidate, Failure> { Ok(self.judge.quantizer.sequential("final", &read(&policy)?)?) };
        let candidate = candidate.map_or_else(again, Ok)?;
        let Footprint { flash_bytes, ram_bytes, .. } = problem.footprint(&read(&policy)?);
        let accuracy = self.subject.accuracy(&candidate.outputs(&self.subject.test, None, self.judge.monitor)?);
        let delivered = Delivered { policy: policy.clone(), reward, accuracy, flash_bytes, ram_bytes };
        finals().insert(policy, Final::Delivered(delivered.clone()));
        Ok(delivered)
    }
}

impl Final {
    fn reward(&self) -> f64 {
        match self {
            Self::Reward(reward) | Self::Delivered(Delivered { reward, .. }) => *reward,
        }
    }
}

/// The policies that get the final quantization after `records` of a search that `proposed` in these episodes.
fn finalists_of(records: &[Spent], proposed: &[usize]) -> Vec<String> {
    let mut ranked: Vec<&Record> = records.iter().map(|(record, _)| record).collect();
    ranked.sort_by(|a, b| b.reward.total_cmp(&a.reward));
    let proposed = proposed.iter().filter_map(|episode| records.get(*episode)).map(|(record, _)| record.policy.clone());
    finalists(ranked.into_iter().map(|record| record.policy.clone()), &proposed.collect::<Vec<_>>())
}
