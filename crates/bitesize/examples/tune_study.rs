//! Measures training at chosen widths: `cargo run --release -p bitesize --example tune_study -- NETWORK...`
//!
//! `NETWORK` is the name of a CIFAR-10 network in `models/` of the folder that `BITESIZE_SHARED` names. `EPOCHS` (3), `WIDTHS` (`4/4`;
//! `float` trains the float network by the same recipe), `SEED`, `IMAGES` (all but those that calibrate) and what is named in `settings`.
//! Accuracy is on the whole test set, by the fake-quantized model, after each epoch.

use bitesize::deliver::candidate::samples;
use bitesize::input::split::stratified_order;
use bitesize::input::{Batch, Dataset, Model, Preprocess, PreprocessFile, Request, Role, Values};
use bitesize::observe::Monitor;
use bitesize_ir::{BitWidth, Network, Policy, PolicySpace, QuantizedModel};
use bitesize_train::{
    Augmentation, CalibrationSettings, Distillation, FakeQuantModel, FloatModel, Freezing, LabelLoss, Loaded,
    LoadedValues, Objective, Optimizer, PrepareRequest, Ptq, PtqSettings, Rates, Source, Targets, TuneSettings, Tuner,
    accuracy, calibrate,
};
use std::error::Error;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Instant;

/// Images that calibrate.
const CALIBRATION: usize = 512;

fn main() -> Result<(), Box<dyn Error>> {
    let shared = std::env::var_os("BITESIZE_SHARED")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared"), PathBuf::from);
    for name in std::env::args().skip(1) {
        study(&shared, &name)?;
    }
    Ok(())
}

fn setting<T: FromStr>(name: &str, otherwise: T) -> Result<T, Box<dyn Error>>
where
    T::Err: Error + 'static,
{
    Ok(std::env::var(name).ok().map(|text| text.parse()).transpose()?.unwrap_or(otherwise))
}

fn study(shared: &Path, name: &str) -> Result<(), Box<dyn Error>> {
    let file = shared.join("models").join(name);
    let mut model = Model::load(&file.with_extension("onnx"), &Monitor::unobserved())?;
    let preprocess = PreprocessFile::from_toml(&std::fs::read_to_string(file.with_extension("toml"))?)?;
    let preprocess = Preprocess::checked(&preprocess, model.network.shape(model.network.input))?;
    let (shape, outputs) = (model.network.shape(model.network.input), model.network.shape(model.network.output).c);
    let request = Request { input: Some(&model.input), ..Request::new(shape, &preprocess) };
    let train = Dataset::open(&shared.join("data/cifar10/train"), Role::Train, &request)?.with_classes(outputs)?;
    let test = Dataset::open(&shared.join("data/cifar10/test"), Role::Val, &request)?.with_classes(outputs)?;
    model.fold_preprocessing(&preprocess)?;
    let network = &model.network;
    let order = stratified_order(train.labels().classes().unwrap_or_default(), setting("SEED", 0)?);
    let calibration = train.load(&order[..CALIBRATION])?;
    let images = setting("IMAGES", order.len())?.min(order.len());
    let learned = Images { data: &train, indices: &order[CALIBRATION.min(images - 1)..images] };
    let test = test.load(&(0..test.len()).collect::<Vec<_>>())?;
    let settings = settings(network)?;
    let widths: String = setting("WIDTHS", "4/4".to_owned())?;
    println!("{name} {widths}: float {:.2}", of_float(network, &test)?);
    let go = &mut |_, _| ControlFlow::Continue(());
    let start = if widths == "float" {
        None
    } else {
        let [weights, activations] = bits(&widths)?;
        let images = &samples(&calibration);
        let ranges = calibrate(network, images, &CalibrationSettings::default(), go)?;
        let ptq =
            Ptq::prepare(network, images, ranges, PrepareRequest::everything(network, PtqSettings::default()), go)?;
        let policy = Policy::uniform(&PolicySpace::of(network), weights, activations);
        Some(ptq.quantize_sequential(&policy, images, go)?)
    };
    if let Some(model) = &start {
        println!("  as rounded {:.2}", of_model(model, &test)?);
    }
    let mut tuner = match &start {
        Some(model) => Tuner::new(model, settings)?,
        None => Tuner::of_float(network, settings),
    };
    let begun = Instant::now();
    while !tuner.is_done() {
        let epoch = tuner.learn_epoch(&learned, go)?;
        let top1 = match &start {
            Some(_) => of_model(&tuner.model()?, &test)?,
            None => of_float(&tuner.float_network(), &test)?,
        };
        let seconds = begun.elapsed().as_secs_f64();
        let (loss, frozen) = (epoch.loss, epoch.frozen);
        println!("  epoch {}: loss {loss:.4}, test {top1:.2}, {frozen} frozen ({seconds:.0} s)", tuner.epochs());
    }
    Ok(())
}

/// `SGD` (its momentum, at a rate of 0.0005), `FASTER` (what rates are multiplied by), `RATES` (weights, at_4_bits, others_at_4_bits, scales, biases, ranges, margin), `BATCH`, `WARM_UP`, `DECAY`, `SHARE` of the float
/// network's answers, `TEMPERATURE`, `SMOOTHING`, `AVERAGE` (0 for none), `FREEZE` (0 for none), `DAMPEN`, `SHIFT`, `FLIP`, `JITTER`.
fn settings(network: &Network) -> Result<TuneSettings, Box<dyn Error>> {
    let start = TuneSettings::default();
    let classes = network.shape(network.output).c;
    let mut rates = start.rates;
    if let Ok(text) = std::env::var("RATES") {
        let list = text.split(',').map(str::parse).collect::<Result<Vec<f32>, _>>()?;
        let [weights, at_4_bits, others_at_4_bits, scales, biases, ranges, margin] = list[..] else {
            return Err(format!("RATES is `{text}`").into());
        };
        rates = Rates { weights, at_4_bits, others_at_4_bits, scales, biases, ranges, margin, ..rates };
    }
    let faster: f32 = setting("FASTER", 1.0)?;
    for rate in [&mut rates.weights, &mut rates.scales, &mut rates.biases, &mut rates.ranges] {
        *rate *= faster;
    }
    if let Some(momentum) = std::env::var("SGD").ok().map(|text| text.parse()).transpose()? {
        rates = Rates { by: Optimizer::Sgd { momentum }, weights: 5e-4 * faster, ..rates };
    }
    let average = setting("AVERAGE", 0.999)?;
    Ok(TuneSettings {
        epochs: setting("EPOCHS", 3)?,
        batch: setting("BATCH", start.batch)?,
        seed: setting("SEED", 0)?,
        rates,
        warm_up: setting("WARM_UP", start.warm_up)?,
        decay: setting("DECAY", start.decay)?,
        labels: LabelLoss::CrossEntropy { classes, smoothing: setting("SMOOTHING", 0.0)? },
        distillation: Some(Distillation {
            objective: Objective::Distillation { temperature: setting("TEMPERATURE", 2.0)? },
            share: setting("SHARE", 0.7)?,
        }),
        average: (average > 0.0).then_some(average),
        freezing: (setting("FREEZE", 1)? > 0).then(Freezing::default),
        dampening: setting("DAMPEN", 0.0)?,
        augmentation: Augmentation {
            shift: setting("SHIFT", 4)?,
            flip: setting("FLIP", 1)? > 0,
            jitter: setting("JITTER", 0.0)?,
        },
    })
}

fn bits(widths: &str) -> Result<[BitWidth; 2], Box<dyn Error>> {
    let of = |part: &str| BitWidth::try_from(part.parse::<u8>().map_err(|error| error.to_string())?);
    match widths.split('/').map(of).collect::<Result<Vec<_>, _>>()?[..] {
        [weights, activations] => Ok([weights, activations]),
        _ => Err(format!("WIDTHS is `{widths}`").into()),
    }
}

/// Training images that are loaded as they are asked for.
struct Images<'a> {
    data: &'a Dataset,
    indices: &'a [usize],
}

impl Source for Images<'_> {
    fn len(&self) -> usize {
        self.indices.len()
    }

    fn load(&self, indices: &[usize]) -> Result<Loaded, String> {
        let picked: Vec<usize> = indices.iter().map(|i| self.indices[*i]).collect();
        let batch = self.data.load(&picked).map_err(|error| error.to_string())?;
        let values = match batch.values {
            Values::Pixels(pixels) => LoadedValues::Pixels(pixels),
            Values::Reals(values) => LoadedValues::Reals(values),
        };
        let classes = batch.labels.classes().unwrap_or_default();
        Ok(Loaded { values, targets: Targets::Classes(classes.iter().map(|class| Some(*class)).collect()) })
    }
}

fn of_float(network: &Network, test: &Batch) -> Result<f64, Box<dyn Error>> {
    let output = FloatModel::new(network).forward(&samples(test), &mut |_, _| ControlFlow::Continue(()))?;
    Ok(top1(network, &output, test))
}

fn of_model(model: &QuantizedModel, test: &Batch) -> Result<f64, Box<dyn Error>> {
    let codes = FakeQuantModel::new(model)?.forward(&samples(test), &mut |_, _| ControlFlow::Continue(()))?;
    let output: Vec<f32> = codes.into_iter().map(f32::from).collect();
    Ok(top1(&model.network, &output, test))
}

fn top1(network: &Network, output: &[f32], test: &Batch) -> f64 {
    100.0 * accuracy(output, network.shape(network.output).c, test.labels.classes().unwrap_or_default())
}
