//! The fourth stage: the widths that are delivered, found by a search or given.
//!
//! Needs [`Prepared`], and for a search a problem of which some policy keeps the limits. Owns the journals `search.jsonl`
//! and `probes.jsonl`, which carry checks of their own. Depends on all that [`Prepared`] does, on ranges, target, core
//! costs, the settings of the search and the contents of the held-out samples.

use super::aim::Aim;
use super::candidate::Candidate;
use super::coarse;
use super::contest::{Contest, Shared, Winner};
use super::diary::Diary;
use super::finalists::{FinalJudge, Finalist};
use super::finetuned::with_samples;
use super::guessing;
use super::held_out::HeldOut;
use super::opened::Opened;
use super::prepared::Prepared;
use super::sweep::{Sweep, Swept, sweep};
use super::trials::Trials;
use crate::ending::usage;
use crate::hash::sha256;
use crate::run::names::{DIARY, PARETO_POINTS, PROBES};
use crate::run::{Journal, Provenance, Stage};
use crate::target::Platform;
use crate::task::Measured;
use crate::task::loss::Fidelity;
use anyhow::Context as _;
use bitesize_ir::shown::ShownPath as _;
use bitesize_ir::{BitWidth, Policy};
use bitesize_search::problem::Problem;
use bitesize_search::{DdpgSettings, Fitting, RewardKind, SearchSettings, Strategy};
use std::time::Duration;

/// The widths that are delivered, and what they were compared with.
pub struct Chosen<'a> {
    /// What it was made from.
    pub prepared: &'a Prepared<'a>,
    /// What it was judged by.
    pub held_out: &'a HeldOut,
    /// The policy, with what it was compared with.
    pub winner: Winner,
    /// What contests under other budgets share; `None` where the policy was given.
    pub shared: Option<Shared<'a>>,
    /// What was found of the policy on the held-out samples.
    pub found: (Option<Measured>, Fidelity),
    /// The settings of the search.
    pub settings: SearchSettings,
    /// The strategy of the search.
    pub strategy: Strategy,
}

/// What was chosen, and how.
struct Choice<'a> {
    winner: Winner,
    shared: Option<Shared<'a>>,
    settings: SearchSettings,
    strategy: Strategy,
}

/// What is maximised in the run of `opened`.
fn reward_kind(opened: &Opened) -> RewardKind {
    opened.config.search.as_ref().map_or(RewardKind::default(), |s| s.reward)
}

/// How finalists of `prepared` are judged.
fn final_judge<'a>(prepared: &'a Prepared<'a>, held_out: &'a HeldOut) -> FinalJudge<'a> {
    let opened = prepared.calibrated.opened;
    let quantizer = &prepared.quantizer;
    FinalJudge { quantizer, held_out, reward: reward_kind(&opened), monitor: opened.monitor }
}

fn settings(opened: &Opened, held_out: &HeldOut) -> SearchSettings {
    let config = opened.config;
    let search = config.search.as_ref();
    let reward = reward_kind(opened);
    SearchSettings {
        episodes: search.map_or(1, |s| s.episodes),
        patience: search.and_then(|s| s.patience),
        seed: config.seed,
        reward,
        reference_reward: reward.of(held_out.float_score()),
        loss_of_knowing_nothing: held_out.objective.loss_of_knowing_nothing(),
        ddpg: DdpgSettings::default(),
    }
}

impl<'a> Chosen<'a> {
    /// What the choice depends on, as far as settings say it.
    pub fn made_from_settings(opened: &Opened, platform: &Platform) -> Provenance {
        let name = &platform.core.name;
        let costs = sha256(platform.core.figures().as_bytes());
        // They are part of the costs, too, but settings are named.
        let ways = [("schedule", platform.core.scheduling.name()), ("input", platform.core.input.name())];
        let ways = ways.map(|(key, value)| (format!("target.{key}"), value.to_owned()));
        let made_from = opened.made_from(&TABLES).with_all(ways).with_contents(&format!("the costs of {name}"), costs);
        let constraints = opened.config.constraints();
        match constraints.and_then(|constraints| constraints.instructions) {
            Some(_) => {
                let instructions = sha256(platform.core.instruction_figures().as_bytes());
                made_from.with_contents(&format!("the instructions of {name}"), instructions)
            }
            None => made_from,
        }
    }

    /// What the choice depends on.
    ///
    /// # Errors
    /// No training data, or some that cannot be read.
    pub fn made_from(opened: &Opened, platform: &Platform) -> anyhow::Result<Provenance> {
        let made_from = with_held_out(opened, Self::made_from_settings(opened, platform))?;
        match opened.config.search.as_ref().is_some_and(|search| search.trial.is_some()) {
            true => with_samples(opened, made_from),
            false => Ok(made_from),
        }
    }

    /// What probes depend on: neither on the target nor on the strategy, so that another search shares them.
    ///
    /// # Errors
    /// As [`Self::made_from`].
    pub fn probes_made_from(opened: &Opened) -> anyhow::Result<Provenance> {
        with_held_out(opened, opened.made_from(&["calibration", "search.eval_samples"]))
    }

    /// The widths that `aim` is after, under the limits of `problem`.
    ///
    /// # Errors
    /// A network that cannot be quantized; journals of another search or that were altered; as [`Contest::hold`].
    pub fn of(
        prepared: &'a Prepared<'a>,
        held_out: &'a HeldOut,
        platform: &Platform,
        problem: &Problem,
        aim: &Aim,
    ) -> anyhow::Result<Self> {
        let opened = prepared.calibrated.opened;
        let choice = match aim {
            Aim::Given(policy) => Self::given(prepared, held_out, problem, policy)?,
            Aim::Search(fitting) => Self::by_search((prepared, held_out), platform, problem, fitting)?,
        };
        let found = held_out.measure(choice.winner.candidate()?, opened.monitor)?;
        let Choice { winner, shared, settings, strategy } = choice;
        Ok(Self { prepared, held_out, winner, shared, found, settings, strategy })
    }

    /// Warns where `delivered`, which has the widths chosen and of which `found` is known, is hardly better than
    /// guessing or tells its outputs apart too coarsely.
    ///
    /// # Errors
    /// [`Interrupted`](crate::observe::Interrupted).
    pub fn warn_of(
        &self,
        delivered: &Candidate,
        found: &(Option<Measured>, Fidelity),
        problem: &Problem,
    ) -> anyhow::Result<()> {
        let Self { prepared, held_out, .. } = self;
        let opened = prepared.calibrated.opened;
        guessing::warn_of_delivered(found, held_out.float.as_ref(), &opened, || {
            let widest = problem.uniform(BitWidth::B8);
            if delivered.model.policy == widest {
                return Ok(Some(found.clone()));
            }
            let Ok(candidate) = prepared.quantizer.fast(&widest) else { return Ok(None) };
            Ok(Some(held_out.measure(&candidate, opened.monitor)?))
        })?;
        coarse::warn_of_few_codes(delivered, &prepared.calibrated.samples, &opened)
    }

    /// The policy that was given, quantized; it must fit.
    ///
    /// # Errors
    /// A network that cannot be quantized; [`Interrupted`](crate::observe::Interrupted).
    fn given(
        prepared: &'a Prepared<'a>,
        held_out: &'a HeldOut,
        problem: &Problem,
        policy: &Policy,
    ) -> anyhow::Result<Choice<'a>> {
        let judged = final_judge(prepared, held_out).judge("policy", policy);
        let judged = judged.context("the given policy cannot be delivered")?;
        let finalist = Finalist::that_fits("policy", policy, problem.footprint(policy), Ok(judged));
        let winner = Winner { search: None, finalists: vec![finalist], best: 0 };
        let settings = settings(&prepared.calibrated.opened, held_out);
        Ok(Choice { winner, shared: None, settings, strategy: Strategy::Auto })
    }

    /// Searches `problem`, of which `fitting` is known, and goes on where an earlier run was cut off.
    ///
    /// # Errors
    /// Journals of another search or that were altered; as [`Contest::hold`].
    fn by_search(
        (prepared, held_out): (&'a Prepared<'a>, &'a HeldOut),
        platform: &Platform,
        problem: &Problem,
        fitting: &Fitting,
    ) -> anyhow::Result<Choice<'a>> {
        let opened = prepared.calibrated.opened;
        let folder = opened.folder;
        let made_from = Self::made_from(&opened, platform)?;
        opened.refuse_other_inputs(Stage::Chosen, &made_from)?;
        let name = opened.config.search.as_ref().map_or(Strategy::Auto.name(), |s| s.strategy.as_str());
        let strategy: Strategy = name.parse().map_err(usage)?;
        let settings = settings(&opened, held_out);
        let hash = made_from.hash();
        let (journal, lines) = Journal::open(folder, DIARY, &hash)?;
        let fail = |name: &str| format!("`{}` cannot be gone on with", folder.join(name).shown());
        let mut diary = Diary::going_on(journal, &lines).with_context(|| fail(DIARY))?;
        let (journal, lines) = Journal::open(folder, PROBES, &Self::probes_made_from(&opened)?.hash())?;
        if folder.ledger().entry(Stage::Chosen).is_none() {
            let mut commit = folder.begin()?;
            commit.stage(Stage::Chosen, made_from);
            commit.finish()?;
        }
        let judge = final_judge(prepared, held_out);
        let shared = Shared::new(judge, Some(journal), &lines).with_context(|| fail(PROBES))?;
        let mut shared = shared.with_trials(Trials::of(opened, held_out, &hash)?);
        let time_limit = time_limit(&opened);
        let contest = Contest { problem, fitting, judge, strategy, settings: &settings, time_limit };
        let winner = contest.hold(&mut shared, &mut diary).map_err(|error| {
            let is_diary = error.is::<bitesize_search::record::DiaryError>();
            if is_diary { error.context(fail(DIARY)) } else { error }
        })?;
        Ok(Choice { winner, shared: Some(shared), settings, strategy })
    }

    /// What other budgets deliver, where the run asks for that.
    ///
    /// # Errors
    /// Points of another sweep or that were altered; as [`Contest::hold`].
    pub fn sweep(&mut self, platform: &Platform, problem: &Problem, aim: &Aim) -> anyhow::Result<Option<Swept>> {
        let opened = self.prepared.calibrated.opened;
        let steps = opened.config.search.as_ref().and_then(|search| search.pareto);
        let (Some(steps), Some(shared), Aim::Search(fitting)) = (steps, &mut self.shared, aim) else {
            return Ok(None);
        };
        let made_from = Self::made_from(&opened, platform)?;
        let (journal, lines) = Journal::open(opened.folder, PARETO_POINTS, &made_from.hash())?;
        let judge = final_judge(self.prepared, self.held_out);
        let (strategy, settings, time_limit) = (self.strategy, &self.settings, time_limit(&opened));
        let contest = Contest { problem, fitting, judge, strategy, settings, time_limit };
        let asked = Sweep { contest, steps, winner: &self.winner };
        let fail = || format!("`{}` cannot be gone on with", opened.folder.join(PARETO_POINTS).shown());
        sweep(&asked, shared, journal, &lines)
            .map(Some)
            .map_err(|error| if error.is::<crate::observe::Interrupted>() { error } else { error.context(fail()) })
    }
}

/// The settings that the choice depends on.
const TABLES: [&str; 5] = ["calibration", "search", "target.core", "target.flash_bytes", "target.ram_bytes"];

/// `made_from`, and both kinds of training samples.
fn with_held_out(opened: &Opened, made_from: Provenance) -> anyhow::Result<Provenance> {
    let held_out = opened.train()?.content_hash(&opened.split()?.reward)?;
    Ok(opened.with_calibration(made_from)?.with_contents("the held-out samples", held_out))
}

fn time_limit(opened: &Opened) -> Option<Duration> {
    opened.config.search.as_ref().and_then(|s| s.time_limit).map(Duration::from_secs)
}
