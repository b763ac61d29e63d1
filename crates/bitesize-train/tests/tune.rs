//! Training of small random networks: what it gains, repeats, and goes on with.

mod common;

use bitesize_ir::network::{InputEncoding, Network};
use bitesize_ir::{BitWidth, Policy, PolicySpace, QuantizedModel};
use bitesize_train::{
    CalibrationSettings, Distillation, FakeQuantModel, FloatModel, LabelLoss, Loaded, LoadedValues, Objective,
    Optimizer, PrepareRequest, Ptq, PtqSettings, Rates, Samples, Source, Targets, TrainError, TuneSettings, Tuner,
    calibrate,
};
use common::{Numbers, mobile};
use std::ops::ControlFlow;

const IMAGES: usize = 192;

fn go() -> impl FnMut(usize, usize) -> ControlFlow<()> {
    |_, _| ControlFlow::Continue(())
}

/// Images with the class that the float network gives them.
struct Labelled {
    size: usize,
    values: Vec<f32>,
    classes: Vec<usize>,
}

impl Labelled {
    fn of(network: &Network) -> Self {
        let size = network.shape(network.input).elements();
        let values = Numbers::new(11).many(IMAGES * size, 2.0);
        let output = FloatModel::new(network).forward(&samples(network, &values), &mut go()).unwrap();
        let classes = bitesize_train::top1(&output, network.shape(network.output).elements());
        Self { size, values, classes }
    }
}

impl Source for Labelled {
    fn len(&self) -> usize {
        self.classes.len()
    }

    fn load(&self, indices: &[usize]) -> Result<Loaded, String> {
        let values = indices.iter().flat_map(|i| &self.values[i * self.size..(i + 1) * self.size]).copied().collect();
        let classes = indices.iter().map(|i| Some(self.classes[*i])).collect();
        Ok(Loaded { values: LoadedValues::Reals(values), targets: Targets::Classes(classes) })
    }
}

fn samples<'a>(network: &Network, values: &'a [f32]) -> Samples<'a> {
    Samples::real(network.shape(network.input), values)
}

fn quantized(network: &Network, values: &[f32], [weights, activations]: [BitWidth; 2]) -> QuantizedModel {
    let samples = samples(network, values);
    let calibration = calibrate(network, &samples, &CalibrationSettings::default(), &mut go()).unwrap();
    let everything = PrepareRequest::everything(network, PtqSettings::default());
    let ptq = Ptq::prepare(network, &samples, calibration, everything, &mut go()).unwrap();
    let policy = Policy::uniform(&PolicySpace::of(network), weights, activations);
    ptq.quantize_sequential(&policy, &samples, &mut go()).unwrap()
}

fn settings(network: &Network, epochs: usize) -> TuneSettings {
    TuneSettings {
        epochs,
        batch: 16,
        labels: LabelLoss::CrossEntropy { classes: network.shape(network.output).elements(), smoothing: 0.0 },
        distillation: Some(Distillation { objective: Objective::Distillation { temperature: 2.0 }, share: 0.5 }),
        average: Some(0.9),
        ..TuneSettings::default()
    }
}

/// The square distance of the network's output from float.
fn error(model: &QuantizedModel, values: &[f32]) -> f64 {
    let samples = samples(&model.network, values);
    let expected = FloatModel::new(&model.network).forward(&samples, &mut go()).unwrap();
    let codes = FakeQuantModel::new(model).unwrap().forward(&samples, &mut go()).unwrap();
    let pairs = expected.iter().zip(model.output_values(&codes));
    pairs.map(|(expected, found)| (f64::from(*expected) - found).powi(2)).sum()
}

#[test]
fn training_brings_a_network_near_to_what_it_is_taught() {
    let network = mobile(InputEncoding::Real);
    let source = Labelled::of(&network);
    let model = quantized(&network, &source.values, [BitWidth::B2, BitWidth::B4]);
    // Labels alone would have it say the same more loudly.
    let taught = Some(Distillation { objective: Objective::SquareError, share: 1.0 });
    let settings = TuneSettings { distillation: taught, ..settings(&network, 60) };
    let mut tuner = Tuner::new(&model, settings).unwrap();
    assert_eq!(tuner.model().unwrap(), model, "nothing is learned yet");
    let mut losses = Vec::new();
    while !tuner.is_done() {
        losses.push(tuner.learn_epoch(&source, &mut go()).unwrap().loss);
    }
    let [before, after] = [&model, &tuner.model().unwrap()].map(|model| error(model, &source.values));
    assert!(losses[59] < 0.75 * losses[0] && after < 0.75 * before, "{losses:?}, {before} to {after}");
}

/// At a rate of gradients.
fn by_sgd(settings: TuneSettings) -> TuneSettings {
    let by = Optimizer::Sgd { momentum: 0.9 };
    TuneSettings { rates: Rates { by, weights: 0.002, ..settings.rates }, ..settings }
}

#[test]
fn sgd_brings_a_network_near_to_what_it_is_taught() {
    let network = mobile(InputEncoding::Real);
    let source = Labelled::of(&network);
    let model = quantized(&network, &source.values, [BitWidth::B2, BitWidth::B4]);
    let taught = Some(Distillation { objective: Objective::SquareError, share: 1.0 });
    let settings = by_sgd(TuneSettings { distillation: taught, ..settings(&network, 60) });
    let mut tuner = Tuner::new(&model, settings).unwrap();
    while !tuner.is_done() {
        tuner.learn_epoch(&source, &mut go()).unwrap();
    }
    let [before, after] = [&model, &tuner.model().unwrap()].map(|model| error(model, &source.values));
    assert!(after < 0.75 * before, "{before} to {after}");
}

#[test]
fn rates_are_tried_until_the_loss_explodes() {
    let network = mobile(InputEncoding::Real);
    let source = Labelled::of(&network);
    let model = quantized(&network, &source.values, [BitWidth::B4, BitWidth::B4]);
    for settings in [settings(&network, 1), by_sgd(settings(&network, 1))] {
        let tuner = Tuner::new(&model, settings.clone()).unwrap();
        let found = tuner.try_rates(&source, [1e-5, 1e3], 60, &mut go()).unwrap();
        assert!(found.len() > 12 && found.len() <= 60, "{}", found.len());
        assert!(found.windows(2).all(|pair| pair[1].0 > pair[0].0));
        let least = found.iter().map(|(_, loss)| *loss).fold(f64::INFINITY, f64::min);
        // Weights stay on their grid, so that not every network comes to an end.
        let last = found[found.len() - 1].1;
        assert!(if found.len() < 60 { last > 4.0 * least } else { last > 1.1 * least }, "{found:?}");
        let stopped = Tuner::new(&model, settings).unwrap();
        let asked = stopped.try_rates(&source, [1e-5, 1e-3], 60, &mut |_, _| ControlFlow::Break(()));
        assert_eq!(asked, Err(TrainError::Stopped));
    }
}

#[test]
fn a_training_in_pieces_and_on_other_threads_comes_to_the_same() {
    let network = mobile(InputEncoding::Real);
    comes_to_the_same(&network, settings(&network, 4));
    comes_to_the_same(&network, by_sgd(settings(&network, 4)));
}

#[track_caller]
fn comes_to_the_same(network: &Network, settings: TuneSettings) {
    let source = Labelled::of(network);
    let model = quantized(network, &source.values, [BitWidth::B4, BitWidth::B4]);
    let whole = |threads: usize| {
        rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(|| {
            let mut tuner = Tuner::new(&model, settings.clone()).unwrap();
            while !tuner.is_done() {
                tuner.learn_epoch(&source, &mut go()).unwrap();
            }
            tuner.model().unwrap()
        })
    };
    let expected = whole(1);
    assert!(whole(2) == expected, "the number of threads decides");
    let mut state = Tuner::new(&model, settings.clone()).unwrap().state();
    let mut found = model.clone();
    for _ in 0..4 {
        let mut tuner = Tuner::new(&model, settings.clone()).unwrap().resume(state).unwrap();
        tuner.learn_epoch(&source, &mut go()).unwrap();
        (state, found) = (tuner.state(), tuner.model().unwrap());
    }
    assert!(found == expected, "a training in pieces gives another model");
    state.lists.pop();
    let refused = Tuner::new(&model, settings.clone()).unwrap().resume(state).err();
    assert_eq!(refused, Some(TrainError::OtherModel));
    let other = TuneSettings { seed: 7, ..settings };
    let mut tuner = Tuner::new(&model, other).unwrap();
    while !tuner.is_done() {
        tuner.learn_epoch(&source, &mut go()).unwrap();
    }
    assert!(tuner.model().unwrap() != expected, "the seed decides nothing");
}

/// Taught the opposite of what it says, a float network unlearns that.
#[test]
fn a_float_network_learns_from_labels() {
    let network = mobile(InputEncoding::Real);
    let mut source = Labelled::of(&network);
    let classes = network.shape(network.output).elements();
    source.classes.iter_mut().for_each(|class| *class = (*class + 1) % classes);
    let mut tuner = Tuner::of_float(&network, TuneSettings { distillation: None, ..settings(&network, 12) });
    let start = tuner.float_network();
    let hits = |network: &Network| {
        let output = FloatModel::new(network).forward(&samples(network, &source.values), &mut go()).unwrap();
        bitesize_train::accuracy(&output, classes, &source.classes)
    };
    assert_eq!(hits(&start), 0.0);
    while !tuner.is_done() {
        tuner.learn_epoch(&source, &mut go()).unwrap();
    }
    let learned = hits(&tuner.float_network());
    assert!(learned > 0.5, "{learned}");
}

#[test]
fn weights_that_go_to_and_fro_are_frozen_in_the_end() {
    let network = mobile(InputEncoding::Real);
    let source = Labelled::of(&network);
    let model = quantized(&network, &source.values, [BitWidth::B2, BitWidth::B4]);
    let mut fast = settings(&network, 40);
    fast.rates.weights *= 10.0;
    let mut tuner = Tuner::new(&model, fast.clone()).unwrap();
    let frozen: Vec<usize> = (0..40).map(|_| tuner.learn_epoch(&source, &mut go()).unwrap().frozen).collect();
    assert!(frozen[9] == 0 && frozen[39] > 0 && frozen.is_sorted(), "{frozen:?}");
    let mut tuner = Tuner::new(&model, TuneSettings { freezing: None, epochs: 2, ..fast }).unwrap();
    assert_eq!(tuner.learn_epoch(&source, &mut go()).unwrap().frozen, 0);
}

#[test]
fn what_cannot_be_gone_on_with_is_told() {
    struct Empty;
    impl Source for Empty {
        fn len(&self) -> usize {
            32
        }

        fn load(&self, _: &[usize]) -> Result<Loaded, String> {
            Err("the disk is gone".into())
        }
    }
    let network = mobile(InputEncoding::Real);
    let source = Labelled::of(&network);
    let model = quantized(&network, &source.values, [BitWidth::B4, BitWidth::B8]);
    let settings = settings(&network, 1);
    let mut tuner = Tuner::new(&model, settings.clone()).unwrap();
    let problem = "the disk is gone".to_owned();
    assert_eq!(tuner.learn_epoch(&Empty, &mut go()), Err(TrainError::Source { problem }));
    let stop = &mut |_, _| ControlFlow::Break(());
    let mut tuner = Tuner::new(&model, settings.clone()).unwrap();
    assert_eq!(tuner.learn_epoch(&source, stop), Err(TrainError::Stopped));
    let mut wild = settings;
    wild.rates.biases = f32::MAX;
    let mut tuner = Tuner::new(&model, TuneSettings { warm_up: 0.0, ..wild }).unwrap();
    let diverged = tuner.learn_epoch(&source, &mut go());
    assert!(matches!(diverged, Err(TrainError::Diverged { epoch: 1, .. })), "{diverged:?}");
}
