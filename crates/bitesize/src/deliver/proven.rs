//! The last stage: what the runners found of the package.
//!
//! Needs a package in the folder, its [`Delivered`] network, and calibration samples. Owns no file: its results are part
//! of the report.

use super::delivered::{Delivered, Taken, taken_on};
use super::emitted::inputs;
use super::opened::Opened;
use crate::input::Batch;
use crate::observe::Interrupted;
use crate::run::names::PACKAGE;
use crate::target::core;
use bitesize_verify::{
    Cases, Job, PackageFolder, Prediction, Progress, Runner, RunnerResult, Status, VerifyError, VerifySettings, verify,
};
use std::num::NonZero;

/// What the runners found.
pub struct Proven {
    /// One for each runner.
    pub results: Vec<RunnerResult>,
}

impl Proven {
    /// Runs the folder's `package/` on `runners` against the interpreter.
    ///
    /// # Errors
    /// No samples; [`Interrupted`]. What concerns one runner is in its result.
    pub fn of(opened: &Opened, delivered: &Delivered, runners: &[Runner], samples: &Batch) -> anyhow::Result<Self> {
        let Opened { config, folder, monitor, .. } = *opened;
        let candidate = &delivered.candidate;
        let counts = &config.verify;
        let count = counts.host_samples.max(counts.qemu_samples);
        let cases = Cases::new(&candidate.integers, &inputs(candidate, samples, count), config.seed)?;
        let mut jobs = Vec::new();
        let platform = opened.platform()?;
        for &runner in runners {
            jobs.push(match runner.core() {
                None => Job::host(counts.host_samples),
                Some(name) => {
                    // On every core the package has the kernels, orders and places that it was emitted with.
                    let core = core(name)?.with_rows(platform.core.has_rows());
                    let Taken { flash, ram, instructions } = taken_on(delivered, &platform.core, &core);
                    let prediction = Prediction::new(&flash, &ram, instructions, &core);
                    let job = Job::emulated(runner, counts.qemu_samples, &core, Some(prediction));
                    // Of each layer on the core that was asked for.
                    let layers = if core.name == platform.core.name { candidate.integers.nodes.len() } else { 0 };
                    job.counting(layers)
                }
            });
        }
        let package = PackageFolder { folder: folder.join(PACKAGE), prefix: config.package.name.clone() };
        let progress = |event: Progress<'_>| {
            if let Progress::Finished(result) = event {
                let seconds = result.elapsed.as_secs_f64();
                monitor.note(format_args!("verify: {}: {} ({seconds:.1} s)", result.runner, result.status));
            }
        };
        // As many as compute: what `--threads` says.
        let workers = NonZero::new(rayon::current_num_threads()).unwrap_or(NonZero::<usize>::MIN);
        let cancelled = || monitor.stop_requested();
        let settings =
            VerifySettings { workers, cancelled: &cancelled, progress: &progress, ..VerifySettings::default() };
        let results = verify(&package, &cases, &jobs, &settings).map_err(|error| match error {
            VerifyError::Interrupted => Interrupted.into(),
            other => anyhow::Error::from(other),
        })?;
        // Ctrl-C reaches the compilers and emulators too: what they then report is no finding.
        monitor.checkpoint()?;
        Ok(Self { results })
    }

    /// Whether any runner could be started.
    pub fn anything_ran(&self) -> bool {
        self.results.iter().any(|result| !matches!(result.status, Status::NotRun { .. }))
    }
}
