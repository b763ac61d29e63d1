//! `cargo xtask kernel-speed`: instructions for each multiply-accumulate of the kernels with weights, counted by the emulator
//! with the compiler and flags that packages are costed with.
//!
//! Counts repeat exactly, so they are kept: `targets/cores/speed/CORE.toml` has those of every layer at all nine pairs of input and
//! weight width, the output having the input's. With `--check` nothing is written: it fails where a count rose by more than 2 %.

use crate::kernel_costs::{COMPILER, compiler_version};
use bitesize_codegen::{EmitOptions, emit};
use bitesize_integer::{IntNetwork, IntNode, IntOp, IntTensor, IntWeights, Rescale};
use bitesize_ir::code::Implementation;
use bitesize_ir::memory::{MemoryPlan, tensor_bytes};
use bitesize_ir::requantize::Multiplier;
use bitesize_ir::shape::{Pads, Window};
use bitesize_ir::target::CoreCosts;
use bitesize_ir::{BitWidth, NodeId, Shape, TensorId};
use bitesize_verify::{Cases, Job, PackageFolder, Runner, VerifySettings, verify};
use rayon::prelude::*;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

/// A layer to be timed, without its widths.
#[derive(Clone, Copy)]
enum Layer {
    Conv(Window),
    Depthwise(Window),
    FullyConnected,
}

/// What is timed: name, layer, input, output channels.
fn layers() -> [(&'static str, Layer, Shape, usize); 7] {
    let padded = |stride| Window { pads: Pads::all(1), stride: [stride; 2], ..Window::of([3, 3]) };
    let pointwise = Layer::Conv(Window::of([1, 1]));
    [
        ("pointwise 12x12x128 to 128", pointwise, Shape::new(12, 12, 128), 128),
        ("pointwise 24x24x32 to 64", pointwise, Shape::new(24, 24, 32), 64),
        ("3x3 24x24x16 to 32", Layer::Conv(padded(1)), Shape::new(24, 24, 16), 32),
        ("depthwise 3x3 12x12x128", Layer::Depthwise(padded(1)), Shape::new(12, 12, 128), 128),
        ("depthwise 3x3 stride 2 24x24x64", Layer::Depthwise(padded(2)), Shape::new(24, 24, 64), 64),
        ("3x3 stride 2 96x96x3 to 8", Layer::Conv(padded(2)), Shape::new(96, 96, 3), 8),
        ("fully connected 512 to 64", Layer::FullyConnected, Shape::vector(512), 64),
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
    let jobs: Vec<_> = layers().into_iter().flat_map(|layer| pairs.clone().map(move |pair| (layer, pair))).collect();
    let counted: Result<Vec<_>, String> = jobs
        .into_par_iter()
        .map(|((name, layer, input, out_c), (bits, weights))| {
            let network = network(layer, input, out_c, [bits, weights, bits]);
            Ok((name, format!("{bits}/{weights}"), instructions(&network, runner, core)?))
        })
        .collect();
    let mut counts = Counts::new();
    for (name, pair, count) in counted? {
        counts.entry(name.into()).or_default().insert(pair, count);
    }
    Ok(counts)
}

/// Multiply-accumulates of a layer, padding included.
fn macs(layer: Layer, input: Shape, out_c: usize) -> usize {
    let pixels = output(layer, input).into_iter().product::<usize>();
    weights(layer, input, out_c) * pixels
}

fn print_table(runner: &str, counts: &Counts) {
    let pairs: Vec<&String> = counts.values().next().into_iter().flat_map(|of| of.keys().rev()).collect();
    let heads: Vec<String> = pairs.iter().map(|pair| format!("{pair:>7}")).collect();
    println!("{:<34}{}", format!("instructions/MAC, {runner}"), heads.concat());
    for (name, layer, input, out_c) in layers() {
        let macs = macs(layer, input, out_c) as f64;
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

fn weights(layer: Layer, input: Shape, out_c: usize) -> usize {
    match layer {
        Layer::Conv(window) => window.area() * input.c * out_c,
        Layer::Depthwise(window) => window.area() * input.c,
        Layer::FullyConnected => input.c * out_c,
    }
}

/// Height and width of the output.
fn output(layer: Layer, input: Shape) -> [usize; 2] {
    match layer {
        Layer::Conv(window) | Layer::Depthwise(window) => window.output(input).unwrap_or([1, 1]),
        Layer::FullyConnected => [1, 1],
    }
}

/// A network of one layer. Its input and output have the widths asked for, which no real network's have.
fn network(layer: Layer, input: Shape, out_c: usize, [bits, weight_bits, out_bits]: [BitWidth; 3]) -> IntNetwork {
    let rescale = Rescale {
        acc_shift: 0,
        bias: vec![100; out_c],
        multipliers: vec![Multiplier { m: 1 << 30, n: 40 }; out_c],
        lo: 0,
        hi: out_bits.max_code(),
    };
    let [h, w] = output(layer, input);
    let weights = IntWeights { bits: weight_bits, levels: vec![1; weights(layer, input, out_c)].into() };
    let op = match layer {
        Layer::Conv(window) => IntOp::Conv2d { window, groups: 1, weights, rescale, padding: vec![1] },
        Layer::Depthwise(window) => IntOp::DepthwiseConv2d { window, weights, rescale, padding: vec![1] },
        Layer::FullyConnected => IntOp::FullyConnected { weights, rescale },
    };
    let tensor = |name: &str, shape, bits| IntTensor { name: name.into(), shape, bits, zero: 1 };
    IntNetwork {
        name: "one_layer".into(),
        tensors: vec![tensor("input", input, bits), tensor("output", Shape::new(h, w, out_c), out_bits)],
        nodes: vec![IntNode { name: "layer".into(), op, inputs: vec![TensorId(0)], output: TensorId(1) }],
        input: TensorId(0),
        output: TensorId(1),
        input_scale: Multiplier::ZERO,
        output_scale: Multiplier::ZERO,
        output_channels: Vec::new(),
        input_is_pixels: false,
        tail: None,
    }
}

/// Bytes of scratch that are more than any of the layers needs.
const SCRATCH: usize = 16 * 1024;

/// Instructions of one run.
fn instructions(network: &IntNetwork, runner: Runner, core: &CoreCosts) -> Result<u64, String> {
    let (input, output) = (network.tensor(network.input), network.tensor(network.output));
    // The harness moves a byte for each element, whatever the width.
    let offsets = vec![0, tensor_bytes(input.shape, BitWidth::B8)];
    let end = offsets[1] + tensor_bytes(output.shape, BitWidth::B8);
    let plan = MemoryPlan {
        arena_bytes: end + SCRATCH,
        lower_bound: 0,
        cut_short: false,
        tensors: offsets,
        scratch: vec![Some(end)],
        peak: NodeId(0),
        alive: vec![0],
        implementations: vec![if core.has_rows() { Implementation::Rows } else { Implementation::Whole }],
    };
    let package = emit(network, &plan, &EmitOptions::default()).map_err(|e| e.to_string())?;
    let folder = tempfile::tempdir().map_err(|e| format!("cannot make a folder: {e}"))?;
    let write = |(path, text): &(String, String)| std::fs::write(folder.path().join(path), text);
    package.files.iter().try_for_each(write).map_err(|e| format!("cannot write the package: {e}"))?;
    let sample = vec![1; input.shape.elements()];
    // Only the time counts: that the bytes are right is what the tests are for.
    let cases = Cases::with_answers(&[sample], input.shape.elements(), 0, |_| vec![0; output.shape.elements()]);
    let cases = cases.map_err(|e| e.to_string())?;
    let jobs = [Job::emulated(runner, 1, core, None)];
    let package = PackageFolder { folder: folder.path().into(), prefix: EmitOptions::default().prefix };
    let results = verify(&package, &cases, &jobs, &VerifySettings::default()).map_err(|e| e.to_string())?;
    results[0].instructions.ok_or_else(|| format!("{}: {}", results[0].runner, results[0].status))
}
