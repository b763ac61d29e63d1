//! Channels brought to one size before quantization.

mod common;

use bitesize_ir::network::{InputEncoding, Network};
use bitesize_ir::op::{Clamp, Op};
use bitesize_ir::requantize::WeightLayout;
use bitesize_ir::shape::{Shape, Window};
use bitesize_ir::{BitWidth, Policy, PolicySpace, QuantizedModel, TensorId};
use bitesize_train::{
    Calibration, CalibrationSettings, Equalization, FloatModel, PrepareRequest, Ptq, PtqSettings, Samples, TrainError,
    calibrate, equalize, fake_quant_forward,
};
use common::{Builder, Numbers, mobile, three, window};
use std::ops::ControlFlow;
use std::sync::Arc;

fn go() -> impl FnMut(usize, usize) -> ControlFlow<()> {
    |_, _| ControlFlow::Continue(())
}

/// Tensors of the network below.
struct Named {
    network: Network,
    /// Output of the first layer.
    first: TensorId,
    /// Output of the first depthwise layer.
    depthwise: TensorId,
    /// What the addition reads and writes, and the pool after it.
    sum: [TensorId; 4],
    /// What the concatenation reads, and what it writes.
    joined: [TensorId; 3],
}

/// A convolution, a residual block, a concatenation, a pool and a classifier, with `clamp` after the hidden layers.
fn network(clamp: Clamp) -> Named {
    let mut builder = Builder::new(Shape::new(8, 8, 3), InputEncoding::Real, 5);
    let first = builder.conv(TensorId(0), three(), 1, 8, clamp);
    let depthwise = builder.depthwise(first, three(), clamp);
    let trunk = builder.conv(depthwise, Window::of([1, 1]), 1, 6, Clamp::NONE);
    let wide = builder.conv(trunk, Window::of([1, 1]), 1, 12, clamp);
    let branch = builder.conv(wide, Window::of([1, 1]), 1, 6, Clamp::NONE);
    let sum = builder.push(Op::Add(Clamp::NONE), &[trunk, branch]);
    let pooled = builder.push(Op::MaxPool(window([3, 3], [2, 2], [1, 1], [1, 1, 1, 1])), &[sum]);
    let a = builder.conv(pooled, Window::of([1, 1]), 1, 5, clamp);
    let b = builder.conv(pooled, three(), 1, 4, clamp);
    let joined = builder.push(Op::Concat, &[a, b]);
    let mean = builder.global_average(joined);
    builder.conv(mean, Window::of([1, 1]), 1, 10, Clamp::NONE);
    builder.network.validate().unwrap();
    Named { network: builder.network, first, depthwise, sum: [trunk, branch, sum, pooled], joined: [a, b, joined] }
}

/// Makes the channels that `tensors` are written with of different sizes, and with them the network another one.
fn make_uneven(network: &mut Network, tensors: &[TensorId]) {
    for tensor in tensors {
        let node = network.producer(*tensor).expect("a layer writes it");
        let layout = WeightLayout::of(&network.node(node).op).expect("the layer has weights");
        let factor = |c: usize| 2f32.powi(1 - (c * 5 % 8) as i32);
        let (weights, bias) = network.nodes[node.0].op.parameters_mut().expect("the layer has weights");
        weights.iter_mut().enumerate().for_each(|(i, weight)| *weight *= factor(layout.out_channel(i)));
        bias.iter_mut().enumerate().for_each(|(c, bias)| *bias *= factor(c));
    }
}

fn values(network: &Network, images: usize) -> Vec<f32> {
    Numbers::new(41).many(images * network.shape(network.input).elements(), 1.0)
}

/// `network` with some channels of hidden tensors up to 32 times as large, and the weights that read them smaller.
fn uneven(of: &Named) -> Network {
    let mut factors: Vec<Option<Arc<[f64]>>> = vec![None; of.network.tensors.len()];
    for tensor in [of.first, of.depthwise] {
        let channels = of.network.shape(tensor).c;
        factors[tensor.0] = Some((0..channels).map(|c| 2f64.powi(-((c * 5 % 8) as i32 - 2))).collect());
    }
    Equalization::scaled(&of.network, &factors)
}

fn calibration(network: &Network, samples: &Samples<'_>) -> Calibration {
    calibrate(network, samples, &CalibrationSettings::default(), &mut go()).unwrap()
}

fn equalized(network: &Network, samples: &Samples<'_>) -> Calibration {
    let plain = calibration(network, samples);
    Calibration { equalization: equalize(network, samples, &plain, &mut go()).unwrap(), ..plain }
}

fn output(network: &Network, samples: &Samples<'_>) -> Vec<f32> {
    FloatModel::new(network).forward(samples, &mut go()).unwrap()
}

/// Models of uniform widths, from layers under float inputs and layer after layer.
fn quantized(
    network: &Network,
    samples: &Samples<'_>,
    calibration: Calibration,
    (weights, activations): (BitWidth, BitWidth),
) -> [QuantizedModel; 2] {
    let request = PrepareRequest::everything(network, PtqSettings::default());
    let ptq = Ptq::prepare(network, samples, calibration, request, &mut go()).unwrap();
    let policy = Policy::uniform(&PolicySpace::of(network), weights, activations);
    [ptq.quantize_fast(&policy).unwrap(), ptq.quantize_sequential(&policy, samples, &mut go()).unwrap()]
}

/// Squared error of the output against float, as a share of its variance.
fn error(model: &QuantizedModel, samples: &Samples<'_>, values: &[f32]) -> f64 {
    let network = &model.network;
    let input = model.activations[network.input.0];
    let codes: Vec<u8> = values.iter().map(|x| input.quantize(f64::from(*x))).collect();
    let found = model.output_values(&fake_quant_forward(model, &codes).unwrap()[network.output.0]);
    let expected: Vec<f64> = output(network, samples).into_iter().map(f64::from).collect();
    let mean = expected.iter().sum::<f64>() / expected.len() as f64;
    let squares = |of: &dyn Fn(usize) -> f64| (0..expected.len()).map(|i| of(i).powi(2)).sum::<f64>();
    squares(&|i| found[i] - expected[i]) / squares(&|i| expected[i] - mean)
}

const WIDTHS: [(BitWidth, BitWidth); 4] = [
    (BitWidth::B8, BitWidth::B8),
    (BitWidth::B8, BitWidth::B4),
    (BitWidth::B4, BitWidth::B4),
    (BitWidth::B8, BitWidth::B2),
];

#[test]
fn channels_of_other_sizes_are_quantized_as_if_they_had_one() {
    let even = network(Clamp::RELU);
    let uneven = uneven(&even);
    let values = values(&even.network, 120);
    let samples = Samples::real(even.network.shape(even.network.input), &values);
    for (a, b) in output(&even.network, &samples).iter().zip(output(&uneven, &samples)) {
        assert!((a - b).abs() < 1e-3, "in float the network is the same: {a} {b}");
    }
    for widths in WIDTHS {
        let errors = |network: &Network, calibration: Calibration| {
            quantized(network, &samples, calibration, widths).map(|model| error(&model, &samples, &values))
        };
        let plain = errors(&uneven, calibration(&uneven, &samples));
        let found = errors(&uneven, equalized(&uneven, &samples));
        let even = errors(&even.network, equalized(&even.network, &samples));
        println!("{widths:?}: uneven {plain:.5?}, equalized {found:.5?}, even {even:.5?}");
        for i in 0..2 {
            assert!(found[i] < 0.7 * plain[i], "{widths:?}: {} with factors, {} without", found[i], plain[i]);
            assert!(found[i] < 1.5 * even[i], "{widths:?}: {} where channels were uneven, {} else", found[i], even[i]);
        }
    }
}

#[test]
fn the_network_that_is_quantized_computes_the_same() {
    let mut networks =
        [Clamp::RELU, Clamp::RELU6, Clamp { lo: -1.5, hi: 2.0 }].map(|clamp| network(clamp).network).to_vec();
    networks.push(mobile(InputEncoding::Real));
    for (i, network) in networks.iter().enumerate() {
        let values = values(network, 60);
        let samples = Samples::real(network.shape(network.input), &values);
        let calibration = equalized(network, &samples);
        let expected = output(network, &samples);
        for widths in WIDTHS {
            for model in quantized(network, &samples, calibration.clone(), widths) {
                let scaled = Equalization::scaled(network, &model.equalized);
                for (a, b) in expected.iter().zip(output(&scaled, &samples)) {
                    assert!((a - b).abs() < 1e-4, "network {i} {widths:?}: {a} {b}");
                }
            }
        }
    }
}

#[test]
fn channels_that_meet_are_divided_by_the_same() {
    let mut named = network(Clamp::RELU);
    let ([trunk, branch, ..], [a, b, _]) = (named.sum, named.joined);
    make_uneven(&mut named.network, &[named.first, trunk, branch, a, b]);
    let values = values(&named.network, 60);
    let samples = Samples::real(named.network.shape(named.network.input), &values);
    let calibration = equalized(&named.network, &samples);
    let [model, _] = quantized(&named.network, &samples, calibration, (BitWidth::B8, BitWidth::B2));
    let factors = |tensor: TensorId| model.equalized[tensor.0].as_deref().expect("2 bits ask for factors");
    for tensor in named.sum {
        assert_eq!(factors(tensor), factors(named.sum[0]));
    }
    let [a, b, joined] = named.joined;
    assert_eq!([factors(a), factors(b)].concat(), factors(joined));
    assert!(model.equalized[named.network.input.0].is_none() && model.equalized[named.network.output.0].is_none());
    // Real values are those of the float network.
    let quant = model.activations[named.first.0];
    assert_eq!(model.encoding(named.first, 3).scale, quant.scale * factors(named.first)[3]);
}

#[test]
fn a_clamp_never_notices() {
    let clamp = Clamp { lo: 0.0, hi: 1.2 };
    let mut named = network(clamp);
    make_uneven(&mut named.network, &[named.first, named.depthwise]);
    let values = values(&named.network, 60);
    let samples = Samples::real(named.network.shape(named.network.input), &values);
    let tensors = FloatModel::new(&named.network).forward_tensors(&samples).unwrap();
    let calibration = equalized(&named.network, &samples);
    let [model, _] = quantized(&named.network, &samples, calibration, (BitWidth::B8, BitWidth::B2));
    let (mut at_bound, mut scaled) = (0, 0);
    for tensor in [named.first, named.depthwise] {
        let Some(factors) = &model.equalized[tensor.0] else { continue };
        for (c, factor) in factors.iter().enumerate() {
            let greatest = tensors[tensor.0].iter().skip(c).step_by(factors.len()).fold(0f32, |max, x| max.max(*x));
            if greatest >= clamp.hi {
                assert_eq!(*factor, 1.0);
                at_bound += 1;
            } else {
                assert!(f64::from(greatest) / factor <= f64::from(clamp.hi) * (1.0 + 1e-6));
                scaled += usize::from(*factor != 1.0);
            }
        }
    }
    assert!(at_bound > 0 && scaled > 0, "{at_bound} channels at the bound, {scaled} scaled");
}

#[test]
fn any_number_of_threads_finds_the_same() {
    let named = network(Clamp::RELU);
    let values = values(&named.network, 60);
    let samples = Samples::real(named.network.shape(named.network.input), &values);
    let plain = calibration(&named.network, &samples);
    let found = [1, 3].map(|threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| equalize(&named.network, &samples, &plain, &mut go()).unwrap())
    });
    assert!(!found[0].is_empty());
    assert_eq!(found[0], found[1]);
}

#[test]
fn it_stops_and_refuses() {
    let named = network(Clamp::RELU);
    let other = {
        let mut builder = Builder::new(Shape::new(8, 8, 3), InputEncoding::Real, 5);
        let mut at = TensorId(0);
        for _ in 0..named.network.tensors.len() - 1 {
            at = builder.conv(at, Window::of([1, 1]), 1, 3, Clamp::RELU);
        }
        builder.network
    };
    let values = values(&named.network, 60);
    let samples = Samples::real(named.network.shape(named.network.input), &values);
    let plain = calibration(&named.network, &samples);
    let stopped = equalize(&named.network, &samples, &plain, &mut |_, _| ControlFlow::Break(()));
    assert_eq!(stopped, Err(TrainError::Stopped));
    let mut affine = Builder::new(Shape::new(8, 8, 3), InputEncoding::Real, 5);
    affine.affine(TensorId(0));
    let refused = equalize(&affine.network, &samples, &calibration(&affine.network, &samples), &mut go());
    assert!(matches!(refused, Err(TrainError::NotRewritten { .. })), "{refused:?}");
    let of_this = equalized(&named.network, &samples);
    assert_eq!(other.tensors.len(), named.network.tensors.len());
    let request = PrepareRequest::everything(&other, PtqSettings::default());
    let refused = Ptq::prepare(&other, &samples, of_this, request, &mut go()).unwrap_err();
    assert!(matches!(refused, TrainError::Mismatch { .. }), "{refused}");
}
