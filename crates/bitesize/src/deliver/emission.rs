//! A package written again: of another name, or of widths that a user has edited.
//!
//! Needs a delivered network in the folder. An edited `policy.toml` makes a run of given widths of the folder's: weights,
//! settings, package and report change in one commit.

use super::delivered::{Delivered, WrittenPolicy, written_policy};
use super::emitted::{Emitted, KNOWN_ANSWERS};
use super::misfit::Misfit;
use super::opened::Opened;
use super::prepared::{Asked, Prepared};
use super::{Calibrated, Tuned};
use crate::report::{self, Report};
use crate::run::config::GIVEN;
use crate::run::names::{CONFIG, PARETO_POINTS, POLICY, TRIALS};
use crate::run::{RunConfig, Stage};
use crate::target::Platform;
use bitesize_ir::Policy;
use bitesize_ir::shown::ShownPath as _;
use bitesize_search::to_compact;

/// Writes the package of the network that the folder of `opened` holds, at the widths that `policy.toml` says now, whether
/// they fit or not; why they do not, where that is so. `is_renamed` says that the settings name the package otherwise than
/// the folder's.
///
/// # Errors
/// No delivered network, or one of other inputs; a network that cannot be quantized at the edited widths; files that a
/// user has edited and that would be lost; [`Interrupted`](crate::observe::Interrupted).
pub fn emit(opened: Opened, is_renamed: bool) -> anyhow::Result<Option<Misfit>> {
    let platform = opened.platform()?;
    let delivered = Delivered::kept(&opened, &Tuned::made_from_settings(&opened, &platform), &platform.core)?;
    opened.refuse_other_inputs(Stage::Calibrated, &Calibrated::made_from(&opened)?)?;
    let written = written_policy(&opened)?;
    if written.policy == *delivered.policy() {
        return Emission { delivered, written, is_edited: false, is_renamed }.put(&opened, &platform);
    }
    let learned = opened.config.reconstruct.is_some() || opened.config.finetune.is_some();
    let config = take_policy(opened.config, &written.policy);
    let opened = Opened { config: &config, ..opened };
    if learned {
        opened.monitor.warn(format_args!(
            "the network with the edited widths is delivered as it was rounded, and nothing is learned for it in this run any more: \
             `bitesize fit --config {} -o ANOTHER_FOLDER` with --reconstruct or --finetune does that",
            opened.folder.join(CONFIG).shown()
        ));
    }
    let delivered = quantize(&opened, &platform, &written.policy)?;
    Emission { delivered, written, is_edited: true, is_renamed }.put(&opened, &platform)
}

/// The settings of a run of these widths: from now on it is that, also when it is resumed or made again.
fn take_policy(config: &RunConfig, policy: &Policy) -> RunConfig {
    let mut config = config.clone();
    if let Some(search) = &mut config.search {
        search.strategy = GIVEN.into();
        search.policy = Some(to_compact(policy));
        search.pareto = None;
        // Which widths a search may choose does not bind who chooses by hand; limits do.
        search.constraints = search.constraints.limits();
    }
    config.reconstruct = None;
    config.finetune = None;
    config
}

/// Quantizes the network with edited widths, whether they fit or not.
fn quantize(opened: &Opened, platform: &Platform, policy: &Policy) -> anyhow::Result<Delivered> {
    let path = opened.folder.join(POLICY);
    opened.monitor.note(format_args!("{} was changed: the network is quantized anew", path.shown()));
    let problem = opened.problem(platform)?;
    let calibrated = Calibrated::of(*opened)?;
    let prepared = Prepared::of(&calibrated, &problem, Asked::None)?;
    Ok(Delivered::of(prepared.quantizer.sequential(GIVEN, policy)?, &platform.core))
}

/// What is to be written.
struct Emission {
    delivered: Delivered,
    written: WrittenPolicy,
    is_edited: bool,
    is_renamed: bool,
}

impl Emission {
    /// Puts everything that changes into its place at once; why the widths do not fit, where they do not.
    fn put(self, opened: &Opened, platform: &Platform) -> anyhow::Result<Option<Misfit>> {
        let Self { delivered, written, is_edited, is_renamed } = self;
        let folder = opened.folder;
        let problem = opened.problem(platform)?;
        let made_from = Tuned::made_from(opened, platform)?;
        let samples = opened.calibration_samples(KNOWN_ANSWERS)?;
        let emitted = Emitted::of(opened, &delivered, &platform.core, &samples)?;
        let misfit = Misfit::of_given(&problem, &platform.core, delivered.policy(), opened.monitor)?;

        let mut commit = folder.begin()?;
        if is_edited || is_renamed {
            opened.put(&mut commit)?;
        }
        if is_edited {
            commit.forget(Stage::Chosen);
            commit.forget(Stage::Tuned);
            commit.forget(Stage::Finetuned);
            delivered.put(opened, made_from.clone(), Some(&written.text), &mut commit)?;
            if folder.ledger().entry(Stage::Swept).is_some() {
                opened.monitor.note("the sweep of budgets is of the earlier search, and goes with it");
            }
            commit.forget(Stage::Swept);
            commit.discard_journal(PARETO_POINTS);
            commit.discard_journal(TRIALS);
        } else {
            // It may differ in what says nothing of widths.
            commit.adopt(Stage::Delivered, POLICY, written.text.as_bytes());
        }
        emitted.put(Emitted::made_from(opened, made_from), &mut commit)?;
        if let Some(mut report) = report::files::read(folder)? {
            forget_what_changed(&mut report, is_edited, is_renamed);
            report.package.name.clone_from(&opened.config.package.name);
            report.fits = true;
            report.add_memory(platform, &problem, delivered.policy());
            if let Some(misfit) = &misfit {
                report.add_misfit(misfit, platform, &problem);
            }
            report::files::put(&mut report, opened, None, &mut commit)?;
        }
        commit.finish()?;
        Ok(misfit)
    }
}

/// Takes out of `report` what does not hold any more.
fn forget_what_changed(report: &mut Report, is_edited: bool, is_renamed: bool) {
    if is_edited {
        report.forget_delivered();
    }
    if is_renamed {
        // What was proven is another text.
        report.verification = None;
    }
}
