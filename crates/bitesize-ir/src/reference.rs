//! The slow, obvious way to run a float network: plain loops, sums in f64. Everything faster is compared with it.

use crate::network::{InputEncoding, Network};
use crate::op::{AveragePool, Clamp, Conv2d, DepthwiseConv2d, FullyConnected, Op};
use crate::shape::{Shape, Window, nhwc_indices};

/// Runs `network` over one image and returns the values of every tensor, each in NHWC order.
///
/// `input` is what the caller of the network feeds, in NHWC order: real values, or pixels in 0..=255, whose offset is
/// subtracted here (so that the input tensor of the result holds `x - offset[c]`).
///
/// # Panics
/// If `input` has another length than the input tensor, or the network breaks a rule of [`Network::validate`].
pub fn run_float(network: &Network, input: &[f32]) -> Vec<Vec<f32>> {
    assert_eq!(input.len(), network.shape(network.input).elements(), "length of the input");
    let mut values = vec![Vec::new(); network.tensors.len()];
    values[network.input.0] = match &network.input_encoding {
        InputEncoding::Real => input.to_vec(),
        InputEncoding::Pixels { offset } => {
            let channel = |i: usize| offset[i % offset.len()];
            input.iter().enumerate().map(|(i, x)| (f64::from(*x) - channel(i)) as f32).collect()
        }
    };
    for node in &network.nodes {
        let inputs: Vec<Image> =
            node.inputs.iter().map(|id| Image { shape: network.shape(*id), values: &values[id.0] }).collect();
        values[node.output.0] = run_op(&node.op, &inputs, network.shape(node.output));
    }
    values
}

/// A tensor being read.
#[derive(Clone, Copy)]
struct Image<'a> {
    shape: Shape,
    values: &'a [f32],
}

impl Image<'_> {
    fn at(&self, y: usize, x: usize, c: usize) -> f64 {
        f64::from(self.values[(y * self.shape.w + x) * self.shape.c + c])
    }
}

/// What `op` makes of `inputs`, given the shape of its output.
fn run_op(op: &Op, inputs: &[Image], output: Shape) -> Vec<f32> {
    let input = inputs[0];
    match op {
        Op::Conv2d(op) => conv2d(op, input, output),
        Op::DepthwiseConv2d(op) => depthwise(op, input, output),
        Op::FullyConnected(op) => fully_connected(op, input),
        Op::Add(clamp) => each(output, |y, x, c| clamp_f64(*clamp, input.at(y, x, c) + inputs[1].at(y, x, c))),
        Op::Concat => each(output, |y, x, c| {
            let mut c = c;
            let mut parts = inputs.iter();
            loop {
                let part = parts.next().expect("the output has as many channels as all inputs together");
                if c < part.shape.c {
                    return part.at(y, x, c);
                }
                c -= part.shape.c;
            }
        }),
        Op::MaxPool(window) => each(output, |y, x, c| {
            taps(window, input.shape, y, x).map(|(_, y, x)| input.at(y, x, c)).fold(f64::NEG_INFINITY, f64::max)
        }),
        Op::AveragePool(op) => average_pool(op, input, output),
        Op::Clamp(clamp) => each(output, |y, x, c| clamp_f64(*clamp, input.at(y, x, c))),
        Op::Pad(pads) => each(output, |y, x, c| {
            let inside = |at: usize, before: usize, size: usize| at.checked_sub(before).filter(|at| *at < size);
            match (inside(y, pads.top, input.shape.h), inside(x, pads.left, input.shape.w)) {
                (Some(y), Some(x)) => input.at(y, x, c),
                _ => 0.0,
            }
        }),
        Op::Flatten(order) => {
            nhwc_indices(input.shape, order.iter().copied()).into_iter().map(|at| input.values[at]).collect()
        }
        Op::ChannelAffine(op) => each(output, |y, x, c| {
            clamp_f64(op.clamp, input.at(y, x, c) * f64::from(op.scale[c]) + f64::from(op.shift[c]))
        }),
    }
}

/// The values of `value(y, x, c)` over all of `shape`, in NHWC order.
fn each(shape: Shape, value: impl Fn(usize, usize, usize) -> f64) -> Vec<f32> {
    let mut values = Vec::with_capacity(shape.elements());
    for y in 0..shape.h {
        for x in 0..shape.w {
            for c in 0..shape.c {
                values.push(value(y, x, c) as f32);
            }
        }
    }
    values
}

/// The taps of the window at output pixel `(y, x)` that lie inside the image, as `(tap, input y, input x)`.
fn taps(window: &Window, image: Shape, y: usize, x: usize) -> impl Iterator<Item = (usize, usize, usize)> {
    let [kh, kw] = window.kernel;
    (0..kh * kw).filter_map(move |tap| {
        let from_y = window.source(0, y, tap / kw, image.h)?;
        let from_x = window.source(1, x, tap % kw, image.w)?;
        Some((tap, from_y, from_x))
    })
}

fn clamp_f64(clamp: Clamp, x: f64) -> f64 {
    x.max(f64::from(clamp.lo)).min(f64::from(clamp.hi))
}

fn conv2d(op: &Conv2d, input: Image, output: Shape) -> Vec<f32> {
    let in_per_group = input.shape.c / op.groups;
    let out_per_group = output.c / op.groups;
    let taps_count = op.window.area();
    each(output, |y, x, c| {
        let first = c / out_per_group * in_per_group;
        let mut sum = f64::from(op.bias[c]);
        for (tap, from_y, from_x) in taps(&op.window, input.shape, y, x) {
            for i in 0..in_per_group {
                let weight = op.weights[(c * taps_count + tap) * in_per_group + i];
                sum += f64::from(weight) * input.at(from_y, from_x, first + i);
            }
        }
        clamp_f64(op.clamp, sum)
    })
}

fn depthwise(op: &DepthwiseConv2d, input: Image, output: Shape) -> Vec<f32> {
    each(output, |y, x, c| {
        let mut sum = f64::from(op.bias[c]);
        for (tap, from_y, from_x) in taps(&op.window, input.shape, y, x) {
            sum += f64::from(op.weights[tap * output.c + c]) * input.at(from_y, from_x, c);
        }
        clamp_f64(op.clamp, sum)
    })
}

fn fully_connected(op: &FullyConnected, input: Image) -> Vec<f32> {
    let rows = op.weights.chunks_exact(input.shape.c);
    let row = |(row, bias): (&[f32], &f32)| {
        let products = row.iter().zip(input.values).map(|(w, x)| f64::from(*w) * f64::from(*x));
        clamp_f64(op.clamp, f64::from(*bias) + products.sum::<f64>()) as f32
    };
    rows.zip(&op.bias).map(row).collect()
}

fn average_pool(op: &AveragePool, input: Image, output: Shape) -> Vec<f32> {
    each(output, |y, x, c| {
        let inside: Vec<f64> =
            taps(&op.window, input.shape, y, x).map(|(_, from_y, from_x)| input.at(from_y, from_x, c)).collect();
        let count = op.window.divisor(op.count_include_pad, inside.len());
        clamp_f64(op.clamp, inside.iter().sum::<f64>() / count as f64)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::{Node, Tensor, TensorId};
    use crate::op::ChannelAffine;
    use crate::shape::{Axis, Pads};

    /// The values that `op` makes of one input, on a network of that one node.
    fn run(op: Op, shape: Shape, input: &[f32]) -> Vec<f32> {
        let output = op.output_shape(&[shape]).unwrap();
        let tensor = |name: &str, shape| Tensor { name: name.into(), shape };
        let network = Network {
            name: "one".into(),
            tensors: vec![tensor("x", shape), tensor("y", output)],
            nodes: vec![Node { name: "n".into(), op, inputs: vec![TensorId(0)], output: TensorId(1) }],
            input: TensorId(0),
            output: TensorId(1),
            input_encoding: InputEncoding::Real,
            tail: None,
        };
        network.validate().unwrap();
        run_float(&network, input).pop().unwrap()
    }

    #[test]
    fn by_hand() {
        let image: Vec<f32> = (1..=8).map(|i| i as f32).collect();
        let shape = Shape::new(2, 2, 2); // channel 0: 1 3 / 5 7, channel 1: 2 4 / 6 8
        let window = Window { pads: Pads { top: 1, ..Pads::default() }, ..Window::of([2, 2]) };
        let none = Clamp::NONE;
        let average = |count_include_pad| Op::AveragePool(AveragePool { window, count_include_pad, clamp: none });
        let cases: Vec<(Op, Vec<f32>)> = vec![
            (Op::MaxPool(window), vec![3., 4., 7., 8.]),
            (average(true), vec![1., 1.5, 4., 5.]),
            (average(false), vec![2., 3., 4., 5.]),
            (Op::Clamp(Clamp { lo: 2.0, hi: 7.0 }), vec![2., 2., 3., 4., 5., 6., 7., 7.]),
            (Op::Pad(Pads { left: 1, ..Pads::default() }), vec![0., 0., 1., 2., 3., 4., 0., 0., 5., 6., 7., 8.]),
            (Op::Flatten([Axis::C, Axis::H, Axis::W]), vec![1., 3., 5., 7., 2., 4., 6., 8.]),
            (Op::Flatten([Axis::W, Axis::C, Axis::H]), vec![1., 5., 2., 6., 3., 7., 4., 8.]),
            (
                Op::ChannelAffine(ChannelAffine { scale: vec![1., -1.], shift: vec![0., 10.], clamp: Clamp::RELU6 }),
                vec![1., 6., 3., 6., 5., 4., 6., 2.],
            ),
            (
                Op::DepthwiseConv2d(DepthwiseConv2d {
                    window,
                    weights: vec![1., 1., 0., 0., 0., 0., 0., 2.],
                    bias: vec![0.5, 0.],
                    clamp: none,
                }),
                vec![0.5, 8., 1.5, 18.],
            ),
            (
                Op::Conv2d(Conv2d {
                    window: Window::of([2, 2]),
                    groups: 1,
                    weights: vec![1., 0., 0., 1., 0., 0., 1., 1.],
                    bias: vec![-1.],
                    clamp: none,
                }),
                vec![1. + 4. + 7. + 8. - 1.],
            ),
            (
                Op::Conv2d(Conv2d {
                    window: Window::of([1, 1]),
                    groups: 2,
                    weights: vec![1., 10.],
                    bias: vec![0., 0.],
                    clamp: none,
                }),
                vec![1., 20., 3., 40., 5., 60., 7., 80.],
            ),
        ];
        for (op, expected) in cases {
            let name = op.name();
            assert_eq!(run(op, shape, &image), expected, "{name}");
        }
    }

    #[test]
    fn a_vector_and_pixels() {
        let op = FullyConnected { weights: vec![1., 2., 3., -1., -1., -1.], bias: vec![1., 2.], clamp: Clamp::RELU };
        assert_eq!(run(Op::FullyConnected(op), Shape::vector(3), &[1., 1., 2.]), [10., 0.]);

        let network = Network {
            name: "pixels".into(),
            tensors: vec![Tensor { name: "x".into(), shape: Shape::new(1, 2, 2) }],
            nodes: vec![],
            input: TensorId(0),
            output: TensorId(0),
            input_encoding: InputEncoding::Pixels { offset: vec![1.0, 2.0] },
            tail: None,
        };
        assert_eq!(run_float(&network, &[5., 5., 0., 255.]), [[4., 3., -1., 253.]]);
    }
}
