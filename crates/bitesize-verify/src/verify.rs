//! Runs jobs side by side and judges what they measured.

use crate::build::{Builder, Image, Package};
use crate::cases::{Case, Cases, PATTERNS};
use crate::machine::{Machine, Runner, STACK_BYTES};
use crate::process::Place;
use bitesize_ir::memory::{FlashUse, RamUse};
use bitesize_ir::target::CoreCosts;
use std::fs;
use std::num::NonZero;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// By how much FLASH may be over-stated before a result mentions it: one part in this many.
const FLASH_SLACK: u64 = 33;

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

/// What happens during verification.
#[derive(Clone, Debug)]
pub enum Progress<'a> {
    /// A runner's package is being compiled.
    Compiling {
        /// The runner's name.
        runner: &'a str,
    },
    /// A runner has answered some of its cases.
    Running {
        /// The runner's name.
        runner: &'a str,
        /// Cases answered.
        done: usize,
        /// Cases in all.
        total: usize,
    },
    /// A runner is done.
    Finished(&'a RunnerResult),
}

/// What the memory model says of a package on a runner's core.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prediction {
    /// FLASH in bytes, holding for [`Self::compiler`].
    pub flash_bytes: u64,
    /// The arena in bytes, kernel scratch included.
    pub arena_bytes: u64,
    /// Upper bound of the stack in bytes.
    pub stack_bytes: u64,
    /// The compiler that the core's costs were measured with.
    pub compiler: String,
}

impl Prediction {
    /// Of a network's memory on `core`.
    pub fn new(flash: &FlashUse, ram: &RamUse, core: &CoreCosts) -> Self {
        Self {
            flash_bytes: flash.total,
            arena_bytes: ram.arena,
            stack_bytes: ram.stack,
            compiler: core.compiler.clone(),
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

/// How a runner ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Status {
    /// All bytes equal, all sizes as predicted.
    Passed,
    /// Some answer differs.
    Mismatch(Mismatch),
    /// It did not compile, crashed, took too long, or needs more memory than predicted.
    Failed {
        /// What and why.
        reason: String,
    },
    /// A tool is missing.
    NotRun {
        /// Which.
        reason: String,
        /// The Debian packages that would bring it, separated by spaces.
        install: &'static str,
    },
}

/// The first byte that differs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mismatch {
    /// As `sample 3`.
    pub case: String,
    /// Index of the byte in the output.
    pub byte: usize,
    /// The interpreter's.
    pub expected: u8,
    /// The package's.
    pub found: u8,
}

/// What one runner found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunnerResult {
    /// As `qemu-m4`.
    pub runner: &'static str,
    /// How it ended.
    pub status: Status,
    /// Samples whose answers were compared; [`PATTERNS`] patterns come on top. 0 where nothing ran.
    pub samples: usize,
    /// Cases with at least one byte that differs.
    pub mismatches: usize,
    /// Instructions of the first sample's inference, to within one tick of SysTick (40 or 50).
    pub instructions: Option<u64>,
    /// Largest stack in bytes over all cases but the first.
    pub stack_bytes: Option<u64>,
    /// FLASH in bytes from the linked image.
    pub flash_bytes: Option<u64>,
    /// RAM in bytes: variables from the linked image, and the predicted bound of the stack (the measured stack where
    /// nothing was predicted).
    pub ram_bytes: Option<u64>,
    /// What the compiler calls itself.
    pub compiler: Option<String>,
    /// What is worth telling though it is no failure.
    pub notes: Vec<String>,
    /// Wall-clock time, compilation included.
    pub elapsed: Duration,
}

impl RunnerResult {
    fn new(runner: Runner) -> Self {
        Self {
            runner: runner.name(),
            status: Status::Passed,
            samples: 0,
            mismatches: 0,
            instructions: None,
            stack_bytes: None,
            flash_bytes: None,
            ram_bytes: None,
            compiler: None,
            notes: Vec::new(),
            elapsed: Duration::ZERO,
        }
    }
}

/// Why a job ended early.
pub(crate) enum Failure {
    Failed(String),
    NotRun { reason: String, install: &'static str },
    Cancelled,
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

/// Builds, runs and judges; fills `result` as far as it comes.
fn measure(
    package: &Package,
    cases: &[Case<'_>],
    job: &Job,
    settings: &Settings<'_>,
    folder: &Path,
    result: &mut RunnerResult,
) -> Result<(), Failure> {
    let io = |what: &str, e: std::io::Error| Failure::Failed(format!("cannot {what} in {}: {e}", folder.display()));
    let runner = job.runner.name();
    fs::create_dir_all(folder).map_err(|e| io("create a folder", e))?;
    let place = Place { folder, cancelled: settings.cancelled };
    let builder = Builder { place, tools: &settings.tools, limit: settings.compile_limit };
    (settings.progress)(Progress::Compiling { runner });
    let image = builder.build(package, job.runner, &job.flags)?;
    result.compiler = Some(image.compiler.clone());

    let inputs: Vec<u8> = cases.iter().flat_map(|case| case.input.iter().copied()).collect();
    fs::write(folder.join("inputs"), inputs).map_err(|e| io("write `inputs`", e))?;
    let outputs = folder.join("outputs");
    let output_bytes = cases[0].expected.len();
    let watch = || {
        let done = fs::metadata(&outputs).map_or(0, |m| m.len() as usize) / output_bytes;
        (settings.progress)(Progress::Running { runner, done, total: cases.len() });
    };
    let ran = builder.start(&image, job.runner, settings.run_limit, watch);
    let report = match job.runner {
        Runner::Host => None,
        Runner::Emulated(machine) => Some((machine, read_report(folder))),
    };
    if let (Err(Failure::Failed(_)), Some((_, Ok(report)))) = (&ran, &report) {
        if let Some(reason) = report.failure() {
            return Err(Failure::Failed(reason));
        }
    }
    ran?;
    let outputs = fs::read(&outputs).map_err(|e| io("read `outputs`", e))?;
    result.samples = cases.len() - PATTERNS;
    compare(cases, &outputs, result)?;
    if let Some((machine, report)) = report {
        let report = report.map_err(Failure::Failed)?;
        judge_memory(machine, &image, report, job.prediction.as_ref(), result)?;
    }
    Ok(())
}

/// Compares every byte; the first difference becomes the status.
fn compare(cases: &[Case<'_>], outputs: &[u8], result: &mut RunnerResult) -> Result<(), Failure> {
    let output_bytes = cases[0].expected.len();
    if outputs.len() != output_bytes * cases.len() {
        return Err(Failure::Failed(format!(
            "the package wrote {} bytes for {} inputs, but the network's output has {output_bytes} bytes",
            outputs.len(),
            cases.len()
        )));
    }
    for (case, found) in cases.iter().zip(outputs.chunks(output_bytes)) {
        let Some(byte) = (0..output_bytes).find(|&i| case.expected[i] != found[i]) else { continue };
        result.mismatches += 1;
        if result.status == Status::Passed {
            let (expected, found) = (case.expected[byte], found[byte]);
            result.status = Status::Mismatch(Mismatch { case: case.name.clone(), byte, expected, found });
        }
    }
    Ok(())
}

/// What the harness of an emulated machine writes at its end.
enum Report {
    Finished { ticks: u64, stack_bytes: u64 },
    Faulted { vector: u32, program_counter: u32, status: u32 },
    StackOverflowed,
}

impl Report {
    /// What went wrong on the machine, if anything did.
    fn failure(&self) -> Option<String> {
        match self {
            Self::Finished { .. } => None,
            Self::Faulted { vector, program_counter, status } => Some(format!(
                "the package faulted (exception {vector}, program counter {program_counter:#x}, fault status {status:#x})"
            )),
            Self::StackOverflowed => Some(format!("the package used more than {STACK_BYTES} bytes of stack")),
        }
    }
}

/// Reads `report`: five little-endian words, as `harness/cortex_m.c` describes them.
fn read_report(folder: &Path) -> Result<Report, String> {
    let path = folder.join("report");
    let bytes = fs::read(&path).map_err(|e| format!("the emulated program left no report: {e}"))?;
    let words: Vec<u32> =
        bytes.chunks_exact(4).map(|b| u32::from_le_bytes(b.try_into().expect("chunks of 4"))).collect();
    match words[..] {
        [0x600D, low, high, stack, _cases] => {
            Ok(Report::Finished { ticks: u64::from(high) << 32 | u64::from(low), stack_bytes: u64::from(stack) })
        }
        [0xFA17, program_counter, status, vector, _] => Ok(Report::Faulted { vector, program_counter, status }),
        [0x0F10, ..] => Ok(Report::StackOverflowed),
        _ => Err("the emulated program could not open or write its files".into()),
    }
}

/// Fills the measured figures and holds them against the prediction.
fn judge_memory(
    machine: &Machine,
    image: &Image,
    report: Report,
    prediction: Option<&Prediction>,
    result: &mut RunnerResult,
) -> Result<(), Failure> {
    let Report::Finished { ticks, stack_bytes } = report else {
        return Err(Failure::Failed("the emulator reported success where the program did not".into()));
    };
    let Some(sizes) = image.sizes else { return Ok(()) };
    result.instructions = Some(ticks * machine.instructions_per_tick);
    result.stack_bytes = Some(stack_bytes);
    result.flash_bytes = Some(sizes.flash_bytes);
    result.ram_bytes = Some(sizes.ram_bytes + prediction.map_or(stack_bytes, |p| p.stack_bytes));
    let Some(prediction) = prediction else { return Ok(()) };

    let mut wrong = Vec::new();
    if sizes.ram_bytes != prediction.arena_bytes {
        wrong
            .push(format!("RAM without stack: predicted {} bytes, linked {}", prediction.arena_bytes, sizes.ram_bytes));
    }
    if stack_bytes > prediction.stack_bytes {
        wrong.push(format!("stack: bound {} bytes, used {stack_bytes}", prediction.stack_bytes));
    }
    let flash = format!("FLASH: predicted {} bytes, linked {}", prediction.flash_bytes, sizes.flash_bytes);
    if image.compiler != prediction.compiler {
        result.notes.push(format!("{flash}, but with `{}` instead of `{}`", image.compiler, prediction.compiler));
    } else if sizes.flash_bytes > prediction.flash_bytes {
        wrong.push(flash);
    } else if prediction.flash_bytes - sizes.flash_bytes > sizes.flash_bytes / FLASH_SLACK {
        result.notes.push(flash);
    }
    // A mismatch says more than a wrong size, and stays the status.
    if wrong.is_empty() || result.status != Status::Passed {
        result.notes.extend(wrong);
        return Ok(());
    }
    Err(Failure::Failed(format!("the memory model is wrong for this package: {}", wrong.join("; "))))
}
