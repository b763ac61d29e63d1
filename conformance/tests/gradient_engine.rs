//! The gradient engine computes the codes of the fake-quantized network, tensor by tensor, but for ties.
//!
//! The trained networks are those of `../shared/models`; where that folder is not there (set `BITESIZE_SHARED` to it), their test
//! says so and does nothing.

use bitesize::input::{Dataset, Model, Preprocess, PreprocessFile, Request, Role, Values};
use bitesize::observe::Monitor;
use bitesize_ir::{BitWidth, Network, Policy, PolicySpace, QuantizedModel, TensorId};
use bitesize_train::engine::{Batch, Boundary, Engine, Parameters};
use bitesize_train::{CalibrationSettings, Samples, calibrate, fake_quant_forward, quantize_nearest};
use conformance::{cases::cases, shared};
use std::ops::ControlFlow;
use std::path::Path;

/// Codes that were compared and those that differ.
#[derive(Default)]
struct Count {
    all: usize,
    different: usize,
}

/// Runs each node on the codes that the fake-quantized network gives it.
fn compare(name: &str, model: &QuantizedModel, input: &[u8], count: &mut Count) {
    let expected = fake_quant_forward(model, input).unwrap();
    let parameters = Parameters::of_model(model);
    for (index, node) in model.network.nodes.iter().enumerate() {
        let mut engine = Engine::new(&model.network, index..index + 1, &[node.output], false).unwrap();
        let inputs: Vec<_> = engine.inputs().iter().map(|t| Boundary::Codes(&expected[t.0])).collect();
        let batch = Batch { inputs: &inputs, dropped: None };
        let found = engine.codes(&parameters, &batch).unwrap();
        let (found, expected) = (&found[node.output.0], &expected[node.output.0]);
        assert_eq!(found.len(), expected.len(), "{name}, node {index}");
        for (at, (found, expected)) in found.iter().zip(expected).enumerate() {
            let apart = found.abs_diff(*expected);
            assert!(apart <= 1, "{name}, node {index} ({}), element {at}: {found}, not {expected}", node.op.name());
            count.different += usize::from(apart);
        }
        count.all += found.len();
    }
}

#[test]
fn every_operator_at_every_width_gives_the_same_codes() {
    let mut count = Count::default();
    for case in cases() {
        compare(&case.name, &case.model, &case.inputs.concat(), &mut count);
    }
    println!("{} of {} codes differ, by one", count.different, count.all);
    assert!(count.all > 100_000 && count.different * 10_000 < count.all, "{} of {}", count.different, count.all);
}

/// A trained network that takes raw pixels, and some of its training images.
fn trained(shared: &Path, name: &str) -> (Network, Vec<u8>) {
    let mut model = Model::load(&shared.join(format!("models/{name}.onnx")), &Monitor::unobserved()).unwrap();
    let shape = model.network.shape(model.network.input);
    let text = std::fs::read_to_string(shared.join(format!("models/{name}.toml"))).unwrap();
    let preprocess = Preprocess::checked(&PreprocessFile::from_toml(&text).unwrap(), shape).unwrap();
    let request = Request::new(shape, &preprocess);
    let data = Dataset::open(&shared.join("data/cifar10/train"), Role::Train, &request).unwrap();
    model.fold_preprocessing(&preprocess).unwrap();
    let Values::Pixels(pixels) = data.load(&[5, 50, 500, 1000, 2000, 3000, 4000, 4500]).unwrap().values else {
        panic!("{name} takes pixels")
    };
    (model.network, pixels)
}

#[test]
fn trained_networks_give_the_same_codes() {
    let Some(shared) = shared("trained_networks_give_the_same_codes") else { return };
    for name in ["cifar10_mobilenet_v1", "cifar10_mobilenet_v2", "cifar10_mnasnet", "mlperf_resnet8"] {
        let (network, pixels) = trained(&shared, name);
        let samples = Samples::pixels(network.shape(network.input), &pixels);
        let mut go = |_, _| ControlFlow::Continue(());
        let calibration = calibrate(&network, &samples, &CalibrationSettings::default(), &mut go).unwrap();
        let mut count = Count::default();
        for [weights, activations] in [
            [BitWidth::B8, BitWidth::B8],
            [BitWidth::B4, BitWidth::B4],
            [BitWidth::B8, BitWidth::B2],
            [BitWidth::B2, BitWidth::B8],
        ] {
            let policy = Policy::uniform(&PolicySpace::of(&network), weights, activations);
            let model = quantize_nearest(&network, &calibration, &policy).unwrap();
            compare(name, &model, &pixels, &mut count);
        }
        println!("{name}: {} of {} codes differ, by one", count.different, count.all);
        assert!(count.different * 10_000 < count.all, "{name}: {} of {}", count.different, count.all);
    }
}

#[test]
fn whole_networks_give_the_same_codes() {
    let mut count = Count::default();
    for case in cases() {
        let (network, input) = (&case.model.network, case.inputs.concat());
        let expected = fake_quant_forward(&case.model, &input).unwrap();
        let mut engine = Engine::whole(network).unwrap();
        let batch = Batch { inputs: &[Boundary::Codes(&input)], dropped: None };
        let found = engine.codes(&Parameters::of_model(&case.model), &batch).unwrap();
        let TensorId(output) = network.output;
        let apart = found[output].iter().zip(&expected[output]).filter(|(found, expected)| found != expected);
        count.different += apart.count();
        count.all += expected[output].len();
    }
    assert!(count.different * 1000 < count.all, "{} of {}", count.different, count.all);
}
