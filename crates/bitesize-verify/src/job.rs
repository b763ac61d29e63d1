//! One job: build, run, compare every byte, hold the sizes against the prediction.

use crate::build::{Builder, Image, PackageFolder};
use crate::cases::{Case, PATTERNS};
use crate::failure::Failure;
use crate::machine::{Machine, Runner, STACK_BYTES};
use crate::process::Place;
use crate::result::{Mismatch, Prediction, Progress, RunnerResult, Status};
use crate::settings::VerifySettings;
use bitesize_ir::shown::ShownPath as _;
use bitesize_ir::target::CoreCosts;
use std::fs;
use std::io::Read as _;
use std::path::Path;

/// By how much FLASH may be over-stated before a result mentions it: one part in this many.
const FLASH_SLACK: u64 = 33;

/// One runner's share of a verification.
#[derive(Clone, Debug, PartialEq)]
pub struct Job {
    /// Where to run.
    pub runner: Runner,
    /// How many of the samples to run at most; patterns are always run.
    pub samples: usize,
    /// All compiler flags for the core but those of warnings; on the host, flags on top of `-std=c99 -O2`.
    pub flags: Vec<String>,
    /// What to compare the sizes with.
    pub prediction: Option<Prediction>,
    /// Layers of the package, where the instructions of each are to be counted; 0 where they are not. Not on the host.
    pub layers: usize,
}

impl Job {
    /// On the host.
    pub fn host(samples: usize) -> Self {
        Self { runner: Runner::Host, samples, flags: Vec::new(), prediction: None, layers: 0 }
    }

    /// On `runner`, compiled as `core` says. `prediction` is the memory model's for that core.
    pub fn emulated(runner: Runner, samples: usize, core: &CoreCosts, prediction: Option<Prediction>) -> Self {
        Self { runner, samples, flags: core.flags.clone(), prediction, layers: 0 }
    }

    /// The same, which counts the instructions of each of `layers` layers, too.
    pub fn counting(self, layers: usize) -> Self {
        Self { layers, ..self }
    }
}

/// Builds, runs and judges; fills `result` as far as it comes.
pub(crate) fn prove(
    package: &PackageFolder,
    cases: &[Case<'_>],
    job: &Job,
    settings: &VerifySettings<'_>,
    folder: &Path,
    result: &mut RunnerResult,
) -> Result<(), Failure> {
    let failed = |what: &str, e: std::io::Error| Failure::Failed(format!("cannot {what} in {}: {e}", folder.shown()));
    fs::create_dir_all(folder).map_err(|e| failed("create a folder", e))?;
    let place = Place { folder, cancelled: settings.cancelled };
    let builder = Builder { place, tools: &settings.tools, limit: settings.compile_limit };
    (settings.progress)(Progress::Compiling { runner: job.runner.name() });
    let image = builder.build(package, job.runner, &job.flags)?;
    result.compiler = Some(image.compiler.clone());

    let inputs: Vec<u8> = cases.iter().flat_map(|case| case.input.iter().copied()).collect();
    fs::write(folder.join("inputs"), inputs).map_err(|e| failed("write `inputs`", e))?;
    let report = run(&builder, &image, job.runner, cases, settings)?;
    if let Some(MachineReport::StackOverflowed) = report {
        let reason = format!("the package used more than {STACK_BYTES} bytes of stack");
        let is_bound = job.prediction.as_ref().is_some_and(|p| p.compiler == image.compiler);
        result.status = if is_bound { Status::OverBound { reason } } else { Status::Failed { reason } };
        return Ok(());
    }
    let outputs = read_outputs(&folder.join("outputs"), cases).map_err(|e| failed("read `outputs`", e))?;
    result.samples = cases.len() - PATTERNS;
    compare(cases, &outputs, result)?;
    match (job.runner, report) {
        (Runner::Emulated(machine), Some(report)) => {
            judge_memory(machine, &image, report, job.prediction.as_ref(), result)?;
            if job.layers > 0 {
                result.layers = Some(count_layers(package, job, machine, &builder, settings)?);
            }
            Ok(())
        }
        _ => Ok(()),
    }
}

/// Instructions of each layer in the first case, to within a tick of SysTick.
fn count_layers(
    package: &PackageFolder,
    job: &Job,
    machine: &Machine,
    builder: &Builder<'_>,
    settings: &VerifySettings<'_>,
) -> Result<Vec<u64>, Failure> {
    let image = builder.build_counting(package, job.runner, &job.flags, job.layers)?;
    builder.start(image, job.runner, settings.run_limit, || {})?;
    let folder = builder.place.folder;
    let bytes = fs::read(folder.join("layers"))
        .map_err(|e| Failure::Failed(format!("cannot read `layers` in {}: {e}", folder.shown())))?;
    let ticks = bytes.chunks_exact(4).map(|b| u64::from(u32::from_le_bytes(b.try_into().expect("chunks of 4"))));
    let counts: Vec<u64> = ticks.map(|ticks| ticks * machine.instructions_per_tick).collect();
    match counts.len() == job.layers {
        true => Ok(counts),
        false => Err(Failure::Failed(format!("the package told of {} layers instead of {}", counts.len(), job.layers))),
    }
}

/// Runs the image on the cases in `inputs`; what the machine reports of a run that ended or took too much stack, `None` on
/// the host.
fn run(
    builder: &Builder<'_>,
    image: &Image,
    runner: Runner,
    cases: &[Case<'_>],
    settings: &VerifySettings<'_>,
) -> Result<Option<MachineReport>, Failure> {
    let folder = builder.place.folder;
    let output_bytes = cases[0].expected.len();
    let watch = || {
        // The outputs grow by one case after another.
        let done = fs::metadata(folder.join("outputs")).map_or(0, |m| m.len() as usize) / output_bytes;
        (settings.progress)(Progress::Running { runner: runner.name(), done, total: cases.len() });
    };
    let ran = builder.start(image.file, runner, settings.run_limit, watch);
    let Runner::Emulated(_) = runner else { return ran.map(|()| None) };
    match (ran, read_report(folder)) {
        // The machine's own word says more than the emulator's exit status.
        (Err(Failure::Failed(_)), Ok(MachineReport::StackOverflowed)) => Ok(Some(MachineReport::StackOverflowed)),
        (Err(Failure::Failed(status)), report) => {
            Err(Failure::Failed(report.ok().and_then(|report| report.failure()).unwrap_or(status)))
        }
        (Err(other), _) => Err(other),
        (Ok(()), report) => report.map(Some).map_err(Failure::Failed),
    }
}

/// What the package wrote: all of it, or one byte more than it may be.
fn read_outputs(path: &Path, cases: &[Case<'_>]) -> std::io::Result<Vec<u8>> {
    let due = cases.iter().map(|case| case.expected.len() as u64).sum::<u64>();
    let mut outputs = Vec::new();
    fs::File::open(path)?.take(due + 1).read_to_end(&mut outputs)?;
    Ok(outputs)
}

/// Compares every byte; the first difference becomes the status.
fn compare(cases: &[Case<'_>], outputs: &[u8], result: &mut RunnerResult) -> Result<(), Failure> {
    let output_bytes = cases[0].expected.len();
    if outputs.len() != output_bytes * cases.len() {
        let more = if outputs.len() > output_bytes * cases.len() { "at least " } else { "" };
        return Err(Failure::Failed(format!(
            "the package wrote {more}{} bytes for {} inputs, but the network's output has {output_bytes} bytes",
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

/// Bytes of a report.
const REPORT_BYTES: u64 = 20;

/// What the harness of an emulated machine writes at its end.
enum MachineReport {
    Finished { ticks: u64, stack_bytes: u64 },
    Faulted { vector: u32, program_counter: u32, status: u32 },
    StackOverflowed,
}

impl MachineReport {
    /// What went wrong on the machine, if anything did.
    fn failure(&self) -> Option<String> {
        match self {
            Self::Finished { .. } | Self::StackOverflowed => None,
            Self::Faulted { vector, program_counter, status } => Some(format!(
                "the package faulted (exception {vector}, program counter {program_counter:#x}, fault status {status:#x})"
            )),
        }
    }
}

/// Reads `report`: five little-endian words, as `harness/cortex_m.c` describes them.
fn read_report(folder: &Path) -> Result<MachineReport, String> {
    let path = folder.join("report");
    let mut bytes = Vec::new();
    let read = fs::File::open(&path).and_then(|file| file.take(REPORT_BYTES + 1).read_to_end(&mut bytes));
    read.map_err(|e| format!("the emulated program left no report: {e}"))?;
    if bytes.len() as u64 > REPORT_BYTES {
        return Err("the emulated program left a report that is none".into());
    }
    let words: Vec<u32> =
        bytes.chunks_exact(4).map(|b| u32::from_le_bytes(b.try_into().expect("chunks of 4"))).collect();
    match words[..] {
        [0x600D, low, high, stack, _cases] => {
            Ok(MachineReport::Finished { ticks: u64::from(high) << 32 | u64::from(low), stack_bytes: u64::from(stack) })
        }
        [0xFA17, program_counter, status, vector, _] => Ok(MachineReport::Faulted { vector, program_counter, status }),
        [0x0F10, ..] => Ok(MachineReport::StackOverflowed),
        _ => Err("the emulated program could not open or write its files".into()),
    }
}

/// Fills the measured figures and holds them against the prediction.
fn judge_memory(
    machine: &Machine,
    image: &Image,
    report: MachineReport,
    prediction: Option<&Prediction>,
    result: &mut RunnerResult,
) -> Result<(), Failure> {
    let MachineReport::Finished { ticks, stack_bytes } = report else {
        return Err(Failure::Failed("the emulator reported success where the program did not".into()));
    };
    let Some(sizes) = image.sizes else { return Ok(()) };
    result.instructions = Some(ticks * machine.instructions_per_tick);
    result.stack_bytes = Some(stack_bytes);
    result.flash_bytes = Some(sizes.flash_bytes);
    result.ram_bytes = Some(sizes.ram_bytes + prediction.map_or(stack_bytes, |p| p.stack_bytes));
    let Some(prediction) = prediction else { return Ok(()) };
    result.predicted_instructions = prediction.instructions;

    let ram = format!("RAM without stack: predicted {} bytes, linked {}", prediction.arena_bytes, sizes.ram_bytes);
    let stack = format!("stack: bound {} bytes, used {stack_bytes}", prediction.stack_bytes);
    let flash = format!("FLASH: predicted {} bytes, linked {}", prediction.flash_bytes, sizes.flash_bytes);
    let mut over = Vec::new();
    if sizes.ram_bytes > prediction.arena_bytes {
        over.push(ram.clone());
    }
    if stack_bytes > prediction.stack_bytes {
        over.push(stack);
    }
    let is_named = image.compiler == prediction.compiler;
    if sizes.flash_bytes > prediction.flash_bytes || !is_named {
        over.push(flash);
    } else if prediction.flash_bytes - sizes.flash_bytes > sizes.flash_bytes / FLASH_SLACK {
        result.notes.push(flash);
    }
    if !is_named {
        // The bounds are not this compiler's.
        let over = over.join("; ");
        result.notes.push(format!("{over}, but with `{}` instead of `{}`", image.compiler, prediction.compiler));
    } else if !over.is_empty() && result.status == Status::Passed {
        result.status = Status::OverBound { reason: over.join("; ") };
    } else {
        // A mismatch says more than a wrong size, and stays the status.
        result.notes.extend(over);
    }
    // No compiler makes an array smaller.
    if sizes.ram_bytes < prediction.arena_bytes && result.status == Status::Passed {
        return Err(Failure::Failed(format!("this is not the package that was emitted: {ram}")));
    }
    Ok(())
}
