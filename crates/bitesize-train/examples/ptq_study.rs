//! Measures post-training quantization on CIFAR-10: `cargo run --release -p bitesize-train --example ptq_study -- NAME...`
//!
//! Networks and images come from the folder named by `BITESIZE_SHARED` (`../shared` beside the workspace where it is
//! not set). Calibration uses the first images of the training set, without labels; accuracy is on all of the test
//! set. `IMAGES` (default 512) is the number of calibration images, `POLICIES` a comma-separated choice of rows, and
//! `FAST=1` also measures the models that a search sees.

use bitesize_ir::rewrite::{Preprocess, fold_preprocessing, rewrite};
use bitesize_ir::{BitWidth, Network, Op, Policy, PolicySpace, QuantizedModel};
use bitesize_train::{
    CalibrationSettings, FakeQuantModel, FloatModel, Ptq, PtqSettings, Rounding, Samples, accuracy, calibrate,
};
use std::error::Error;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::Instant;

fn main() -> Result<(), Box<dyn Error>> {
    let shared = std::env::var_os("BITESIZE_SHARED")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared"), PathBuf::from);
    let images: usize = setting("IMAGES").map_or(Ok(512), |v| v.parse())?;
    let train = Cifar::read(&shared.join("data/cifar10/train"))?;
    let test = Cifar::read(&shared.join("data/cifar10/test"))?;
    for name in std::env::args().skip(1) {
        let network = read_network(&shared, &name)?;
        let shape = network.shape(network.input);
        let calibration_images = Samples::pixels(shape, &train.pixels[..images * shape.elements()]);
        study(&name, &network, &calibration_images, &test)?;
    }
    Ok(())
}

fn setting(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// CIFAR-10's binary format: a label, then the red, green and blue planes.
struct Cifar {
    pixels: Vec<u8>,
    labels: Vec<usize>,
}

impl Cifar {
    fn read(folder: &Path) -> Result<Self, Box<dyn Error>> {
        let mut files =
            std::fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>, std::io::Error>>()?;
        files.sort();
        let (mut pixels, mut labels) = (Vec::new(), Vec::new());
        for file in files {
            for record in std::fs::read(file)?.chunks_exact(3073) {
                labels.push(usize::from(record[0]));
                pixels.extend((0..1024).flat_map(|p| [1, 1025, 2049].map(|plane| record[plane + p])));
            }
        }
        Ok(Self { pixels, labels })
    }
}

fn read_network(shared: &Path, name: &str) -> Result<Network, Box<dyn Error>> {
    let models = shared.join("models");
    let bytes = std::fs::read(models.join(format!("{name}.onnx")))?;
    let imported = bitesize_import::import_onnx(&bytes, &|file| std::fs::read(models.join(file)), name)?;
    let (network, _) = rewrite(imported.network)?;
    let preprocess = if name.starts_with("cifar10") {
        Preprocess { scale: 1.0 / 255.0, mean: vec![0.4914, 0.4822, 0.4465], std: vec![0.2470, 0.2435, 0.2616] }
    } else {
        Preprocess { scale: 1.0, mean: vec![0.0; 3], std: vec![1.0; 3] }
    };
    Ok(fold_preprocessing(network, &preprocess)?)
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

fn study(name: &str, network: &Network, images: &Samples<'_>, test: &Cifar) -> Result<(), Box<dyn Error>> {
    let go = &mut |_, _| ControlFlow::Continue(());
    let test_images = Samples::pixels(images.shape, &test.pixels);
    let start = Instant::now();
    let output = FloatModel::new(network).forward(&test_images, go)?;
    let seconds = start.elapsed().as_secs_f64();
    let top1 = 100.0 * accuracy(&output, network.shape(network.output).c, &test.labels);
    let speed = network.macs() as f64 * test.labels.len() as f64 / seconds / 1e9;
    println!("{name}: float {top1:.2} ({seconds:.1} s, {speed:.0} GMAC/s)");

    let start = Instant::now();
    let calibration = calibrate(network, images, &CalibrationSettings::default(), go)?;
    let calibrated = start.elapsed().as_secs_f64();
    let settings = settings()?;
    let nearest = PtqSettings { rounding: Rounding::Nearest, ..settings.clone() };
    let compensated = Ptq::prepare(network, images, calibration.clone(), settings, go)?;
    println!("  calibrated in {calibrated:.1} s, prepared in {:.1} s", start.elapsed().as_secs_f64() - calibrated);
    let nearest = Ptq::prepare(network, images, calibration, nearest, go)?;
    let chosen = setting("POLICIES");
    for (label, policy) in policies(network) {
        if chosen.as_ref().is_some_and(|chosen| !chosen.split(',').any(|c| c == label)) {
            continue;
        }
        print!("  {label:<6}");
        for (method, ptq) in [("nearest", &nearest), ("compensated", &compensated)] {
            if setting("FAST").is_some() {
                let top1 = evaluate(&ptq.quantize_fast(&policy), &test_images, &test.labels)?;
                print!("  {method} from float inputs {top1:.2}");
            }
            let start = Instant::now();
            let model = ptq.quantize_sequential(&policy, images, go)?;
            let seconds = start.elapsed().as_secs_f64();
            print!("  {method} {:.2} ({seconds:.1} s)", evaluate(&model, &test_images, &test.labels)?);
        }
        println!();
    }
    Ok(())
}

fn settings() -> Result<PtqSettings, Box<dyn Error>> {
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
    Ok(settings)
}

fn evaluate(model: &QuantizedModel, images: &Samples<'_>, labels: &[usize]) -> Result<f64, Box<dyn Error>> {
    let codes = FakeQuantModel::new(model)?.forward(images, &mut |_, _| ControlFlow::Continue(()))?;
    let output: Vec<f32> = codes.into_iter().map(f32::from).collect();
    Ok(100.0 * accuracy(&output, model.network.shape(model.network.output).c, labels))
}
