//! From a quantizer and a budget to the policy that is delivered: search, then the winner against every fitting
//! baseline after the same final quantization.

use crate::console::{Console, Interrupted, checkpoint, stop_requested};
use crate::judge::{Judge, Target};
use crate::measure::Candidate;
use crate::quantize::Quantizer;
use crate::run::{DIARY, RunFolder};
use anyhow::{Context as _, anyhow};
use bitesize_ir::{BitWidth, Policy};
use bitesize_search::baselines::baselines;
use bitesize_search::evaluate::{EvaluationError, Memo, RewardKind};
use bitesize_search::feasibility::Diagnosis;
use bitesize_search::problem::{Memory, Problem};
use bitesize_search::record::{Record, Replay, diary_line, parse_diary};
use bitesize_search::search::{Found, Outcome, Settings, StopReason, Strategy, search};
use std::collections::HashMap;
use std::fs::File;
use std::io::Write as _;
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

/// A policy after the final quantization.
#[derive(Clone, Debug)]
pub struct Finalist {
    /// `search`, or the baseline's name.
    pub name: String,
    /// The widths.
    pub policy: Policy,
    /// Its bytes.
    pub memory: Memory,
    /// Whether it keeps both budgets.
    pub fits: bool,
    /// The quantized network; `None` where it does not fit or cannot be quantized.
    pub candidate: Option<Candidate>,
    /// Reward on the held-out split; `None` where it does not fit or cannot be quantized.
    pub reward: Option<f64>,
    /// Why it fits and cannot be quantized all the same, where that is so.
    pub failed: Option<String>,
}

/// What a search leads to.
pub enum Choice {
    /// A policy, and what it was compared with.
    Chosen(Box<Chosen>),
    /// No policy keeps both budgets.
    DoesNotFit(Box<Diagnosis>),
}

/// The policy that is delivered.
pub struct Chosen {
    /// What the search did; `None` where the policy was given.
    pub search: Option<SearchSummary>,
    /// All of them; the first is the search's.
    pub finalists: Vec<Finalist>,
    /// Index of the one that is delivered.
    pub best: usize,
}

impl Chosen {
    /// The quantized network that is delivered.
    ///
    /// # Errors
    /// It was never quantized (a fault of bitesize).
    pub fn delivered(&self) -> anyhow::Result<&Candidate> {
        self.finalists[self.best].candidate.as_ref().context("the policy delivered was never quantized")
    }
}

/// What [`choose`] works with.
pub struct Arena<'a> {
    /// Network, core, budget.
    pub problem: &'a Problem<'a>,
    /// Makes models of policies.
    pub quantizer: &'a Quantizer<'a>,
    /// Held-out training samples.
    pub target: &'a Target,
    /// What is maximised on them.
    pub reward: RewardKind,
    /// When to stop, whatever the number of evaluations.
    pub time_limit: Option<Duration>,
    /// Where the diary is kept.
    pub folder: &'a RunFolder,
    /// Where progress is told.
    pub console: &'a Console,
}

/// Networks quantized for delivery are kept for the next choice while they have no more parameters than this, of a byte each.
const KEPT_PARAMETERS: usize = 256 << 20;

/// What choices under several budgets share, where quantizer and samples are the same: scores, probes and networks, all
/// of which depend on the policy alone. It changes how long a choice takes, and nothing else.
pub struct Shared<'a> {
    judge: Judge<'a>,
    /// Policies after the final quantization with their rewards, or why there is none.
    finals: HashMap<Policy, Result<(Candidate, f64), String>>,
}

impl<'a> Shared<'a> {
    /// For choices in `arena`; its folder keeps the probes.
    ///
    /// # Errors
    /// Probes that cannot be read or written.
    pub fn new(arena: &Arena<'a>) -> anyhow::Result<Self> {
        let judge = Judge::new(arena.quantizer, arena.target, arena.folder)?;
        Ok(Self { judge, finals: HashMap::new() })
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

/// Searches, then compares the winner with every fitting baseline.
///
/// Where uniform 8 bits fits it is delivered whatever the others' rewards; else the highest reward after the final
/// quantization, the search's own where several have it.
///
/// # Errors
/// [`Interrupted`]; a diary of other settings or that cannot be written; [`Undeliverable`].
pub fn choose(arena: &Arena, strategy: Strategy, settings: &Settings) -> anyhow::Result<Choice> {
    choose_with(arena, &mut Shared::new(arena)?, &mut Diary::open(arena.folder)?, strategy, settings)
}

/// As [`choose`], to the same choice, with what earlier choices left in `shared`, and another diary.
///
/// # Errors
/// As [`choose`].
pub fn choose_with(
    arena: &Arena,
    shared: &mut Shared,
    diary: &mut Diary,
    strategy: Strategy,
    settings: &Settings,
) -> anyhow::Result<Choice> {
    let start = Instant::now();
    let (outcome, evaluating) = run_search(arena, shared, diary, strategy, settings)?;
    let seconds = start.elapsed().as_secs_f64();
    let found = match outcome {
        Outcome::Found(found) => found,
        Outcome::DoesNotFit(diagnosis) => return Ok(Choice::DoesNotFit(diagnosis)),
        Outcome::Nothing(_) => return Err(Interrupted.into()),
    };
    if found.stop_reason == StopReason::Interrupted {
        return Err(Interrupted.into());
    }
    let mut finalists = vec![best_after_final_quantization(arena, shared, &found)?];
    let summary = SearchSummary {
        strategy: strategy.name(),
        episodes: found.episodes,
        evaluations: found.evaluations,
        probes: found.probes,
        reward_kind: arena.reward,
        note: found.note.clone(),
        seconds,
        evaluation_seconds: evaluating.as_secs_f64(),
        stop_reason: found.stop_reason.name(),
        reward: finalists[0].reward,
    };
    for baseline in baselines(arena.problem) {
        let next = if baseline.fits {
            finalist(arena, shared, baseline.name, &baseline.policy)?
        } else {
            Finalist {
                name: baseline.name.into(),
                policy: baseline.policy,
                memory: baseline.memory,
                fits: false,
                candidate: None,
                reward: None,
                failed: None,
            }
        };
        finalists.push(next);
    }
    // By the problem, not by why the search stopped: a time limit may have ended it at this one evaluation.
    let uniform_fits = arena.problem.fits(&arena.problem.uniform(BitWidth::B8));
    let best = if uniform_fits && finalists[0].candidate.is_some() { 0 } else { highest_reward(&finalists) };
    if let (None, Some(reason)) = (&finalists[best].candidate, &finalists[best].failed) {
        return Err(Undeliverable(reason.clone()).into());
    }
    Ok(Choice::Chosen(Box::new(Chosen { search: Some(summary), finalists, best })))
}

/// The policy that was given, quantized; it must fit.
///
/// # Errors
/// [`Interrupted`]; a network that cannot be quantized.
pub fn take(arena: &Arena, policy: &Policy) -> anyhow::Result<Chosen> {
    let judged = judged(arena, "policy", policy).context("the given policy cannot be delivered")?;
    Ok(Chosen { search: None, finalists: vec![Finalist::of(arena, "policy", policy, Ok(judged))], best: 0 })
}

/// Of the search's finalists the one whose reward after the final quantization is the highest: what the search
/// judges by is another quantization, and policies that are nearly as good under one may change places under the other.
fn best_after_final_quantization(arena: &Arena, shared: &mut Shared, found: &Found) -> anyhow::Result<Finalist> {
    let mut best = finalist(arena, shared, "search", &found.policy)?;
    for policy in found.finalists.iter().skip(1) {
        let next = finalist(arena, shared, "search", policy)?;
        if next.reward > best.reward {
            best = next;
        }
    }
    Ok(best)
}

fn highest_reward(finalists: &[Finalist]) -> usize {
    let reward = |i: usize| finalists[i].reward.unwrap_or(-1.0);
    (1..finalists.len()).fold(0, |best, i| if reward(i) > reward(best) { i } else { best })
}

/// Quantizes `policy` for delivery and takes its reward; from `shared` where it is there. A policy that cannot be
/// quantized is no reason to lose the others: it is told, and noted.
fn finalist(arena: &Arena, shared: &mut Shared, name: &str, policy: &Policy) -> anyhow::Result<Finalist> {
    checkpoint()?;
    if let Some(known) = shared.finals.get(policy) {
        return Ok(Finalist::of(arena, name, policy, known.clone()));
    }
    let judged = match judged(arena, name, policy) {
        Err(error) if error.is::<Interrupted>() => return Err(error),
        Err(error) => {
            arena.console.warn(format_args!("`{name}` fits, but cannot be delivered: {error:#}"));
            Err(format!("{error:#}"))
        }
        Ok(judged) => Ok(judged),
    };
    if shared.finals.len() * arena.problem.network().parameters() < KEPT_PARAMETERS {
        shared.finals.insert(policy.clone(), judged.clone());
    }
    Ok(Finalist::of(arena, name, policy, judged))
}

/// `policy` quantized for delivery, and its reward.
fn judged(arena: &Arena, name: &str, policy: &Policy) -> anyhow::Result<(Candidate, f64)> {
    let candidate = arena.quantizer.sequential(name, policy)?;
    let reward = arena.reward.of(arena.target.score(&candidate, None)?);
    Ok((candidate, reward))
}

impl Finalist {
    /// A policy that fits, with what [`judged`] led to.
    fn of(arena: &Arena, name: &str, policy: &Policy, judged: Result<(Candidate, f64), String>) -> Self {
        let (candidate, reward, failed) = match judged {
            Ok((candidate, reward)) => (Some(candidate), Some(reward), None),
            Err(error) => (None, None, Some(error)),
        };
        let memory = arena.problem.memory(policy);
        Self { name: name.into(), policy: policy.clone(), memory, fits: true, candidate, reward, failed }
    }
}

/// The outcome, and the time that evaluations took.
fn run_search(
    arena: &Arena,
    shared: &mut Shared,
    diary: &mut Diary,
    strategy: Strategy,
    settings: &Settings,
) -> anyhow::Result<(Outcome, Duration)> {
    let path = arena.folder.join(DIARY);
    let shown = path.display();
    let judge = &mut shared.judge;
    judge.learn(diary.earlier());
    let before = judge.spent();
    let mut rewards = Memo::new(judge);
    let start = Instant::now();
    let stage = arena.console.stage("search", settings.episodes);
    let mut trouble: Option<anyhow::Error> = None;
    let outcome = search(arena.problem, strategy, settings, &mut rewards, &mut |record| {
        if let Err(error) = diary.add(record) {
            trouble = Some(error.context(format!("cannot go on with `{shown}`")));
            return ControlFlow::Break(StopReason::Interrupted);
        }
        stage.message(format_args!("best {:.4}", record.best_reward));
        stage.set(record.episode + 1, settings.episodes);
        if stop_requested() {
            ControlFlow::Break(StopReason::Interrupted)
        } else if arena.time_limit.is_some_and(|limit| start.elapsed() >= limit) {
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
    if let Outcome::Found(found) = &outcome {
        let Found { episodes, evaluations, probes, reward, note, .. } = found.as_ref();
        let kind = arena.reward.name();
        stage.finish(format_args!(
            "{}, {episodes} episodes, {evaluations} different policies, {probes} probes, reward {reward:.4} ({kind})",
            strategy.name()
        ));
        if !note.is_empty() {
            arena.console.note(note);
        }
    }
    Ok((outcome, judge.spent() - before))
}

/// What an earlier run of a search recorded, and where this one goes on.
pub struct Diary {
    file: Option<File>,
    earlier: Vec<Record>,
    replay: Replay,
}

impl Diary {
    /// The diary in `folder`: `search.jsonl`.
    ///
    /// # Errors
    /// A damaged diary, or one that cannot be written.
    pub fn open(folder: &RunFolder) -> anyhow::Result<Self> {
        let fail = || format!("cannot use the search's diary `{}`", folder.join(DIARY).display());
        let text = folder.read_lines(DIARY).with_context(fail)?;
        let earlier = parse_diary(&text).with_context(fail)?;
        let file = folder.append_to_lines(DIARY, &text).with_context(fail)?;
        Ok(Self { file: Some(file), replay: Replay::along(earlier.clone()), earlier })
    }

    /// A diary that keeps nothing.
    pub fn none() -> Self {
        Self { file: None, replay: Replay::along(Vec::new()), earlier: Vec::new() }
    }

    fn earlier(&self) -> &[Record] {
        &self.earlier
    }

    fn add(&mut self, record: &Record) -> anyhow::Result<()> {
        let Some(file) = &mut self.file else { return Ok(()) };
        if self.replay.is_new(record)? {
            file.write_all(diary_line(record).as_bytes()).and_then(|()| file.flush())?;
        }
        Ok(())
    }
}

/// `8/8`: weights, then activations.
///
/// # Errors
/// A sentence saying what is accepted.
pub fn parse_uniform(text: &str) -> Result<(BitWidth, BitWidth), String> {
    let wrong = || format!("`{text}` is not W/A with 2, 4 or 8 bits each, as in 4/8");
    let (weights, activations) = text.split_once('/').ok_or_else(wrong)?;
    let width = |t: &str| t.trim().parse::<u8>().ok().and_then(|b| BitWidth::try_from(b).ok()).ok_or_else(wrong);
    Ok((width(weights)?, width(activations)?))
}
