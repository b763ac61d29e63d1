//! `bitesize calibrate`.

use super::keep_if_interrupted;
use crate::args::{CalibrationArgs, PreprocessArgs, absolute};
use bitesize::Ending;
use bitesize::console::Console;
use bitesize::inputs::{Inputs, Sources};
use bitesize::run::config::{DataConfig, ModelConfig, PackageConfig, VerifyConfig};
use bitesize::run::{self, RunConfig, RunFolder};
use bitesize::stages::{calibrate_into, first_samples};
use bitesize_ir::BitWidth;
use bitesize_train::Calibration;
use clap::Args;
use std::path::PathBuf;

/// Finds ranges.
#[derive(Args)]
pub(crate) struct CalibrateArgs {
    /// The network, float ONNX
    model: PathBuf,
    /// Data to calibrate with: a folder of class folders, .npz, CIFAR-10 .bin, IDX
    #[arg(long, value_name = "DATA")]
    train: PathBuf,
    /// The run folder: new or empty
    #[arg(short, long, value_name = "DIR")]
    output: PathBuf,
    #[command(flatten)]
    calibration: CalibrationArgs,
    #[command(flatten)]
    preprocess: PreprocessArgs,
}

impl CalibrateArgs {
    pub(crate) fn run(self, console: &Console) -> anyhow::Result<Ending> {
        let preprocess = self.preprocess.read()?;
        let sources = Sources { model: &self.model, train: Some(&self.train), val: None, preprocess: &preprocess };
        let inputs = Inputs::open(sources, console)?;
        let config = RunConfig {
            version: env!("CARGO_PKG_VERSION").into(),
            seed: self.calibration.seed,
            model: ModelConfig { path: absolute(&self.model)?, sha256: inputs.model.sha256.clone() },
            data: DataConfig { train: absolute(&self.train)?, train_samples: inputs.train_samples(), val: None },
            preprocess,
            calibration: self.calibration.config(),
            target: None,
            search: None,
            package: PackageConfig::default(),
            verify: VerifyConfig::default(),
        };
        let mut folder = RunFolder::create(&self.output)?;
        let ending = steps(&config, &inputs, &folder, console);
        keep_if_interrupted(&ending, &mut folder);
        if ending.is_ok() {
            folder.keep();
        }
        ending
    }
}

fn steps(config: &RunConfig, inputs: &Inputs, folder: &RunFolder, console: &Console) -> anyhow::Result<Ending> {
    folder.write(run::CONFIG, config.to_toml().as_bytes())?;
    let samples = first_samples(config, inputs, config.calibration.samples)?;
    let calibration = calibrate_into(config, inputs, &samples, folder, console)?;
    inputs.tell_skipped(console);
    bitesize::console::print(format_args!("{}", table(&calibration)));
    Ok(Ending::Done)
}

/// One line a tensor: the range seen, and the encoding at 8 bits.
fn table(calibration: &Calibration) -> String {
    let longest = calibration.tensors.iter().map(|t| t.name.len()).max().unwrap_or(6).max(6);
    let mut text =
        format!("{:<longest$} {:>12} {:>12} {:>14} {:>5}\n", "tensor", "least", "greatest", "8-bit scale", "zero");
    for (i, t) in calibration.tensors.iter().enumerate() {
        let quant = calibration.encoding(bitesize_ir::TensorId(i), BitWidth::B8);
        text +=
            &format!("{:<longest$} {:>12.5} {:>12.5} {:>14.8} {:>5}\n", t.name, t.lo, t.hi, quant.scale, quant.zero);
    }
    text
}
