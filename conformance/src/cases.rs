//! The cases, as data: which operators with which geometry, at which widths, with which numbers.

use crate::builder::{Bias, Builder, Fill, Spread, Style};
use bitesize_integer::{IntNetwork, lower};
use bitesize_ir::op::{Clamp, Conv2d, DepthwiseConv2d, FullyConnected};
use bitesize_ir::shape::{Axis, Pads, Window};
use bitesize_ir::{BitWidth, Op, QuantizedModel, Shape, TensorId};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// One network with inputs to run it on.
#[derive(Clone, Debug)]
pub struct Case {
    /// Unique.
    pub name: String,
    /// What was lowered.
    pub model: QuantizedModel,
    /// What every runner runs.
    pub int: IntNetwork,
    /// Input codes, one image each: all 0, all 255, noise, noise of the two ends.
    pub inputs: Vec<Vec<u8>>,
}

impl Case {
    fn of(model: QuantizedModel) -> Self {
        let name = model.network.name.clone();
        let int = lower(&model).unwrap_or_else(|error| panic!("case {name}: {error}"));
        let size = int.tensor(int.input).shape.elements();
        let mut rng = ChaCha8Rng::seed_from_u64(size as u64);
        let mut noise = || -> Vec<u8> { (0..size).map(|_| rng.random()).collect() };
        let (noise, ends) = (noise(), noise().iter().map(|code| if *code < 128 { 0 } else { 255 }).collect());
        Self { name, model, int, inputs: vec![vec![0; size], vec![255; size], noise, ends] }
    }
}

/// Every case: each operator at all widths and geometries, layers with extreme numbers, pixel inputs, small networks.
pub fn cases() -> Vec<Case> {
    let mut models = Vec::new();
    for [input, second, output] in width_triples() {
        let at = format!("{input}_{second}_{output}");
        for geometry in CONVOLUTIONS {
            models.push(one_layer(&format!("conv2d_{}_{at}", geometry.name), geometry, [input, second, output]));
        }
        for geometry in DEPTHWISE {
            let name = format!("depthwise_conv2d_{}_{at}", geometry.name);
            models.push(one_layer(&name, geometry, [input, second, output]));
        }
        for [in_c, out_c] in [[1, 1], [5, 3], [8, 4], [33, 17], [130, 10]] {
            let mut b = Builder::new(&format!("fully_connected_{in_c}_to_{out_c}_{at}"), Shape::vector(in_c));
            let x = b.to_width(INPUT, input);
            b.layer(fully_connected(in_c, out_c), x, [second, output], Style::PLAIN);
            models.push(b.finish());
        }
        for (name, style) in FILLS {
            for (kind, geometry) in [("conv2d", &CONVOLUTIONS[3]), ("depthwise_conv2d", &DEPTHWISE[0])] {
                let mut b = Builder::new(&format!("{kind}_{name}_{at}"), geometry.input);
                let x = b.to_width(INPUT, input);
                b.layer(geometry.op(), x, [second, output], style);
                models.push(b.finish());
            }
        }
        models.extend(joins([input, second, output], &at));
    }
    models.extend(pools());
    models.extend(extremes());
    models.extend(pixel_inputs());
    models.extend(scales_of_channels());
    models.extend((0..6).flat_map(networks));
    models.into_iter().map(Case::of).collect()
}

/// Widths of input, weights or second input, and output.
fn width_triples() -> impl Iterator<Item = [BitWidth; 3]> {
    let pairs = BitWidth::ALL.into_iter().flat_map(|a| BitWidth::ALL.map(|b| [a, b]));
    pairs.flat_map(|[a, b]| BitWidth::ALL.map(|c| [a, b, c]))
}

/// A convolution's shape.
struct Geometry {
    name: &'static str,
    input: Shape,
    /// `None` for a depthwise convolution.
    out_c: Option<usize>,
    groups: usize,
    window: Window,
}

const fn window(kernel: [usize; 2], stride: [usize; 2], dilation: [usize; 2], pads: [usize; 4]) -> Window {
    let [top, left, bottom, right] = pads;
    Window { kernel, stride, dilation, pads: Pads { top, left, bottom, right } }
}

const ONE: [usize; 2] = [1, 1];

/// The input of every network that a [`Builder`] makes.
const INPUT: TensorId = TensorId(0);

const fn convolution(
    name: &'static str,
    [h, w, c]: [usize; 3],
    [out_c, groups]: [usize; 2],
    window: Window,
) -> Geometry {
    Geometry { name, input: Shape { h, w, c }, out_c: Some(out_c), groups, window }
}

const fn depthwise(name: &'static str, [h, w, c]: [usize; 3], window: Window) -> Geometry {
    Geometry { name, input: Shape { h, w, c }, out_c: None, groups: 1, window }
}

const CONVOLUTIONS: &[Geometry] = &[
    convolution("one_pixel", [1, 1, 1], [1, 1], window(ONE, ONE, ONE, [0; 4])),
    convolution("pointwise", [4, 3, 5], [7, 1], window(ONE, ONE, ONE, [0; 4])),
    convolution("pointwise_wide", [3, 2, 33], [17, 1], window(ONE, ONE, ONE, [0; 4])),
    convolution("square", [5, 5, 3], [4, 1], window([3, 3], ONE, ONE, [1; 4])),
    convolution("square_wide", [3, 2, 18], [9, 1], window([3, 3], ONE, ONE, [1; 4])),
    convolution("pointwise_strided", [5, 4, 6], [3, 1], window(ONE, [2, 2], ONE, [0; 4])),
    convolution("pointwise_padded", [3, 3, 4], [4, 1], window(ONE, ONE, ONE, [1, 0, 0, 2])),
    convolution("lopsided", [7, 6, 5], [3, 1], window([3, 2], [2, 1], ONE, [1, 0, 0, 1])),
    convolution("dilated", [9, 8, 3], [5, 1], window([3, 3], ONE, [2, 3], [2, 3, 2, 3])),
    convolution("grouped", [5, 4, 6], [4, 2], window([3, 3], ONE, ONE, [1; 4])),
    convolution("grouped_by_four", [5, 4, 6], [8, 2], window([3, 3], ONE, ONE, [1; 4])),
    convolution("grouped_pointwise", [4, 4, 10], [15, 5], window(ONE, ONE, ONE, [0; 4])),
    convolution("twice_as_many", [5, 5, 3], [6, 3], window([3, 3], [2, 2], ONE, [0, 0, 1, 1])),
    convolution("whole_image", [4, 5, 3], [6, 1], window([4, 5], ONE, ONE, [0; 4])),
    convolution("mostly_padding", [2, 2, 3], [3, 1], window([3, 3], [2, 1], ONE, [3; 4])),
];

const DEPTHWISE: &[Geometry] = &[
    depthwise("square", [5, 5, 4], window([3, 3], ONE, ONE, [1; 4])),
    depthwise("one_pixel", [1, 1, 1], window(ONE, ONE, ONE, [0; 4])),
    depthwise("pointwise", [4, 3, 5], window(ONE, ONE, ONE, [0; 4])),
    depthwise("strided", [7, 6, 5], window([3, 3], [2, 2], ONE, [0, 0, 1, 1])),
    depthwise("dilated", [9, 8, 3], window([3, 3], ONE, [2, 3], [2, 3, 2, 3])),
    depthwise("column", [7, 3, 6], window([5, 1], [1, 2], ONE, [2, 0, 1, 0])),
    depthwise("whole_image", [4, 4, 7], window([4, 4], ONE, ONE, [0; 4])),
    depthwise("wide", [3, 4, 33], window([3, 3], ONE, ONE, [1; 4])),
    depthwise("dilated_row", [1, 12, 5], window([1, 3], ONE, [1, 2], [0, 2, 0, 2])),
    depthwise("dilated_two_rows", [5, 9, 6], window([2, 3], [1, 2], [1, 2], [1, 2, 0, 2])),
    depthwise("dilated_three_rows", [6, 9, 4], window([3, 3], ONE, [1, 2], [1, 2, 1, 2])),
    depthwise("mostly_padding", [2, 2, 3], window([2, 3], [3, 1], ONE, [3; 4])),
];

/// Numbers at the ends of the grids and channels that are dead.
const FILLS: [(&str, Style); 4] = [
    ("lowest", Style { fill: Fill::Lowest, ..Style::PLAIN }),
    ("highest", Style { fill: Fill::Highest, ..Style::PLAIN }),
    ("ends", Style { fill: Fill::Ends, ..Style::PLAIN }),
    ("dead", Style { fill: Fill::Dead, ..Style::PLAIN }),
];

impl Geometry {
    /// The operator, weights and bias still 0.
    fn op(&self) -> Op {
        let [kh, kw] = self.window.kernel;
        let (window, clamp) = (self.window, Clamp::NONE);
        match self.out_c {
            Some(out_c) => {
                let weights = vec![0.0; out_c * kh * kw * (self.input.c / self.groups)];
                Op::Conv2d(Conv2d { window, groups: self.groups, weights, bias: vec![0.0; out_c], clamp })
            }
            None => {
                let (weights, bias) = (vec![0.0; kh * kw * self.input.c], vec![0.0; self.input.c]);
                Op::DepthwiseConv2d(DepthwiseConv2d { window, weights, bias, clamp })
            }
        }
    }
}

fn fully_connected(in_c: usize, out_c: usize) -> Op {
    let (weights, bias) = (vec![0.0; in_c * out_c], vec![0.0; out_c]);
    Op::FullyConnected(FullyConnected { weights, bias, clamp: Clamp::NONE })
}

fn one_layer(name: &str, geometry: &Geometry, [input, weights, output]: [BitWidth; 3]) -> QuantizedModel {
    let mut b = Builder::new(name, geometry.input);
    let x = b.to_width(INPUT, input);
    b.layer(geometry.op(), x, [weights, output], Style::PLAIN);
    b.finish()
}

/// Additions and concatenations of two tensors of these widths.
fn joins([a, b, output]: [BitWidth; 3], at: &str) -> Vec<QuantizedModel> {
    let inputs = |builder: &mut Builder, shape: Shape| {
        let geometry = convolution("other", [shape.h, shape.w, shape.c], [shape.c, 1], window(ONE, ONE, ONE, [0; 4]));
        let other = builder.layer(geometry.op(), INPUT, [BitWidth::B8, b], Style::PLAIN);
        [builder.to_width(INPUT, a), other]
    };
    let mut models = Vec::new();
    for [h, w, c] in [[1, 1, 1], [3, 4, 5], [2, 3, 8]] {
        let mut builder = Builder::new(&format!("add_{h}x{w}x{c}_{at}"), Shape::new(h, w, c));
        let [x, y] = inputs(&mut builder, Shape::new(h, w, c));
        builder.add(x, y, output);
        models.push(builder.finish());
        let mut builder = Builder::new(&format!("concat_{h}x{w}x{c}_{at}"), Shape::new(h, w, c));
        let [x, y] = inputs(&mut builder, Shape::new(h, w, c));
        // Three parts, so that slices start inside a byte and end there.
        builder.concat(&[x, y, x], output);
        models.push(builder.finish());
    }
    models
}

const POOLS: &[(&str, [usize; 3], Window)] = &[
    ("even", [4, 6, 3], window([2, 2], [2, 2], ONE, [0; 4])),
    ("overlapping", [7, 6, 5], window([3, 3], [2, 2], ONE, [1; 4])),
    ("lopsided", [5, 7, 6], window([3, 2], [1, 2], ONE, [0, 0, 2, 1])),
    ("whole_image", [5, 4, 9], window([5, 4], ONE, ONE, [0; 4])),
    ("one_pixel", [3, 2, 4], window(ONE, [2, 1], ONE, [0; 4])),
];

/// Pools, clamps, pads and changes of order.
fn pools() -> Vec<QuantizedModel> {
    let mut models = Vec::new();
    for input in BitWidth::ALL {
        let build = |name: String, shape: [usize; 3], add: &dyn Fn(&mut Builder, TensorId) -> TensorId| {
            let mut b = Builder::new(&name, Shape::new(shape[0], shape[1], shape[2]));
            let x = b.to_width(INPUT, input);
            add(&mut b, x);
            b.finish()
        };
        for &(name, shape, window) in POOLS {
            let op = Op::MaxPool(window);
            models.push(build(format!("max_pool_{name}_{input}"), shape, &|b, x| b.pass(op.clone(), x)));
            for (output, all) in BitWidth::ALL.into_iter().flat_map(|output| [(output, false), (output, true)]) {
                let name = format!("average_pool_{name}_{}_{input}_{output}", if all { "all" } else { "inside" });
                models.push(build(name, shape, &|b, x| b.average(window, all, x, output)));
            }
        }
        let dilated = Op::MaxPool(window([2, 3], ONE, [3, 2], [1, 2, 2, 1]));
        models.push(build(format!("max_pool_dilated_{input}"), [6, 7, 3], &|b, x| b.pass(dilated.clone(), x)));
        for pads in [[1, 1, 1, 1], [0, 2, 1, 0], [3, 0, 0, 1]] {
            let [top, left, bottom, right] = pads;
            let op = Op::Pad(Pads { top, left, bottom, right });
            let name = format!("pad_{top}_{left}_{bottom}_{right}_{input}");
            models.push(build(name, [3, 2, 5], &|b, x| b.pass(op.clone(), x)));
        }
        for (shape, order) in [
            ([3, 2, 5], [Axis::C, Axis::H, Axis::W]),
            ([3, 2, 5], [Axis::H, Axis::C, Axis::W]),
            ([2, 3, 4], [Axis::W, Axis::H, Axis::C]),
            ([4, 3, 7], [Axis::W, Axis::C, Axis::H]),
            ([5, 1, 9], [Axis::C, Axis::W, Axis::H]),
            ([1, 7, 3], [Axis::C, Axis::H, Axis::W]),
            ([3, 3, 1], [Axis::H, Axis::W, Axis::C]),
            ([1, 1, 6], [Axis::C, Axis::H, Axis::W]),
        ] {
            let op = Op::Flatten(order);
            let name = format!("flatten_{}x{}x{}_{order:?}_{input}", shape[0], shape[1], shape[2]);
            models.push(build(name, shape, &|b, x| b.pass(op.clone(), x)));
        }
        for c in [1, 5, 8] {
            models.push(build(format!("clamp_{c}_{input}"), [3, 4, c], &|b, x| b.clamp_inside(x)));
        }
    }
    models
}

/// Layers whose factors and biases lie at the ends of the arithmetic: outputs that saturate, that are all zero point,
/// shifts at both ends, the largest accumulator shift, biases of 2^30.
fn extremes() -> Vec<QuantizedModel> {
    let mut models = Vec::new();
    let widths =
        [[BitWidth::B8; 3], [BitWidth::B4, BitWidth::B2, BitWidth::B8], [BitWidth::B8, BitWidth::B4, BitWidth::B2]];
    for (geometry, kind) in
        [(&CONVOLUTIONS[3], "conv2d"), (&CONVOLUTIONS[13], "conv2d_whole"), (&DEPTHWISE[0], "depthwise")]
    {
        for [input, weights, output] in widths {
            let mut push = |what: String, style: Style| {
                let mut b = Builder::new(&format!("{kind}_{what}_{input}_{weights}_{output}"), geometry.input);
                let x = b.to_width(INPUT, input);
                b.layer(geometry.op(), x, [weights, output], style);
                models.push(b.finish());
            };
            for exponent in [-40, -32, -31, -24, -9, -8, -1, 0, 7, 20, 29] {
                let spread = Spread::Factor(f64::from(exponent).exp2());
                push(format!("factor_{exponent}"), Style { spread, ..Style::PLAIN });
                if exponent < -8 {
                    push(format!("large_bias_{exponent}"), Style { spread, bias: Bias::Large, fill: Fill::Random });
                    push(format!("past_bias_{exponent}"), Style { spread, bias: Bias::Past(3.7), fill: Fill::Ends });
                }
            }
            push(
                "far_past_bias".into(),
                Style { bias: Bias::Past(1e25), spread: Spread::Factor(1e-33), fill: Fill::Random },
            );
        }
    }
    models
}

/// Outputs whose channels have scales and zero points of their own.
fn scales_of_channels() -> Vec<QuantizedModel> {
    let mut models = Vec::new();
    for (input, weights) in BitWidth::ALL.into_iter().flat_map(|input| BitWidth::ALL.map(|weights| (input, weights))) {
        let mut push = |kind: &str, shape: Shape, op: Op, style: Style| {
            let mut b = Builder::new(&format!("{kind}_scales_of_channels_{input}_{weights}"), shape);
            let x = b.to_width(INPUT, input);
            b.layer(op, x, [weights, BitWidth::B8], style);
            b.scales_of_channels();
            models.push(b.finish());
        };
        push("conv2d", CONVOLUTIONS[3].input, CONVOLUTIONS[3].op(), Style::PLAIN);
        push("grouped", CONVOLUTIONS[9].input, CONVOLUTIONS[9].op(), Style::PLAIN);
        push("dead", CONVOLUTIONS[3].input, CONVOLUTIONS[3].op(), Style { fill: Fill::Dead, ..Style::PLAIN });
        push("depthwise_conv2d", DEPTHWISE[0].input, DEPTHWISE[0].op(), Style::PLAIN);
        push("fully_connected", Shape::vector(33), fully_connected(33, 17), Style::PLAIN);
    }
    models
}

/// Layers that read pixels: zero points for each channel, fractions, outside the codes too.
fn pixel_inputs() -> Vec<QuantizedModel> {
    let mut models = Vec::new();
    let offsets: [(&str, [f64; 3]); 4] = [
        ("imagenet", [123.675, 116.28, 103.53]),
        ("ends", [0.0, 255.0, 127.5]),
        ("outside", [-0.4, 260.0, -17.0]),
        ("same", [127.5, 127.5, 127.5]),
    ];
    for (name, offset) in offsets {
        for weights in BitWidth::ALL {
            for index in [3, 7, 8, 13] {
                let Geometry { name: shape, input, window, .. } = CONVOLUTIONS[index];
                let [h, w, out_c] = [input.h, input.w, 5];
                let geometry = convolution(shape, [h, w, 3], [out_c, 1], window);
                let mut b = Builder::with_pixels(&format!("pixels_{name}_conv2d_{shape}_{weights}"), h, w, &offset);
                b.layer(geometry.op(), INPUT, [weights, BitWidth::B8], Style::PLAIN);
                models.push(b.finish());
            }
            for geometry in [&DEPTHWISE[0], &DEPTHWISE[2], &DEPTHWISE[8]] {
                let Shape { h, w, .. } = geometry.input;
                let name = format!("pixels_{name}_depthwise_conv2d_{}_{weights}", geometry.name);
                let mut b = Builder::with_pixels(&name, h, w, &offset);
                b.layer(depthwise("", [h, w, 3], geometry.window).op(), INPUT, [weights, BitWidth::B4], Style::PLAIN);
                models.push(b.finish());
            }
            let mut b = Builder::with_pixels(&format!("pixels_{name}_fully_connected_{weights}"), 1, 1, &offset);
            b.layer(fully_connected(3, 4), INPUT, [weights, BitWidth::B8], Style::PLAIN);
            models.push(b.finish());
        }
    }
    let mut b = Builder::with_pixels("pixels_gray", 5, 4, &[33.3]);
    b.layer(
        convolution("", [5, 4, 1], [3, 1], window([3, 3], ONE, ONE, [1; 4])).op(),
        INPUT,
        [BitWidth::B8; 2],
        Style::PLAIN,
    );
    models.push(b.finish());
    models
}

/// A convolution with random widths appended to a network.
fn conv(b: &mut Builder, input: TensorId, out_c: usize, window: Window) -> TensorId {
    let Shape { h, w, c } = b.shape(input);
    let widths = [b.any_width(), b.any_width()];
    b.layer(convolution("", [h, w, c], [out_c, 1], window).op(), input, widths, Style::PLAIN)
}

fn depthwise_layer(b: &mut Builder, input: TensorId, window: Window) -> TensorId {
    let Shape { h, w, c } = b.shape(input);
    let widths = [b.any_width(), b.any_width()];
    b.layer(depthwise("", [h, w, c], window).op(), input, widths, Style::PLAIN)
}

/// Mean over the image and a classifier.
fn classifier(b: &mut Builder, input: TensorId, classes: usize) {
    let Shape { h, w, c } = b.shape(input);
    let bits = b.any_width();
    let mean = b.average(Window::of([h, w]), false, input, bits);
    let weights = b.any_width();
    b.layer(fully_connected(c, classes), mean, [weights, BitWidth::B8], Style::PLAIN);
}

/// Networks of several layers at random widths: tensors that wait, that are read often, that are joined.
fn networks(seed: usize) -> [QuantizedModel; 4] {
    let (same, halve, point) =
        (window([3, 3], ONE, ONE, [1; 4]), window([3, 3], [2, 2], ONE, [0, 0, 1, 1]), window(ONE, ONE, ONE, [0; 4]));

    let mut b = Builder::with_pixels(&format!("inverted_residuals_{seed}"), 11, 9, &[120.5, 110.0, 99.9]);
    let mut x = conv(&mut b, INPUT, 6, halve);
    for _ in 0..3 {
        let mut y = conv(&mut b, x, 13, point);
        y = depthwise_layer(&mut b, y, same);
        y = conv(&mut b, y, 6, point);
        let bits = b.any_width();
        x = b.add(x, y, bits);
    }
    classifier(&mut b, x, 7);
    let inverted = b.finish();

    let mut b = Builder::new(&format!("residuals_{seed}"), Shape::new(8, 12, 4));
    let mut x = INPUT;
    for out_c in [4, 9] {
        let y = conv(&mut b, x, out_c, halve);
        let y = conv(&mut b, y, out_c, same);
        let shortcut = conv(&mut b, x, out_c, window(ONE, [2, 2], ONE, [0; 4]));
        let bits = b.any_width();
        x = b.add(y, shortcut, bits);
    }
    classifier(&mut b, x, 5);
    let residuals = b.finish();

    let mut b = Builder::new(&format!("inception_{seed}"), Shape::new(6, 7, 5));
    let stem = conv(&mut b, INPUT, 6, same);
    let largest = b.pass(Op::MaxPool(same), stem);
    let bits = b.any_width();
    let mean = b.average(same, seed.is_multiple_of(2), stem, bits);
    let (near, deep) = (conv(&mut b, stem, 3, point), conv(&mut b, stem, 7, same));
    let clipped = b.clamp_inside(deep);
    let bits = b.any_width();
    let all = b.concat(&[near, largest, clipped, mean, stem], bits);
    let padded = b.pass(Op::Pad(Pads { top: 1, left: 0, bottom: 0, right: 2 }), all);
    let last = conv(&mut b, padded, 4, window([3, 3], [2, 2], ONE, [0; 4]));
    classifier(&mut b, last, 3);
    let inception = b.finish();

    let mut b = Builder::new(&format!("twice_the_same_{seed}"), Shape::new(3, 3, 5));
    let bits = b.any_width();
    let doubled = b.add(INPUT, INPUT, bits);
    let bits = b.any_width();
    let joined = b.concat(&[doubled, INPUT, doubled], bits);
    let bits = b.any_width();
    let sum = b.add(joined, joined, bits);
    if seed % 2 == 1 {
        b.pass(Op::Flatten([Axis::C, Axis::H, Axis::W]), sum);
    }
    [inverted, residuals, inception, b.finish()]
}
