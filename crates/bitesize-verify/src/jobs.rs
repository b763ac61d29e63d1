//! Runs jobs side by side.

use crate::build::PackageFolder;
use crate::cases::Cases;
use crate::failure::{Failure, VerifyError};
use crate::job::{Job, prove};
use crate::result::{Progress, RunnerResult, Status};
use crate::settings::VerifySettings;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

/// Runs `jobs` on `cases` and compares every byte. One result for each job, in their order.
///
/// # Errors
/// Where nothing can be verified at all, or the caller stopped it. What concerns one runner is in its result.
pub fn verify(
    package: &PackageFolder,
    cases: &Cases,
    jobs: &[Job],
    settings: &VerifySettings<'_>,
) -> Result<Vec<RunnerResult>, VerifyError> {
    if cases.samples() == 0 || jobs.iter().any(|job| job.samples == 0) {
        return Err(VerifyError::NoSamples);
    }
    let folder = match tempfile::Builder::new().prefix("bitesize-verify-").tempdir() {
        Ok(folder) => folder,
        // As with a missing tool, the package stands and nothing is said of it.
        Err(error) => {
            let reason = format!("cannot create a temporary folder: {error}; set TMPDIR to a writable one");
            return Ok(jobs.iter().map(|job| not_run(job, &reason, settings)).collect());
        }
    };
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

/// The result of `job` where no folder to work in could be made, for `reason`.
fn not_run(job: &Job, reason: &str, settings: &VerifySettings<'_>) -> RunnerResult {
    let mut result = RunnerResult::new(job.runner);
    result.status = Status::NotRun { reason: reason.to_owned(), install: "" };
    (settings.progress)(Progress::Finished(&result));
    result
}

/// `None` where the caller stopped it.
fn run_job(
    package: &PackageFolder,
    cases: &Cases,
    job: &Job,
    settings: &VerifySettings<'_>,
    folder: &Path,
) -> Option<RunnerResult> {
    let start = Instant::now();
    let mut result = RunnerResult::new(job.runner);
    let selection = cases.selection(job.samples);
    match prove(package, &selection, job, settings, folder, &mut result) {
        Ok(()) => {}
        Err(Failure::Cancelled) => return None,
        Err(Failure::NotRun { reason, install }) => result.status = Status::NotRun { reason, install },
        Err(Failure::Failed(reason)) => result.status = Status::Failed { reason },
    }
    result.elapsed = start.elapsed();
    (settings.progress)(Progress::Finished(&result));
    Some(result)
}
