//! `bitesize search`.

use super::{fit::SearchArgs, open_run, read_report};
use crate::args::TargetArgs;
use anyhow::bail;
use bitesize::Ending;
use bitesize::console::Console;
use bitesize::inputs::Inputs;
use bitesize::report::Report;
use bitesize::run;
use bitesize::stages::{self, Decision, Run, Samples};
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
    pub(crate) fn run(self, console: &Console) -> anyhow::Result<Ending> {
        let (folder, earlier) = open_run(&self.folder)?;
        let inputs = Inputs::of_run(&earlier, None, console)?;
        inputs.refuse_other_training_data(&earlier)?;
        let mut config = earlier.clone();
        let asked = self.search.config(&inputs.model)?;
        let needs_no_budget = match (self.resume, &earlier.search) {
            (true, Some(search)) => search,
            _ => &asked,
        }
        .needs_no_budget();
        // The budget of an earlier search holds on, where there is one; a core alone asks for another platform.
        let kept = earlier.target.as_ref().is_some_and(|target| self.resume || target.has_limit());
        let platform = match self.target.platform()? {
            Some(platform) => platform,
            None if kept && self.target.core().is_none() => stages::platform_of(&earlier)?,
            None => self.target.required(needs_no_budget)?,
        };
        config.target = Some(platform.name.clone());
        if !self.resume || config.search.is_none() {
            config.search = Some(asked);
        }
        if folder.join(run::DIARY).is_file() {
            if !self.resume {
                bail!(
                    "`{}` holds a search already: pass --resume to go on with it, or remove {} to search anew",
                    self.folder.display(),
                    run::DIARY
                );
            }
            if let Some(difference) = earlier.first_difference(&config) {
                bail!("`{}` holds a search with other settings: {difference}", self.folder.display());
            }
        }
        let same = self.resume && earlier.first_difference(&config).is_none();
        if let Some(report) = read_report(&folder)?.filter(|_| same) {
            console.note(format_args!("the search in `{}` is finished: nothing to do", self.folder.display()));
            return Ok(if report.fits { Ending::Done } else { Ending::DoesNotFit });
        }
        stages::refuse_edited_policy(&inputs, &folder)?;
        if !same {
            // What an earlier search measured, swept, delivered and told may be of other samples and settings.
            let stale =
                [run::PROBES, run::REPORT_JSON, run::REPORT_MD, run::WEIGHTS, run::POLICY, run::PACKAGE, run::EXAMPLE];
            run::SWEEP.into_iter().chain(stale).try_for_each(|name| folder.remove(name))?;
        }
        folder.write(run::CONFIG, config.to_toml().as_bytes())?;

        let run = Run { config: &config, inputs: &inputs, folder: &folder, console, platform: &platform };
        let problem = stages::problem_of(&config, &inputs.model, &platform)?;
        let mut report = Report::new(&config, &inputs, &platform);
        let given = stages::given_policy(&config, &inputs)?;
        let ending = match stages::misfit(&problem, given.as_ref()) {
            Some(diagnosis) => Decision::DoesNotFit(Box::new(diagnosis)),
            None => stages::decide(&run, &problem, &Samples::of(&config, &inputs)?, &mut report)?,
        };
        let ending = match ending {
            Decision::Delivered(chosen, swept) => {
                if let Some(swept) = swept {
                    stages::keep_sweep(&run, swept, &mut report)?;
                }
                bitesize::out_line!("{}", chosen.delivered()?.model.policy);
                Ending::Done
            }
            Decision::DoesNotFit(diagnosis) => {
                stages::tell_misfit(&diagnosis, given.as_ref(), &problem, &mut report);
                Ending::DoesNotFit
            }
        };
        inputs.tell_skipped(console);
        stages::write_report(&mut report, &folder, console)?;
        Ok(ending)
    }
}
