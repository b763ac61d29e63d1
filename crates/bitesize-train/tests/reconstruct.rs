//! Reconstruction of small random networks: what it gains, keeps, refuses and repeats.

mod common;

use bitesize_ir::network::{InputEncoding, Network};
use bitesize_ir::shape::Shape;
use bitesize_ir::{BitWidth, Policy, PolicySpace, QuantizedModel, TensorId};
use bitesize_train::{
    Calibration, CalibrationSettings, FakeQuantModel, FloatModel, Objective, PrepareRequest, Ptq, PtqSettings,
    ReconstructSettings, Reconstruction, Samples, TrainError, calibrate, equalize,
};
use common::{Builder, Numbers, mobile};
use std::ops::ControlFlow;
use std::sync::Arc;

const IMAGES: usize = 256;

fn go() -> impl FnMut(usize, usize) -> ControlFlow<()> {
    |_, _| ControlFlow::Continue(())
}

/// A network, some of whose channels reach eight times as far as others, and values that its input takes.
fn subject() -> (Network, Vec<f32>) {
    let mut network = mobile(InputEncoding::Real);
    let (weights, bias) = network.nodes[4].op.parameters_mut().expect("the fifth node is a convolution");
    let inputs = weights.len() / bias.len();
    weights.iter_mut().enumerate().filter(|(i, _)| i / inputs % 3 == 0).for_each(|(_, weight)| *weight *= 8.0);
    let values = Numbers::new(11).many(IMAGES * network.shape(network.input).elements(), 2.0);
    (network, values)
}

fn quantized(network: &Network, samples: &Samples<'_>, [weights, activations]: [BitWidth; 2]) -> QuantizedModel {
    let calibration = calibrate(network, samples, &CalibrationSettings::default(), &mut go()).unwrap();
    let equalization = equalize(network, samples, &calibration, &mut go()).unwrap();
    let calibration = Calibration { equalization, ..calibration };
    let everything = PrepareRequest::everything(network, PtqSettings::default());
    let ptq = Ptq::prepare(network, samples, calibration, everything, &mut go()).unwrap();
    let policy = Policy::uniform(&PolicySpace::of(network), weights, activations);
    ptq.quantize_sequential(&policy, samples, &mut go()).unwrap()
}

/// Settings under which an image goes through the network `passes` times, and half as often through all blocks.
fn settings(network: &Network, passes: usize) -> ReconstructSettings {
    let settings = ReconstructSettings {
        seed: 5,
        batch: 16,
        network_share: 0.5,
        objective: Objective::SquareError,
        ..ReconstructSettings::default()
    };
    let minutes = settings.minutes * (passes * IMAGES) as f64 / settings.images(network)[1] as f64;
    ReconstructSettings { minutes, ..settings }
}

/// The square distance of the network's output from float.
fn error(model: &QuantizedModel, samples: &Samples<'_>) -> f64 {
    let expected = FloatModel::new(&model.network).forward(samples, &mut go()).unwrap();
    let codes = FakeQuantModel::new(model).unwrap().forward(samples, &mut go()).unwrap();
    let pairs = expected.iter().zip(model.output_values(&codes));
    pairs.map(|(expected, found)| (f64::from(*expected) - found).powi(2)).sum()
}

fn whole(model: &QuantizedModel, samples: &Samples<'_>, settings: &ReconstructSettings) -> QuantizedModel {
    let mut reconstruction = Reconstruction::new(model, samples, settings.clone()).unwrap();
    while !reconstruction.is_done() {
        reconstruction.learn_next(&mut go()).unwrap();
    }
    reconstruction.into_model()
}

#[test]
fn errors_fall_and_never_rise() {
    let (network, values) = subject();
    let samples = Samples::real(network.shape(network.input), &values);
    let mut factors = 0;
    // Random weights leave 2-bit activations little to gain: those only must not lose.
    for (widths, gain) in [([BitWidth::B2, BitWidth::B8], 0.9), ([BitWidth::B8, BitWidth::B2], 1.0)] {
        let model = quantized(&network, &samples, widths);
        factors += model.equalized.iter().flatten().count();
        let mut reconstruction = Reconstruction::new(&model, &samples, settings(&network, 60)).unwrap();
        // The first layer, the residual block, what comes after it; then the network twice.
        assert_eq!((reconstruction.blocks(), reconstruction.units()), (3, 5));
        let mut shown = (0, 0);
        while !reconstruction.is_done() {
            reconstruction
                .learn_next(&mut |done, total| {
                    assert!(done <= total && shown.0 <= done, "{done} of {total} after {}", shown.0);
                    shown = (done, total);
                    ControlFlow::Continue(())
                })
                .unwrap();
        }
        let outcomes = reconstruction.state().outcomes.clone();
        let names: Vec<&str> = outcomes.iter().map(|outcome| outcome.name.as_str()).collect();
        assert_eq!(names, ["n0", "n3", "n8", "", ""]);
        for outcome in &outcomes {
            assert_eq!(outcome.kept, outcome.after < outcome.before, "{outcome:?}");
            assert!(outcome.after <= outcome.before, "{outcome:?}");
        }
        assert!(outcomes[..3].iter().any(|outcome| outcome.kept), "no block is any better: {outcomes:?}");
        let found = reconstruction.into_model();
        // Those that judged, and all.
        let size = samples.shape.elements();
        let held_out: Vec<f32> = values.chunks_exact(size).skip(7).step_by(8).flatten().copied().collect();
        for samples in [Samples::real(samples.shape, &held_out), samples] {
            let (before, after) = (error(&model, &samples), error(&found, &samples));
            assert!(after <= gain * before, "{widths:?}: {before} became {after} on {} samples", samples.len());
        }
    }
    assert!(factors > 0, "no channels were scaled, so nothing was learned in a scaled network");
}

#[test]
fn threads_and_interruptions_change_nothing() {
    let (network, values) = subject();
    let samples = Samples::real(network.shape(network.input), &values);
    let model = quantized(&network, &samples, [BitWidth::B2, BitWidth::B4]);
    let settings = settings(&network, 20);
    let with = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| whole(&model, &samples, &settings))
    };
    let expected = with(1);
    assert!(expected != model, "nothing was learned");
    assert!(with(2) == expected, "two threads give another model than one");
    // A run that is taken up by a new one after each unit.
    let mut state = Reconstruction::new(&model, &samples, settings.clone()).unwrap().state().clone();
    loop {
        let mut run = Reconstruction::resume(&model, &samples, settings.clone(), state.clone()).unwrap();
        if run.is_done() {
            break;
        }
        let stopped = run.learn_next(&mut |_, _| ControlFlow::Break(()));
        assert!(stopped == Err(TrainError::Stopped) && *run.state() == state, "a unit that was stopped left traces");
        run.learn_next(&mut go()).unwrap();
        state = run.state().clone();
    }
    assert!(state.model == expected, "a run in pieces gives another model");
    let other = whole(&model, &samples, &ReconstructSettings { seed: 6, ..settings.clone() });
    assert!(other != expected, "the seed decides nothing");
    let [with, without] = [true, false].map(|features| {
        whole(&model, &samples, &ReconstructSettings { features, network_share: 1.0, ..settings.clone() })
    });
    assert!(with != without, "what the last layer reads decides nothing");
    let other = whole(&model, &samples, &ReconstructSettings { block_samples: IMAGES / 2, ..settings });
    assert!(other != expected, "how many samples blocks learn from decides nothing");
}

/// Real values of 4 bytes, codes of one.
#[test]
fn memory_is_the_input_and_what_is_before_and_after_a_block() {
    let (network, values) = subject();
    let samples = Samples::real(network.shape(network.input), &values);
    let model = quantized(&network, &samples, [BitWidth::B2, BitWidth::B8]);
    let idle = ReconstructSettings { minutes: 0.0, ..ReconstructSettings::default() };
    let mut run = Reconstruction::new(&model, &samples, idle).unwrap();
    while !run.is_done() {
        run.learn_next(&mut go()).unwrap();
    }
    let names: Vec<&str> = run.state().outcomes.iter().map(|outcome| outcome.name.as_str()).collect();
    let elements = |name: &&str| {
        let node = network.nodes.iter().find(|node| node.name == *name).unwrap();
        network.shape(node.output).elements()
    };
    let input = 4 * samples.shape.elements();
    let [first, second, third] = [0, 1, 2].map(|block| 5 * elements(&names[block]));
    let expected = [input + first, first + second, second + third];
    assert_eq!(Reconstruction::bytes_per_block_sample(&network), *expected.iter().max().unwrap());
    let last = network.nodes.iter().rev().find(|node| node.op.parameters().is_some()).unwrap();
    let kept = [network.output, last.inputs[0]].map(|tensor| 4 * network.shape(tensor).elements());
    assert_eq!(Reconstruction::bytes_per_sample(&network), 2 * input + kept[0] + kept[1]);
}

#[test]
fn without_work_the_model_stays_and_what_does_not_fit_is_refused() {
    let (network, values) = subject();
    let samples = Samples::real(network.shape(network.input), &values);
    let model = quantized(&network, &samples, [BitWidth::B2, BitWidth::B8]);
    let idle = ReconstructSettings { minutes: 0.0, ..ReconstructSettings::default() };
    assert!(whole(&model, &samples, &idle) == model);
    let refused = |error: Option<TrainError>, part: &str| {
        let error = error.expect("it is refused").to_string();
        assert!(error.contains(part), "{error}");
    };
    refused(Reconstruction::new(&model, &samples.range(0..7), idle.clone()).err(), "list of samples has 7 entries");
    let mut longer = Reconstruction::new(&model, &samples, idle.clone()).unwrap();
    while !longer.is_done() {
        longer.learn_next(&mut go()).unwrap();
    }
    let mut state = longer.state().clone();
    state.outcomes.push(state.outcomes[0].clone());
    refused(Reconstruction::resume(&model, &samples, idle.clone(), state).err(), "list of blocks has 6 entries");
    let mut foreign = Reconstruction::new(&model, &samples, idle.clone()).unwrap().state().clone();
    foreign.model = quantized(&network, &samples, [BitWidth::B4, BitWidth::B8]);
    refused(Reconstruction::resume(&model, &samples, idle.clone(), foreign).err(), "belongs to another model");
    let mut builder = Builder::new(Shape::new(4, 3, 6), InputEncoding::Real, 1);
    builder.affine(TensorId(0));
    let (network, activations) = (Arc::new(builder.network), model.activations[..2].to_vec());
    let unready = QuantizedModel { network, activations, weights: vec![None], equalized: Vec::new(), ..model.clone() };
    let few = Samples::real(Shape::new(4, 3, 6), &values[..72 * 8]);
    refused(Reconstruction::new(&unready, &few, idle.clone()).err(), "rewrite the network first");
    let pixels = vec![0; 8 * samples.shape.elements()];
    refused(
        Reconstruction::new(&model, &Samples::pixels(samples.shape, &pixels), idle).err(),
        "takes real values, raw pixels were given",
    );
}
