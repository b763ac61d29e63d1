//! `bitesize emit`.

use crate::args::{absolute, package_name};
use crate::console::{err_line, out_line};
use crate::open::config_of;
use bitesize::Ending;
use bitesize::deliver::delivered::{WrittenPolicy, written_policy};
use bitesize::deliver::emitted::KNOWN_ANSWERS;
use bitesize::deliver::opened::{Opened, inputs_of};
use bitesize::deliver::prepared::Asked;
use bitesize::deliver::{Calibrated, Chosen, Delivered, Emitted, Misfit, Prepared};
use bitesize::observe::Monitor;
use bitesize::report::{self, Report};
use bitesize::run::config::GIVEN;
use bitesize::run::names::{PACKAGE, PARETO_POINTS, POLICY};
use bitesize::run::{RunConfig, RunFolder, Stage};
use bitesize::target::Platform;
use bitesize_ir::Policy;
use bitesize_search::Constraints;
use bitesize_search::to_compact;
use clap::Args;
use std::path::PathBuf;

/// Writes the package.
#[derive(Args)]
pub(crate) struct EmitArgs {
    /// The run folder, as `bitesize search` leaves it
    folder: PathBuf,
    /// What the C package is called: every name and file of it begins so [default: as the run says]
    #[arg(long, value_name = "NAME", value_parser = package_name)]
    name: Option<String>,
    /// Training data, where those of the run have moved
    #[arg(long, value_name = "DATA")]
    train: Option<PathBuf>,
}

impl EmitArgs {
    pub(crate) fn run(self, monitor: &Monitor) -> anyhow::Result<Ending> {
        let folder = RunFolder::open(&self.folder)?;
        let mut config = config_of(&folder)?;
        let is_renamed = self.name.as_ref().is_some_and(|name| *name != config.package.name);
        config.package.name = self.name.unwrap_or(config.package.name);
        if let Some(train) = &self.train {
            config.data.train = absolute(train)?;
        }
        let hint = "where the training data have moved, say so with --train DATA";
        let inputs = inputs_of(&config, Some(&config.data.train), None, monitor)
            .map_err(|error| if config.data.train.exists() { error } else { error.context(hint) })?;

        let opened = Opened { config: &config, inputs: &inputs, folder: &folder, monitor };
        let platform = opened.platform()?;
        let delivered = Delivered::kept(&opened, &Chosen::made_from_settings(&opened, &platform), &platform.core)?;
        opened.refuse_other_inputs(Stage::Calibrated, &Calibrated::made_from(&opened)?)?;
        let written = written_policy(&opened)?;
        let is_edited = written.policy != *delivered.policy();
        let edited = is_edited.then(|| take_policy(&config, &written.policy));
        let opened = Opened { config: edited.as_ref().unwrap_or(&config), ..opened };
        let delivered = if is_edited { quantize(&opened, &platform, &written.policy)? } else { delivered };

        let misfit = Emission { delivered, written, is_edited, is_renamed }.put(&opened, &platform)?;
        if let Some(misfit) = &misfit {
            err_line!("{misfit}");
        }
        out_line!("{}", folder.join(PACKAGE).display());
        Ok(if misfit.is_none() { Ending::Done } else { Ending::DoesNotFit })
    }
}

/// The settings of a run of these widths: from now on it is that, also when it is resumed or made again.
fn take_policy(config: &RunConfig, policy: &Policy) -> RunConfig {
    let mut config = config.clone();
    if let Some(search) = &mut config.search {
        search.strategy = GIVEN.into();
        search.policy = Some(to_compact(policy));
        search.pareto = None;
        // Which widths a search may choose does not bind who chooses by hand; limits of bytes do.
        let weight_bytes = search.constraints.weight_bytes;
        search.constraints = Constraints { weight_bytes, ..Constraints::default() };
    }
    config
}

/// Quantizes the network with edited widths, whether they fit or not.
fn quantize(opened: &Opened, platform: &Platform, policy: &Policy) -> anyhow::Result<Delivered> {
    let path = opened.folder.join(POLICY);
    opened.monitor.note(format_args!("{} was changed: the network is quantized anew", path.display()));
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
        let made_from = Chosen::made_from(opened, platform)?;
        let samples = opened.calibration_samples(KNOWN_ANSWERS)?;
        let emitted = Emitted::of(&delivered, &platform.core, &opened.config.package.name, &samples)?;
        let misfit = Misfit::of_given(&problem, delivered.policy(), opened.monitor)?;

        let mut commit = folder.begin()?;
        if is_edited || is_renamed {
            opened.put(&mut commit)?;
        }
        if is_edited {
            commit.forget(Stage::Chosen);
            delivered.put(opened, made_from.clone(), Some(&written.text), &mut commit)?;
            if folder.ledger().entry(Stage::Swept).is_some() {
                opened.monitor.note("the sweep of budgets is of the earlier search, and goes with it");
            }
            commit.forget(Stage::Swept);
            commit.discard_journal(PARETO_POINTS);
        } else {
            // It may differ in what says nothing of widths.
            commit.adopt(Stage::Delivered, POLICY, written.text.as_bytes());
        }
        emitted.put(Emitted::made_from(opened, made_from), &mut commit)?;
        if let Some(mut report) = report::files::read(folder)? {
            forget_what_changed(&mut report, is_edited, is_renamed);
            report.package.name.clone_from(&opened.config.package.name);
            report.fits = true;
            report.add_memory(&problem, delivered.policy());
            if let Some(misfit) = &misfit {
                report.add_misfit(misfit, &problem);
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
