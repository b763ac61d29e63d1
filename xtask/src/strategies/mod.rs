//! `cargo xtask strategies`: every search strategy on the reference networks under three budgets, for the tables and plots
//! of `docs/strategies.md`.
//!
//! Searches run side by side, each on one thread. Each one that is done is a line of `strategies.jsonl` in the work folder
//! and is not run again, so the command can be interrupted and goes on where it stopped. Lines are of the version that made
//! them: after a change of a strategy or of what judges, remove the file.

mod job;
mod lines;
mod plan;
pub(crate) mod study;
mod subject;
mod table;

use bitesize::deliver::calibrated::calibrate;
use bitesize::deliver::candidate::float_outputs;
use bitesize::deliver::equalized::Equalized;
use bitesize::deliver::finalists::FinalJudge;
use bitesize::deliver::held_out::HeldOut;
use bitesize::deliver::quantizer::Quantizer;
use bitesize::input::Model;
use bitesize::observe::Monitor;
use bitesize::target::{DEFAULT_CORE, core};
use bitesize_ir::BitWidth;
use bitesize_ir::memory::{InputRows, Scheduling};
use bitesize_ir::target::Budget;
use bitesize_search::{Problem, RewardKind, Strategy};
use bitesize_train::{Calibration, CalibrationSettings};
use job::{Bench, Final, Finals, Job};
use lines::{Line, Reference, Results};
use plan::{NETWORKS, READINGS, SHARES, jobs};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;
use subject::{Failure, Subject, problem_of};

/// Runs what is missing and rewrites tables and plots. `arguments`: the work folder (default `docs/strategies`, beside the
/// tables), and the names of networks to run (default all), or `none` to write what is there.
///
/// # Errors
/// A network, data or a file that cannot be read or written; a search that failed.
pub(crate) fn run(arguments: &[String]) -> Result<(), String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let (work, only) = match arguments {
        [] => (root.join("docs/strategies"), &[][..]),
        [work, only @ ..] => (PathBuf::from(work), only),
    };
    let none = ["none".to_owned()];
    if let Some(unknown) = only.iter().find(|name| only != none && !NETWORKS.contains(&name.as_str())) {
        return Err(format!("`{unknown}` is none of {}", NETWORKS.join(", ")));
    }
    let wanted = |network: &&str| only.is_empty() || only.iter().any(|name| name == network);
    let networks: Vec<&str> = NETWORKS.into_iter().filter(wanted).collect();
    all(&root, &work, &networks).map_err(|error| error.to_string())
}

/// Where networks and data are.
fn shared_folder(root: &Path) -> PathBuf {
    std::env::var_os("BITESIZE_SHARED").map_or_else(|| root.join("../shared"), PathBuf::from)
}

fn all(root: &Path, work: &Path, networks: &[&str]) -> Result<(), Failure> {
    let shared = shared_folder(root);
    fs::create_dir_all(work)?;
    let mut results = Results::open(&work.join("strategies.jsonl"))?;
    // The agent last: it takes the longest.
    for (agent, network) in [false, true].into_iter().flat_map(|agent| networks.iter().map(move |n| (agent, *n))) {
        let missing: Vec<Job> =
            jobs(network, agent).into_iter().filter(|job| results.done.iter().all(|d| d.job != *job)).collect();
        if !missing.is_empty() || results.reference(network).is_none() {
            results = compare(&shared, network, missing, results)?;
        }
    }
    table::write(root, &results)
}

/// A network calibrated, with what judges its policies.
struct Prepared<'a> {
    subject: &'a Subject,
    monitor: Monitor<'static>,
    calibration: Calibration,
    held_out: HeldOut,
}

impl<'a> Prepared<'a> {
    /// With channels brought to one size where that helps and `equalize` asks for it.
    fn of(subject: &'a Subject, equalize: bool) -> Result<Self, Failure> {
        let (network, monitor) = (&subject.model.network, Monitor::unobserved());
        let mut calibration = calibrate(network, &subject.calibration, &CalibrationSettings::default(), &monitor)?;
        if equalize {
            let judges = HeldOut::of(network, subject.objective(), subject.judges.clone(), &monitor)?;
            let found = Equalized::of(network, &subject.calibration, &calibration, &judges, &monitor)?;
            calibration.equalization = found.equalization;
        }
        let held_out = HeldOut::of(network, subject.objective(), subject.reward.clone(), &monitor)?;
        Ok(Self { subject, held_out, monitor, calibration })
    }

    /// Calls `work` with what quantizes the network and judges it, and its problem without limits.
    fn with<T>(&self, work: impl FnOnce(FinalJudge, &Problem) -> Result<T, Failure>) -> Result<T, Failure> {
        let Model { network, space, .. } = &self.subject.model;
        let calibration = self.calibration.clone();
        let (held_out, monitor) = (&self.held_out, &self.monitor);
        let quantizer = &Quantizer::prepare_all(network, &self.subject.calibration, calibration, monitor)?;
        let judge = FinalJudge { quantizer, held_out, reward: RewardKind::Loss, monitor };
        // The page compares strategies at budgets that press: those of layers computed one after the other.
        let core = core(DEFAULT_CORE)?.with_schedule(Scheduling::Layers, InputRows::Image);
        work(judge, &Problem::new(network, space, &core, Budget::UNLIMITED))
    }
}

/// Runs the searches `missing` of `network`.
fn compare(shared: &Path, network: &str, missing: Vec<Job>, mut results: Results) -> Result<Results, Failure> {
    let subject = Subject::read(shared, network, SHARES)?;
    Prepared::of(&subject, false)?.with(|judge, free| {
        if results.reference(network).is_none() {
            results.add(&Line::Reference(reference(network, &subject, judge, free)?))?;
        }
        let known = results.done.iter().filter(|done| done.job.network == network).flat_map(|done| &done.readings);
        let known =
            known.map(|reading| (reading.delivered.policy.clone(), Final::Delivered(reading.delivered.clone())));
        let finals: Finals = Mutex::new(known.collect());
        let bench = Bench { subject: &subject, judge, finals: &finals };
        side_by_side(&bench, free, missing, results)
    })
}

/// Runs `jobs`, as many at a time as there are processors, each on one thread, and adds what they lead to to `results`.
fn side_by_side(bench: &Bench, free: &Problem, jobs: Vec<Job>, results: Results) -> Result<Results, Failure> {
    let (total, start) = (jobs.len(), Instant::now());
    let queue = Mutex::new(jobs.into_iter());
    // How many are done, and what they led to.
    let ended = Mutex::new((0, results));
    let work = || -> Result<(), Failure> {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build()?;
        loop {
            let next = queue.lock().unwrap_or_else(PoisonError::into_inner).next();
            let Some(job) = next else { return Ok(()) };
            let problem = problem_of(free, &job.case)?;
            let readings = if job.strategy == Strategy::Ddpg { vec![job.evaluations] } else { READINGS.to_vec() };
            let done = pool.install(|| bench.run(&job, &problem, &readings))?;
            let mut ended = ended.lock().unwrap_or_else(PoisonError::into_inner);
            ended.1.add(&Line::Done(Box::new(done)))?;
            ended.0 += 1;
            let left = start.elapsed().as_secs_f64() * (total - ended.0) as f64 / ended.0 as f64;
            let Job { network, case, strategy, seed, .. } = job;
            eprintln!("{network}: {} of {total} searches, at most {left:.0} s left: {case} {strategy} {seed}", ended.0);
        }
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        workers.into_iter().try_for_each(|worker| worker.join().map_err(|_| "a search panicked")?)
    })?;
    Ok(ended.into_inner().unwrap_or_else(PoisonError::into_inner).1)
}

fn reference(network: &str, subject: &Subject, judge: FinalJudge, free: &Problem) -> Result<Reference, Failure> {
    let uniform = free.uniform(BitWidth::B8);
    let footprint = free.footprint(&uniform);
    let candidate = judge.quantizer.sequential("uniform-8", &uniform)?;
    let float = float_outputs(&subject.model.network, &subject.test, judge.monitor)?;
    let float: Vec<f64> = float.into_iter().map(f64::from).collect();
    Ok(Reference {
        network: network.into(),
        float: subject.accuracy(&float),
        uniform: subject.accuracy(&candidate.outputs(&subject.test, None, judge.monitor)?),
        flash_bytes: footprint.flash_bytes,
        ram_bytes: footprint.ram_bytes,
    })
}
