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
use bitesize::{Ending, RateTrial, Until, Walked, suggested};
use bitesize_ir::shown::ShownPath as _;
use clap::Args;
use std::fmt::Write as _;
use std::path::PathBuf;

/// Trains.
#[derive(Args)]
pub(crate) struct TuneCommandArgs {
    /// The run folder, as `bitesize fit` leaves it
    #[arg(value_parser = trained())]
    folder: PathBuf,
    /// How often training goes through all training samples but those held out
    #[arg(long, value_name = "N", required_unless_present_any = ["resume", "find_lr"], value_parser = epochs)]
    epochs: Option<usize>,
    /// Train nothing, but tell what the loss does while the rate rises, and which rate to begin with
    #[arg(long, conflicts_with_all = ["epochs", "resume", "lr"])]
    find_lr: bool,
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
        let mut inputs = inputs_of(&earlier, Some(&earlier.data.train), earlier.data.val.as_deref(), monitor)?;
        if self.find_lr {
            let asked = self.tune.config(1, &mut inputs, earlier.data.layout, monitor)?;
            let opened = Opened { config: &earlier, inputs: &inputs, folder: &folder, monitor };
            print(format_args!("{}", shown_rates(&bitesize::try_rates(opened, &asked)?)));
            return Ok(Ending::Done);
        }
        let config = match (self.epochs, &earlier.finetune) {
            (None, Some(_)) => earlier.clone(),
            (None, None) => {
                bail!("there is no training to resume in `{shown}`: say how long one takes with --epochs N")
            }
            (Some(epochs), _) => {
                let finetune = Some(self.tune.config(epochs, &mut inputs, earlier.data.layout, monitor)?);
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

/// What the loss does at some of the rates, a line each, and which to begin with.
fn shown_rates(trials: &[RateTrial]) -> String {
    const LINES: usize = 25;
    let mut text = format!("{:>12}  loss\n", "rate");
    for trial in trials.iter().step_by(trials.len().div_ceil(LINES).max(1)) {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{:>12.2e}  {:.5}", trial.rate, trial.loss);
    }
    match suggested(trials) {
        Some(rate) => text + &format!("try --lr {rate:.1e}: a third of where the loss begins to rise for good\n"),
        None => text + "there are too few samples to try a rate\n",
    }
}
