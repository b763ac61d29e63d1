//! `cargo xtask instruction-costs`: counts the instructions of layers on the emulated cores, works out from them what each
//! thing that a piece of code does takes ([`bitesize_ir::memory::work`]), and writes the `[instructions]` of
//! `targets/cores/*.toml`. With `--check` nothing is written: the files must already say what is found.

mod fit;
mod layers;
mod rolling;

use crate::counted::{self, Measured};
use crate::kernel_costs::{COMPILER, compiler_version, core_path, read_core, to_toml};
use bitesize_ir::code::{Code, Stages};
use bitesize_ir::memory::work;
use bitesize_ir::op::KernelKind;
use bitesize_ir::target::{CoreCosts, InstructionCosts, RollingInstructions};
use bitesize_ir::work_names::work_names;
use bitesize_verify::{MACHINES, Runner};
use fit::{errors, fit};
use rayon::prelude::*;
use std::collections::BTreeMap;

/// Figures are written in so many parts of an instruction.
const PARTS: f64 = 100.0;

/// Counts and writes, or with `--check` compares.
///
/// # Errors
/// An emulator or a compiler that is missing or fails; a file that differs.
pub(crate) fn run(arguments: &[String]) -> Result<(), String> {
    let check = match arguments {
        [] => false,
        [flag] if flag == "--check" => true,
        other => return Err(format!("it takes nothing or `--check`, found `{}`", other.join(" "))),
    };
    let version = compiler_version(COMPILER)?;
    for machine in &MACHINES {
        let (runner, name) = (Runner::Emulated(machine), machine.core);
        let core = read_core(name)?;
        if check && core.compiler != version {
            eprintln!(
                "SKIPPED: the instructions on {name} cannot be run here: they are of `{}`, and here is `{version}`",
                core.compiler
            );
            continue;
        }
        let found = to_toml(&CoreCosts { instructions: Some(measured_costs(runner, &core)?), ..core });
        let path = core_path(name);
        if !check {
            std::fs::write(&path, found).map_err(|e| format!("cannot write {}: {e}", path.display()))?;
            continue;
        }
        let file = std::fs::read_to_string(&path).map_err(|e| format!("cannot read {}: {e}", path.display()))?;
        if file != found {
            let different: Vec<&str> = found.lines().filter(|line| !file.contains(line)).take(10).collect();
            return Err(format!(
                "the instructions of {} are out of date; found here:\n  {}\nrun `cargo xtask instruction-costs`",
                path.display(),
                different.join("\n  ")
            ));
        }
    }
    Ok(())
}

/// What is done by each piece of code of a group of layers, and the instructions that each layer took.
struct Group {
    codes: Vec<Code>,
    rows: Vec<(Vec<f64>, f64)>,
}

impl Group {
    fn of(layers: &[Measured], counts: &[u64]) -> Self {
        let mut codes: Vec<Code> = Vec::new();
        let works: Vec<Vec<(Code, Vec<f64>)>> =
            layers.iter().map(|m| work(&m.layer, m.implementation, 0, m.widths, 1)).collect();
        for (code, _) in works.iter().flatten() {
            if !codes.contains(code) {
                codes.push(*code);
            }
        }
        codes.sort_unstable();
        let row = |work: Vec<(Code, Vec<f64>)>| -> Vec<f64> {
            let of_code = |code: &Code| {
                let own = work.iter().find(|(other, _)| other == code).map(|(_, counts)| counts.clone());
                own.unwrap_or_else(|| vec![0.0; work_names(code.role()).len()])
            };
            codes.iter().flat_map(of_code).collect()
        };
        let rows = works.into_iter().map(row).zip(counts.iter().map(|count| *count as f64)).collect();
        Self { codes, rows }
    }

    /// Figures of each piece of code, and how well they fit.
    fn figures(&self) -> (BTreeMap<String, Vec<f64>>, Vec<f64>) {
        let figures: Vec<f64> = fit(&self.rows).iter().map(|figure| (figure * PARTS).round() / PARTS).collect();
        let errors = errors(&self.rows, &figures);
        let mut rest = figures.into_iter();
        let of_code = |code: &Code| (code.name(), rest.by_ref().take(work_names(code.role()).len()).collect());
        (self.codes.iter().map(of_code).collect(), errors)
    }
}

fn measured_costs(runner: Runner, core: &CoreCosts) -> Result<InstructionCosts, String> {
    println!("{}", core.name);
    let kinds = || KernelKind::ALL.into_iter();
    // Convolutions and fully connected layers share stages, so the figures of all layers by rows are found together.
    let by_rows: Vec<Measured> = match core.rows.is_some() {
        true => kinds().filter(|kind| Stages::of(*kind).is_some()).flat_map(layers::rows).collect(),
        false => Vec::new(),
    };
    let mut jobs: Vec<(String, Vec<Measured>)> =
        kinds().flat_map(|kind| layers::whole(kind).into_iter().map(move |of| (kind.name().to_owned(), of))).collect();
    if !by_rows.is_empty() {
        jobs.push(("by rows".into(), by_rows));
    }
    // A package of many layers takes less time than many packages.
    let all: Vec<Measured> = jobs.iter().flat_map(|(_, layers)| layers.iter().cloned()).collect();
    let chunks: Vec<&[Measured]> = all.chunks(PACKAGE).collect();
    let counted: Result<Vec<Vec<u64>>, String> =
        chunks.into_par_iter().map(|layers| counts(layers, runner, core)).collect();
    let mut counts = counted?.concat().into_iter();
    let (mut code, mut all_errors) = (BTreeMap::new(), BTreeMap::<&str, Vec<f64>>::new());
    for (name, layers) in &jobs {
        let own: Vec<u64> = counts.by_ref().take(layers.len()).collect();
        let (figures, errors) = Group::of(layers, &own).figures();
        code.extend(figures);
        all_errors.entry(name).or_default().extend(errors);
    }
    for (name, errors) in all_errors {
        let most = errors.iter().fold(0.0, |most: f64, error| most.max(error.abs()));
        let mean = (errors.iter().map(|error| error * error).sum::<f64>() / errors.len() as f64).sqrt();
        let (layers, most, mean) = (errors.len(), 100.0 * most, 100.0 * mean);
        println!("  {name:<24} {layers:>4} layers, error at most {most:.1} %, root mean square {mean:.2} %");
    }
    let rounded = |figure: f64| (figure * PARTS).round() / PARTS;
    let RollingInstructions { step, moved_byte } = rolling::measured(runner, core)?;
    let rolling = RollingInstructions { step: rounded(step), moved_byte: rounded(moved_byte) };
    println!("  {rolling:?}");
    Ok(InstructionCosts { base: BASE, code, rolling: Some(rolling) })
}

/// Layers in a package.
const PACKAGE: usize = 400;

/// Instructions of the entry and the return.
const BASE: u64 = 10;

/// Instructions of each of `layers`.
fn counts(layers: &[Measured], runner: Runner, core: &CoreCosts) -> Result<Vec<u64>, String> {
    let result = counted::run(layers, true, runner, core)?;
    result.layers.ok_or_else(|| format!("{}: {}", result.runner, result.status))
}
