//! `cargo xtask kernel-speed`: instructions for each multiply-accumulate of the kernels with weights, counted by the emulator
//! with the compiler and flags that packages are costed with.
//!
//! Counts repeat exactly, so they are kept: `targets/cores/speed/CORE.toml` has those of every layer at all nine pairs of input and
//! weight width, the output having the input's. With `--check` nothing is written: it fails where a count rose by more than 2 %.

use crate::counted::{self, Measured, conv, plain, window, windowed};
use crate::kernel_costs::{COMPILER, compiler_version};
use bitesize_ir::BitWidth;
use bitesize_ir::code::Implementation;
use bitesize_ir::memory::{CallWidths, LayerShape};
use bitesize_ir::op::KernelKind;
use bitesize_ir::target::CoreCosts;
use bitesize_verify::Runner;
use rayon::prelude::*;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

/// What is timed.
fn layers() -> [(&'static str, LayerShape); 7] {
    let depthwise = |stride, input: [usize; 3]| {
        windowed(KernelKind::DepthwiseConv2d, window([3, 3], stride, 1), 1, input, input[2])
    };
    [
        ("pointwise 12x12x128 to 128", conv(window([1, 1], 1, 0), 1, [12, 12, 128], 128)),
        ("pointwise 24x24x32 to 64", conv(window([1, 1], 1, 0), 1, [24, 24, 32], 64)),
        ("3x3 24x24x16 to 32", conv(window([3, 3], 1, 1), 1, [24, 24, 16], 32)),
        ("depthwise 3x3 12x12x128", depthwise(1, [12, 12, 128])),
        ("depthwise 3x3 stride 2 24x24x64", depthwise(2, [24, 24, 64])),
        ("3x3 stride 2 96x96x3 to 8", conv(window([3, 3], 2, 1), 1, [96, 96, 3], 8)),
        ("fully connected 512 to 64", plain(KernelKind::FullyConnected, &[[1, 1, 512]], [1, 1, 64])),
    ]
}

/// The runners whose counts are kept.
const RUNNERS: [&str; 2] = ["qemu-m4", "qemu-m7"];

/// By how much a count may rise before it counts as a change for the worse.
const RISE: f64 = 0.02;

/// Instructions by layer and pair of input and weight width, `8/4`.
type Counts = BTreeMap<String, BTreeMap<String, u64>>;

/// Counts and writes, or with `--check` compares.
///
/// # Errors
/// An emulator or a compiler that is missing or fails; a count that rose.
pub(crate) fn run(arguments: &[String]) -> Result<(), String> {
    let check = match arguments {
        [] => false,
        [flag] if flag == "--check" => true,
        other => return Err(format!("it takes nothing or `--check`, found `{}`", other.join(" "))),
    };
    for name in RUNNERS {
        let runner = Runner::named(name).ok_or_else(|| format!("`{name}` is no runner"))?;
        let core = runner.core().ok_or_else(|| format!("`{name}` counts no instructions"))?;
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../targets/cores");
        let read =
            |path: &Path| std::fs::read_to_string(path).map_err(|e| format!("cannot read {}: {e}", path.display()));
        let costs = CoreCosts::from_toml(&read(&root.join(format!("{core}.toml")))?)?;
        let path = root.join(format!("speed/{core}.toml"));
        let version = compiler_version(COMPILER)?;
        if check && version != costs.compiler {
            eprintln!(
                "SKIPPED: the instructions on {core} cannot be run here: they are of `{}`, and here is `{version}`",
                costs.compiler
            );
            continue;
        }
        let counts = counts(runner, &costs)?;
        print_table(name, &counts);
        if check {
            let kept: Counts = toml::from_str(&read(&path)?).map_err(|e| format!("{}: {e}", path.display()))?;
            compare(&kept, &counts, &path)?;
        } else {
            let write = || {
                std::fs::create_dir_all(root.join("speed"))?;
                std::fs::write(&path, to_toml(&counts, &costs))
            };
            write().map_err(|e| format!("cannot write {}: {e}", path.display()))?;
        }
    }
    Ok(())
}

fn counts(runner: Runner, core: &CoreCosts) -> Result<Counts, String> {
    let pairs =
        BitWidth::ALL.into_iter().rev().flat_map(|input| BitWidth::ALL.into_iter().rev().map(move |w| (input, w)));
    let jobs: Vec<_> =
        layers().into_iter().flat_map(|layer| pairs.clone().map(move |pair| (layer.clone(), pair))).collect();
    let implementation = if core.has_rows() { Implementation::Rows } else { Implementation::Whole };
    let counted: Result<Vec<_>, String> = jobs
        .into_par_iter()
        .map(|((name, layer), (bits, weights))| {
            let widths = CallWidths { input: bits, second: Some(weights), output: bits };
            let result = counted::run(&[Measured { layer, widths, implementation }], false, runner, core)?;
            let count = result.instructions.ok_or_else(|| format!("{}: {}", result.runner, result.status))?;
            Ok((name, format!("{bits}/{weights}"), count))
        })
        .collect();
    let mut counts = Counts::new();
    for (name, pair, count) in counted? {
        counts.entry(name.into()).or_default().insert(pair, count);
    }
    Ok(counts)
}

/// Multiply-accumulates of a layer, padding included.
fn macs(layer: &LayerShape) -> usize {
    let inputs = if layer.kind == KernelKind::DepthwiseConv2d { 1 } else { layer.inputs[0].c / layer.groups };
    layer.window.area() * inputs * layer.output.elements()
}

fn print_table(runner: &str, counts: &Counts) {
    let pairs: Vec<&String> = counts.values().next().into_iter().flat_map(|of| of.keys().rev()).collect();
    let heads: Vec<String> = pairs.iter().map(|pair| format!("{pair:>7}")).collect();
    println!("{:<34}{}", format!("instructions/MAC, {runner}"), heads.concat());
    for (name, layer) in layers() {
        let macs = macs(&layer) as f64;
        let figures: Vec<String> =
            pairs.iter().map(|pair| format!("{:>7.2}", counts[name][*pair] as f64 / macs)).collect();
        println!("{name:<34}{}", figures.concat());
    }
}

fn to_toml(counts: &Counts, core: &CoreCosts) -> String {
    let mut text = format!(
        "# Instructions of one run of a layer by input/weight width, counted by `cargo xtask kernel-speed` with\n# {}.\n",
        core.compiler_and_flags()
    );
    for (name, of_layer) in counts {
        let _ = writeln!(text, "\n[\"{name}\"]");
        for (pair, count) in of_layer {
            let _ = writeln!(text, "\"{pair}\" = {count}");
        }
    }
    text
}

fn compare(kept: &Counts, counts: &Counts, path: &Path) -> Result<(), String> {
    let mut risen = Vec::new();
    for (name, of_layer) in counts {
        for (pair, count) in of_layer {
            match kept.get(name).and_then(|kept| kept.get(pair)) {
                None => risen.push(format!("{name} at {pair} is not in the file")),
                Some(before) if *count as f64 > *before as f64 * (1.0 + RISE) => {
                    risen.push(format!("{name} at {pair}: {before} instructions became {count}"));
                }
                Some(_) => {}
            }
        }
    }
    if risen.is_empty() {
        return Ok(());
    }
    Err(format!(
        "against {}:\n  {}\nmend the kernels or, where it is meant, run `cargo xtask kernel-speed`",
        path.display(),
        risen.join("\n  ")
    ))
}
