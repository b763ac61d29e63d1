//! `bitesize search`.

use crate::args::{ReconstructArgs, trained};
use crate::console::{err_line, out_line};
use crate::open::config_of;
use crate::search_args::SearchArgs;
use crate::target_args::TargetArgs;
use anyhow::bail;
use bitesize::deliver::anew;
use bitesize::deliver::opened::{Opened, inputs_of};
use bitesize::input::Inputs;
use bitesize::observe::Monitor;
use bitesize::run::names::DIARY;
use bitesize::run::{RunConfig, RunFolder, Stage};
use bitesize::target::{Kernels, Platform, PlatformName};
use bitesize::{Ending, Until, Walked};
use bitesize_ir::memory::InputRows;
use bitesize_ir::shown::ShownPath as _;
use clap::Args;
use std::path::PathBuf;

/// Chooses widths.
#[derive(Args)]
pub(crate) struct SearchCommandArgs {
    /// The run folder, as `bitesize calibrate` leaves it
    #[arg(value_parser = trained())]
    folder: PathBuf,
    #[command(flatten)]
    target: TargetArgs,
    #[command(flatten)]
    search: SearchArgs,
    #[command(flatten)]
    reconstruct: ReconstructArgs,
    /// Go on with the interrupted search in the folder
    #[arg(long)]
    resume: bool,
}

impl SearchCommandArgs {
    /// The command that goes on with an interrupted search.
    pub(crate) fn resume_command(&self) -> String {
        format!("bitesize search {} --resume", self.folder.shown())
    }

    pub(crate) fn run(self, monitor: &Monitor) -> anyhow::Result<Ending> {
        let folder = RunFolder::open(&self.folder)?;
        let earlier = config_of(&folder)?;
        if self.resume && earlier.search.is_none() {
            bail!("there is no search to resume in `{}`: leave out --resume to begin one", self.folder.shown());
        }
        let inputs = inputs_of(&earlier, Some(&earlier.data.train), None, monitor)?;
        let config = self.settings(&earlier, &inputs, monitor)?;
        let shown = self.folder.shown();
        let difference = earlier.difference_from(&config);
        if folder.join(DIARY).is_file() && !self.resume {
            bail!("`{shown}` holds a search already: pass --resume to go on with it, or remove {DIARY} to search anew");
        }
        // Where nothing fitted there is nothing to lose, and another budget goes on from that.
        let holds_results = folder.join(DIARY).is_file() || folder.ledger().entry(Stage::Delivered).is_some();
        if let Some(difference) = difference.as_ref().filter(|_| self.resume && holds_results) {
            bail!("`{shown}` holds a search with other settings, so --resume cannot go on with it: {difference}");
        }
        let opened = Opened { config: &config, inputs: &inputs, folder: &folder, monitor };
        if self.resume && difference.is_none() {
            if let Some(report) = bitesize::finished(&opened, Until::Delivered)? {
                monitor.note(format_args!("the search in `{shown}` is finished: nothing to do"));
                return Ok(report.ending());
            }
        } else {
            anew::begin(&opened)?;
        }
        let Walked { policy, misfit, report } = bitesize::walk(opened, Until::Delivered)?;
        if let Some(misfit) = misfit {
            err_line!("{misfit}");
        }
        if let Some(policy) = policy {
            out_line!("{policy}");
        }
        Ok(report.ending())
    }

    /// The settings of the search that is asked for, or of the one that is gone on with.
    fn settings(&self, earlier: &RunConfig, inputs: &Inputs, monitor: &Monitor) -> anyhow::Result<RunConfig> {
        let asked = self.search.config(&inputs.model)?;
        let search = match &earlier.search {
            Some(search) if self.resume => search.clone(),
            _ => asked,
        };
        // The budget of an earlier search holds on, where there is one; a core alone asks for another platform.
        let kept = |target: &&PlatformName| self.target.core().is_none() && (self.resume || target.has_limit());
        let platform = match (self.target.platform()?, earlier.target.as_ref().filter(kept)) {
            // What was begun with certain kernels, in a certain schedule, goes on so.
            (asked, Some(target)) if self.resume => {
                let begun = Platform::named(target.clone())?;
                self.target.refuse_other_ways(&begun)?;
                match asked {
                    Some(platform) => {
                        platform.with_kernels(target.kernels)?.with_schedule(target.schedule, target.input)
                    }
                    None => begun,
                }
            }
            (asked, kept) => {
                // How the input comes is not a matter of the budget: who calls the package is written for it.
                let input = earlier.target.as_ref().map_or_else(InputRows::default, |target| target.input);
                let of_input = |platform: Platform| {
                    let schedule = platform.name.schedule;
                    platform.with_schedule(schedule, input)
                };
                let platform = match (asked, kept) {
                    (Some(platform), _) => of_input(platform),
                    (None, Some(target)) => Platform::named(PlatformName { kernels: Kernels::Fast, ..target.clone() })?,
                    (None, None) => of_input(self.target.required(search.needs_no_budget())?),
                };
                let policy = search.policy.as_deref();
                self.target.settled(platform, &inputs.model, &search.constraints, policy, monitor)?
            }
        };
        let reconstruct = if self.resume { earlier.reconstruct } else { self.reconstruct.config(None)? };
        let finetune = earlier.finetune.clone().filter(|_| self.resume);
        Ok(RunConfig { target: Some(platform.name), search: Some(search), reconstruct, finetune, ..earlier.clone() })
    }
}
