//! Runs jobs side by side.

use crate::build::Package;
use crate::cases::Cases;
use crate::machine::Runner;
use crate::measure::{Failure, measure};
use crate::result::{Prediction, Progress, RunnerResult, Status};
use bitesize_ir::target::CoreCosts;
use std::num::NonZero;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// What verification as a whole cannot do.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// Nothing would be proven.
    #[error("verification needs at least one sample: give --samples 1 or more, and a data folder that is not empty")]
    NoSamples,
    /// A sample is not an input of the network.
    #[error("sample {index} has {found} bytes, but the network's input has {expected}")]
    SampleSize {
        /// Which.
        index: usize,
        /// Bytes of the network's input.
        expected: usize,
        /// Bytes of the sample.
        found: usize,
    },
    /// No folder for the build.
    #[error("cannot create a temporary folder: {0}; set TMPDIR to a writable one")]
    TemporaryFolder(std::io::Error),
    /// The caller asked to stop.
    #[error("interrupted")]
    Interrupted,
}

/// The programs that verification starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tools {
    /// The host's C compiler.
    pub host_compiler: String,
    /// The cross compiler.
    pub arm_compiler: String,
    /// The emulator.
    pub emulator: String,
}

impl Default for Tools {
    fn default() -> Self {
        Self {
            host_compiler: "cc".into(),
            arm_compiler: "arm-none-eabi-gcc".into(),
            emulator: "qemu-system-arm".into(),
        }
    }
}

/// How to verify.
pub struct Settings<'a> {
    /// The programs to use.
    pub tools: Tools,
    /// The longest that one run of a compiler may take.
    pub compile_limit: Duration,
    /// The longest that all cases of one runner may take.
    pub run_limit: Duration,
    /// How many jobs may run side by side.
    pub workers: NonZero<usize>,
    /// Asked many times a second; true stops everything.
    pub cancelled: &'a (dyn Fn() -> bool + Sync),
    /// Told what happens, from several threads.
    pub progress: &'a (dyn Fn(Progress<'_>) + Sync),
}

impl Default for Settings<'_> {
    /// The usual programs, 5 minutes for a compilation, 30 for a run, a worker a core, no progress.
    fn default() -> Self {
        Self {
            tools: Tools::default(),
            compile_limit: Duration::from_secs(300),
            run_limit: Duration::from_secs(1800),
            workers: std::thread::available_parallelism().unwrap_or(NonZero::<usize>::MIN),
            cancelled: &|| false,
            progress: &|_| {},
        }
    }
}

/// One runner's share of a verification.
#[derive(Clone, Debug, PartialEq)]
pub struct Job {
    /// Where to run.
    pub runner: Runner,
    /// How many of the samples to run at most; patterns are always run.
    pub samples: usize,
    /// Compiler flags for the core, optimization included; not used on the host.
    pub flags: Vec<String>,
    /// What to compare the sizes with.
    pub prediction: Option<Prediction>,
}

impl Job {
    /// On the host.
    pub fn host(samples: usize) -> Self {
        Self { runner: Runner::Host, samples, flags: Vec::new(), prediction: None }
    }

    /// On `runner`, compiled as `core` says. `prediction` is the memory model's for that core.
    pub fn emulated(runner: Runner, samples: usize, core: &CoreCosts, prediction: Option<Prediction>) -> Self {
        Self { runner, samples, flags: core.flags.clone(), prediction }
    }
}

/// Runs `jobs` on `cases` and compares every byte. One result for each job, in their order.
///
/// # Errors
/// Where nothing can be verified at all, or the caller stopped it. What concerns one runner is in its result.
pub fn verify(
    package: &Package,
    cases: &Cases,
    jobs: &[Job],
    settings: &Settings<'_>,
) -> Result<Vec<RunnerResult>, VerifyError> {
    if cases.samples() == 0 || jobs.iter().any(|job| job.samples == 0) {
        return Err(VerifyError::NoSamples);
    }
    let folder = tempfile::Builder::new().prefix("bitesize-verify-").tempdir().map_err(VerifyError::TemporaryFolder)?;
    let next = AtomicUsize::new(0);
    let results: Mutex<Vec<Option<RunnerResult>>> = Mutex::new(vec![None; jobs.len()]);
    std::thread::scope(|scope| {
        for _ in 0..settings.workers.get().min(jobs.len()) {
            scope.spawn(|| {
                while let Some((i, job)) =
                    Some(next.fetch_add(1, Ordering::Relaxed)).and_then(|i| Some((i, jobs.get(i)?)))
                {
                    let result = run_job(package, cases, job, settings, &folder.path().join(i.to_string()));
                    let mut results = results.lock().expect("no thread panics while it holds the lock");
                    results[i] = result;
                }
            });
        }
    });
    let results = results.into_inner().expect("no thread panics while it holds the lock");
    results.into_iter().collect::<Option<Vec<_>>>().ok_or(VerifyError::Interrupted)
}

/// `None` where the caller stopped it.
fn run_job(
    package: &Package,
    cases: &Cases,
    job: &Job,
    settings: &Settings<'_>,
    folder: &Path,
) -> Option<RunnerResult> {
    let start = Instant::now();
    let mut result = RunnerResult::new(job.runner);
    let selection = cases.selection(job.samples);
    match measure(package, &selection, job, settings, folder, &mut result) {
        Ok(()) => {}
        Err(Failure::Cancelled) => return None,
        Err(Failure::NotRun { reason, install }) => result.status = Status::NotRun { reason, install },
        Err(Failure::Failed(reason)) => result.status = Status::Failed { reason },
    }
    result.elapsed = start.elapsed();
    (settings.progress)(Progress::Finished(&result));
    Some(result)
}
