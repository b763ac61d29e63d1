//! Layers run on the emulated cores, to count their instructions.

use crate::repeated::layer_by_layer;
use bitesize_codegen::{EmitOptions, emit};
use bitesize_integer::{IntNetwork, IntNode, IntOp, IntTensor, IntWeights, Rescale};
use bitesize_ir::code::Implementation;
use bitesize_ir::memory::{CallWidths, LayerShape, MemoryPlan, tensor_bytes};
use bitesize_ir::op::KernelKind;
use bitesize_ir::requantize::{AddIntegers, Multiplier};
use bitesize_ir::shape::{Axis, Pads, Window};
use bitesize_ir::target::CoreCosts;
use bitesize_ir::{BitWidth, Shape, TensorId};
use bitesize_verify::{Cases, Job, PackageFolder, Runner, RunnerResult, VerifySettings, verify};

/// A layer with its widths and how it is computed.
#[derive(Clone, Debug)]
pub(crate) struct Measured {
    pub(crate) layer: LayerShape,
    pub(crate) widths: CallWidths,
    pub(crate) implementation: Implementation,
}

/// A window with the same stride and the same padding all round.
pub(crate) fn window(kernel: [usize; 2], stride: usize, pad: usize) -> Window {
    Window { stride: [stride; 2], pads: Pads::all(pad), ..Window::of(kernel) }
}

/// A convolution of so many groups; `input` height, width, channels.
pub(crate) fn conv(window: Window, groups: usize, [h, w, c]: [usize; 3], out: usize) -> LayerShape {
    windowed(KernelKind::Conv2d, window, groups, [h, w, c], out)
}

/// A layer whose `window` slides over `input`: height, width, channels.
pub(crate) fn windowed(
    kind: KernelKind,
    window: Window,
    groups: usize,
    [h, w, c]: [usize; 3],
    out: usize,
) -> LayerShape {
    let input = Shape::new(h, w, c);
    let [out_h, out_w] = window.output(input).expect("the windows of these commands fit");
    LayerShape { kind, window, groups, inputs: vec![input], output: Shape::new(out_h, out_w, out) }
}

/// A layer without a window.
pub(crate) fn plain(kind: KernelKind, inputs: &[[usize; 3]], [h, w, c]: [usize; 3]) -> LayerShape {
    let inputs = inputs.iter().map(|[h, w, c]| Shape::new(*h, *w, *c)).collect();
    LayerShape { kind, window: Window::of([1, 1]), groups: 1, inputs, output: Shape::new(h, w, c) }
}

fn rescale(channels: usize, output: BitWidth) -> Rescale {
    Rescale {
        acc_shift: 0,
        bias: vec![100; channels],
        multipliers: vec![Multiplier { m: 1 << 30, n: 40 }; channels],
        lo: 0,
        hi: output.max_code(),
    }
}

fn op(measured: &Measured) -> IntOp {
    let Measured { layer: LayerShape { kind, window, groups, inputs, output }, widths, .. } = measured;
    let (window, input, channels) = (*window, inputs[0], output.c);
    let multiplier = Multiplier { m: 1 << 30, n: 31 };
    let weights = |count: usize| {
        let bits = widths.second.unwrap_or(BitWidth::B8);
        IntWeights { bits, levels: vec![1; count].into() }
    };
    let (rescale, hi) = (rescale(channels, widths.output), widths.output.max_code());
    match kind {
        KernelKind::Conv2d => IntOp::Conv2d {
            window,
            groups: *groups,
            weights: weights(window.area() * (input.c / groups) * channels),
            rescale,
            padding: vec![1],
        },
        KernelKind::DepthwiseConv2d => {
            IntOp::DepthwiseConv2d { window, weights: weights(window.area() * channels), rescale, padding: vec![1] }
        }
        KernelKind::FullyConnected => IntOp::FullyConnected { weights: weights(input.c * channels), rescale },
        KernelKind::Add => IntOp::Add { integers: AddIntegers { ma: 1 << 10, mb: 1 << 10, n: 12 }, lo: 0, hi },
        KernelKind::Concat => IntOp::Concat { multipliers: vec![multiplier] },
        KernelKind::MaxPool => IntOp::MaxPool { window },
        KernelKind::AveragePool => {
            let multipliers = window.divisors(false, input).into_iter().map(|divisor| (divisor, multiplier)).collect();
            IntOp::AveragePool { window, count_include_pad: false, multipliers, lo: 0, hi }
        }
        KernelKind::Clamp => IntOp::Clamp { lo: 0, hi },
        KernelKind::Pad => IntOp::Pad { pads: Pads::all(1) },
        KernelKind::Flatten => IntOp::Flatten { order: [Axis::C, Axis::H, Axis::W] },
    }
}

/// Bytes of scratch that are more than any of the layers needs.
const SCRATCH: usize = 16 * 1024;

/// A network that runs `layers` one after the other, each on inputs and an output of its own shapes at the same places; the
/// values mean nothing.
fn network(layers: &[Measured]) -> (IntNetwork, MemoryPlan) {
    let mut tensors = Vec::new();
    let mut tensor = |shape: Shape, bits: BitWidth| {
        tensors.push(IntTensor { name: format!("t{}", tensors.len()), shape, bits, zero: 1 });
        TensorId(tensors.len() - 1)
    };
    let mut nodes = Vec::new();
    let most =
        |shapes: &mut dyn Iterator<Item = Shape>| shapes.map(|s| tensor_bytes(s, BitWidth::B8)).max().unwrap_or(0);
    let inputs_end = most(&mut layers.iter().flat_map(|m| m.layer.inputs.iter().copied()));
    let outputs_end = inputs_end + most(&mut layers.iter().map(|m| m.layer.output));
    let mut offsets = Vec::new();
    for (i, measured) in layers.iter().enumerate() {
        let LayerShape { inputs, output, .. } = &measured.layer;
        let widths = measured.widths;
        let bits = |k: usize| if k == 0 { widths.input } else { widths.second.unwrap_or(widths.input) };
        let inputs: Vec<TensorId> = inputs.iter().enumerate().map(|(k, shape)| tensor(*shape, bits(k))).collect();
        let output = tensor(*output, widths.output);
        offsets.extend(inputs.iter().map(|_| 0));
        offsets.push(inputs_end);
        nodes.push(IntNode { name: format!("layer{i}"), op: op(measured), inputs, output });
    }
    let network = IntNetwork {
        name: "layers".into(),
        input: nodes[0].inputs[0],
        output: nodes[nodes.len() - 1].output,
        tensors,
        nodes,
        input_scale: Multiplier::ZERO,
        output_scale: Multiplier::ZERO,
        output_channels: Vec::new(),
        input_is_pixels: false,
        tail: None,
    };
    let plan = MemoryPlan {
        scratch: vec![Some(outputs_end); layers.len()],
        implementations: layers.iter().map(|measured| measured.implementation).collect(),
        ..layer_by_layer(&network, offsets, outputs_end + SCRATCH)
    };
    (network, plan)
}

/// What `runner` counts of one run of a package of `layers`: of all together, and where `each` says so of each.
///
/// # Errors
/// The package cannot be emitted or written; nothing can be run.
pub(crate) fn run(layers: &[Measured], each: bool, runner: Runner, core: &CoreCosts) -> Result<RunnerResult, String> {
    let (network, plan) = network(layers);
    run_network(&network, &plan, if each { layers.len() } else { 0 }, runner, core)
}

/// What `runner` counts of one run of the package of `network`, and of each of its first `layers` layers.
///
/// # Errors
/// As [`run`].
pub(crate) fn run_network(
    network: &IntNetwork,
    plan: &MemoryPlan,
    layers: usize,
    runner: Runner,
    core: &CoreCosts,
) -> Result<RunnerResult, String> {
    let package = emit(network, plan, &EmitOptions::default()).map_err(|e| e.to_string())?;
    let folder = tempfile::tempdir().map_err(|e| format!("cannot make a folder: {e}"))?;
    let write = |(path, text): &(String, String)| std::fs::write(folder.path().join(path), text);
    package.files.iter().try_for_each(write).map_err(|e| format!("cannot write the package: {e}"))?;
    let (input, output) = (network.tensor(network.input).shape, network.tensor(network.output).shape);
    // Only the time counts: that the bytes are right is what the tests are for.
    let cases = Cases::with_answers(&[vec![1; input.elements()]], input.elements(), 0, |_| vec![0; output.elements()]);
    let cases = cases.map_err(|e| e.to_string())?;
    let jobs = [Job::emulated(runner, 1, core, None).counting(layers)];
    let package = PackageFolder { folder: folder.path().into(), prefix: EmitOptions::default().prefix };
    let results = verify(&package, &cases, &jobs, &VerifySettings::default()).map_err(|e| e.to_string())?;
    results.into_iter().next().ok_or_else(|| "no runner was asked".into())
}
