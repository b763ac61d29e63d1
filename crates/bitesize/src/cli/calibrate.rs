//! `bitesize calibrate`.

use crate::args::{CalibrationArgs, DataArgs, ModelArgs, PreprocessArgs, TaskArgs, absolute, trained};
use crate::console::print;
use crate::open::{config_of, keep_if_resumable};
use anyhow::bail;
use bitesize::Ending;
use bitesize::deliver::{Calibrated, Opened};
use bitesize::input::{Inputs, Sources};
use bitesize::observe::Monitor;
use bitesize::run::config::{DataConfig, ModelConfig, PackageConfig, VerifyConfig};
use bitesize::run::{RESULTS_VERSION, RunConfig, RunFolder};
use bitesize_ir::BitWidth;
use bitesize_ir::shown::ShownPath as _;
use bitesize_train::Calibration;
use clap::Args;
use std::path::PathBuf;

/// Finds ranges.
#[derive(Args)]
pub(crate) struct CalibrateArgs {
    /// The network, float ONNX
    #[arg(value_parser = trained())]
    model: PathBuf,
    #[command(flatten)]
    model_input: ModelArgs,
    /// Data to calibrate with: a folder of class folders, .npz, CIFAR-10 .bin, IDX
    #[arg(long, value_name = "DATA")]
    train: PathBuf,
    /// The run folder: new or empty, or calibrated with the same settings
    #[arg(short, long, value_name = "DIR")]
    output: PathBuf,
    #[command(flatten)]
    calibration: CalibrationArgs,
    #[command(flatten)]
    task: TaskArgs,
    #[command(flatten)]
    data: DataArgs,
    #[command(flatten)]
    preprocess: PreprocessArgs,
}

impl CalibrateArgs {
    pub(crate) fn run(self, monitor: &Monitor) -> anyhow::Result<Ending> {
        let mut folder = RunFolder::open_or_create(&self.output)?;
        let preprocess = self.preprocess.read()?;
        let input_shape = self.model_input.input_shape();
        let layout = self.data.data_layout;
        let sources = Sources {
            model: &self.model,
            train: Some(&self.train),
            val: None,
            preprocess: &preprocess,
            task: self.task.asked(),
            layout,
            input_shape,
        };
        let inputs = Inputs::open(sources, monitor)?;
        let config = RunConfig {
            version: env!("CARGO_PKG_VERSION").into(),
            results_version: RESULTS_VERSION,
            seed: self.calibration.seed,
            task: Some(inputs.objective.task),
            model: ModelConfig {
                path: absolute(&self.model)?,
                sha256: inputs.model.sha256.clone(),
                input_shape: input_shape.cloned().map(Into::into),
            },
            data: DataConfig {
                train: absolute(&self.train)?,
                train_samples: inputs.train_samples(),
                val: None,
                layout,
            },
            preprocess,
            calibration: self.calibration.config(&inputs.objective),
            target: None,
            search: None,
            reconstruct: None,
            finetune: None,
            package: PackageConfig::default(),
            verify: VerifyConfig::default(),
        };
        if folder.holds_run()
            && let Some(difference) = config_of(&folder)?.difference_from(&config)
        {
            bail!(
                "the output folder `{}` is not empty: it holds a run with other settings ({difference}); give another one",
                self.output.shown()
            );
        }
        let result = steps(Opened { config: &config, inputs: &inputs, folder: &folder, monitor });
        keep_if_resumable(&result, &mut folder);
        result.map(|()| Ending::Done)
    }
}

fn steps(opened: Opened) -> anyhow::Result<()> {
    let calibrated = Calibrated::of(opened)?;
    if !calibrated.is_kept() {
        let mut commit = opened.folder.begin()?;
        opened.put(&mut commit)?;
        calibrated.put(&mut commit)?;
        commit.finish()?;
    }
    opened.inputs.tell_skipped(opened.monitor);
    print(format_args!("{}", table(&calibrated.calibration)));
    Ok(())
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
