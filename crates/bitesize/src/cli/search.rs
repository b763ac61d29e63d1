//! `bitesize search`.

use crate::args::TargetArgs;
use crate::console::{err_line, out_line};
use crate::open::config_of;
use crate::search_args::SearchArgs;
use anyhow::bail;
use bitesize::deliver::delivered::refuse_edited_policy;
use bitesize::deliver::opened::{Opened, inputs_of};
use bitesize::deliver::{Calibrated, Chosen};
use bitesize::input::Inputs;
use bitesize::observe::Monitor;
use bitesize::run::names::{DIARY, PARETO_POINTS, PROBES};
use bitesize::run::{RunConfig, RunFolder, Stage, journal};
use bitesize::target::{Platform, PlatformName};
use bitesize::{Ending, Until, Walked};
use clap::Args;
use std::path::PathBuf;

/// Chooses widths.
#[derive(Args)]
pub(crate) struct SearchCommandArgs {
    /// The run folder, as `bitesize calibrate` leaves it
    folder: PathBuf,
    #[command(flatten)]
    target: TargetArgs,
    #[command(flatten)]
    search: SearchArgs,
    /// Go on with the interrupted search in the folder
    #[arg(long)]
    resume: bool,
}

impl SearchCommandArgs {
    /// The command that goes on with an interrupted search.
    pub(crate) fn resume_command(&self) -> String {
        format!("bitesize search {} --resume", self.folder.display())
    }

    pub(crate) fn run(self, monitor: &Monitor) -> anyhow::Result<Ending> {
        let folder = RunFolder::open(&self.folder)?;
        let earlier = config_of(&folder)?;
        if self.resume && earlier.search.is_none() {
            bail!("there is no search to resume in `{}`: leave out --resume to begin one", self.folder.display());
        }
        let inputs = inputs_of(&earlier, Some(&earlier.data.train), None, monitor)?;
        let config = self.settings(&earlier, &inputs)?;
        let shown = self.folder.display();
        let difference = earlier.difference_from(&config);
        if folder.join(DIARY).is_file() {
            if !self.resume {
                bail!(
                    "`{shown}` holds a search already: pass --resume to go on with it, or remove {DIARY} to search anew"
                );
            }
            if let Some(difference) = &difference {
                bail!("`{shown}` holds a search with other settings: {difference}");
            }
        }
        let opened = Opened { config: &config, inputs: &inputs, folder: &folder, monitor };
        if self.resume && difference.is_none() {
            if let Some(report) = bitesize::finished(&opened, Until::Delivered)? {
                monitor.note(format_args!("the search in `{shown}` is finished: nothing to do"));
                return Ok(report.ending());
            }
        } else {
            refuse_edited_policy(&opened)?;
            begin(&opened)?;
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
    fn settings(&self, earlier: &RunConfig, inputs: &Inputs) -> anyhow::Result<RunConfig> {
        let asked = self.search.config(&inputs.model)?;
        let search = match &earlier.search {
            Some(search) if self.resume => search.clone(),
            _ => asked,
        };
        // The budget of an earlier search holds on, where there is one; a core alone asks for another platform.
        let kept = |target: &&PlatformName| self.target.core().is_none() && (self.resume || target.has_limit());
        let platform = match (self.target.platform()?, earlier.target.as_ref().filter(kept)) {
            (Some(platform), _) => platform,
            (None, Some(target)) => Platform::named(target.clone())?,
            (None, None) => self.target.required(search.needs_no_budget())?,
        };
        Ok(RunConfig { target: Some(platform.name), search: Some(search), ..earlier.clone() })
    }
}

/// Puts the settings of a new search into their place. What an earlier one delivered stands, marked as outdated, until this
/// one has led to something. Probes stay where they depend on nothing that has changed.
fn begin(opened: &Opened) -> anyhow::Result<()> {
    opened.refuse_other_inputs(Stage::Calibrated, &Calibrated::made_from(opened)?)?;
    opened.folder.refuse_altered(&[Stage::Calibrated, Stage::Prepared])?;
    // What cannot go at the end is told now.
    let mut end = opened.folder.begin()?;
    RESULTS.iter().for_each(|stage| end.forget(*stage));
    end.refuse_to_lose_edits()?;
    let probes = std::fs::read_to_string(opened.folder.join(PROBES)).unwrap_or_default();
    let probes_hold = journal::parse(&probes, &Chosen::probes_made_from(opened)?.hash()).is_ok();
    let mut commit = opened.folder.begin()?;
    commit.forget(Stage::Chosen);
    commit.outdate(&RESULTS);
    commit.discard_journal(PARETO_POINTS);
    if !probes_hold {
        commit.discard_journal(PROBES);
    }
    opened.put(&mut commit)?;
    commit.finish()
}

/// The stages that a search leads to.
const RESULTS: [Stage; 4] = [Stage::Delivered, Stage::Emitted, Stage::Swept, Stage::Reported];
