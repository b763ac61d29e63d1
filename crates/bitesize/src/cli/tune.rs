//! `bitesize tune`.

use crate::args::trained;
use crate::console::{err_line, print, tell_shortcoming};
use crate::open::config_of;
use crate::tune_args::{TuneArgs, epochs};
use anyhow::bail;
use bitesize::deliver::anew;
use bitesize::deliver::opened::{Opened, inputs_of};
use bitesize::observe::Monitor;
use bitesize::run::{RunConfig, RunFolder, Stage};
use bitesize::{Ending, Until, Walked};
use bitesize_ir::shown::ShownPath as _;
use clap::Args;
use std::path::PathBuf;

/// Trains.
#[derive(Args)]
pub(crate) struct TuneCommandArgs {
    /// The run folder, as `bitesize fit` leaves it
    #[arg(value_parser = trained())]
    folder: PathBuf,
    /// How often training goes through all training samples but those held out
    #[arg(long, value_name = "N", required_unless_present = "resume", value_parser = epochs)]
    epochs: Option<usize>,
    #[command(flatten)]
    tune: TuneArgs,
    /// Go on with the interrupted training in the folder
    #[arg(long)]
    resume: bool,
}

impl TuneCommandArgs {
    /// The command that goes on with an interrupted training.
    pub(crate) fn resume_command(&self) -> String {
        format!("bitesize tune {} --resume", self.folder.shown())
    }

    pub(crate) fn run(self, monitor: &Monitor) -> anyhow::Result<Ending> {
        let folder = RunFolder::open(&self.folder)?;
        let earlier = config_of(&folder)?;
        let shown = self.folder.shown();
        if folder.ledger().entry(Stage::Delivered).is_none() || earlier.search.is_none() {
            bail!("nothing is chosen in `{shown}`: run `bitesize fit` or `bitesize search` first");
        }
        let inputs = inputs_of(&earlier, Some(&earlier.data.train), earlier.data.val.as_deref(), monitor)?;
        let config = match (self.epochs, &earlier.finetune) {
            (None, Some(_)) => earlier.clone(),
            (None, None) => {
                bail!("there is no training to resume in `{shown}`: say how long one takes with --epochs N")
            }
            (Some(epochs), _) => {
                let finetune = Some(self.tune.config(epochs, &inputs)?);
                RunConfig { finetune, ..earlier.clone() }
            }
        };
        let opened = Opened { config: &config, inputs: &inputs, folder: &folder, monitor };
        let difference = earlier.difference_from(&config);
        match difference {
            Some(difference) if self.resume => {
                bail!("`{shown}` holds a training with other settings, so --resume cannot go on with it: {difference}")
            }
            None => {
                if let Some(report) = bitesize::finished(&opened, Until::Proven)? {
                    monitor.note(format_args!("the training in `{shown}` is finished: nothing to do"));
                    return Ok(report.ending());
                }
            }
            Some(_) => anew::begin_training(&opened)?,
        }
        let Walked { report, misfit, .. } = bitesize::walk(opened, Until::Proven)?;
        match misfit {
            Some(misfit) => err_line!("{misfit}"),
            None => print(format_args!("{}", report.summary())),
        }
        tell_shortcoming(&report);
        Ok(report.ending())
    }
}
