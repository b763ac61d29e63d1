//! Layers on which instructions are measured, and networks of them.

use bitesize_integer::{IntNetwork, IntNode, IntOp, IntTensor, IntWeights, Rescale};
use bitesize_ir::code::Implementation;
use bitesize_ir::memory::{CallWidths, LayerShape, MemoryPlan, tensor_bytes};
use bitesize_ir::op::KernelKind;
use bitesize_ir::requantize::{AddIntegers, Multiplier};
use bitesize_ir::shape::{Axis, Pads, Window};
use bitesize_ir::{BitWidth, NodeId, Shape, TensorId};

/// A layer with its widths and how it is computed.
#[derive(Clone, Debug)]
pub(super) struct Measured {
    pub(super) layer: LayerShape,
    pub(super) widths: CallWidths,
    pub(super) implementation: Implementation,
}

fn window(kernel: [usize; 2], stride: usize, pad: usize) -> Window {
    Window { stride: [stride; 2], pads: Pads::all(pad), ..Window::of(kernel) }
}

/// A convolution of so many groups; `input` height, width, channels.
fn conv(window: Window, groups: usize, [h, w, c]: [usize; 3], out: usize) -> LayerShape {
    windowed(KernelKind::Conv2d, window, groups, [h, w, c], out)
}

fn windowed(kind: KernelKind, window: Window, groups: usize, [h, w, c]: [usize; 3], out: usize) -> LayerShape {
    let input = Shape::new(h, w, c);
    let [out_h, out_w] = window.output(input).expect("the windows of this file fit");
    LayerShape { kind, window, groups, inputs: vec![input], output: Shape::new(out_h, out_w, out) }
}

fn plain(kind: KernelKind, inputs: &[[usize; 3]], [h, w, c]: [usize; 3]) -> LayerShape {
    let inputs = inputs.iter().map(|[h, w, c]| Shape::new(*h, *w, *c)).collect();
    LayerShape { kind, window: Window::of([1, 1]), groups: 1, inputs, output: Shape::new(h, w, c) }
}

/// The shapes that stand for a kind: what they do differs in as many ways as there are figures to find, and resembles what
/// networks have.
fn shapes(kind: KernelKind) -> Vec<LayerShape> {
    let tall = Window { stride: [2, 2], pads: Pads { top: 4, left: 1, bottom: 5, right: 1 }, ..Window::of([10, 4]) };
    let wide = Window { dilation: [2, 2], pads: Pads::all(2), ..Window::of([3, 3]) };
    match kind {
        KernelKind::Conv2d => vec![
            conv(window([1, 1], 1, 0), 1, [12, 12, 16], 32),
            conv(window([1, 1], 1, 0), 1, [6, 6, 64], 48),
            conv(window([1, 1], 1, 0), 1, [4, 4, 128], 20),
            conv(window([1, 1], 1, 0), 1, [9, 9, 10], 7),
            conv(window([1, 1], 1, 0), 1, [16, 16, 8], 40),
            conv(window([1, 1], 2, 0), 1, [12, 12, 24], 36),
            conv(window([3, 3], 1, 1), 1, [10, 10, 16], 16),
            conv(window([3, 3], 2, 1), 1, [24, 24, 3], 8),
            conv(window([3, 3], 2, 1), 1, [16, 16, 3], 32),
            conv(window([3, 3], 1, 1), 1, [5, 5, 32], 33),
            conv(window([3, 3], 1, 0), 1, [12, 12, 1], 16),
            conv(window([5, 5], 1, 2), 1, [8, 8, 4], 12),
            conv(tall, 1, [25, 5, 1], 64),
            conv(tall, 1, [49, 10, 1], 16),
            conv(wide, 1, [8, 8, 6], 12),
            conv(window([3, 3], 1, 1), 2, [8, 8, 16], 16),
            conv(window([1, 1], 1, 0), 4, [8, 8, 32], 16),
        ],
        KernelKind::DepthwiseConv2d => {
            let depthwise = |window, [h, w, c]: [usize; 3]| windowed(kind, window, 1, [h, w, c], c);
            vec![
                depthwise(window([3, 3], 1, 1), [12, 12, 16]),
                depthwise(window([3, 3], 1, 1), [3, 3, 64]),
                depthwise(window([3, 3], 1, 1), [6, 6, 32]),
                depthwise(window([3, 3], 1, 1), [40, 20, 8]),
                depthwise(window([3, 3], 2, 1), [24, 24, 8]),
                depthwise(window([3, 3], 2, 1), [6, 6, 48]),
                depthwise(window([3, 3], 2, 1), [48, 48, 4]),
                depthwise(window([3, 3], 1, 1), [9, 9, 14]),
                depthwise(window([3, 3], 1, 1), [9, 9, 5]),
                depthwise(window([5, 5], 1, 2), [10, 10, 8]),
                depthwise(window([5, 5], 2, 2), [8, 8, 24]),
                depthwise(window([7, 7], 1, 3), [7, 7, 8]),
                depthwise(wide, [10, 10, 8]),
                depthwise(window([2, 2], 2, 0), [12, 12, 12]),
                depthwise(window([1, 1], 1, 0), [16, 16, 16]),
            ]
        }
        KernelKind::FullyConnected => [(64, 10), (256, 16), (100, 33), (37, 64), (512, 8), (20, 150), (10, 12)]
            .map(|(input, out)| plain(kind, &[[1, 1, input]], [1, 1, out]))
            .to_vec(),
        KernelKind::Add => [[8, 8, 16], [4, 4, 61], [16, 16, 3], [20, 20, 8]].map(|s| plain(kind, &[s, s], s)).to_vec(),
        KernelKind::Clamp => [[8, 8, 16], [4, 4, 61], [16, 16, 3]].map(|s| plain(kind, &[s], s)).to_vec(),
        KernelKind::Concat => [[8, 8, 16], [4, 4, 61], [16, 16, 3]].map(|s| plain(kind, &[s], s)).to_vec(),
        KernelKind::Flatten => {
            [[8, 8, 16], [4, 4, 61], [16, 16, 3]].map(|[h, w, c]| plain(kind, &[[h, w, c]], [1, 1, h * w * c])).to_vec()
        }
        KernelKind::Pad => [[8, 8, 16], [4, 4, 61], [16, 16, 3], [5, 9, 8]]
            .map(|[h, w, c]| plain(kind, &[[h, w, c]], [h + 2, w + 2, c]))
            .to_vec(),
        KernelKind::MaxPool | KernelKind::AveragePool => {
            let pool = |window, [h, w, c]: [usize; 3]| windowed(kind, window, 1, [h, w, c], c);
            vec![
                pool(window([2, 2], 2, 0), [12, 12, 8]),
                pool(window([3, 3], 1, 1), [6, 6, 17]),
                pool(window([8, 8], 8, 0), [8, 8, 64]),
                pool(window([4, 4], 4, 0), [16, 16, 10]),
                pool(window([3, 3], 2, 0), [15, 15, 4]),
                pool(window([25, 5], 5, 0), [25, 5, 32]),
            ]
        }
    }
}

/// The combinations of widths that a kind has a kernel for.
fn combinations(kind: KernelKind) -> Vec<CallWidths> {
    bitesize_ir::code::KernelKey::all()
        .into_iter()
        .filter(|key| key.kind == kind)
        .map(|key| CallWidths { input: key.input, second: key.second, output: key.output })
        .collect()
}

/// Layers of a kind as kernels of their widths, at every combination.
pub(super) fn whole(kind: KernelKind) -> Vec<Vec<Measured>> {
    let of_widths = |widths| {
        let measured = |layer| Measured { layer, widths, implementation: Implementation::Whole };
        shapes(kind).into_iter().map(measured).collect()
    };
    combinations(kind).into_iter().map(of_widths).collect()
}

/// Layers of a kind by rows, at every combination of two of the three widths: stages know one.
pub(super) fn rows(kind: KernelKind) -> Vec<Measured> {
    let latin = |widths: &CallWidths| {
        let second = widths.second.map_or(0, BitWidth::index);
        (widths.input.index() + second + widths.output.index()).is_multiple_of(3)
    };
    let shapes = shapes(kind).into_iter().filter(|layer| layer.groups == 1 || layer.output.c / layer.groups % 4 == 0);
    let of_shape = |layer: LayerShape| {
        combinations(kind).into_iter().filter(latin).map(move |widths| Measured {
            layer: layer.clone(),
            widths,
            implementation: Implementation::Rows,
        })
    };
    shapes.flat_map(of_shape).collect()
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
pub(super) fn network(layers: &[Measured]) -> (IntNetwork, MemoryPlan) {
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
        arena_bytes: outputs_end + SCRATCH,
        lower_bound: 0,
        cut_short: false,
        tensors: offsets,
        scratch: vec![Some(outputs_end); layers.len()],
        peak: NodeId(0),
        alive: vec![0; layers.len()],
        implementations: layers.iter().map(|measured| measured.implementation).collect(),
    };
    (network, plan)
}
