//! `cargo xtask strategies`: every search strategy on the reference networks under three budgets, for the tables and plots
//! of `docs/strategies.md`.
//!
//! Searches run side by side, each on one thread. Each one that is done is a line of `strategies.jsonl` in the work folder
//! and is not run again, so the command can be interrupted and goes on where it stopped. Lines are of the version that made
//! them: after a change of a strategy or of what judges, remove the file.

mod job;
pub(crate) mod study;
mod subject;
mod table;

use bitesize::console::{Console, Verbosity};
use bitesize::data::Shares;
use bitesize::judge::Target;
use bitesize::model::Model;
use bitesize::quantize::{Quantizer, calibrate};
use bitesize_ir::BitWidth;
use bitesize_ir::target::Budget;
use bitesize_search::{Problem, RewardKind, Strategy};
use bitesize_train::{Calibration, CalibrationSettings};
use job::{Bench, Done, Final, Finals, Job};
use serde::{Deserialize, Serialize};
use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;
use subject::{Failure, Subject, problem_of};

/// The networks, in the order of the tables.
const NETWORKS: [&str; 4] = ["cifar10_mobilenet_v1", "cifar10_mobilenet_v2", "cifar10_mnasnet", "mlperf_resnet8"];

/// Shares of the FLASH and RAM of uniform 8 bits. The last is near the tightest: the least that `bitesize inspect` finds is
/// 30 to 34 % and 25 to 26 %.
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
        let text = match fs::read_to_string(path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
            text => text.map_err(|error| format!("{}: {error}", path.display()))?,
        };
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

/// The seeds that `strategy` runs with.
fn seeds(strategy: Strategy) -> &'static [u64] {
    if has_chance(strategy) { &SEEDS } else { &SEEDS[..1] }
}

/// The searches of `network`, those of the agent or all others, the longest first, so that all threads end together. The agent
/// runs for each number of evaluations by itself, since it explores in another way; the others are read on their way.
fn jobs(network: &str, agent: bool) -> Vec<Job> {
    let mut jobs = Vec::new();
    for strategy in Strategy::ALL.into_iter().filter(|strategy| (*strategy == Strategy::Ddpg) == agent) {
        let evaluations = if strategy == Strategy::Ddpg { &READINGS[..] } else { &READINGS[1..] };
        for (case, evaluations) in CASES.iter().flat_map(|case| evaluations.iter().map(move |e| (case, *e))) {
            for seed in seeds(strategy) {
                jobs.push(Job { network: network.into(), case: (*case).into(), strategy, seed: *seed, evaluations });
            }
        }
    }
    jobs.sort_by_key(|job| std::cmp::Reverse((job.evaluations, has_chance(job.strategy))));
    jobs
}

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
    console: Console,
    calibration: Calibration,
    target: Target,
}

impl<'a> Prepared<'a> {
    fn of(subject: &'a Subject) -> Result<Self, Failure> {
        let (network, console) = (&subject.model.network, Console::new(Verbosity::Quiet));
        let calibration = calibrate(network, &subject.calibration, &CalibrationSettings::default(), &console)?;
        Ok(Self { subject, target: Target::of(network, &subject.reward)?, console, calibration })
    }

    /// Calls `work` with what quantizes the network, what judges it, and its problem without limits.
    fn with<T>(&self, work: impl FnOnce(&Quantizer, &Target, &Problem) -> Result<T, Failure>) -> Result<T, Failure> {
        let Model { network, space, .. } = &self.subject.model;
        let calibration = self.calibration.clone();
        let quantizer = Quantizer::prepare(network, &self.subject.calibration, calibration, &self.console)?;
        let core = bitesize::platform::core(bitesize::platform::DEFAULT_CORE)?;
        let without_limit = Budget { flash_bytes: u64::MAX, ram_bytes: u64::MAX };
        work(&quantizer, &self.target, &Problem::new(network, space, &core, without_limit))
    }
}

/// Runs the searches `missing` of `network`.
fn compare(shared: &Path, network: &str, missing: Vec<Job>, mut results: Results) -> Result<Results, Failure> {
    let subject = Subject::read(shared, network, SHARES)?;
    Prepared::of(&subject)?.with(|quantizer, target, free| {
        if results.reference(network).is_none() {
            results.add(&Line::Reference(reference(network, &subject, quantizer, free)?))?;
        }
        let known = results.done.iter().filter(|done| done.job.network == network).flat_map(|done| &done.readings);
        let known =
            known.map(|reading| (reading.delivered.policy.clone(), Final::Delivered(reading.delivered.clone())));
        let finals: Finals = Mutex::new(known.collect());
        let bench = Bench { subject: &subject, quantizer, target, finals: &finals, reward: RewardKind::Loss };
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
