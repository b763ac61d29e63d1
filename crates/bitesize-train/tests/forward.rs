//! The float network against plain loops in `bitesize_ir::reference`.

mod common;

use bitesize_ir::network::{InputEncoding, Network, TensorId};
use bitesize_ir::op::{Clamp, Op};
use bitesize_ir::reference::run_float;
use bitesize_ir::shape::{Axis, Pads, Shape, Window};
use bitesize_train::{FloatModel, Samples, TrainError, accuracy, top1};
use common::{Builder, Numbers, mobile, three, window};
use std::ops::ControlFlow;

/// Single precision sums of at most a few hundred terms lie this close to those in double, of the largest magnitude.
const CLOSE: f32 = 1e-5;

fn check(what: &str, network: &Network) {
    let shape = network.shape(network.input);
    let (count, size) = (3, shape.elements());
    let values: Vec<f32> = match network.input_encoding {
        InputEncoding::Real => Numbers::new(7).many(count * size, 1.0),
        InputEncoding::Pixels { .. } => (0..count * size).map(|i| ((i * 37) % 256) as f32).collect(),
    };
    let pixels: Vec<u8> = values.iter().map(|v| *v as u8).collect();
    let samples = match network.input_encoding {
        InputEncoding::Real => Samples::real(shape, &values),
        InputEncoding::Pixels { .. } => Samples::pixels(shape, &pixels),
    };
    let tensors = FloatModel::new(network).forward_tensors(&samples).unwrap();
    for (i, image) in values.chunks_exact(size).enumerate() {
        let expected = run_float(network, image);
        for (t, expected) in expected.iter().enumerate() {
            let found = &tensors[t][i * expected.len()..(i + 1) * expected.len()];
            let largest = expected.iter().fold(0f32, |max, v| max.max(v.abs()));
            let furthest = expected.iter().zip(found).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(furthest <= CLOSE * largest, "{what}, image {i}, tensor {t}: off by {furthest} of {largest}");
        }
    }
    let output = FloatModel::new(network).forward(&samples, &mut |_, _| ControlFlow::Continue(())).unwrap();
    assert_eq!(output, tensors[network.output.0], "{what}");
}

fn one(what: &str, shape: Shape, build: impl Fn(&mut Builder)) {
    let mut builder = Builder::new(shape, InputEncoding::Real, 11);
    build(&mut builder);
    builder.network.validate().unwrap();
    check(what, &builder.network);
}

#[test]
fn every_operator_equals_the_plain_loops() {
    let x = TensorId(0);
    let odd = window([3, 2], [2, 1], [1, 2], [1, 0, 2, 3]);
    one("convolution", Shape::new(7, 6, 5), |b| _ = b.conv(x, odd, 1, 4, Clamp::NONE));
    one("convolution, grouped", Shape::new(7, 6, 6), |b| _ = b.conv(x, odd, 3, 9, Clamp::RELU));
    one("convolution, pointwise", Shape::new(5, 3, 7), |b| _ = b.conv(x, Window::of([1, 1]), 1, 3, Clamp::RELU6));
    one("convolution, strided", Shape::new(5, 4, 7), |b| {
        b.conv(x, window([1, 1], [2, 3], [1, 1], [0; 4]), 1, 3, Clamp::NONE);
    });
    one("convolution, whole image", Shape::new(5, 4, 3), |b| _ = b.conv(x, Window::of([5, 4]), 1, 6, Clamp::NONE));
    // Windows of one image that are gathered in parts.
    one("convolution, large", Shape::new(65, 65, 128), |b| _ = b.conv(x, three(), 1, 2, Clamp::NONE));
    one("convolution, large and grouped", Shape::new(70, 70, 192), |b| _ = b.conv(x, three(), 2, 2, Clamp::NONE));
    one("depthwise", Shape::new(7, 6, 5), |b| _ = b.depthwise(x, odd, Clamp::RELU));
    one("fully connected", Shape::vector(9), |b| _ = b.fully_connected(x, 4));
    one("average", Shape::new(6, 5, 3), |b| _ = b.average(x, window([3, 3], [2, 2], [1, 1], [1, 1, 1, 1]), false));
    one("average of padding too", Shape::new(6, 5, 3), |b| {
        b.average(x, window([3, 3], [2, 2], [1, 1], [1, 1, 1, 1]), true);
    });
    one("max-pool", Shape::new(6, 5, 3), |b| {
        b.push(Op::MaxPool(window([3, 2], [2, 1], [1, 1], [1, 1, 1, 0])), &[x]);
    });
    one("add", Shape::new(4, 3, 2), |b| _ = b.push(Op::Add(Clamp::RELU), &[x, x]));
    one("concat", Shape::new(4, 3, 2), |b| {
        let y = b.conv(x, three(), 1, 5, Clamp::NONE);
        b.push(Op::Concat, &[x, y, x]);
    });
    one("clamp", Shape::new(4, 3, 2), |b| _ = b.push(Op::Clamp(Clamp { lo: -0.25, hi: 0.5 }), &[x]));
    one("pad", Shape::new(4, 3, 2), |b| _ = b.push(Op::Pad(Pads { top: 1, left: 0, bottom: 2, right: 3 }), &[x]));
    one("flatten", Shape::new(4, 3, 2), |b| _ = b.push(Op::Flatten([Axis::C, Axis::H, Axis::W]), &[x]));
    one("affine", Shape::new(4, 3, 6), |b| _ = b.affine(x));
}

#[test]
fn whole_networks_equal_the_plain_loops() {
    check("real values", &mobile(InputEncoding::Real));
    check("pixels", &mobile(InputEncoding::Pixels { offset: vec![125.3, 123.0, 113.9] }));
}

#[test]
fn the_number_of_threads_changes_nothing() {
    let network = mobile(InputEncoding::Real);
    let shape = network.shape(network.input);
    let values = Numbers::new(5).many(300 * shape.elements(), 1.0);
    let with = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let samples = Samples::real(shape, &values);
        pool.install(|| FloatModel::new(&network).forward(&samples, &mut |_, _| ControlFlow::Continue(())).unwrap())
    };
    assert_eq!(with(1), with(3));
}

#[test]
fn samples_that_do_not_suit_are_refused() {
    let real = mobile(InputEncoding::Real);
    let pixels = mobile(InputEncoding::Pixels { offset: vec![0.0; 3] });
    let shape = real.shape(real.input);
    let values = vec![0.0; shape.elements()];
    let refuse = |network: &Network, samples: Samples<'_>, part: &str| {
        let error = FloatModel::new(network).forward_tensors(&samples).unwrap_err();
        assert!(matches!(error, TrainError::Samples { .. }) && error.to_string().contains(part), "{error}");
    };
    refuse(&real, Samples::real(Shape::new(8, 8, 3), &values), "takes 9x8x3, the images are 8x8x3");
    refuse(&real, Samples::real(shape, &values[1..]), "not a whole number");
    refuse(&real, Samples::pixels(shape, &vec![0; shape.elements()]), "takes real values");
    refuse(&real, Samples::real(shape, &vec![f32::NAN; shape.elements()]), "NaN");
    refuse(&pixels, Samples::real(shape, &values), "takes raw pixels");
}

#[test]
fn progress_can_stop() {
    let network = mobile(InputEncoding::Real);
    let values = vec![0.5; 10 * network.shape(network.input).elements()];
    let samples = Samples::real(network.shape(network.input), &values);
    let stopped = FloatModel::new(&network).forward(&samples, &mut |_, _| ControlFlow::Break(()));
    assert_eq!(stopped, Err(TrainError::Stopped));
}

#[test]
fn the_class_is_the_lowest_index_of_the_highest_value() {
    let outputs = [1.0, 3.0, 3.0, -2.0, -1.0, -3.0];
    assert_eq!(top1(&outputs, 3), [1, 1]);
    assert_eq!(accuracy(&outputs, 3, &[1, 2]), 0.5);
    assert_eq!(accuracy(&[], 3, &[]), 0.0);
}
