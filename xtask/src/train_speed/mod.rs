//! `cargo xtask train-speed PYTHON [ROUNDS [NETWORK BATCH]...]`: a step of training on the gradient engine beside PyTorch's,
//! in float and fake-quantized, on 2 threads.
//!
//! `PYTHON` is an interpreter that has what `benches/pytorch/requirements.txt` names. Each measurement is a process of its own,
//! so that its peak memory is its own; all kinds take turns, ROUNDS times (3), and the tables show medians of a step over all
//! rounds and of the ratios within a round. A network is an ONNX file or a `zoo:` name; those of `docs/ptq.md` need
//! `BITESIZE_SHARED`, the folder with `models`.

mod describe;
mod ours;

use bitesize::input::Model;
use bitesize::observe::Monitor;
use bitesize_ir::Network;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Counted steps of one process.
const STEPS: usize = 12;

/// Threads of both.
const THREADS: usize = 2;

/// What takes turns, the engine's first.
const KINDS: [(&str, &str); 5] =
    [("ours", "quantized"), ("ours", "float"), ("PyTorch", "float"), ("PyTorch", "fixed"), ("PyTorch", "learned")];

/// What a process found.
#[derive(Deserialize, Serialize)]
struct Found {
    milliseconds: Vec<f64>,
    peak_kib: u64,
}

/// Measures and prints.
///
/// # Errors
/// A network that cannot be read, an interpreter that fails.
pub(crate) fn run(arguments: &[String]) -> Result<(), String> {
    let usage = "it takes PYTHON [ROUNDS [NETWORK BATCH]...]";
    match arguments {
        [one, network, batch, mode] if one == "--one" => {
            let batch = batch.parse().map_err(|e| format!("the batch `{batch}`: {e}"))?;
            one_process(network, batch, mode == "quantized")
        }
        [python, rest @ ..] => {
            let (rounds, rest) = match rest {
                [rounds, rest @ ..] => (rounds.parse().map_err(|e| format!("the rounds `{rounds}`: {e}"))?, rest),
                [] => (3, rest),
            };
            let subjects = match rest {
                [] => subjects()?,
                rest if rest.len() % 2 == 0 => rest
                    .chunks_exact(2)
                    .map(|pair| Ok((pair[0].clone(), pair[1].parse().map_err(|e| format!("`{}`: {e}", pair[1]))?)))
                    .collect::<Result<_, String>>()?,
                _ => return Err(usage.into()),
            };
            subjects.iter().try_for_each(|(network, batch)| compare(python, rounds, network, *batch))
        }
        [] => Err(usage.into()),
    }
}

/// The networks of `docs/ptq.md`.
fn subjects() -> Result<Vec<(String, usize)>, String> {
    let shared = std::env::var_os("BITESIZE_SHARED").ok_or("set BITESIZE_SHARED to the folder with `models`")?;
    let cifar = PathBuf::from(shared).join("models/cifar10_mobilenet_v1.onnx");
    Ok(vec![
        ("zoo:mobilenet-v1?width=0.25&resolution=96&classes=1000".into(), 32),
        (cifar.to_string_lossy().into_owned(), 128),
    ])
}

fn network(name: &str) -> Result<Network, String> {
    let model = Model::load(Path::new(name), &Monitor::unobserved()).map_err(|e| format!("{e:#}"))?;
    Ok(model.network)
}

/// What the process does that measures the engine.
fn one_process(name: &str, batch: usize, quantized: bool) -> Result<(), String> {
    let network = network(name)?;
    let pool = rayon::ThreadPoolBuilder::new().num_threads(THREADS).build().map_err(|e| e.to_string())?;
    let milliseconds = pool.install(|| ours::steps(&network, batch, quantized, STEPS))?;
    let status = std::fs::read_to_string("/proc/self/status").map_err(|e| format!("/proc/self/status: {e}"))?;
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.split_whitespace().next()?.parse().ok());
    let found = Found { milliseconds, peak_kib: peak.ok_or("/proc/self/status has no VmHWM")? };
    println!("{}", serde_json::to_string(&found).map_err(|e| e.to_string())?);
    Ok(())
}

fn compare(python: &str, rounds: usize, name: &str, batch: usize) -> Result<(), String> {
    let folder = tempfile::tempdir().map_err(|e| e.to_string())?;
    let path = folder.path().join("network.json");
    let text = describe::describe(&network(name)?, false).to_string();
    std::fs::write(&path, text).map_err(|e| format!("{}: {e}", path.display()))?;
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../benches/pytorch/speed.py");
    let myself = std::env::current_exe().map_err(|e| e.to_string())?;
    let (batch_text, steps) = (batch.to_string(), STEPS.to_string());
    let mut found: Vec<Vec<Found>> = KINDS.iter().map(|_| Vec::new()).collect();
    for _ in 0..rounds {
        for ((who, mode), found) in KINDS.iter().zip(&mut found) {
            let mut command = if *who == "ours" {
                let mut command = Command::new(&myself);
                command.args(["train-speed", "--one", name, &batch_text, mode]);
                command
            } else {
                let mut command = Command::new(python);
                command.arg(&script).arg(&path).args([batch_text.as_str(), mode, &steps]);
                command
            };
            found.push(measure(command.env("OMP_NUM_THREADS", THREADS.to_string()))?);
        }
    }
    println!("\n{name}, batch {batch}, {rounds} rounds of {STEPS} steps, {THREADS} threads\n");
    println!("| | ms a step | of PyTorch float | of PyTorch fixed | of PyTorch learned | peak MiB |");
    println!("|---|---|---|---|---|---|");
    for ((who, mode), of_kind) in KINDS.iter().zip(&found) {
        let ratio = |other: usize| {
            let in_round = |(a, b): (&Found, &Found)| median(&a.milliseconds) / median(&b.milliseconds);
            median(&of_kind.iter().zip(&found[other]).map(in_round).collect::<Vec<_>>())
        };
        let all: Vec<f64> = of_kind.iter().flat_map(|found| found.milliseconds.iter().copied()).collect();
        let peak = of_kind.iter().map(|found| found.peak_kib).max().unwrap_or(0);
        println!(
            "| {who} {mode} | {:.1} | {:.2} | {:.2} | {:.2} | {} |",
            median(&all),
            ratio(2),
            ratio(3),
            ratio(4),
            peak / 1024
        );
    }
    Ok(())
}

fn measure(command: &mut Command) -> Result<Found, String> {
    let output = command.output().map_err(|e| format!("{}: {e}", command.get_program().display()))?;
    if !output.status.success() {
        return Err(format!("{command:?} failed: {}", String::from_utf8_lossy(&output.stderr)));
    }
    serde_json::from_slice(&output.stdout).map_err(|e| format!("{command:?} printed no result: {e}"))
}

fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[sorted.len() / 2]
}
