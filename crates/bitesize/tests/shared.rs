//! Networks that do not lie in the repository: `BITESIZE_SHARED` names their folder.

mod common;

use bitesize::deliver::calibrated::calibrate;
use bitesize::deliver::quality::{WARNING_DB, qualities};
use bitesize::deliver::quantizer::Quantizer;
use bitesize::input::{Batch, Dataset, Model, Preprocess, PreprocessFile, Request, Role, Values};
use bitesize::observe::Monitor;
use bitesize::task::Labels;
use bitesize_ir::{BitWidth, Policy, Shape};
use bitesize_train::CalibrationSettings;
use common::shared;
use rand::{RngExt as _, SeedableRng as _};
use std::path::Path;

/// Every tensor of the network with the worst dead channels, at 8 bits, on `batch`: the lowest dB with its tensor.
#[track_caller]
fn check_vww(model: &Path, batch: &Batch) {
    let monitor = Monitor::unobserved();
    let mut vww = Model::load(model, &monitor).unwrap();
    let file = PreprocessFile::from_toml("scale = 0.00392156862745098").unwrap();
    vww.fold_preprocessing(&Preprocess::checked(&file, batch.shape).unwrap()).unwrap();
    let calibration = calibrate(&vww.network, batch, &CalibrationSettings::default(), &monitor).unwrap();
    let quantizer = Quantizer::prepare_all(&vww.network, batch, calibration, &monitor).unwrap();
    let policy = Policy::uniform(&vww.space, BitWidth::B8, BitWidth::B8);
    let candidate = quantizer.sequential("uniform-8", &policy).unwrap();
    let qualities = qualities(&candidate, &batch.slice(0..batch.len().min(16)), &monitor).unwrap();
    for tensor in &qualities {
        eprintln!("{:<60} {:>6.1} dB {}", tensor.name, tensor.sqnr_db, tensor.reason.as_deref().unwrap_or_default());
        let low = tensor.sqnr_db < WARNING_DB;
        assert_eq!(low, tensor.reason.is_some());
    }
    let low = qualities.iter().filter(|t| t.sqnr_db < WARNING_DB).count();
    assert_eq!(low, 0, "tensors below {WARNING_DB} dB");
}

#[test]
fn every_tensor_of_vww_keeps_20_db_at_8_bits_on_noise() {
    let Some(model) = shared("models/mlperf_vww_mobilenet_v1.onnx") else { return };
    let shape = Shape::new(96, 96, 3);
    let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(0);
    let pixels = (0..64 * shape.elements()).map(|_| rng.random::<u8>()).collect();
    check_vww(&model, &Batch { values: Values::Pixels(pixels), labels: Labels::None(64), shape });
}

#[test]
fn every_tensor_of_vww_keeps_20_db_at_8_bits_on_photographs() {
    let Some(model) = shared("models/mlperf_vww_mobilenet_v1.onnx") else { return };
    let Some(data) = shared("data/imagenet/calibration") else { return };
    let shape = Shape::new(96, 96, 3);
    let file = PreprocessFile { size: Some([96, 96]), ..PreprocessFile::default() };
    let preprocess = Preprocess::checked(&file, shape).unwrap();
    // The labels are those of another task and not used.
    let request = Request::new(shape, &preprocess);
    let data = Dataset::open(&data, Role::Train, &request).unwrap();
    let spread: Vec<usize> = (0..256).map(|i| i * data.len() / 256).collect();
    check_vww(&model, &data.load(&spread).unwrap());
}
