//! The gradient engine: against the float network, against finite differences, in pieces, at any number of threads.

mod common;

use bitesize_ir::network::{InputEncoding, Network, TensorId};
use bitesize_ir::op::{Clamp, Op};
use bitesize_ir::requantize::WeightLayout;
use bitesize_ir::shape::{Axis, Pads, Shape, Window};
use bitesize_ir::{ActivationQuant, BitWidth};
use bitesize_train::engine::{Batch, Boundary, Drop, Encoding, Engine, Gradients, Parameters};
use bitesize_train::{FloatModel, Samples, TrainError};
use common::{Builder, Numbers, mobile, three, window};

const IMAGES: usize = 3;

/// Operators of every kind, each on a path to the output.
fn all_operators() -> Network {
    let x = TensorId(0);
    let mut b = Builder::new(Shape::new(9, 8, 3), InputEncoding::Real, 5);
    let stem = b.conv(x, window([3, 3], [1, 1], [1, 1], [1, 1, 1, 0]), 1, 12, Clamp::RELU);
    let fine = b.depthwise(stem, three(), Clamp::RELU6);
    let wide = b.depthwise(stem, window([5, 5], [1, 1], [1, 1], [2, 2, 2, 2]), Clamp::NONE);
    let sum = b.push(Op::Add(Clamp::RELU), &[fine, wide]);
    let half = b.depthwise(sum, window([3, 3], [2, 2], [1, 1], [1, 1, 1, 1]), Clamp::NONE);
    let odd = b.depthwise(half, window([3, 2], [1, 1], [1, 2], [1, 1, 1, 1]), Clamp::NONE);
    let grouped = b.conv(half, window([3, 3], [1, 1], [1, 2], [1, 1, 1, 0]), 3, 9, Clamp::RELU);
    let padded = b.push(Op::Pad(Pads { top: 0, left: 1, bottom: 0, right: 2 }), &[grouped]);
    let pooled = b.push(Op::MaxPool(window([2, 3], [1, 1], [1, 1], [1, 1, 0, 1])), &[padded]);
    let narrow = b.conv(odd, Window::of([1, 1]), 1, 5, Clamp::NONE);
    let bounded = b.push(Op::Clamp(Clamp { lo: -0.6, hi: 0.9 }), &[narrow]);
    let joined = b.push(Op::Concat, &[pooled, bounded, pooled]);
    let average = b.average(joined, window([2, 2], [2, 2], [1, 1], [1, 0, 0, 1]), true);
    let mean = b.average(average, window([2, 2], [1, 1], [1, 1], [0, 1, 1, 0]), false);
    let flat = b.push(Op::Flatten([Axis::C, Axis::H, Axis::W]), &[mean]);
    b.fully_connected(flat, 4);
    b.network.validate().expect("the network is legal");
    b.network
}

fn values(network: &Network, images: usize) -> Vec<f32> {
    Numbers::new(7).many(images * network.shape(network.input).elements(), 1.0)
}

/// A loss with a slope of another size everywhere: the sum of `(i % 7 - 3) * v + v^2 / 4`.
fn loss(_: std::ops::Range<usize>, values: &[Vec<f32>], gradients: &mut [Vec<f32>]) -> f64 {
    let mut sum = 0.0;
    for (values, gradients) in values.iter().zip(gradients) {
        for (i, (value, gradient)) in values.iter().zip(gradients).enumerate() {
            let factor = (i % 7) as f32 - 3.0;
            sum += f64::from(factor * value) + f64::from(*value).powi(2) / 4.0;
            *gradient += factor + value / 2.0;
        }
    }
    sum
}

fn loss_of(network: &Network, parameters: &Parameters, values: &[f32]) -> f64 {
    let batch = Batch { inputs: &[Boundary::Values(values)], dropped: None };
    Engine::whole(network).unwrap().step(parameters, &batch, &loss).unwrap().loss
}

/// Encodings whose ranges cut off the largest values of each tensor.
fn encodings(network: &Network, values: &[f32], bits: BitWidth) -> Vec<ActivationQuant> {
    let samples = Samples::real(network.shape(network.input), values);
    let tensors = FloatModel::new(network).forward_tensors(&samples).unwrap();
    let of = |root: &TensorId| {
        let range = |f: fn(f32, f32) -> f32| f64::from(tensors[root.0].iter().copied().fold(0.0, f));
        ActivationQuant::from_range(0.8 * range(f32::min), 0.8 * range(f32::max), bits)
    };
    network.encoding_roots().iter().map(of).collect()
}

/// Weights with scales, and the bounds of codes without their rounding.
fn unrounded(network: &Network, values: &[f32]) -> Parameters {
    let mut parameters = Parameters::real(network);
    let quants = encodings(network, values, BitWidth::B4);
    parameters.encodings = quants.into_iter().map(Encoding::Unrounded).collect();
    for (layer, node) in parameters.layers.iter_mut().zip(&network.nodes) {
        let (Some(layer), Some(layout)) = (layer, WeightLayout::of(&node.op)) else { continue };
        layer.scales.iter_mut().enumerate().for_each(|(c, scale)| *scale = 0.01 * (1.0 + (c % 3) as f64));
        for (i, level) in layer.levels.iter_mut().enumerate() {
            *level /= layer.scales[layout.out_channel(i)] as f32;
        }
    }
    parameters
}

/// Compares slopes of the loss with gradients, leaving out places where a kink lies.
struct Slopes {
    compared: usize,
    left_out: usize,
}

impl Slopes {
    /// `at` gives the loss with the parameter moved; `size` is the largest gradient of its list.
    fn check(&mut self, what: &str, gradient: f64, size: f64, step: f64, mut at: impl FnMut(f64) -> f64) {
        let mut sides = |step: f64| [at(step), at(0.0), at(-step)];
        let slope = |[above, _, below]: [f64; 3], step: f64| (above - below) / (2.0 * step);
        let (wide, near) = (sides(step), sides(step / 2.0));
        // On one side of a kink the loss has another slope than on the other.
        let bend = (wide[0] - 2.0 * wide[1] + wide[2]).abs() / step;
        let (wide, near) = (slope(wide, step), slope(near, step / 2.0));
        let tolerance = 5e-3 * size.max(0.1);
        if bend > tolerance || (wide - near).abs() > tolerance / 2.0 {
            self.left_out += 1;
            return;
        }
        self.compared += 1;
        assert!((gradient - near).abs() <= tolerance, "{what}: {gradient}, but the loss has the slope {near} ({size})");
    }
}

fn largest(values: &[f32]) -> f64 {
    values.iter().fold(0.0, |largest, value| f64::from(value.abs()).max(largest))
}

fn check_slopes(network: &Network, parameters: &Parameters) {
    let values = values(network, IMAGES);
    let batch = Batch { inputs: &[Boundary::Values(&values)], dropped: None };
    let whole = 0..network.nodes.len();
    let mut engine = Engine::new(network, whole, &[network.output], true).unwrap();
    let gradients: Gradients = engine.step(parameters, &batch, &loss).unwrap().gradients.clone();
    let mut slopes = Slopes { compared: 0, left_out: 0 };
    for (index, node) in network.nodes.iter().enumerate() {
        let Some(layout) = WeightLayout::of(&node.op) else { continue };
        let (found, count) = (&gradients.layers[index], gradients.layers[index].weights.len());
        for i in (0..count).step_by((count / 12).max(1)) {
            let what = format!("weight {i} of node {index}");
            slopes.check(&what, f64::from(found.weights[i]), largest(&found.weights), 1e-3, |step| {
                let mut moved = parameters.clone();
                let layer = moved.layers[index].as_mut().unwrap();
                layer.levels[i] += (step / layer.scales[layout.out_channel(i)]) as f32;
                loss_of(network, &moved, &values)
            });
        }
        for (c, gradient) in found.bias.iter().enumerate() {
            let what = format!("bias {c} of node {index}");
            slopes.check(&what, f64::from(*gradient), largest(&found.bias), 1e-3, |step| {
                let mut moved = parameters.clone();
                moved.layers[index].as_mut().unwrap().bias[c] += step;
                loss_of(network, &moved, &values)
            });
        }
    }
    for (tensor, gradient) in gradients.scales.iter().enumerate() {
        let Encoding::Unrounded(quant) = parameters.encodings[tensor] else { continue };
        let size = gradient.abs().max(1.0);
        slopes.check(&format!("scale of tensor {tensor}"), *gradient, size, 1e-3 * quant.scale, |step| {
            let mut moved = parameters.clone();
            for (encoding, root) in moved.encodings.iter_mut().zip(network.encoding_roots()) {
                if let Encoding::Unrounded(quant) = encoding
                    && root.0 == tensor
                {
                    quant.scale += step;
                }
            }
            loss_of(network, &moved, &values)
        });
    }
    let by_input = &engine.input_gradients()[0];
    for i in (0..values.len()).step_by(values.len() / 20) {
        slopes.check(&format!("input {i}"), f64::from(by_input[i]), largest(by_input), 1e-3, |step| {
            let mut moved = values.clone();
            moved[i] += step as f32;
            loss_of(network, parameters, &moved)
        });
    }
    println!("{} slopes compared, {} left out", slopes.compared, slopes.left_out);
    assert!(slopes.compared > 2 * slopes.left_out, "{} compared, {} left out", slopes.compared, slopes.left_out);
}

#[test]
fn gradients_in_float_are_the_slopes_of_the_loss() {
    for network in [all_operators(), mobile(InputEncoding::Real)] {
        check_slopes(&network, &Parameters::real(&network));
    }
}

#[test]
fn gradients_between_the_bounds_of_codes_are_the_slopes_of_the_loss() {
    for network in [all_operators(), mobile(InputEncoding::Real)] {
        let parameters = unrounded(&network, &values(&network, IMAGES));
        check_slopes(&network, &parameters);
    }
}

#[test]
fn in_float_it_computes_what_the_float_network_does() {
    for network in [all_operators(), mobile(InputEncoding::Real)] {
        let values = values(&network, 21);
        let samples = Samples::real(network.shape(network.input), &values);
        let expected = FloatModel::new(&network).forward_tensors(&samples).unwrap();
        let outputs: Vec<TensorId> = network.nodes.iter().map(|node| node.output).collect();
        let mut engine = Engine::new(&network, 0..network.nodes.len(), &outputs, false).unwrap();
        let batch = Batch { inputs: &[Boundary::Values(&values)], dropped: None };
        let found = engine.forward(&Parameters::real(&network), &batch).unwrap();
        for (tensor, found) in outputs.iter().zip(&found) {
            let (expected, size) = (&expected[tensor.0], largest(&expected[tensor.0]));
            assert_eq!(expected.len(), found.len());
            let apart = expected.iter().zip(found).map(|(a, b)| f64::from((a - b).abs())).fold(0.0, f64::max);
            assert!(apart <= 1e-5 * size, "tensor {}: off by {apart} of {size}", tensor.0);
        }
    }
}

fn quantized(network: &Network, values: &[f32], bits: BitWidth) -> Parameters {
    let mut parameters = Parameters::real(network);
    parameters.encodings = encodings(network, values, bits).into_iter().map(Encoding::Codes).collect();
    for (layer, node) in parameters.layers.iter_mut().zip(&network.nodes) {
        let (Some(layer), Some(layout)) = (layer, WeightLayout::of(&node.op)) else { continue };
        layer.scales.fill(0.02);
        for (i, level) in layer.levels.iter_mut().enumerate() {
            *level = (*level / layer.scales[layout.out_channel(i)] as f32).round().clamp(-127.0, 127.0);
        }
    }
    parameters
}

/// One pixel of one channel through an average over itself: a quantizer and nothing else.
#[test]
fn scales_of_activations_are_learned_by_the_formulas_of_lsq() {
    let mut b = Builder::new(Shape::vector(1), InputEncoding::Real, 1);
    b.global_average(TensorId(0));
    let network = b.network;
    let quant = ActivationQuant { bits: BitWidth::B2, scale: 0.5, zero: 1 };
    let mut parameters = Parameters::real(&network);
    parameters.encodings[1] = Encoding::Codes(quant);
    // Value, what becomes of it, gradient by it and by the scale, for a gradient of 1 by the output.
    let cases = [
        (0.3f32, 0.5f32, 1.0f32, 1.0 - 0.6),
        (0.2, 0.0, 1.0, 0.0 - 0.4),
        (0.25, 0.5, 1.0, 1.0 - 0.5),
        (-0.3, -0.5, 1.0, -1.0 + 0.6),
        (-0.8, -0.5, 0.0, -1.0),
        (0.9, 1.0, 1.0, 2.0 - 1.8),
        (1.7, 1.0, 0.0, 2.0),
    ];
    for (value, expected, by_value, by_scale) in cases {
        let mut engine = Engine::new(&network, 0..1, &[network.output], true).unwrap();
        let batch = Batch { inputs: &[Boundary::Values(&[value])], dropped: None };
        assert_eq!(engine.forward(&parameters, &batch).unwrap(), [[expected]], "{value}");
        let step = engine.step(&parameters, &batch, &|_, _, gradients| {
            gradients[0][0] = 1.0;
            0.0
        });
        let found = step.unwrap().gradients.scales[1];
        assert!((found - by_scale).abs() < 1e-6, "{value}: {found} by the scale, not {by_scale}");
        assert_eq!(engine.input_gradients(), [[by_value]], "{value}");
    }
}

#[test]
fn the_number_of_threads_changes_nothing() {
    for network in [all_operators(), mobile(InputEncoding::Real)] {
        let values = values(&network, 45);
        let parameters = quantized(&network, &values, BitWidth::B4);
        for parameters in [parameters, Parameters::real(&network)] {
            let with = |threads: usize| {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                pool.install(|| {
                    let mut engine = Engine::new(&network, 0..network.nodes.len(), &[network.output], true).unwrap();
                    let dropped = Some(Drop::new(3, 0.5));
                    let batch = Batch { inputs: &[Boundary::Values(&values)], dropped };
                    let step = engine.step(&parameters, &batch, &loss).unwrap();
                    let found = (step.loss, step.gradients.clone());
                    // What an earlier step left behind changes nothing either.
                    let again = engine.step(&parameters, &batch, &loss).unwrap();
                    assert_eq!((again.loss, again.gradients), (found.0, &found.1));
                    (found, engine.input_gradients().to_vec())
                })
            };
            assert_eq!(with(1), with(2));
            assert_eq!(with(1), with(5));
        }
    }
}

/// Two segments one after the other, the second's gradients by its inputs injected at the first's outputs, are the whole.
#[test]
fn segments_add_up_to_the_whole() {
    let network = all_operators();
    let values = values(&network, 12);
    let batch = Batch { inputs: &[Boundary::Values(&values)], dropped: None };
    for parameters in [quantized(&network, &values, BitWidth::B4), Parameters::real(&network)] {
        let mut whole = Engine::whole(&network).unwrap();
        let expected = whole.step(&parameters, &batch, &loss).unwrap();
        for cut in [3, 5, 9] {
            let all = network.nodes.len();
            let mut second = Engine::new(&network, cut..all, &[network.output], true).unwrap();
            let between = second.inputs().to_vec();
            let mut first = Engine::new(&network, 0..cut, &between, false).unwrap();
            let middle = first.forward(&parameters, &batch).unwrap();
            let inputs: Vec<_> = middle.iter().map(|values| Boundary::Values(values)).collect();
            let of_second = second.step(&parameters, &Batch { inputs: &inputs, dropped: None }, &loss).unwrap();
            assert!((of_second.loss - expected.loss).abs() <= 1e-5 * expected.loss.abs());
            let of_second = of_second.gradients.clone();
            let given = second.input_gradients();
            let inject = |images: std::ops::Range<usize>, values: &[Vec<f32>], gradients: &mut [Vec<f32>]| {
                for ((values, gradient), given) in values.iter().zip(gradients).zip(given) {
                    let size = values.len() / images.len();
                    gradient.copy_from_slice(&given[images.start * size..images.end * size]);
                }
                0.0
            };
            let of_first = first.step(&parameters, &batch, &inject).unwrap().gradients;
            for (index, expected) in expected.gradients.layers.iter().enumerate() {
                let found = if index < cut { &of_first.layers[index] } else { &of_second.layers[index] };
                let size = largest(&expected.weights);
                let apart = expected.weights.iter().zip(&found.weights).map(|(a, b)| f64::from((a - b).abs()));
                assert!(apart.fold(0.0, f64::max) <= 1e-4 * size, "node {index}, cut at {cut}");
            }
        }
    }
}

/// With every element dropped, an activation's rounding and range do nothing; with none, everything stays.
#[test]
fn dropping_leaves_values_unquantized() {
    let network = all_operators();
    let values = values(&network, 12);
    let parameters = quantized(&network, &values, BitWidth::B2);
    let at = |probability: Option<f64>| {
        let dropped = probability.map(|probability| Drop::new(9, probability));
        let batch = Batch { inputs: &[Boundary::Values(&values)], dropped };
        Engine::new(&network, 0..1, &[network.nodes[0].output], false).unwrap().forward(&parameters, &batch).unwrap()
    };
    let levels = |values: &[f32]| values.iter().map(|v| v.to_bits()).collect::<std::collections::BTreeSet<_>>().len();
    let [none, half, all] = [Some(0.0), Some(0.5), Some(1.0)].map(at);
    assert_eq!(none, at(None));
    let counts = [&none, &all].map(|values| levels(&values[0]));
    assert!(counts[0] <= 4 && counts[1] > 100, "{counts:?} different values");
    let same = |a: &[f32], b: &[f32]| a.iter().zip(b).filter(|(a, b)| a == b).count();
    let pairs = none[0].iter().zip(&half[0]).zip(&all[0]);
    assert!(pairs.clone().all(|((none, half), all)| half == none || half == all));
    let (differ, count) = (pairs.filter(|((none, _), all)| none != all).count(), none[0].len());
    let dropped = (count - same(&none[0], &half[0])) as f64 / differ as f64;
    assert!((dropped - 0.5).abs() < 0.05, "{dropped} of the elements were dropped");
    let codes = vec![1; values.len()];
    let mixed = |probability| {
        let inputs = [Boundary::Mixed { codes: &codes, values: &values }];
        let batch = Batch { inputs: &inputs, dropped: Some(Drop::new(2, probability)) };
        Engine::new(&network, 0..1, &[network.nodes[0].output], false).unwrap().forward(&parameters, &batch).unwrap()
    };
    let plain = |inputs: &[Boundary<'_>]| {
        let batch = Batch { inputs, dropped: None };
        Engine::new(&network, 0..1, &[network.nodes[0].output], false).unwrap().forward(&parameters, &batch).unwrap()
    };
    assert_eq!(mixed(0.0), plain(&[Boundary::Codes(&codes)]));
    assert_ne!(mixed(0.5), mixed(0.0));
}

#[test]
fn what_does_not_fit_together_is_refused() {
    let network = all_operators();
    let shape = network.shape(network.input);
    let values = values(&network, 2);
    let refused = |error: TrainError, part: &str| assert!(error.to_string().contains(part), "{error}");
    let nodes = network.nodes.len();
    refused(Engine::new(&network, 0..nodes + 1, &[network.output], false).unwrap_err(), "there are no nodes");
    refused(Engine::new(&network, 0..2, &[network.output], false).unwrap_err(), "do not write tensor");
    refused(Engine::new(&network, 0..2, &[], false).unwrap_err(), "no output");
    let mut engine = Engine::whole(&network).unwrap();
    let mut forward = |parameters: &Parameters, inputs: &[Boundary<'_>]| {
        engine.forward(parameters, &Batch { inputs, dropped: None }).unwrap_err()
    };
    let real = Parameters::real(&network);
    refused(forward(&real, &[]), "1 tensors go in, 0 were given");
    refused(forward(&real, &[Boundary::Values(&values[1..])]), &format!("takes {} values", shape.elements()));
    refused(forward(&real, &[Boundary::Mixed { codes: &[1], values: &values }]), "another number of codes");
    let mut short = real.clone();
    short.encodings.pop();
    refused(forward(&short, &[Boundary::Values(&values)]), "list of encodings");
    let mut short = real.clone();
    short.layers[0] = None;
    refused(forward(&short, &[Boundary::Values(&values)]), "list of weight levels");
    refused(Engine::new(&network, 0..nodes, &[network.output; 2], false).unwrap_err(), "asked for twice");
    let of_pixels = mobile(InputEncoding::Pixels { offset: vec![1.5; 3] });
    let mut parameters = Parameters::real(&of_pixels);
    parameters.encodings.fill(Encoding::Codes(ActivationQuant { bits: BitWidth::B8, scale: 1.0, zero: 0 }));
    let values = self::values(&of_pixels, 1);
    let batch = Batch { inputs: &[Boundary::Values(&values)], dropped: None };
    refused(Engine::whole(&of_pixels).unwrap().forward(&parameters, &batch).unwrap_err(), "holds raw pixels");
    let mut b = Builder::new(Shape::new(4, 3, 6), InputEncoding::Real, 1);
    b.affine(TensorId(0));
    assert!(matches!(Engine::whole(&b.network).unwrap_err(), TrainError::NotRewritten { .. }));
}
