//! Integer networks drawn at random, made as the product makes them: a float network, a policy, integer weights, lowered.

use bitesize_integer::{IntNetwork, IntOp, lower};
use bitesize_ir::grid::WeightGrid;
use bitesize_ir::memory::Widths;
use bitesize_ir::network::Tensor;
use bitesize_ir::op::{AveragePool, Clamp, Conv2d, DepthwiseConv2d, FullyConnected};
use bitesize_ir::requantize::{Multiplier, WeightLayout};
use bitesize_ir::shape::{Axis, Pads, Window};
use bitesize_ir::{
    ActivationQuant, BitWidth, InputEncoding, Network, Node, Op, Policy, PolicySpace, QuantizedModel, Shape, Tail,
    TensorId, WeightQuant,
};
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::sync::Arc;

/// A lowered network, and the float network and widths that the memory model counts.
pub(crate) struct Drawn {
    pub(crate) network: Arc<Network>,
    pub(crate) widths: Widths,
    pub(crate) integer: IntNetwork,
}

/// Draws operators one after another.
pub(crate) struct Draw {
    pub(crate) rng: ChaCha8Rng,
    pub(crate) network: Network,
}

fn floats(count: usize) -> Vec<f32> {
    vec![0.0; count]
}

impl Draw {
    pub(crate) fn new(seed: u64, input: Shape, pixels: bool) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let offset = (0..input.c).map(|_| rng.random_range(-20.0..280.0)).collect();
        let network = Network {
            name: format!("drawn_{seed}"),
            tensors: vec![Tensor { name: "image".into(), shape: input }],
            nodes: Vec::new(),
            input: TensorId(0),
            output: TensorId(0),
            input_encoding: if pixels { InputEncoding::Pixels { offset } } else { InputEncoding::Real },
            tail: (seed % 2 == 1).then_some(Tail::Softmax),
        };
        Self { rng, network }
    }

    pub(crate) fn shape(&self, id: TensorId) -> Shape {
        self.network.shape(id)
    }

    pub(crate) fn push(&mut self, op: Op, inputs: &[TensorId]) -> TensorId {
        let shapes: Vec<Shape> = inputs.iter().map(|id| self.shape(*id)).collect();
        let shape = op.output_shape(&shapes).expect("a drawn operator fits its inputs");
        let (id, name) = (TensorId(self.network.tensors.len()), format!("{}_{}", op.name(), self.network.nodes.len()));
        self.network.tensors.push(Tensor { name: format!("{name}_out"), shape });
        self.network.nodes.push(Node { name, op, inputs: inputs.to_vec(), output: id });
        self.network.output = id;
        id
    }

    pub(crate) fn conv(&mut self, input: TensorId, out_c: usize, groups: usize, window: Window) -> TensorId {
        let [kh, kw] = window.kernel;
        let weights = floats(out_c * kh * kw * self.shape(input).c / groups);
        let clamp = self.clamp();
        self.push(Op::Conv2d(Conv2d { window, groups, weights, bias: floats(out_c), clamp }), &[input])
    }

    pub(crate) fn depthwise(&mut self, input: TensorId, window: Window) -> TensorId {
        let c = self.shape(input).c;
        let weights = floats(window.area() * c);
        let clamp = self.clamp();
        self.push(Op::DepthwiseConv2d(DepthwiseConv2d { window, weights, bias: floats(c), clamp }), &[input])
    }

    pub(crate) fn fully_connected(&mut self, input: TensorId, out_c: usize) -> TensorId {
        let weights = floats(out_c * self.shape(input).c);
        let clamp = self.clamp();
        self.push(Op::FullyConnected(FullyConnected { weights, bias: floats(out_c), clamp }), &[input])
    }

    pub(crate) fn average(&mut self, input: TensorId, window: Window, count_include_pad: bool) -> TensorId {
        let clamp = self.clamp();
        self.push(Op::AveragePool(AveragePool { window, count_include_pad, clamp }), &[input])
    }

    pub(crate) fn clamp(&mut self) -> Clamp {
        [Clamp::NONE, Clamp::NONE, Clamp::RELU, Clamp { lo: -1.5, hi: 3.0 }][self.rng.random_range(0..4)]
    }

    /// A window that fits an image of `shape`, with at least one tap inside it everywhere.
    pub(crate) fn window(&mut self, shape: Shape, dilated: bool) -> Window {
        let rng = &mut self.rng;
        let mut along = |size: usize| {
            let kernel = rng.random_range(1..=size.min(3));
            let dilation = if dilated && (kernel - 1) * 2 < size { rng.random_range(1..=2) } else { 1 };
            let (before, after) = (rng.random_range(0..kernel), rng.random_range(0..kernel));
            (kernel, rng.random_range(1..=2), dilation, before, after)
        };
        let ((kh, sh, dh, top, bottom), (kw, sw, dw, left, right)) = (along(shape.h), along(shape.w));
        let pads = Pads { top, left, bottom, right };
        Window { kernel: [kh, kw], stride: [sh, sw], dilation: [dh, dw], pads }
    }

    /// One more operator of a kind chosen at random; the tensor to go on with.
    pub(crate) fn any(&mut self, input: TensorId) -> TensorId {
        let shape = self.shape(input);
        let channels = self.rng.random_range(1..=13);
        match self.rng.random_range(0..10) {
            0 => {
                let window = self.window(shape, true);
                self.conv(input, channels, 1, window)
            }
            1 => self.conv(input, channels, 1, Window::of([1, 1])),
            2 => {
                let groups = (1..=shape.c).rev().find(|g| shape.c.is_multiple_of(*g) && *g <= 3).unwrap_or(1);
                let window = self.window(shape, false);
                self.conv(input, groups * self.rng.clone().random_range(1..=3), groups, window)
            }
            3 => {
                let window = self.window(shape, true);
                self.depthwise(input, window)
            }
            4 => {
                let other = self.depthwise(input, Window::of([1, 1]));
                let clamp = self.clamp();
                self.push(Op::Add(clamp), &[other, input])
            }
            5 => {
                let (a, b) = (self.conv(input, channels, 1, Window::of([1, 1])), input);
                self.push(Op::Concat, &[b, a, b])
            }
            6 => {
                let window = self.window(shape, false);
                let window = Window { pads: Pads::default(), ..window };
                self.push(Op::MaxPool(window), &[input])
            }
            7 => {
                let window = self.window(shape, false);
                let pads = if window.stride == [1, 1] { window.pads } else { Pads::default() };
                let include = self.rng.random();
                self.average(input, Window { pads, ..window }, include)
            }
            8 => {
                let clamp = self.clamp();
                self.push(Op::Clamp(clamp), &[input])
            }
            _ => {
                let mut side = || self.rng.random_range(0..=2);
                let pads = Pads { top: side(), left: side(), bottom: side(), right: side() };
                self.push(Op::Pad(pads), &[input])
            }
        }
    }

    /// Random widths, scales and weights; lowered.
    pub(crate) fn finish(mut self) -> Drawn {
        let space = PolicySpace::of(&self.network);
        let mut policy = Policy::uniform(&space, BitWidth::B8, BitWidth::B8);
        for row in &mut policy.rows {
            row.weights = row.weights.map(|_| self.width());
            row.activations = row.activations.map(|_| self.width());
        }
        self.finish_with(policy)
    }

    fn width(&mut self) -> BitWidth {
        BitWidth::ALL[self.rng.random_range(0..3)]
    }

    /// Scales and weights for `policy`; lowered.
    pub(crate) fn finish_with(mut self, policy: Policy) -> Drawn {
        let space = PolicySpace::of(&self.network);
        let bits = policy.tensor_bits(&self.network, &space);
        let mut activations = Vec::new();
        for (i, bits) in bits.iter().copied().enumerate() {
            let root = self.network.encoding_root(TensorId(i));
            let fresh = ActivationQuant {
                bits,
                scale: self.rng.random_range(-1.0f64..1.0).exp2() * 8.0 / f64::from(bits.max_code()),
                zero: self.rng.random_range(0..=bits.max_code()),
            };
            let pixels = i == 0 && matches!(self.network.input_encoding, InputEncoding::Pixels { .. });
            let fixed = ActivationQuant { bits, scale: 1.0, zero: 0 };
            activations.push(if root.0 < i {
                activations[root.0]
            } else if pixels {
                fixed
            } else {
                fresh
            });
        }
        let nodes = self.network.nodes.clone();
        let weights = nodes.iter().enumerate().map(|(i, node)| {
            let bits = policy.weight_bits(&space, bitesize_ir::NodeId(i))?;
            Some(self.weights(node, bits, &activations))
        });
        let weights = weights.collect();
        let widths = Widths::of(&self.network, &space, &policy);
        let model = QuantizedModel {
            network: self.network.into(),
            policy,
            activations,
            output_channels: None,
            weights,
            equalized: Vec::new(),
        };
        let integer = lower(&model).expect("a drawn network can be lowered");
        Drawn { network: model.network, widths, integer }
    }

    /// Levels at random, with scales that spread the output over its codes.
    fn weights(&mut self, node: &Node, bits: BitWidth, activations: &[ActivationQuant]) -> WeightQuant {
        let layout = WeightLayout::of(&node.op).expect("the node has weights");
        let count = node.op.parameters().expect("the node has weights").weights.len();
        let (input, output) = (&activations[node.inputs[0].0], &activations[node.output.0]);
        let levels: Vec<i8> = WeightGrid::of(bits).levels().collect();
        let channels = layout.out_channels();
        let spread = |bits: BitWidth| f64::from(bits.max_code()) / 3.0;
        let terms = (count / channels) as f64;
        let level = f64::from(WeightGrid::of(bits).highest()) / 1.7;
        let factor = spread(output.bits) / (terms.sqrt() * level * spread(input.bits));
        let scale = factor * output.scale / input.scale;
        WeightQuant {
            bits,
            levels: (0..count).map(|_| levels[self.rng.random_range(0..levels.len())]).collect(),
            scales: (0..channels).map(|_| scale * self.rng.random_range(-1.0f64..1.0).exp2()).collect(),
            bias: (0..channels)
                .map(|_| output.scale * self.rng.random_range(-0.5..0.5) * spread(output.bits))
                .collect(),
        }
    }
}

/// A network of `depth` operators drawn at random, then whatever brings it to a small vector.
pub(crate) fn drawn(seed: u64, depth: usize) -> Drawn {
    let mut rng = ChaCha8Rng::seed_from_u64(seed.wrapping_mul(0x9e37_79b9));
    let input = Shape::new(rng.random_range(3..=9), rng.random_range(3..=9), rng.random_range(1..=6));
    let pixels = rng.random();
    let mut draw = Draw::new(seed, input, pixels);
    let mut at = TensorId(0);
    if pixels {
        let window = draw.window(input, false);
        at = if rng.random() { draw.conv(at, 5, 1, window) } else { draw.depthwise(at, window) };
    }
    for _ in 0..depth {
        at = draw.any(at);
        if draw.shape(at).elements() > 2000 {
            at = draw.conv(at, 4, 1, Window { stride: [2, 2], ..Window::of([1, 1]) });
        }
    }
    let shape = draw.shape(at);
    let whole = Window::of([shape.h, shape.w]);
    match rng.random_range(0..3) {
        0 => {
            let at = draw.average(at, whole, false);
            draw.fully_connected(at, 7);
        }
        1 => {
            draw.conv(at, 5, 1, whole);
        }
        _ => {
            let at = draw.conv(at, 6, 1, whole);
            draw.fully_connected(at, 3);
        }
    }
    draw.finish()
}

/// A network that calls every kernel whose input has `input` bits and whose weights or second input have `second`.
///
/// Every branch ends in a convolution to one pixel; a concatenation and a fully connected layer join them.
pub(crate) fn every_kernel(input: BitWidth, second: BitWidth) -> Drawn {
    let seed = u64::from(input.bits()) * 16 + u64::from(second.bits());
    let mut draw = Draw::new(seed, Shape::new(5, 6, 3), seed % 2 == 0);
    // The widths of the outputs and weights of the nodes, by tensor; 8 bits where nothing is said.
    let mut chosen: Vec<(TensorId, BitWidth)> = Vec::new();
    let mut say = |tensor: TensorId, bits: BitWidth| chosen.push((tensor, bits));
    let pixelwise = Window::of([1, 1]);
    let padded = Window { pads: Pads { top: 1, left: 0, bottom: 1, right: 2 }, ..Window::of([3, 3]) };
    let first = draw.conv(TensorId(0), 5, 1, padded);
    say(first, input);
    let other = draw.conv(TensorId(0), 5, 1, padded);
    say(other, second);
    let vector = draw.conv(first, 7, 1, Window::of([5, 6]));
    say(vector, input);
    let mut ends = Vec::new();
    for output in BitWidth::ALL {
        let strided = Window { stride: [2, 1], dilation: [1, 2], ..padded };
        let pointwise = draw.conv(first, 9, 1, pixelwise);
        let made = [
            draw.conv(first, 6, 1, strided),
            pointwise,
            draw.depthwise(first, padded),
            draw.fully_connected(vector, 5),
            draw.push(Op::Add(Clamp::NONE), &[first, other]),
            draw.push(Op::Concat, &[first, other, first]),
            draw.average(first, padded, false),
            draw.average(first, padded, true),
        ];
        made.iter().for_each(|tensor| say(*tensor, output));
        ends.extend(made);
    }
    ends.push(draw.push(Op::MaxPool(padded), &[first]));
    ends.push(draw.push(Op::Clamp(Clamp { lo: -1.0, hi: 2.0 }), &[first]));
    ends.push(draw.push(Op::Pad(Pads { top: 2, left: 1, bottom: 0, right: 1 }), &[first]));
    ends.push(draw.push(Op::Flatten([Axis::W, Axis::C, Axis::H]), &[first]));
    let pixels: Vec<TensorId> = ends
        .into_iter()
        .map(|end| {
            let shape = draw.shape(end);
            draw.conv(end, 2, 1, Window::of([shape.h, shape.w]))
        })
        .collect();
    let joined = draw.push(Op::Concat, &pixels);
    draw.fully_connected(joined, 4);
    let space = PolicySpace::of(&draw.network);
    let mut policy = Policy::uniform(&space, second, BitWidth::B8);
    for (row, choice) in space.rows.iter().zip(&mut policy.rows) {
        let output = draw.network.node(row.node).output;
        if let Some((_, bits)) = chosen.iter().find(|(tensor, _)| *tensor == output) {
            choice.activations = choice.activations.map(|_| *bits);
        }
    }
    draw.finish_with(policy)
}

/// Blocks as of a mobile network: strides, dilation, additions over what goes on, and a pool of all.
pub(crate) fn mobile(pixels: bool) -> Drawn {
    let mut draw = Draw::new(11, Shape::new(24, 20, 3), pixels);
    let padded = Window { pads: Pads::all(1), ..Window::of([3, 3]) };
    let dilated = Window { pads: Pads::all(2), dilation: [2, 2], ..padded };
    let mut at = draw.conv(TensorId(0), 8, 1, Window { stride: [2, 2], ..padded });
    for window in [padded, padded, Window { stride: [2, 2], ..padded }, dilated] {
        let wide = draw.conv(at, 16, 1, Window::of([1, 1]));
        let deep = draw.depthwise(wide, window);
        let narrow = draw.conv(deep, 8, 1, Window::of([1, 1]));
        let same = draw.shape(narrow) == draw.shape(at);
        at = if same { draw.push(Op::Add(Clamp::NONE), &[at, narrow]) } else { narrow };
    }
    let shape = draw.shape(at);
    let mean = draw.average(at, Window::of([shape.h, shape.w]), false);
    draw.fully_connected(mean, 5);
    draw.finish()
}

/// Multipliers that lowering seldom makes: negative ones, shifts of 32 and less, zero.
pub(crate) fn harden(network: &mut IntNetwork, seed: u64) {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    for node in &mut network.nodes {
        let (IntOp::Conv2d { rescale, .. }
        | IntOp::DepthwiseConv2d { rescale, .. }
        | IntOp::FullyConnected { rescale, .. }) = &mut node.op
        else {
            continue;
        };
        for multiplier in &mut rescale.multipliers {
            match rng.random_range(0..8) {
                0 => multiplier.m = -multiplier.m,
                1 => *multiplier = Multiplier::ZERO,
                2 if multiplier.m != 0 => multiplier.n = rng.random_range(1..=62),
                3 if multiplier.m != 0 => multiplier.n = rng.random_range(30..=36),
                _ => {}
            }
        }
    }
}

/// Input images: noise, all 0, all 255.
pub(crate) fn images(network: &IntNetwork, seed: u64, count: usize) -> Vec<Vec<u8>> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let bytes = network.tensor(network.input).shape.elements();
    let mut noise = || {
        let mut image = vec![0; bytes];
        rng.fill_bytes(&mut image);
        image
    };
    let mut images: Vec<Vec<u8>> = (0..count).map(|_| noise()).collect();
    images.extend([vec![0; bytes], vec![255; bytes]]);
    images
}
