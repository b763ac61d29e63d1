//! `bitesize verify`.

use super::{open_run, read_report};
use crate::args::at_least_one;
use anyhow::bail;
use bitesize::Ending;
use bitesize::console::Console;
use bitesize::inputs::Inputs;
use bitesize::report::Report;
use bitesize::run;
use bitesize::stages::{self, Run};
use bitesize_verify::{PATTERNS, Status};
use clap::Args;
use std::path::PathBuf;

/// Proves the package.
#[derive(Args)]
pub(crate) struct VerifyArgs {
    /// The run folder, as `bitesize emit` or `bitesize fit` leaves it
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
    pub(crate) fn run(self, console: &Console) -> anyhow::Result<Ending> {
        let (folder, mut config) = open_run(&self.folder)?;
        if !folder.join(run::PACKAGE).is_dir() {
            bail!("`{}` holds no {}: run `bitesize emit` first", self.folder.display(), run::PACKAGE);
        }
        if let Some(train) = &self.train {
            config.data.train = train.clone();
        }
        config.verify.host_samples = self.host_samples.unwrap_or(config.verify.host_samples);
        config.verify.qemu_samples = self.qemu_samples.unwrap_or(config.verify.qemu_samples);
        let inputs = Inputs::of_run(&config, None, console)?;
        let platform = stages::platform_of(&config)?;
        let candidate = stages::delivered_candidate(&inputs, &folder)?;
        let count = config.verify.host_samples.max(config.verify.qemu_samples);
        let samples = stages::first_samples(&config, &inputs, count)?;
        let asked = self.host_samples.max(self.qemu_samples).unwrap_or(0);
        if asked > samples.len() {
            console.warn(format_args!(
                "{asked} samples are asked for, but the run calibrates with {}: no more are verified",
                samples.len()
            ));
        }
        let run = Run { config: &config, inputs: &inputs, folder: &folder, console, platform: &platform };

        let earlier = read_report(&folder)?;
        let has_report = earlier.is_some();
        let mut report = earlier.unwrap_or_else(|| Report::new(&config, &inputs, &platform));
        report.fits = stages::problem_of(&config, &inputs.model, &platform)?.fits(&candidate.model.policy);
        let results = stages::prove(&run, &candidate, &samples, &mut report)?;
        for result in &results {
            bitesize::out_line!(
                "{:<8} {}; {}",
                result.runner,
                result.status,
                match result.samples {
                    0 => "nothing was compared".to_owned(),
                    samples => format!(
                        "{} of {} outputs differ ({samples} samples and {PATTERNS} made-up inputs)",
                        result.mismatches,
                        samples + PATTERNS
                    ),
                }
            );
        }
        if has_report {
            stages::write_report(&mut report, &folder, console)?;
        }
        if results.iter().all(|result| matches!(result.status, Status::NotRun { .. })) {
            bail!("nothing is proven: no runner could be started, for the reasons above");
        }
        Ok(report.ending())
    }
}
