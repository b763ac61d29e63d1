//! Outputs that are quantities of different sizes: a scale and a zero point for each.

use bitesize::run::weights;
use bitesize_codegen::{EmitOptions, Reading, emit};
use bitesize_integer::{Interpreter, lower};
use bitesize_ir::memory::{Widths, ram};
use bitesize_ir::network::{InputEncoding, Network, Node, Tensor, TensorId};
use bitesize_ir::op::{Clamp, FullyConnected, Op};
use bitesize_ir::target::CoreCosts;
use bitesize_ir::{BitWidth, Policy, PolicySpace, QuantizedModel, Shape};
use bitesize_train::{CalibrationSettings, FloatModel, PrepareRequest, Ptq, PtqSettings, Samples, calibrate};
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use std::ops::ControlFlow;

const INPUTS: usize = 16;
const HIDDEN: usize = 32;
/// The sizes of the outputs, and what is added to each: the last two have ranges on one side of 0 each.
const OUTPUTS: [(f32, f32); 4] = [(1.0, 0.0), (1000.0, 0.0), (30.0, -32.0), (0.01, 0.011)];

/// A hidden layer with a ReLU, and a layer of the four quantities.
fn network(rng: &mut ChaCha8Rng) -> Network {
    let mut draw =
        |count: usize, size: f32| -> Vec<f32> { (0..count).map(|_| size * rng.random_range(-1f32..1.0)).collect() };
    let (weights, bias) = (draw(HIDDEN * INPUTS, 0.4), draw(HIDDEN, 0.1));
    let hidden = FullyConnected { weights, bias, clamp: Clamp::RELU };
    let weights = OUTPUTS.iter().flat_map(|(size, _)| draw(HIDDEN, size / 4.0)).collect();
    let bias = OUTPUTS.iter().map(|(_, shift)| *shift).collect();
    let last = FullyConnected { weights, bias, clamp: Clamp::NONE };
    let tensor = |name: &str, c| Tensor { name: name.into(), shape: Shape::vector(c) };
    let node = |name: &str, op, at| Node {
        name: name.into(),
        op: Op::FullyConnected(op),
        inputs: vec![TensorId(at)],
        output: TensorId(at + 1),
    };
    Network {
        name: "quantities".into(),
        tensors: vec![tensor("x", INPUTS), tensor("h", HIDDEN), tensor("y", OUTPUTS.len())],
        nodes: vec![node("hidden", hidden, 0), node("last", last, 1)],
        input: TensorId(0),
        output: TensorId(2),
        input_encoding: InputEncoding::Real,
        tail: None,
    }
}

/// At 8/8, with or without a range for each output.
fn quantized(network: &Network, samples: &Samples<'_>, output_per_channel: bool) -> QuantizedModel {
    let go_on = &mut |_, _| ControlFlow::Continue(());
    let settings = CalibrationSettings { output_per_channel, ..CalibrationSettings::default() };
    let calibration = calibrate(network, samples, &settings, go_on).unwrap();
    assert_eq!(calibration.output_channels.is_some(), output_per_channel);
    let request = PrepareRequest::everything(network, PtqSettings::default());
    let ptq = Ptq::prepare(network, samples, calibration, request, go_on).unwrap();
    let policy = Policy::uniform(&PolicySpace::of(network), BitWidth::B8, BitWidth::B8);
    let fast = ptq.quantize_fast(&policy).unwrap();
    let model = ptq.quantize_sequential(&policy, samples, go_on).unwrap();
    assert_eq!(fast.output_channels, model.output_channels);
    model
}

/// For each output how many codes occur on `values`, and the signal over the error in dB, the mean taken off.
fn measured(model: &QuantizedModel, values: &[f32]) -> Vec<(usize, f64)> {
    let network = &model.network;
    let integers = lower(model).unwrap();
    let input: Vec<u8> = values.iter().map(|x| model.activations[0].quantize(f64::from(*x))).collect();
    let codes = Interpreter::new(&integers).run_batch(&input);
    let found = model.output_values(&codes);
    let samples = Samples::real(network.shape(network.input), values);
    let float = FloatModel::new(network).forward(&samples, &mut |_, _| ControlFlow::Continue(())).unwrap();
    let count = OUTPUTS.len();
    let of_output = |c: usize| {
        let real: Vec<f64> = float.iter().skip(c).step_by(count).map(|x| f64::from(*x)).collect();
        let mean = real.iter().sum::<f64>() / real.len() as f64;
        let signal: f64 = real.iter().map(|x| (x - mean).powi(2)).sum();
        let error: f64 = real.iter().zip(found.iter().skip(c).step_by(count)).map(|(x, y)| (x - y).powi(2)).sum();
        let distinct: std::collections::BTreeSet<u8> = codes.iter().skip(c).step_by(count).copied().collect();
        (distinct.len(), 10.0 * (signal / error).log10())
    };
    (0..count).map(of_output).collect()
}

#[test]
fn each_quantity_gets_codes_of_its_own() {
    let mut rng = ChaCha8Rng::seed_from_u64(13);
    let network = network(&mut rng);
    network.validate().unwrap();
    let values: Vec<f32> = (0..1024 * INPUTS).map(|_| rng.random_range(-1f32..1.0)).collect();
    let samples = Samples::real(Shape::vector(INPUTS), &values);

    let one_scale = measured(&quantized(&network, &samples, false), &values);
    assert!(one_scale[0].0 <= 3 && one_scale[3].0 == 1, "{one_scale:?}");
    let model = quantized(&network, &samples, true);
    let each = measured(&model, &values);
    eprintln!("codes and dB with one scale: {one_scale:.1?}; with a scale for each output: {each:.1?}");
    for (codes, db) in &each {
        assert!(*codes >= 100 && *db > 30.0, "{each:?}");
    }
    // On one side of 0 each.
    let zeros: Vec<u8> = model.output_channels.iter().flatten().map(|quant| quant.zero).collect();
    assert!(zeros[2] == 255 && zeros[3] == 0, "{zeros:?}");

    // What is written is read back, and the header says how to read each channel.
    let bytes = weights::to_bytes(&model, "00").unwrap();
    assert_eq!(weights::from_bytes(&bytes, &network, &PolicySpace::of(&network), "00").unwrap(), model);
    let core = CoreCosts::from_toml(include_str!("../../../targets/cores/cortex-m4.toml")).unwrap();
    let widths = Widths::of(&network, &PolicySpace::of(&network), &model.policy);
    let integers = lower(&model).unwrap();
    let options = &EmitOptions { reading: Reading::Values, ..EmitOptions::default() };
    let package = emit(&integers, &ram(&network, &widths, &core).plan, options).unwrap();
    let header = package.file("model.h").unwrap();
    let words = header.split_whitespace().filter(|word| *word != "*").collect::<Vec<_>>().join(" ");
    let zeros: Vec<String> = integers.output_channels.iter().map(|channel| channel.zero.to_string()).collect();
    let list = format!("#define MODEL_OUTPUT_ZEROS {{ \\\n    {}, \\\n}}", zeros.join(", "));
    assert!(header.contains(&list), "{header}");
    assert!(words.contains("each channel with a scale and a zero of its own"), "{header}");
    assert!(!header.contains("MODEL_OUTPUT_ZERO ") && !header.contains("classifier"), "{header}");
}

#[test]
fn an_output_that_others_read_or_that_has_no_weights_keeps_one_scale() {
    let mut rng = ChaCha8Rng::seed_from_u64(14);
    let mut network = network(&mut rng);
    network.tensors.push(Tensor { name: "sum".into(), shape: Shape::vector(OUTPUTS.len()) });
    let (inputs, output) = (vec![TensorId(2), TensorId(2)], TensorId(3));
    network.nodes.push(Node { name: "sum".into(), op: Op::Add(Clamp::NONE), inputs, output });
    let values: Vec<f32> = (0..32 * INPUTS).map(|_| rng.random_range(-1f32..1.0)).collect();
    let samples = Samples::real(Shape::vector(INPUTS), &values);
    for output in [TensorId(2), TensorId(3)] {
        network.output = output;
        network.validate().unwrap();
        let settings = CalibrationSettings { output_per_channel: true, ..CalibrationSettings::default() };
        let calibration = calibrate(&network, &samples, &settings, &mut |_, _| ControlFlow::Continue(())).unwrap();
        assert_eq!(calibration.output_channels, None, "{output:?}");
    }
}
