//! `cargo xtask strategies`: every search strategy on the reference networks under three budgets, for the tables and plots
//! of `docs/strategies.md`.
//!
//! Searches run side by side, each on one thread. Each one that is done is a line of `strategies.jsonl` in the work folder
//! and is not run again, so the command can be interrupted and goes on where it stopped.

mod job;
mod subject;
mod table;

use bitesize::console::{Console, Verbosity};
use bitesize::data::Shares;
use bitesize::judge::Target;
use bitesize::quantize::{Quantizer, calibrate};
use bitesize_ir::BitWidth;
use bitesize_ir::target::Budget;
use bitesize_search::{Problem, Strategy};
use bitesize_train::CalibrationSettings;
use job::{Bench, Done, Finals, Job};
use serde::{Deserialize, Serialize};
use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;
use subject::{Failure, Subject, problem_of};

/// The networks, in the order of the tables.
const NETWORKS: [&str; 4] = ["cifar10_mobilenet_v1", "cifar10_mobilenet_v2", "cifar10_mnasnet", "mlperf_resnet8"];

/// Shares of the FLASH and RAM of uniform 8 bits. The last is near the tightest: no policy needs less than 30 to 34 % and
/// 25 to 26 %.
const CASES: [&str; 3] = ["f70+r70", "f50+r50", "f36+r30"];

/// Evaluations at which searches are read.
const READINGS: [usize; 2] = [100, 600];

const SEEDS: [u64; 3] = [1, 2, 3];

const SHARES: Shares = Shares { calibration: 512, reward: 500 };

/// A line of the results.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(untagged)]
enum Line {
    /// What a network is compared with.
    Reference(Reference),
    /// A search.
    Done(Box<Done>),
}

/// A network without a budget.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Reference {
    network: String,
    /// Accuracies on the whole test set: float, and uniform 8 bits.
    float: f64,
    uniform: f64,
    /// Of uniform 8 bits.
    flash_bytes: u64,
    ram_bytes: u64,
}

/// What is known so far, and where it is kept.
struct Results {
    references: Vec<Reference>,
    done: Vec<Done>,
    file: File,
}

impl Results {
    fn open(path: &Path) -> Result<Self, Failure> {
        let text = fs::read_to_string(path).unwrap_or_default();
        let complete = text.rfind('\n').map_or("", |end| &text[..=end]);
        let file = File::options().create(true).append(true).open(path)?;
        file.set_len(complete.len() as u64)?;
        let mut results = Self { references: Vec::new(), done: Vec::new(), file };
        for line in complete.lines() {
            match serde_json::from_str(line).map_err(|e| format!("{}: {e}", path.display()))? {
                Line::Reference(reference) => results.references.push(reference),
                Line::Done(done) => results.done.push(*done),
            }
        }
        Ok(results)
    }

    fn add(&mut self, line: &Line) -> Result<(), Failure> {
        writeln!(self.file, "{}", serde_json::to_string(line)?)?;
        match line.clone() {
            Line::Reference(reference) => self.references.push(reference),
            Line::Done(done) => self.done.push(*done),
        }
        Ok(())
    }

    fn reference(&self, network: &str) -> Option<&Reference> {
        self.references.iter().find(|reference| reference.network == network)
    }
}

/// Whether chance plays in `strategy`.
fn has_chance(strategy: Strategy) -> bool {
    match strategy {
        Strategy::Auto | Strategy::Evolution | Strategy::Random | Strategy::Ddpg => true,
        Strategy::Exact | Strategy::Greedy | Strategy::Rules => false,
    }
}

/// The searches of `network`, the longest first, so that all threads end together. The agent runs for each number of
/// evaluations by itself, since it explores in another way; the others are read on their way.
fn jobs(network: &str) -> Vec<Job> {
    let mut jobs = Vec::new();
    for strategy in Strategy::ALL {
        let evaluations = if strategy == Strategy::Ddpg { &READINGS[..] } else { &READINGS[1..] };
        for (case, evaluations) in CASES.iter().flat_map(|case| evaluations.iter().map(move |e| (case, *e))) {
            for seed in SEEDS.into_iter().take(if has_chance(strategy) { SEEDS.len() } else { 1 }) {
                jobs.push(Job { network: network.into(), case: (*case).into(), strategy, seed, evaluations });
            }
        }
    }
    jobs.sort_by_key(|job| {
        std::cmp::Reverse((job.strategy == Strategy::Ddpg, job.evaluations, has_chance(job.strategy)))
    });
    jobs
}

/// Runs what is missing and rewrites tables and plots. `arguments`: the work folder (default `target/strategies`), and the
/// names of networks to run (default all).
///
/// # Errors
/// A network, data or a file that cannot be read or written; a search that failed.
pub(crate) fn run(arguments: &[String]) -> Result<(), String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
    let (work, only) = match arguments {
        [] => (target.join("strategies"), &[][..]),
        [work, only @ ..] => (PathBuf::from(work), only),
    };
    let wanted = |network: &&str| only.is_empty() || only.iter().any(|name| name == network);
    let networks: Vec<&str> = NETWORKS.into_iter().filter(wanted).collect();
    all(&root, &work, &networks).map_err(|error| error.to_string())
}

fn all(root: &Path, work: &Path, networks: &[&str]) -> Result<(), Failure> {
    let shared = std::env::var_os("BITESIZE_SHARED").map_or_else(|| root.join("../shared"), PathBuf::from);
    fs::create_dir_all(work)?;
    let mut results = Results::open(&work.join("strategies.jsonl"))?;
    for network in networks {
        let missing: Vec<Job> =
            jobs(network).into_iter().filter(|job| results.done.iter().all(|d| d.job != *job)).collect();
        if !missing.is_empty() || results.reference(network).is_none() {
            results = compare(&shared, network, missing, results)?;
        }
    }
    table::write(root, networks, &results)
}

/// Runs the searches `missing` of `network`.
fn compare(shared: &Path, network: &str, missing: Vec<Job>, mut results: Results) -> Result<Results, Failure> {
    let subject = Subject::read(shared, network, SHARES)?;
    let (float, space) = (&subject.model.network, &subject.model.space);
    let console = Console::new(Verbosity::Quiet);
    let calibration = calibrate(float, &subject.calibration, &CalibrationSettings::default(), &console)?;
    let quantizer = Quantizer::prepare(float, &subject.calibration, calibration, &console)?;
    let target = Target::of(float, &subject.reward)?;
    let core = bitesize::platform::core(bitesize::platform::DEFAULT_CORE)?;
    let without_limit = Budget { flash_bytes: u64::MAX, ram_bytes: u64::MAX };
    let free = Problem::new(float, space, &core, without_limit);
    if results.reference(network).is_none() {
        results.add(&Line::Reference(reference(network, &subject, &quantizer, &free)?))?;
    }
    let finals: Finals = Mutex::default();
    for delivered in results.done.iter().filter(|done| done.job.network == network).flat_map(|done| &done.readings) {
        let mut finals = finals.lock().unwrap_or_else(PoisonError::into_inner);
        finals.insert(delivered.delivered.policy.clone(), delivered.delivered.clone());
    }
    let bench = Bench { subject: &subject, quantizer: &quantizer, target: &target, finals: &finals };
    let (total, start) = (missing.len(), Instant::now());
    let queue = Mutex::new((missing.into_iter(), 0));
    let results = Mutex::new(results);
    let work = || -> Result<(), Failure> {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build()?;
        loop {
            let next = queue.lock().unwrap_or_else(PoisonError::into_inner).0.next();
            let Some(job) = next else { return Ok(()) };
            let problem = problem_of(&free, &job.case)?;
            let readings = if job.strategy == Strategy::Ddpg { vec![job.evaluations] } else { READINGS.to_vec() };
            let done = pool.install(|| bench.run(&job, &problem, &readings))?;
            results.lock().unwrap_or_else(PoisonError::into_inner).add(&Line::Done(Box::new(done)))?;
            let mut queue = queue.lock().unwrap_or_else(PoisonError::into_inner);
            queue.1 += 1;
            let left = start.elapsed().as_secs_f64() * (total - queue.1) as f64 / queue.1 as f64;
            eprintln!("{network}: {} of {total} searches, at most {left:.0} s left: {job:?}", queue.1);
        }
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| -> Result<(), Failure> {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        workers.into_iter().try_for_each(|worker| worker.join().map_err(|_| "a search panicked")?)
    })?;
    Ok(results.into_inner().unwrap_or_else(PoisonError::into_inner))
}

fn reference(network: &str, subject: &Subject, quantizer: &Quantizer, free: &Problem) -> Result<Reference, Failure> {
    let uniform = free.uniform(BitWidth::B8);
    let memory = free.memory(&uniform);
    let candidate = quantizer.sequential("uniform-8", &uniform)?;
    let samples = subject.test.len() as f64;
    Ok(Reference {
        network: network.into(),
        float: bitesize::measure::float_hits(&subject.model.network, &subject.test)? as f64 / samples,
        uniform: candidate.hits(&subject.test)? as f64 / samples,
        flash_bytes: memory.flash_bytes,
        ram_bytes: memory.ram_bytes,
    })
}
