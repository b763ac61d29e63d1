//! Measures post-training quantization: `cargo run --release -p bitesize --example ptq_study -- NETWORK...`
//!
//! `NETWORK` is the name of a file in `models/` of the folder that `BITESIZE_SHARED` names (`../shared` beside the
//! workspace where it is not set); its data are found by its name, those of Fashion-MNIST where the distribution's
//! package `dataset-fashion-mnist` puts them. Calibration uses training images without their labels; accuracy is on the
//! whole test set, by the fake-quantized model.
//!
//! `IMAGES` (512) is the number of training images; the first 512 calibrate, `RECONSTRUCT=MINUTES` learns from all of them and
//! tells what blocks and the whole network bring to compensated rounding, with or without equalization (`reconstructed` names its
//! settings, `VERBOSE=1` shows each unit, and what was judged). `POLICIES` is a comma-separated choice of rows, `ONLY` a choice of
//! methods (`nearest`, `compensated`, `equalized`: compensated rounding of channels whose equalization was judged), `RANGES` a
//! method as `--ranges` takes it; `REACH=1` only tells how far the farthest sample reaches;
//! `STRETCHES=N` has the covariance of the layer of most inputs in N stretches, and those of others as large at most; `FAST=1` also
//! measures the models that a search sees; the other settings are named in `settings`.

use bitesize::deliver::candidate::samples;
use bitesize::deliver::equalized::{Equalized, JUDGES};
use bitesize::deliver::held_out::HeldOut;
use bitesize::input::split::stratified_order;
use bitesize::input::{Batch, Dataset, Model, Preprocess, PreprocessFile, Request, Role};
use bitesize::observe::{Monitor, Observer};
use bitesize::task::{Objective, Task};
use bitesize_ir::{BitWidth, Network, Op, Policy, PolicySpace, QuantizedModel};
use bitesize_train::{
    Calibration, CalibrationSettings, FakeQuantModel, FloatModel, Objective as LearnedBy, PrepareRequest, Ptq,
    PtqSettings, RangeMethod, Rates, ReconstructSettings, Reconstruction, Rounding, Samples, UnitOutcome, accuracy,
    calibrate,
};
use std::error::Error;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// Images that calibrate at most; the others are only learned from.
const CALIBRATION: usize = 512;

fn main() -> Result<(), Box<dyn Error>> {
    let shared = std::env::var_os("BITESIZE_SHARED")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared"), PathBuf::from);
    let images: usize = setting("IMAGES").map_or(Ok(512), |v| v.parse())?;
    for name in std::env::args().skip(1) {
        let subject = Subject::read(&shared, &name, images)?;
        study(&name, &subject)?;
    }
    Ok(())
}

fn setting(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// A network with its images.
struct Subject {
    network: Network,
    calibration: Batch,
    /// Training samples beside those.
    held_out: Batch,
    test: Batch,
}

impl Subject {
    fn read(shared: &Path, name: &str, images: usize) -> Result<Self, Box<dyn Error>> {
        let file = shared.join("models").join(name);
        let mut model = Model::load(&file.with_extension("onnx"), &Monitor::unobserved())?;
        let preprocess = PreprocessFile::from_toml(&std::fs::read_to_string(file.with_extension("toml"))?)?;
        let preprocess = Preprocess::checked(&preprocess, model.network.shape(model.network.input))?;
        let data = shared.join("data");
        let (train, test) = match name {
            _ if name.starts_with("imagenet") => (data.join("imagenet/calibration"), data.join("imagenet/val")),
            _ if name.starts_with("mlperf_kws") => (data.join("kws/train.npz"), data.join("kws/val.npz")),
            _ if name.starts_with("fashion") => {
                let folder = PathBuf::from("/usr/share/datasets/fashion-mnist");
                (folder.clone(), folder)
            }
            _ => (data.join("cifar10/train"), data.join("cifar10/test")),
        };
        let (shape, outputs) = (model.network.shape(model.network.input), model.network.shape(model.network.output).c);
        let request = Request { input: Some(&model.input), ..Request::new(shape, &preprocess) };
        let train = Dataset::open(&train, Role::Train, &request)?.with_classes(outputs)?;
        let test = Dataset::open(&test, Role::Val, &request)?.with_classes(outputs)?;
        if train.is_pixels() {
            model.fold_preprocessing(&preprocess)?;
        }
        let seed = setting("SEED").map_or(Ok(0), |v| v.parse())?;
        let order = stratified_order(train.labels().classes().unwrap_or_default(), seed);
        Ok(Self {
            network: model.network,
            calibration: train.load(&order[..images.min(order.len())])?,
            held_out: train.load(&order[images.min(order.len())..(images + JUDGES).min(order.len())])?,
            test: test.load(
                &(0..test.len().min(setting("TEST").map_or(Ok(usize::MAX), |v| v.parse())?)).collect::<Vec<_>>(),
            )?,
        })
    }
}

/// The policies of the table: weights and activations everywhere, and `inner`: 2-bit weights except in depthwise
/// layers and in the first and the last layer, which have 8.
fn policies(network: &Network) -> Vec<(&'static str, Policy)> {
    use BitWidth::{B2, B4, B8};
    let space = PolicySpace::of(network);
    let mut inner = Policy::uniform(&space, B2, B8);
    let layers: Vec<usize> = (0..space.rows.len()).filter(|i| space.rows[*i].weights).collect();
    for (place, &row) in layers.iter().enumerate() {
        let depthwise = matches!(network.node(space.rows[row].node).op, Op::DepthwiseConv2d(_));
        if place == 0 || place + 1 == layers.len() || depthwise {
            inner.rows[row].weights = Some(B8);
        }
    }
    let uniform = |weights, activations| Policy::uniform(&space, weights, activations);
    vec![
        ("W8A8", uniform(B8, B8)),
        ("W4A8", uniform(B4, B8)),
        ("W2A8", uniform(B2, B8)),
        ("inner", inner),
        ("W8A4", uniform(B8, B4)),
        ("W4A4", uniform(B4, B4)),
        ("W8A2", uniform(B8, B2)),
        ("W4A2", uniform(B4, B2)),
    ]
}

fn study(name: &str, subject: &Subject) -> Result<(), Box<dyn Error>> {
    let Subject { network, calibration, test, .. } = subject;
    let images = &samples(calibration);
    let go = &mut |_, _| ControlFlow::Continue(());
    let test_images = samples(test);
    let start = Instant::now();
    let output = FloatModel::new(network).forward(&test_images, go)?;
    let seconds = start.elapsed().as_secs_f64();
    let top1 = 100.0 * accuracy(&output, network.shape(network.output).c, test.labels.classes().unwrap_or_default());
    let speed = network.macs() as f64 * test.labels.len() as f64 / seconds / 1e9;
    println!("{name}: float {top1:.2} ({seconds:.1} s, {speed:.0} GMAC/s)");

    let start = Instant::now();
    if setting("REACH").is_some() {
        return reach(network, images);
    }
    let method = range_method()?;
    let few = images.range(0..images.len().min(CALIBRATION));
    let learn_from = images;
    let images = &few;
    let calibration = calibrate(network, images, &CalibrationSettings { method, ..Default::default() }, go)?;
    let calibrated = start.elapsed().as_secs_f64();
    let settings = settings(network)?;
    let nearest = PtqSettings { rounding: Rounding::Nearest, ..settings.clone() };
    let compensated =
        Ptq::prepare(network, images, calibration.clone(), PrepareRequest::everything(network, settings), go)?;
    println!("  calibrated in {calibrated:.1} s, prepared in {:.1} s", start.elapsed().as_secs_f64() - calibrated);
    let nearest = Ptq::prepare(network, images, calibration, PrepareRequest::everything(network, nearest), go)?;
    let (chosen, only) = (setting("POLICIES"), setting("ONLY"));
    let is_wanted = |method: &str| only.as_ref().is_none_or(|only| only.split(',').any(|one| one == method));
    let mut methods = vec![("nearest", nearest), ("compensated", compensated)];
    if is_wanted("equalized") {
        let start = Instant::now();
        methods.push(("equalized", equalized(subject, &methods[1].1)?));
        println!("  equalized in {:.1} s", start.elapsed().as_secs_f64());
    }
    methods.retain(|(method, _)| is_wanted(method));
    for (label, policy) in policies(network) {
        if chosen.as_ref().is_some_and(|chosen| !chosen.split(',').any(|c| c == label)) {
            continue;
        }
        print!("  {label:<6}");
        for (method, ptq) in &methods {
            if setting("FAST").is_some() {
                let top1 =
                    evaluate(&ptq.quantize_fast(&policy)?, &test_images, test.labels.classes().unwrap_or_default())?;
                print!("  {method} from float inputs {top1:.2}");
            }
            let start = Instant::now();
            let model = ptq.quantize_sequential(&policy, images, go)?;
            let seconds = start.elapsed().as_secs_f64();
            print!(
                "  {method} {:.2} ({seconds:.1} s)",
                evaluate(&model, &test_images, test.labels.classes().unwrap_or_default())?
            );
            if let (Some(minutes), true) = (setting("RECONSTRUCT"), *method != "nearest") {
                reconstructed(&model, learn_from, minutes.parse()?, test)?;
            }
        }
        println!();
    }
    Ok(())
}

/// Reconstructs `model` and tells what each stage brings. `SEED` (which also draws the images), `SHARE` (of the network; else what suits the widths), `LAYERS=1` (blocks of one layer), `FEATURES=0` (the network by its answers alone), `AVERAGE` (0 for the last step), `DROP`, `BATCH`, `TEMPERATURE`, and
/// `BLOCK_RATES` and `NETWORK_RATES` (in the order of [`Rates`]) set what [`ReconstructSettings`] has.
fn reconstructed(
    model: &QuantizedModel,
    samples: &Samples<'_>,
    minutes: f64,
    test: &Batch,
) -> Result<(), Box<dyn Error>> {
    let mut settings = ReconstructSettings { minutes, ..ReconstructSettings::suited_to(&model.policy) };
    let number = |name: &str, value: &mut f64| -> Result<(), Box<dyn Error>> {
        if let Some(text) = setting(name) {
            *value = text.parse()?;
        }
        Ok(())
    };
    number("SHARE", &mut settings.network_share)?;
    number("DROP", &mut settings.drop)?;
    settings.features = setting("FEATURES").is_none_or(|text| text != "0");
    if let Some(text) = setting("AVERAGE") {
        settings.average = Some(text.parse()?).filter(|kept| *kept > 0.0);
    }
    settings.layer_by_layer = setting("LAYERS").is_some();
    let mut seed = 0.0;
    number("SEED", &mut seed)?;
    settings.seed = seed as u64;
    let mut batch = settings.batch as f64;
    number("BATCH", &mut batch)?;
    settings.batch = batch as usize;
    let mut temperature = 0.0;
    number("TEMPERATURE", &mut temperature)?;
    if temperature > 0.0 {
        settings.objective = LearnedBy::Distillation { temperature };
    }
    for (name, rates) in [("BLOCK_RATES", &mut settings.block_rates), ("NETWORK_RATES", &mut settings.network_rates)] {
        if let Some(text) = setting(name) {
            let list = text.split(',').map(str::parse).collect::<Result<Vec<f32>, _>>()?;
            let [weights, at_4_bits, others_at_4_bits, scales, biases, ranges, margin] = list[..] else {
                return Err(format!("{name} is `{text}`").into());
            };
            *rates = Rates { weights, at_4_bits, others_at_4_bits, scales, biases, ranges, margin, ..*rates };
        }
    }
    let test_images = bitesize::deliver::candidate::samples(test);
    let top1 = |model: &QuantizedModel| evaluate(model, &test_images, test.labels.classes().unwrap_or_default());
    let start = Instant::now();
    let mut reconstruction = Reconstruction::new(model, samples, settings)?;
    while !reconstruction.is_done() {
        reconstruction.learn_next(&mut |_, _| ControlFlow::Continue(()))?;
        let outcomes = &reconstruction.state().outcomes;
        if setting("VERBOSE").is_some() {
            let UnitOutcome { name, before, after, kept } = &outcomes[outcomes.len() - 1];
            eprintln!("    {name}: {before:.4} to {after:.4}, kept {kept} ({:.0} s)", start.elapsed().as_secs_f64());
        }
        if outcomes.len() == reconstruction.blocks() {
            let seconds = start.elapsed().as_secs_f64();
            print!("  blocks {:.2} ({seconds:.0} s)", top1(&reconstruction.state().model)?);
        }
    }
    let seconds = start.elapsed().as_secs_f64();
    print!("  network {:.2} ({seconds:.0} s)", top1(&reconstruction.into_model())?);
    Ok(())
}

/// Tells details where `VERBOSE` is set.
struct Told;

impl Observer for Told {
    fn warning(&self, text: &str) {
        println!("  warning: {text}");
    }

    fn wants_stop(&self) -> bool {
        false
    }

    fn detail(&self, text: &str) {
        if setting("VERBOSE").is_some() {
            println!("    {text}");
        }
    }
}

/// `ptq` with channels brought to one size where that helps.
fn equalized<'a>(subject: &'a Subject, ptq: &Ptq<'a>) -> Result<Ptq<'a>, Box<dyn Error>> {
    let (network, monitor) = (&subject.network, Monitor::new(&Told));
    let objective = Objective { task: Task::Classify, shape: network.shape(network.output), tail: network.tail };
    let held_out = HeldOut::of(network, objective, subject.held_out.clone(), &monitor)?;
    let batch = subject.calibration.slice(0..subject.calibration.len().min(CALIBRATION));
    let found = Equalized::of(network, &batch, ptq.calibration(), &held_out, &monitor)?;
    let calibration = Calibration { equalization: found.equalization, ..ptq.calibration().clone() };
    let request = PrepareRequest { known: found.layers, ..PrepareRequest::everything(network, PtqSettings::default()) };
    let go = &mut |_, _| ControlFlow::Continue(());
    Ok(Ptq::prepare(network, &samples(&batch), calibration, request, go)?)
}

/// How many times as far as those of nine in ten samples the values of the farthest reach, in each tensor: the three largest.
fn reach(network: &Network, images: &Samples<'_>) -> Result<(), Box<dyn Error>> {
    let mut extents = vec![Vec::new(); network.tensors.len()];
    for i in 0..images.len() {
        let tensors = FloatModel::new(network).forward_tensors(&images.range(i..i + 1))?;
        for (extents, values) in extents.iter_mut().zip(tensors) {
            let (lo, hi) = values.iter().fold((0f32, 0f32), |(lo, hi), x| (lo.min(*x), hi.max(*x)));
            extents.push(hi - lo);
        }
    }
    let mut reached: Vec<(f32, usize)> = Vec::new();
    for (tensor, extents) in extents.iter_mut().enumerate() {
        extents.sort_by(f32::total_cmp);
        reached.push((extents[extents.len() - 1] / extents[(extents.len() - 1) * 9 / 10], tensor));
    }
    reached.sort_by(|a, b| b.0.total_cmp(&a.0));
    for (factor, tensor) in reached.iter().take(3) {
        println!("  the farthest sample reaches {factor:.2} times as far in `{}`", network.tensors[*tensor].name);
    }
    Ok(())
}

fn range_method() -> Result<RangeMethod, Box<dyn Error>> {
    let Some(text) = setting("RANGES") else { return Ok(RangeMethod::default()) };
    Ok(match text.split_once(':') {
        Some(("percentile", share)) => RangeMethod::Percentile(share.parse::<f64>()? / 100.0),
        None if text == "min-max" => RangeMethod::MinMax,
        None if text == "min-error" => RangeMethod::MinError,
        _ => return Err(format!("RANGES is `{text}`").into()),
    })
}

fn settings(network: &Network) -> Result<PtqSettings, Box<dyn Error>> {
    let mut settings = PtqSettings::default();
    let number = |name: &str| setting(name).map(|v| v.parse::<f64>()).transpose();
    if let Some(value) = number("DAMPING")? {
        settings.damping = value;
    }
    if let Some(value) = number("CAUTION")? {
        settings.caution = value;
    }
    if let Some(value) = number("ROUNDS")? {
        settings.refinement_rounds = value as usize;
    }
    if let Some(value) = number("SCALES")? {
        settings.compensated_candidates = value as usize;
    }
    if let Some(stretches) = number("STRETCHES")? {
        // Of the layer whose inputs are the most, the covariance in so many stretches.
        let most = network.nodes.iter().filter_map(|node| node.op.parameters().map(|p| p.weights.len() / p.bias.len()));
        let most = most.max().unwrap_or(1) as f64;
        settings.covariance_entries = (most * most / stretches).ceil() as usize;
    }
    Ok(settings)
}

fn evaluate(model: &QuantizedModel, images: &Samples<'_>, labels: &[usize]) -> Result<f64, Box<dyn Error>> {
    let codes = FakeQuantModel::new(model)?.forward(images, &mut |_, _| ControlFlow::Continue(()))?;
    let output: Vec<f32> = codes.into_iter().map(f32::from).collect();
    Ok(100.0 * accuracy(&output, model.network.shape(model.network.output).c, labels))
}
