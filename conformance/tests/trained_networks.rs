//! The trained networks of `../shared/models` at 8 bits: how near every tensor of the integer network comes to the
//! float one, and how much accuracy is lost. `docs/quality.md` holds the figures.
//!
//! Where that folder is not there (set `BITESIZE_SHARED` to it), the tests say so and do nothing. `BITESIZE_TEST_IMAGES`
//! is the number of test images of each network (default 1,000; 0 takes all of them).

use bitesize::deliver::Delivered;
use bitesize::deliver::calibrated::calibrate;
use bitesize::deliver::candidate::{Candidate, samples};
use bitesize::deliver::quality::{TensorQuality, WARNING_DB, qualities};
use bitesize::deliver::quantizer::Quantizer;
use bitesize::input::{Batch, Dataset, Preprocess, PreprocessFile, Request, Role, Values};
use bitesize::input::{Inputs, Model, Sources};
use bitesize::observe::Monitor;
use bitesize::task::Labels;
use bitesize_codegen::{EmitOptions, PackageNames, emit};
use bitesize_integer::{Interpreter, top1};
use bitesize_ir::requantize::WeightLayout;
use bitesize_ir::{BitWidth, Network, Policy, PolicySpace};
use bitesize_train::{CalibrationSettings, FloatModel};
use conformance::shared;
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use std::ops::ControlFlow;
use std::path::Path;

const CALIBRATION_IMAGES: usize = 512;

fn preprocess_of(shared: &Path, name: &str) -> PreprocessFile {
    let text = std::fs::read_to_string(shared.join(format!("models/{name}.toml"))).unwrap();
    PreprocessFile::from_toml(&text).unwrap()
}

/// Uniform 8 bits, as `fit` delivers them.
fn quantized(network: &Network, calibration: &Batch) -> Candidate {
    let monitor = Monitor::unobserved();
    let ranges = calibrate(network, calibration, &CalibrationSettings::default(), &monitor).unwrap();
    let quantizer = Quantizer::prepare_all(network, calibration, ranges, &monitor).unwrap();
    let policy = Policy::uniform(&PolicySpace::of(network), BitWidth::B8, BitWidth::B8);
    quantizer.sequential("8 bits", &policy).unwrap()
}

/// The arena that the C of `candidate` declares is what the memory model plans.
fn check_arena(name: &str, candidate: &Candidate) {
    let core = bitesize::target::core("cortex-m4").unwrap();
    let ram = Delivered::of(candidate.clone(), &core).ram;
    assert_eq!(ram.arena, ram.plan.arena_bytes as u64, "{name}");
    let options = EmitOptions::default();
    let names = PackageNames::new(&options.prefix, None).unwrap();
    let package = emit(&candidate.integers, &ram.plan, &options).unwrap();
    let header = package.file(&names.header()).expect("a package has its header");
    let macro_start = format!("#define {}", names.arena_bytes());
    let define = header.lines().find(|line| line.starts_with(&macro_start)).expect("it names the arena");
    assert!(define.contains(&format!(" {}", ram.arena)), "{name}: {define} instead of {}", ram.arena);
}

struct VisualWakeWords {
    model: Model,
    preprocess: Preprocess,
}

impl VisualWakeWords {
    const NAME: &str = "mlperf_vww_mobilenet_v1";

    fn load(shared: &Path) -> Self {
        let mut model =
            Model::load(&shared.join(format!("models/{}.onnx", Self::NAME)), &Monitor::unobserved()).unwrap();
        let shape = model.network.shape(model.network.input);
        let file = PreprocessFile { size: Some([shape.h, shape.w]), ..preprocess_of(shared, Self::NAME) };
        let preprocess = Preprocess::checked(&file, shape).unwrap();
        model.fold_preprocessing(&preprocess).unwrap();
        Self { model, preprocess }
    }

    /// How many output channels have only weights below a millionth of their layer's largest, how many there are, and
    /// the least weight that is not 0.
    fn dead_channels(&self) -> (usize, usize, f32) {
        let (mut dead, mut all, mut least) = (0, 0, f32::INFINITY);
        for op in self.model.network.nodes.iter().map(|node| &node.op) {
            let (Some(layout), Some(parameters)) = (WeightLayout::of(op), op.parameters()) else { continue };
            let mut largest = vec![0f32; layout.out_channels()];
            for (i, weight) in parameters.weights.iter().enumerate() {
                let of_channel = &mut largest[layout.out_channel(i)];
                *of_channel = of_channel.max(weight.abs());
                least = if *weight == 0.0 { least } else { least.min(weight.abs()) };
            }
            let of_layer = largest.iter().copied().fold(0.0, f32::max);
            dead += largest.iter().filter(|l| **l < 1e-6 * of_layer).count();
            all += largest.len();
        }
        (dead, all, least)
    }

    /// Every `step`-th image from the `first` on, stretched to the network's size.
    fn images(&self, shared: &Path, first: usize, step: usize) -> Batch {
        let shape = self.model.network.shape(self.model.network.input);
        // The classes are those of other images; the labels are not used.
        let request = Request::new(shape, &self.preprocess);
        let data = Dataset::open(&shared.join("data/imagenet/calibration"), Role::Train, &request).unwrap();
        let indices: Vec<usize> = (first..data.len()).step_by(step).collect();
        data.load(&indices).unwrap()
    }

    /// Independent pixels, each of 0..=255 equally likely.
    fn noise(&self, seed: u64, count: usize) -> Batch {
        let shape = self.model.network.shape(self.model.network.input);
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let pixels = (0..count * shape.elements()).map(|_| random.random()).collect();
        Batch { values: Values::Pixels(pixels), labels: Labels::None(count), shape }
    }

    /// Prints the quality of every tensor and returns those below 20 dB.
    fn check(&self, what: &str, calibration: &Batch, measured: &Batch) -> Vec<TensorQuality> {
        let candidate = quantized(&self.model.network, calibration);
        check_arena(Self::NAME, &candidate);
        let all = qualities(&candidate, measured, &Monitor::unobserved()).unwrap();
        println!("{what}: {} images measured, calibrated on {}", measured.len(), calibration.len());
        for quality in &all {
            println!("{:6.2} dB  {}  {}", quality.sqnr_db, quality.name, quality.reason.as_deref().unwrap_or_default());
        }
        all.into_iter().filter(|q| q.sqnr_db < WARNING_DB || q.sqnr_db.is_nan()).collect()
    }
}

#[test]
fn tensors_of_visual_wake_words_on_images() {
    let Some(shared) = shared("tensors_of_visual_wake_words_on_images") else { return };
    let network = VisualWakeWords::load(&shared);
    let (dead, all, least) = network.dead_channels();
    println!("{dead} of {all} channels are dead; the least weight is {least:e}");
    assert!(dead > 0, "this network is here for its dead channels");
    let low = network.check("images", &network.images(&shared, 0, 8), &network.images(&shared, 4, 8));
    assert!(low.is_empty(), "below {WARNING_DB} dB: {low:#?}");
}

#[test]
fn tensors_of_visual_wake_words_on_noise() {
    let Some(shared) = shared("tensors_of_visual_wake_words_on_noise") else { return };
    let network = VisualWakeWords::load(&shared);
    let low = network.check("noise", &network.noise(1, 128), &network.noise(2, 128));
    assert!(low.is_empty(), "below {WARNING_DB} dB: {low:#?}");
}

/// A network, its data, and how many points of top-1 it may lose.
struct Case {
    name: &'static str,
    train: &'static str,
    val: &'static str,
    points: f64,
}

fn test_images() -> usize {
    std::env::var("BITESIZE_TEST_IMAGES").map_or(1000, |text| text.parse().expect("BITESIZE_TEST_IMAGES is a number"))
}

/// How many images the float network, the integer network and only one of the two classify rightly.
#[derive(Default)]
struct Hits {
    float: usize,
    integer: usize,
    only_one: usize,
}

impl Hits {
    fn of(network: &Network, candidate: &Candidate, images: &Dataset, count: usize) -> Self {
        let interpreter = Interpreter::new(&candidate.integers);
        let classes = network.shape(network.output).elements();
        let mut hits = Self::default();
        let indices: Vec<usize> = (0..count).collect();
        for chunk in indices.chunks(250) {
            let batch = images.load(chunk).unwrap();
            let mut go_on = |_, _| ControlFlow::Continue(());
            let float = FloatModel::new(network).forward(&samples(&batch), &mut go_on).unwrap();
            let codes = interpreter.run_batch(&candidate.input_codes(&batch));
            let found = bitesize_train::top1(&float, classes).into_iter().zip(codes.chunks_exact(classes));
            for ((float, codes), label) in found.zip(batch.labels.classes().unwrap()) {
                let (float, integer) = (float == *label, top1(codes) == *label);
                hits.float += usize::from(float);
                hits.integer += usize::from(integer);
                hits.only_one += usize::from(float != integer);
            }
        }
        hits
    }
}

/// Checks that `case` loses no more than it may. On part of the test set two standard errors of the difference are
/// allowed besides: each image that only one of the two networks classifies rightly counts plus or minus one.
fn check(shared: &Path, case: &Case) {
    let path = |relative: &str| shared.join(relative);
    let (model, train, val) = (path(&format!("models/{}.onnx", case.name)), path(case.train), path(case.val));
    let preprocess = preprocess_of(shared, case.name);
    let sources = Sources {
        model: &model,
        train: Some(&train),
        val: Some(&val),
        preprocess: &preprocess,
        task: None,
        layout: None,
        input_shape: None,
    };
    let Inputs { model, train: Some(train), val: Some(val), .. } =
        Inputs::open(sources, &Monitor::unobserved()).unwrap()
    else {
        panic!("{}: both data sets were asked for", case.name)
    };
    let first: Vec<usize> = (0..CALIBRATION_IMAGES.min(train.len())).collect();
    let candidate = quantized(&model.network, &train.load(&first).unwrap());
    check_arena(case.name, &candidate);

    let asked = test_images();
    let count = if asked == 0 { val.len() } else { asked.min(val.len()) };
    let hits = Hits::of(&model.network, &candidate, &val, count);
    let percent = |images: f64| 100.0 * images / count as f64;
    let (float, integer) = (percent(hits.float as f64), percent(hits.integer as f64));
    let (loss, only_one) = (float - integer, hits.only_one);
    println!(
        "{}: float {float:.2} %, 8 bits {integer:.2} %, loss {loss:.2} points ({only_one} of {count} images differ)",
        case.name
    );
    let chance = if count == val.len() { 0.0 } else { 2.0 * percent(f64::sqrt(only_one as f64)) };
    let allowed = case.points + chance;
    assert!(loss <= allowed, "{}: {loss:.2} points lost, {allowed:.2} allowed", case.name);
}

const CIFAR: (&str, &str) = ("data/cifar10/train", "data/cifar10/test");

#[test]
fn losses_of_uniform_8_bits() {
    let Some(shared) = shared("losses_of_uniform_8_bits") else { return };
    let cifar = |name, points| Case { name, train: CIFAR.0, val: CIFAR.1, points };
    for case in [
        cifar("cifar10_mobilenet_v1", 0.3),
        cifar("cifar10_mobilenet_v2", 0.3),
        cifar("cifar10_mnasnet", 0.5),
        cifar("mlperf_resnet8", 0.3),
        Case { name: "mlperf_kws_dscnn", train: "data/kws/train.npz", val: "data/kws/val.npz", points: 1.0 },
    ] {
        check(&shared, &case);
    }
}
