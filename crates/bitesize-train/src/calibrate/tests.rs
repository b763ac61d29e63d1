use super::*;
use bitesize_ir::network::{Node, Tensor};
use bitesize_ir::op::{Clamp, Op};
use bitesize_ir::shape::{Shape, Window};
use std::ops::ControlFlow;

/// `input -> add(x, x) -> after...`, each with one input.
fn chain(shape: Shape, after: Vec<Op>) -> Network {
    let mut ops = vec![Op::Add(Clamp::NONE)];
    ops.extend(after);
    let mut tensors = vec![Tensor { name: "t0".into(), shape }];
    let mut nodes = Vec::new();
    for (i, op) in ops.into_iter().enumerate() {
        let input = TensorId(i);
        let inputs = if matches!(op, Op::Add(_)) { vec![input, input] } else { vec![input] };
        let shapes: Vec<Shape> = inputs.iter().map(|t: &TensorId| tensors[t.0].shape).collect();
        tensors.push(Tensor { name: format!("t{}", i + 1), shape: op.output_shape(&shapes).unwrap() });
        nodes.push(Node { name: format!("n{i}"), op, inputs, output: TensorId(i + 1) });
    }
    let output = TensorId(tensors.len() - 1);
    let network = Network {
        name: "chain".into(),
        tensors,
        nodes,
        input: TensorId(0),
        output,
        input_encoding: InputEncoding::Real,
        tail: None,
    };
    network.validate().unwrap();
    network
}

fn ranges(network: &Network, values: &[f32], method: RangeMethod) -> Result<Calibration, TrainError> {
    let samples = Samples::real(network.shape(network.input), values);
    let settings = CalibrationSettings { method, ..CalibrationSettings::default() };
    calibrate(network, &samples, &settings, &mut |_, _| ControlFlow::Continue(()))
}

#[test]
fn min_max_covers_what_was_seen_and_zero() {
    let network = chain(Shape::vector(2), vec![Op::Add(Clamp::NONE)]);
    let found = ranges(&network, &[0.5, 1.0, 0.25, 2.0], RangeMethod::MinMax).unwrap();
    assert_eq!((found.tensors[1].lo, found.tensors[1].hi), (0.5, 4.0));
    for bits in BitWidth::ALL {
        let quant = found.encoding(TensorId(1), bits);
        assert_eq!((quant.zero, quant.dequantize(bits.max_code())), (0, 4.0), "{bits} bits");
    }
}

#[test]
fn a_tensor_is_calibrated_on_what_the_clamp_after_it_keeps() {
    let network = chain(Shape::vector(4), vec![Op::Clamp(Clamp { lo: 0.0, hi: 3.0 }), Op::Add(Clamp::NONE)]);
    let found = ranges(&network, &[-9.0, -1.0, 0.5, 7.0], RangeMethod::MinMax).unwrap();
    assert_eq!((found.tensors[1].lo, found.tensors[1].hi), (-18.0, 14.0));
    let quant = found.encoding(TensorId(1), BitWidth::B8);
    assert_eq!((quant.zero, quant.dequantize(255)), (0, 3.0));
    assert_eq!(found.tensors[1].encodings, found.tensors[2].encodings);
}

#[test]
fn a_max_pool_shares_the_encoding_of_its_input() {
    let network = chain(Shape::new(4, 4, 1), vec![Op::MaxPool(Window::of([2, 2])), Op::Add(Clamp::NONE)]);
    let values: Vec<f32> = (0..16).map(|i| i as f32 - 8.0).collect();
    let found = ranges(&network, &values, RangeMethod::MinError).unwrap();
    assert_eq!(found.tensors[1].encodings, found.tensors[2].encodings);
}

#[test]
fn the_output_has_its_least_and_greatest_value_whatever_the_method() {
    let network = chain(Shape::vector(50), vec![]);
    let mut values: Vec<f32> = (0..50).map(|i| (i as f32 * 0.7).sin()).collect();
    values[3] = 40.0;
    let found = ranges(&network, &values, RangeMethod::MinError).unwrap();
    assert!(found.encoding(TensorId(1), BitWidth::B2).dequantize(3) >= 53.0);
}

#[test]
fn an_outlier_is_cut_off_at_few_bits_and_kept_out_of_a_percentile() {
    let network = chain(Shape::vector(10_000), vec![Op::Add(Clamp::NONE)]);
    let mut values: Vec<f32> = (0..10_000).map(|i| (i as f32 / 10_000.0).powi(2)).collect();
    values[17] = 8.0;
    let top = |method, bits: BitWidth| {
        ranges(&network, &values, method).unwrap().encoding(TensorId(1), bits).dequantize(bits.max_code())
    };
    assert_eq!(top(RangeMethod::MinMax, BitWidth::B4), 16.0);
    assert!(top(RangeMethod::MinError, BitWidth::B4) < 5.0);
    assert!((1.9..2.1).contains(&top(RangeMethod::Percentile(0.99), BitWidth::B4)));
}

#[test]
fn pixels_keep_their_codes() {
    let mut network = chain(Shape::vector(3), vec![Op::Add(Clamp::NONE)]);
    network.input_encoding = InputEncoding::Pixels { offset: vec![100.0; 3] };
    let samples = Samples::pixels(Shape::vector(3), &[0, 128, 255]);
    let found = calibrate(&network, &samples, &CalibrationSettings::default(), &mut |_, _| ControlFlow::Continue(()));
    let quant = found.unwrap().encoding(TensorId(0), BitWidth::B8);
    assert_eq!((quant.scale, quant.zero), (1.0, 0));
}

#[test]
fn what_cannot_be_calibrated_is_refused() {
    let network = chain(Shape::vector(1), vec![]);
    assert_eq!(ranges(&network, &[], RangeMethod::MinMax), Err(TrainError::NoSamples));
    let overflow = ranges(&network, &[f32::MAX], RangeMethod::MinMax);
    assert_eq!(overflow, Err(TrainError::NotFinite { tensor: "t1".into(), sample: 0 }));
    let stopped =
        calibrate(&network, &Samples::real(Shape::vector(1), &[1.0]), &CalibrationSettings::default(), &mut |_, _| {
            ControlFlow::Break(())
        });
    assert_eq!(stopped, Err(TrainError::Stopped));
}

#[test]
fn a_tensor_that_is_always_zero_has_an_encoding() {
    let network = chain(Shape::vector(2), vec![Op::Add(Clamp::NONE)]);
    let found = ranges(&network, &[0.0, 0.0], RangeMethod::MinError).unwrap();
    assert_eq!(found.encoding(TensorId(1), BitWidth::B2), ActivationQuant { bits: BitWidth::B2, scale: 1.0, zero: 0 });
}

#[test]
fn a_sample_far_beyond_the_others_changes_nothing() {
    let network = chain(Shape::vector(8), vec![Op::Add(Clamp::NONE)]);
    let usual = |i: usize| ((i * 37 % 101) as f32 / 50.0 - 1.0) * 1.3;
    let values: Vec<f32> = (0..8 * 60).map(usual).collect();
    for bad in [[30.0; 8], [-500.0; 8], [1e20; 8], [0.0, 0.0, 40.0, 0.0, 0.0, 0.0, 0.0, 0.0]] {
        let mut with = values.clone();
        with.splice(8 * 17..8 * 17, bad);
        for method in [RangeMethod::MinError, RangeMethod::MinMax, RangeMethod::Percentile(0.999)] {
            let (clean, found) = (ranges(&network, &values, method).unwrap(), ranges(&network, &with, method).unwrap());
            assert_eq!(found.tensors, clean.tensors, "{method:?} with {bad:?}");
            assert_eq!(clean.left_out, []);
            let [left_out] = &found.left_out[..] else { panic!("{:?}", found.left_out) };
            assert_eq!((left_out.sample, left_out.tensor.as_str()), (17, "t0"));
            assert!(left_out.factor > 10.0, "{left_out:?}");
        }
    }
}

#[test]
fn a_sample_that_overflows_is_told() {
    let network = chain(Shape::vector(2), vec![]);
    let mut values = [0.5; 40];
    values[2 * 13] = f32::MAX;
    let overflow = ranges(&network, &values, RangeMethod::MinError);
    assert_eq!(overflow, Err(TrainError::NotFinite { tensor: "t1".into(), sample: 13 }));
}
