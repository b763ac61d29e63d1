//! `bitesize verify`.

use crate::args::{at_least_one, trained};
use crate::console::{out_line, tell_shortcoming};
use crate::open::config_of;
use anyhow::bail;
use bitesize::Ending;
use bitesize::deliver::opened::{Opened, inputs_of};
use bitesize::deliver::{Calibrated, Emitted, Misfit, Proven, Tuned};
use bitesize::observe::Monitor;
use bitesize::report::{self, Report};
use bitesize::run::{RunFolder, Stage};
use bitesize_verify::{PATTERNS, Runner, RunnerResult};
use clap::Args;
use std::path::PathBuf;

/// Proves the package.
#[derive(Args)]
pub(crate) struct VerifyArgs {
    /// The run folder, as `bitesize emit` or `bitesize fit` leaves it
    #[arg(value_parser = trained())]
    folder: PathBuf,
    /// Training data to take samples from [default: that of the run]
    #[arg(long, value_name = "DATA")]
    train: Option<PathBuf>,
    /// Samples on the host [default: that of the run]
    #[arg(long, value_name = "N", value_parser = at_least_one)]
    host_samples: Option<usize>,
    /// Samples on each emulated core [default: that of the run]
    #[arg(long, value_name = "N", value_parser = at_least_one)]
    qemu_samples: Option<usize>,
}

impl VerifyArgs {
    pub(crate) fn run(self, monitor: &Monitor) -> anyhow::Result<Ending> {
        let folder = RunFolder::open(&self.folder)?;
        let kept = config_of(&folder)?;
        let mut config = kept.clone();
        config.verify.host_samples = self.host_samples.unwrap_or(config.verify.host_samples);
        config.verify.qemu_samples = self.qemu_samples.unwrap_or(config.verify.qemu_samples);
        let train = self.train.as_deref().unwrap_or(&kept.data.train);
        let hint = "where the training data have moved, say so with --train DATA";
        let inputs = inputs_of(&config, Some(train), None, monitor)
            .map_err(|error| if train.exists() { error } else { error.context(hint) })?;
        let opened = Opened { config: &config, inputs: &inputs, folder: &folder, monitor };
        let platform = opened.platform()?;
        let made_from = Tuned::made_from_settings(&opened, &platform);
        let (delivered, is_own) = Emitted::kept(&opened, made_from, &platform.core)?;
        if self.train.is_none() {
            opened.refuse_other_inputs(Stage::Calibrated, &Calibrated::made_from(&opened)?)?;
        }
        // Before the work. Neither ranges nor layers by width are read here, but whoever verifies a run relies on all of it.
        folder.refuse_altered(&[
            Stage::Calibrated,
            Stage::Prepared,
            Stage::Tuned,
            Stage::Finetuned,
            Stage::Swept,
            Stage::Reported,
        ])?;
        let count = config.verify.host_samples.max(config.verify.qemu_samples);
        let samples = opened.calibration_samples(count)?;
        let asked = self.host_samples.max(self.qemu_samples).unwrap_or(0);
        if asked > samples.len() {
            monitor.warn(format_args!(
                "{asked} samples are asked for, but the run calibrates with {}: no more are verified",
                samples.len()
            ));
        }

        let earlier = report::files::read(&folder)?;
        let has_report = earlier.is_some();
        let mut report = earlier.unwrap_or_else(|| Report::new(&opened, &platform));
        report.fits =
            Misfit::of_given(&opened.problem(&platform)?, &platform.core, delivered.policy(), monitor)?.is_none();
        let proven = Proven::of(&opened, &delivered, &Runner::usual(&platform.core.name), &samples)?;
        report.verification = None;
        report.update_verification(&proven.results);
        proven.results.iter().for_each(tell);
        if has_report && is_own {
            let mut commit = folder.begin()?;
            report::files::put(&mut report, &Opened { config: &kept, ..opened }, None, &mut commit)?;
            commit.finish()?;
        }
        if !proven.anything_ran() {
            bail!("nothing is proven: no runner could be started, for the reasons above");
        }
        tell_shortcoming(&report);
        Ok(report.ending())
    }
}

fn tell(result: &RunnerResult) {
    let compared = match result.samples {
        0 => "nothing was compared".to_owned(),
        samples => format!(
            "{} of {} outputs differ ({samples} samples and {PATTERNS} made-up inputs)",
            result.mismatches,
            samples + PATTERNS
        ),
    };
    out_line!("{:<8} {}; {compared}", result.runner, result.status);
}
