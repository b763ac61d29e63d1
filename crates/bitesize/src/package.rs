//! The C package: written, then proven.

use crate::console::{Console, Interrupted, checkpoint, stop_requested};
use crate::data::Batch;
use crate::measure::Candidate;
use crate::platform;
use crate::run::{EXAMPLE, PACKAGE, RunConfig, RunFolder};
use anyhow::Context as _;
use bitesize_codegen::{EmitOptions, Figures, emit, emit_example};
use bitesize_integer::Interpreter;
use bitesize_ir::PolicySpace;
use bitesize_ir::memory::{FlashUse, MemoryModel, RamUse, Widths};
use bitesize_ir::target::CoreCosts;
use bitesize_verify::{Cases, Job, Prediction, Progress, Runner, RunnerResult, Settings, VerifyError, verify};
use std::num::NonZero;

/// Samples of the known-answer test beside the package.
pub const KNOWN_ANSWERS: usize = 4;

/// FLASH and RAM of a candidate on a core.
pub fn memory_of(candidate: &Candidate, core: &CoreCosts) -> (FlashUse, RamUse) {
    let network = &candidate.model.network;
    let widths = Widths::of(network, &PolicySpace::of(network), &candidate.model.policy);
    let model = MemoryModel::of(network, core);
    (model.flash(&widths), model.ram(&widths))
}

/// Writes `package/`, called `name`, and `example/`.
///
/// # Errors
/// A network that the C kernels cannot hold; a folder that cannot be written.
pub fn write(
    candidate: &Candidate,
    core: &CoreCosts,
    name: &str,
    samples: &Batch,
    folder: &RunFolder,
) -> anyhow::Result<()> {
    let (flash, ram) = memory_of(candidate, core);
    let figures = Figures {
        core: core.name.clone(),
        compiler: format!("{} {}", core.compiler, core.flags.join(" ")),
        flash_bytes: flash.total,
        ram_bytes: ram.total,
        stack_bytes: ram.stack,
    };
    let options = EmitOptions { prefix: name.into(), figures: Some(figures), ..EmitOptions::default() };
    let package = emit(&candidate.integers, &ram.plan, &options).context("cannot emit C")?;
    let interpreter = Interpreter::new(&candidate.integers);
    let answer = |input: Vec<u8>| {
        let output = interpreter.run(&input);
        (input, output)
    };
    let answers: Vec<_> = inputs(candidate, samples, KNOWN_ANSWERS).into_iter().map(answer).collect();
    let example = emit_example(&candidate.integers, &answers, &options).context("cannot emit the known-answer test")?;
    folder.write_tree(PACKAGE, &package.files)?;
    folder.write_tree(EXAMPLE, &example.files)
}

/// The codes of the first `count` samples, one vector each.
fn inputs(candidate: &Candidate, samples: &Batch, count: usize) -> Vec<Vec<u8>> {
    let codes = candidate.input_codes(samples);
    codes.chunks_exact(samples.shape.elements()).take(count).map(<[u8]>::to_vec).collect()
}

/// Runs `package/` of `folder` on the host and on emulated cores against the interpreter.
///
/// # Errors
/// No samples; [`Interrupted`]. What concerns one runner is in its result.
pub fn prove(
    candidate: &Candidate,
    core: &CoreCosts,
    samples: &Batch,
    folder: &RunFolder,
    config: &RunConfig,
    console: &Console,
) -> anyhow::Result<Vec<RunnerResult>> {
    let counts = &config.verify;
    let count = counts.host_samples.max(counts.qemu_samples);
    let cases = Cases::new(&candidate.integers, &inputs(candidate, samples, count), config.seed)?;
    let mut jobs = Vec::new();
    for runner in Runner::usual(&core.name) {
        jobs.push(match runner.core() {
            None => Job::host(counts.host_samples),
            Some(name) => {
                let core = platform::core(name)?;
                let (flash, ram) = memory_of(candidate, &core);
                Job::emulated(runner, counts.qemu_samples, &core, Some(Prediction::new(&flash, &ram, &core)))
            }
        });
    }
    let package = bitesize_verify::Package { folder: folder.join(PACKAGE), prefix: config.package.name.clone() };
    let tell = console.is_talkative();
    let progress = move |event: Progress<'_>| {
        if let (Progress::Finished(result), true) = (event, tell) {
            crate::err_line!("verify: {}: {} ({:.1} s)", result.runner, result.status, result.elapsed.as_secs_f64());
        }
    };
    // As many as compute: what `--threads` says.
    let workers = NonZero::new(rayon::current_num_threads()).unwrap_or(NonZero::<usize>::MIN);
    let settings = Settings { workers, cancelled: &stop_requested, progress: &progress, ..Settings::default() };
    let results = verify(&package, &cases, &jobs, &settings).map_err(|error| match error {
        VerifyError::Interrupted => Interrupted.into(),
        other => anyhow::Error::from(other),
    })?;
    // Ctrl-C reaches the compilers and emulators too: what they then report is no finding.
    checkpoint()?;
    Ok(results)
}
