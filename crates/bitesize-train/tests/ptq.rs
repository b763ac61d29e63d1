//! Post-training quantization of small random networks.

mod common;

use bitesize_ir::network::{InputEncoding, Network, NodeId};
use bitesize_ir::op::{Clamp, Op};
use bitesize_ir::shape::{Shape, Window};
use bitesize_ir::{BitWidth, Policy, PolicySpace, QuantizedModel, TensorId};
use bitesize_train::{
    Calibration, CalibrationSettings, FloatModel, PrepareRequest, PreparedLayer, Ptq, PtqSettings, Rounding, Samples,
    TrainError, Variant, calibrate, fake_quant_forward, quantize_nearest,
};
use common::{Builder, Numbers, mobile};
use std::ops::ControlFlow;

fn go() -> impl FnMut(usize, usize) -> ControlFlow<()> {
    |_, _| ControlFlow::Continue(())
}

fn pixels(network: &Network, images: usize) -> Vec<u8> {
    let mut numbers = Numbers::new(23);
    let size = network.shape(network.input).elements();
    // Smooth within an image, so that inputs of a window are correlated as those of photographs.
    let mut value = 0.0;
    (0..images * size)
        .map(|_| {
            value = 0.8 * value + 60.0 * numbers.next();
            (128.0 + value).clamp(0.0, 255.0) as u8
        })
        .collect()
}

fn pixel_network() -> Network {
    mobile(InputEncoding::Pixels { offset: vec![125.3, 123.0, 113.9] })
}

fn everything(network: &Network) -> PrepareRequest {
    PrepareRequest::everything(network, PtqSettings::default())
}

/// Prepares every layer at every width.
fn prepared<'a>(network: &'a Network, samples: &Samples<'_>) -> Ptq<'a> {
    Ptq::prepare(network, samples, calibration(network, samples), everything(network), &mut go()).unwrap()
}

fn calibration(network: &Network, samples: &Samples<'_>) -> Calibration {
    calibrate(network, samples, &CalibrationSettings::default(), &mut go()).unwrap()
}

/// Mean square error of the network's output against float, over its variance.
fn relative_error(model: &QuantizedModel, samples: &Samples<'_>, codes: &[u8]) -> f64 {
    let network = &model.network;
    let expected = FloatModel::new(network).forward(samples, &mut go()).unwrap();
    let found = &fake_quant_forward(model, codes).unwrap()[network.output.0];
    let quant = model.activations[network.output.0];
    let mean = expected.iter().map(|v| f64::from(*v)).sum::<f64>() / expected.len() as f64;
    let sum = |f: &dyn Fn(f64, f64) -> f64| -> f64 {
        expected.iter().zip(found).map(|(e, q)| f(f64::from(*e), quant.dequantize(*q)).powi(2)).sum()
    };
    sum(&|e, q| e - q) / sum(&|e, _| e - mean)
}

#[test]
fn better_methods_have_smaller_errors() {
    let network = pixel_network();
    let codes = pixels(&network, 200);
    let samples = Samples::pixels(network.shape(network.input), &codes);
    let calibration = calibration(&network, &samples);
    let space = PolicySpace::of(&network);
    let prepare = |rounding| {
        let settings = PtqSettings { rounding, ..PtqSettings::default() };
        let request = PrepareRequest::everything(&network, settings);
        Ptq::prepare(&network, &samples, calibration.clone(), request, &mut go()).unwrap()
    };
    let (nearest, compensated) = (prepare(Rounding::Nearest), prepare(Rounding::Compensated));
    let error = |model: QuantizedModel| relative_error(&model, &samples, &codes);
    for (bits, limit) in [(BitWidth::B8, 0.002), (BitWidth::B4, 0.05), (BitWidth::B2, 0.6)] {
        let policy = Policy::uniform(&space, bits, BitWidth::B8);
        let raw = error(quantize_nearest(&network, &calibration, &policy).unwrap());
        let sequential = |ptq: &Ptq<'_>| error(ptq.quantize_sequential(&policy, &samples, &mut go()).unwrap());
        let (rounded, best) = (sequential(&nearest), sequential(&compensated));
        let fast = error(compensated.quantize_fast(&policy).unwrap());
        println!("{bits} bits: raw {raw:.4}, nearest {rounded:.4}, fast {fast:.4}, compensated {best:.4}");
        assert!(best <= limit, "{bits} bits: {best}");
        if bits != BitWidth::B8 {
            assert!(best < rounded && rounded < raw && fast < raw, "{bits} bits");
        }
    }
}

#[test]
fn a_fast_model_takes_each_layer_from_its_width() {
    let network = pixel_network();
    let codes = pixels(&network, 20);
    let samples = Samples::pixels(network.shape(network.input), &codes);
    let ptq = prepared(&network, &samples);
    let space = PolicySpace::of(&network);
    let uniform = BitWidth::ALL.map(|bits| ptq.quantize_fast(&Policy::uniform(&space, bits, bits)).unwrap());
    let mut mixed = Policy::uniform(&space, BitWidth::B4, BitWidth::B2);
    let first = space.rows.iter().position(|row| row.weights).unwrap();
    mixed.rows[first].weights = Some(BitWidth::B8);
    let model = ptq.quantize_fast(&mixed).unwrap();
    for (i, weights) in model.weights.iter().enumerate() {
        let from = if NodeId(i) == space.rows[first].node { &uniform[2] } else { &uniform[1] };
        assert_eq!(*weights, from.weights[i], "node {i}");
    }
    for (tensor, quant) in model.activations.iter().enumerate() {
        let bits = mixed.tensor_bits(&network, &space)[tensor];
        assert_eq!(*quant, ptq.calibration().encoding(TensorId(tensor), bits));
    }
}

#[test]
fn biases_keep_the_mean_of_a_channel() {
    let offset = InputEncoding::Pixels { offset: vec![99.6, 130.2] };
    let mut builder = Builder::new(Shape::new(6, 6, 2), offset, 5);
    let x = builder.conv(TensorId(0), common::three(), 1, 7, Clamp::NONE);
    builder.depthwise(x, common::three(), Clamp::NONE);
    let network = builder.network;
    let codes = pixels(&network, 64);
    let samples = Samples::pixels(network.shape(network.input), &codes);
    let ptq = prepared(&network, &samples);
    let policy = Policy::uniform(&PolicySpace::of(&network), BitWidth::B2, BitWidth::B8);
    let model = ptq.quantize_sequential(&policy, &samples, &mut go()).unwrap();
    let expected = FloatModel::new(&network).forward_tensors(&samples).unwrap();
    let found = fake_quant_forward(&model, &codes).unwrap();
    for tensor in 1..3 {
        let (c, quant) = (network.tensors[tensor].shape.c, model.activations[tensor]);
        let rows = expected[tensor].len() / c;
        for channel in 0..c {
            let at = |row: usize| row * c + channel;
            let float = (0..rows).map(|r| f64::from(expected[tensor][at(r)])).sum::<f64>() / rows as f64;
            let codes = (0..rows).map(|r| quant.dequantize(found[tensor][at(r)])).sum::<f64>() / rows as f64;
            // What is left comes from values outside the range and from the rounding of the bias.
            let off = (float - codes).abs() / quant.scale;
            assert!(off < 1.0, "tensor {tensor}, channel {channel}: the mean is off by {off} codes");
        }
    }
}

#[test]
fn the_number_of_threads_changes_nothing() {
    let network = pixel_network();
    let codes = pixels(&network, 700);
    let samples = Samples::pixels(network.shape(network.input), &codes);
    let policy = Policy::uniform(&PolicySpace::of(&network), BitWidth::B2, BitWidth::B4);
    let with = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let ptq = prepared(&network, &samples);
            (ptq.quantize_fast(&policy).unwrap(), ptq.quantize_sequential(&policy, &samples, &mut go()).unwrap())
        })
    };
    assert!(with(1) == with(3));
}

#[test]
fn channels_without_weights_are_harmless() {
    let mut network = pixel_network();
    for node in &mut network.nodes {
        if let Some((weights, bias)) = node.op.parameters_mut() {
            let (length, channels) = (weights.len(), bias.len());
            for (i, weight) in weights.iter_mut().enumerate() {
                // Every third channel: all zero, tiny, and tiny beside a large bias.
                let channel = if length == 9 * channels { i % channels } else { i / (length / channels) };
                *weight *= [1.0, 0.0, 1e-30][channel % 3];
            }
            bias.iter_mut().enumerate().for_each(|(c, b)| *b *= [1.0, 0.0, 1.0][c % 3]);
        }
    }
    let codes = pixels(&network, 40);
    let samples = Samples::pixels(network.shape(network.input), &codes);
    let ptq = prepared(&network, &samples);
    for (bits, limit) in [(BitWidth::B8, 0.01), (BitWidth::B4, 0.2), (BitWidth::B2, 1.5)] {
        let policy = Policy::uniform(&PolicySpace::of(&network), bits, BitWidth::B8);
        for model in
            [ptq.quantize_fast(&policy).unwrap(), ptq.quantize_sequential(&policy, &samples, &mut go()).unwrap()]
        {
            let error = relative_error(&model, &samples, &codes);
            assert!(error <= limit, "{bits} bits: {error}");
        }
    }
}

#[test]
fn what_cannot_be_quantized_is_refused() {
    let network = pixel_network();
    let codes = pixels(&network, 4);
    let samples = Samples::pixels(network.shape(network.input), &codes);
    let calibration = calibration(&network, &samples);
    let prepare = |network: &Network, samples: &Samples<'_>, calibration: Calibration| {
        Ptq::prepare(network, samples, calibration, everything(network), &mut go()).map(|_| ())
    };
    assert_eq!(prepare(&network, &samples.range(0..0), calibration.clone()), Err(TrainError::NoSamples));
    let short = Calibration {
        tensors: calibration.tensors[1..].to_vec(),
        left_out: Vec::new(),
        output_channels: None,
        equalization: Default::default(),
    };
    assert!(matches!(prepare(&network, &samples, short), Err(TrainError::Mismatch { .. })));

    let mut builder = Builder::new(Shape::new(2, 2, 3), InputEncoding::Real, 1);
    let x = builder.conv(TensorId(0), Window::of([1, 1]), 1, 3, Clamp::NONE);
    builder.affine(x);
    let values = [0.5; 12];
    let real = Samples::real(Shape::new(2, 2, 3), &values);
    let ranges = calibrate(&builder.network, &real, &CalibrationSettings::default(), &mut go()).unwrap();
    let error = prepare(&builder.network, &real, ranges);
    assert_eq!(error, Err(TrainError::NotRewritten { node: "n1".into(), op: "channel_affine" }));
    assert!(matches!(builder.network.nodes[1].op, Op::ChannelAffine(_)));

    let ptq = prepared(&network, &samples);
    let policy = Policy::uniform(&PolicySpace::of(&network), BitWidth::B4, BitWidth::B8);
    let stopped = ptq.quantize_sequential(&policy, &samples, &mut |_, _| ControlFlow::Break(()));
    assert_eq!(stopped, Err(TrainError::Stopped));
}

/// Prepares what `wanted` lists, given `known`, and says how many images were looked at.
fn prepare_some(
    network: &Network,
    samples: &Samples<'_>,
    calibration: &Calibration,
    wanted: Vec<Vec<BitWidth>>,
    known: Vec<Option<PreparedLayer>>,
) -> (Vec<Option<PreparedLayer>>, usize) {
    let request = PrepareRequest { wanted, known, ..everything(network) };
    let mut images = 0;
    let mut progress = |done, _| {
        images = done;
        ControlFlow::Continue(())
    };
    let ptq = Ptq::prepare(network, samples, calibration.clone(), request, &mut progress).unwrap();
    (ptq.layers().to_vec(), images)
}

#[test]
fn a_layer_at_a_width_does_not_depend_on_its_company() {
    let network = pixel_network();
    let codes = pixels(&network, 300);
    let samples = Samples::pixels(network.shape(network.input), &codes);
    let all = prepared(&network, &samples).layers().to_vec();
    let calibration = calibration(&network, &samples);
    let prepare = |wanted, known| prepare_some(&network, &samples, &calibration, wanted, known);
    let nodes = network.nodes.len();
    let with_weights: Vec<usize> = (0..nodes).filter(|i| network.nodes[*i].op.parameters().is_some()).collect();

    let mut known = vec![None; nodes];
    for (i, bits) in with_weights.iter().flat_map(|i| BitWidth::ALL.map(|bits| (*i, bits))) {
        let mut wanted = vec![Vec::new(); nodes];
        wanted[i] = vec![bits];
        let (alone, _) = prepare(wanted.clone(), vec![None; nodes]);
        assert_eq!(alone[i].as_ref().unwrap().quant(bits), all[i].as_ref().unwrap().quant(bits), "node {i}, {bits}");
        assert_eq!(alone.iter().flatten().map(|layer| layer.quants.len()).sum::<usize>(), 1);
        for other in &with_weights {
            let means = |layers: &[Option<PreparedLayer>]| layers[*other].as_ref().unwrap().float_means.clone();
            assert_eq!(means(&alone), means(&all), "node {other}");
        }
        (known, _) = prepare(wanted, known);
    }
    assert_eq!(known, all);

    let (again, images) = prepare(vec![BitWidth::ALL.to_vec(); nodes], known);
    assert_eq!((again, images), (all, 0), "nothing was missing");
}

#[test]
fn layers_of_many_inputs_are_quantized_well() {
    let mut builder = Builder::new(Shape::new(10, 10, 30), InputEncoding::Real, 9);
    builder.conv(TensorId(0), Window::of([10, 10]), 1, 3, Clamp::NONE);
    let network = builder.network;
    let mut numbers = Numbers::new(4);
    let mut sample = || {
        let common = numbers.next();
        numbers.many(3_000, 0.7).into_iter().map(move |own| common + own)
    };
    let values: Vec<f32> = (0..24).flat_map(|_| sample()).collect();
    let samples = Samples::real(network.shape(network.input), &values);
    let wanted = vec![vec![BitWidth::B8, BitWidth::B4]];
    // Stretches of 128 inputs.
    let settings = PtqSettings { covariance_entries: 3_000 * 128, ..PtqSettings::default() };
    let request = PrepareRequest { wanted, settings, activations: BitWidth::ALL.to_vec(), known: vec![None] };
    let ptq = Ptq::prepare(&network, &samples, calibration(&network, &samples), request, &mut go()).unwrap();
    let space = PolicySpace::of(&network);
    for (bits, limit) in [(BitWidth::B8, 1e-3), (BitWidth::B4, 0.02)] {
        let policy = Policy::uniform(&space, bits, BitWidth::B8);
        for model in
            [ptq.quantize_fast(&policy).unwrap(), ptq.quantize_sequential(&policy, &samples, &mut go()).unwrap()]
        {
            let input = model.activations[network.input.0];
            let codes: Vec<u8> = values.iter().map(|v| input.quantize(f64::from(*v))).collect();
            let error = relative_error(&model, &samples, &codes);
            println!("{bits} bits: {error}");
            assert!(error <= limit, "{bits} bits: {error}");
        }
    }
}

#[test]
fn a_request_by_policies_holds_what_they_need_and_no_more() {
    let network = pixel_network();
    let codes = pixels(&network, 20);
    let samples = Samples::pixels(network.shape(network.input), &codes);
    let space = PolicySpace::of(&network);
    let uniform = |bits| Policy::uniform(&space, bits, bits);
    let request = PrepareRequest::of_policies(&network, [&uniform(BitWidth::B8)], PtqSettings::default());
    let ptq = Ptq::prepare(&network, &samples, calibration(&network, &samples), request, &mut go()).unwrap();
    let whole = prepared(&network, &samples);
    assert_eq!(ptq.quantize_fast(&uniform(BitWidth::B8)), whole.quantize_fast(&uniform(BitWidth::B8)));
    let first = network.nodes[0].name.clone();
    let missing = ptq.quantize_fast(&uniform(BitWidth::B4)).unwrap_err();
    assert_eq!(missing, TrainError::NotPrepared { node: first, bits: BitWidth::B4 });
    // Layer after layer, every width is at hand.
    let sequential = |ptq: &Ptq<'_>| ptq.quantize_sequential(&uniform(BitWidth::B2), &samples, &mut go()).unwrap();
    assert!(sequential(&ptq) == sequential(&whole));
}

#[test]
fn known_layers_of_another_network_are_refused() {
    let network = pixel_network();
    let codes = pixels(&network, 4);
    let samples = Samples::pixels(network.shape(network.input), &codes);
    let all = prepared(&network, &samples).layers().to_vec();
    let refused = |known: Vec<Option<PreparedLayer>>| {
        let request = PrepareRequest { known, ..everything(&network) };
        let result = Ptq::prepare(&network, &samples, calibration(&network, &samples), request, &mut go());
        matches!(result, Err(TrainError::Mismatch { .. }))
    };
    let change = |change: &dyn Fn(&mut PreparedLayer)| {
        let mut layers = all.clone();
        change(layers[0].as_mut().unwrap());
        layers
    };
    assert!(!refused(all.clone()));
    assert!(refused(all[1..].to_vec()));
    assert!(refused(change(&|layer| {
        let quant = layer.quants[&Variant::plain(BitWidth::B8)].clone();
        layer.quants.insert(Variant::plain(BitWidth::B4), quant);
    })));
    assert!(refused(change(&|layer| layer.float_means.push(0.0))));
    assert!(refused(change(&|layer| {
        layer.quants.get_mut(&Variant::plain(BitWidth::B8)).unwrap().bias.pop();
    })));
    let without_weights = network.nodes.iter().position(|node| node.op.parameters().is_none()).unwrap();
    let mut moved = all.clone();
    moved[without_weights] = all[0].clone();
    assert!(refused(moved));
}
