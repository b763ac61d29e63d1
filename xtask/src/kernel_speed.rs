//! `cargo xtask kernel-speed [core]`: instructions for each multiply-accumulate of the kernels with weights, counted by
//! the emulator (`qemu-m4` where no other runner is named). A table for people; nothing is written.

use bitesize_codegen::{EmitOptions, emit};
use bitesize_integer::{IntNetwork, IntNode, IntOp, IntTensor, IntWeights, Rescale};
use bitesize_ir::code::Implementation;
use bitesize_ir::memory::{MemoryPlan, tensor_bytes};
use bitesize_ir::requantize::Multiplier;
use bitesize_ir::shape::{Pads, Window};
use bitesize_ir::target::CoreCosts;
use bitesize_ir::{BitWidth, NodeId, Shape, TensorId};
use bitesize_verify::{Cases, Job, PackageFolder, Runner, VerifySettings, verify};

/// A layer to be timed, without its widths.
#[derive(Clone, Copy)]
enum Layer {
    Conv(Window),
    Depthwise(Window),
    FullyConnected,
}

/// Input, weight and output widths that are timed.
const WIDTHS: [(BitWidth, BitWidth, BitWidth); 6] = [
    (BitWidth::B8, BitWidth::B8, BitWidth::B8),
    (BitWidth::B8, BitWidth::B4, BitWidth::B8),
    (BitWidth::B8, BitWidth::B2, BitWidth::B8),
    (BitWidth::B4, BitWidth::B8, BitWidth::B4),
    (BitWidth::B4, BitWidth::B4, BitWidth::B4),
    (BitWidth::B2, BitWidth::B2, BitWidth::B2),
];

/// Times every layer at every choice of widths.
///
/// # Errors
/// An unknown runner, an emulator that is missing or fails.
pub(crate) fn run(arguments: &[String]) -> Result<(), String> {
    let name = arguments.first().map_or("qemu-m4", String::as_str);
    let runner = Runner::named(name).ok_or_else(|| format!("`{name}` is no runner; try qemu-m4"))?;
    let core = runner.core().ok_or_else(|| format!("`{name}` counts no instructions"))?;
    let path = format!("{}/../targets/cores/{core}.toml", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&path).map_err(|e| format!("cannot read {path}: {e}"))?;
    let core = CoreCosts::from_toml(&text)?;
    let padded = Window { pads: Pads::all(1), ..Window::of([3, 3]) };
    let layers = [
        ("conv 3x3, 16 to 32", Layer::Conv(padded), Shape::new(16, 16, 16), 32),
        ("conv 3x3, 3 to 16", Layer::Conv(padded), Shape::new(16, 16, 3), 16),
        ("conv 1x1, 64 to 64", Layer::Conv(Window::of([1, 1])), Shape::new(16, 16, 64), 64),
        ("depthwise 3x3, 64", Layer::Depthwise(padded), Shape::new(16, 16, 64), 64),
        ("fully connected, 512 to 64", Layer::FullyConnected, Shape::vector(512), 64),
    ];
    let heads: Vec<String> = WIDTHS.iter().map(|(i, w, o)| format!("{:>8}", format!("{i}_{w}_{o}"))).collect();
    println!("{:<28}{}", format!("instructions/MAC, {name}"), heads.concat());
    for (what, layer, input, out_c) in layers {
        let mut line = format!("{what:<28}");
        for widths in WIDTHS {
            let network = network(layer, input, out_c, widths);
            let instructions = instructions(&network, runner, &core)?;
            let macs = weights(layer, input, out_c) * network.tensor(network.output).shape.pixels();
            // Two decimals, in integers: nothing here needs more.
            let hundredths = instructions * 100 / macs as u64;
            line += &format!("{:>8}", format!("{}.{:02}", hundredths / 100, hundredths % 100));
        }
        println!("{line}");
    }
    Ok(())
}

fn weights(layer: Layer, input: Shape, out_c: usize) -> usize {
    match layer {
        Layer::Conv(window) => window.area() * input.c * out_c,
        Layer::Depthwise(window) => window.area() * input.c,
        Layer::FullyConnected => input.c * out_c,
    }
}

/// A network of one layer. Its input and output have the widths asked for, which no real network's have.
fn network(layer: Layer, input: Shape, out_c: usize, widths: (BitWidth, BitWidth, BitWidth)) -> IntNetwork {
    let rescale = Rescale {
        acc_shift: 0,
        bias: vec![100; out_c],
        multipliers: vec![Multiplier { m: 1 << 30, n: 40 }; out_c],
        lo: 0,
        hi: widths.2.max_code(),
    };
    let weights = IntWeights { bits: widths.1, levels: vec![1; weights(layer, input, out_c)].into() };
    let (op, [h, w]) = match layer {
        Layer::Conv(window) => (
            IntOp::Conv2d { window, groups: 1, weights, rescale, padding: vec![1] },
            window.output(input).unwrap_or([1, 1]),
        ),
        Layer::Depthwise(window) => (
            IntOp::DepthwiseConv2d { window, weights, rescale, padding: vec![1] },
            window.output(input).unwrap_or([1, 1]),
        ),
        Layer::FullyConnected => (IntOp::FullyConnected { weights, rescale }, [1, 1]),
    };
    let tensor = |name: &str, shape, bits| IntTensor { name: name.into(), shape, bits, zero: 1 };
    IntNetwork {
        name: "one_layer".into(),
        tensors: vec![tensor("input", input, widths.0), tensor("output", Shape::new(h, w, out_c), widths.2)],
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

/// Instructions of one run.
fn instructions(network: &IntNetwork, runner: Runner, core: &CoreCosts) -> Result<u64, String> {
    let (input, output) = (network.tensor(network.input), network.tensor(network.output));
    // The harness moves a byte for each element, whatever the width.
    let offsets = vec![0, tensor_bytes(input.shape, BitWidth::B8)];
    let end = offsets[1] + tensor_bytes(output.shape, BitWidth::B8);
    let plan = MemoryPlan {
        arena_bytes: end + tensor_bytes(Shape::vector(9 * input.shape.c), BitWidth::B8),
        lower_bound: 0,
        cut_short: false,
        tensors: offsets,
        scratch: vec![needs_scratch(network).then_some(end)],
        peak: NodeId(0),
        alive: vec![0],
        implementations: vec![Implementation::Whole],
    };
    let package = emit(network, &plan, &EmitOptions::default()).map_err(|e| e.to_string())?;
    let folder = std::env::temp_dir().join(format!("bitesize-kernel-speed-{}", std::process::id()));
    let write = |(path, text): &(String, String)| std::fs::write(folder.join(path), text);
    let written = std::fs::create_dir_all(&folder).and_then(|()| package.files.iter().try_for_each(write));
    written.map_err(|e| format!("cannot write {}: {e}", folder.display()))?;
    let sample = vec![1; input.shape.elements()];
    // Only the time counts: that the bytes are right is what the tests are for.
    let cases = Cases::with_answers(&[sample], input.shape.elements(), 0, |_| vec![0; output.shape.elements()]);
    let cases = cases.map_err(|e| e.to_string())?;
    let jobs = [Job::emulated(runner, 1, core, None)];
    let package = PackageFolder { folder: folder.clone(), prefix: EmitOptions::default().prefix };
    let results = verify(&package, &cases, &jobs, &VerifySettings::default()).map_err(|e| e.to_string())?;
    let _ = std::fs::remove_dir_all(&folder);
    results[0].instructions.ok_or_else(|| format!("{}: {}", results[0].runner, results[0].status))
}

/// As [`bitesize_ir::memory::scratch_bytes`] decides.
fn needs_scratch(network: &IntNetwork) -> bool {
    let bytes = network.tensor(network.input).bits == BitWidth::B8;
    match &network.nodes[0].op {
        IntOp::Conv2d { window, .. } => !(bytes && window.is_pointwise()),
        IntOp::FullyConnected { .. } => !bytes,
        _ => false,
    }
}
