//! `bitesize train`.

use crate::args::{DataArgs, PreprocessArgs, absolute, at_least_one};
use crate::console::out_line;
use crate::tune_args::{Augmentation, augment, epochs};
use anyhow::Context as _;
use bitesize::input::zoo::{Architecture, ZooName};
use bitesize::observe::Monitor;
use bitesize::run::learning::Augment;
use bitesize::scratch::{MODEL, PREPROCESS, ScratchConfig, Trained, resume, train};
use bitesize::{Ending, usage};
use bitesize_ir::shown::ShownPath as _;
use clap::Args;
use std::path::{Path, PathBuf};

/// Trains from scratch.
#[derive(Args)]
pub(crate) struct TrainArgs {
    /// The architecture: mobilenet-v1, mobilenet-v2 or mnasnet
    #[arg(long, value_name = "NAME", required_unless_present = "resume", value_parser = architecture)]
    arch: Option<Architecture>,
    /// Factor on numbers of channels [default: 1]
    #[arg(long, value_name = "W")]
    width: Option<f64>,
    /// Height and width of the images that the network takes, in pixels
    #[arg(long, value_name = "R", required_unless_present = "resume")]
    resolution: Option<usize>,
    /// How many classes there are
    #[arg(long, value_name = "C", required_unless_present = "resume")]
    classes: Option<usize>,
    /// How much smaller than the image the last map is: 8 or 16 leave out the first strides, for small images
    /// [default: 32]
    #[arg(long, value_name = "D")]
    downsample: Option<usize>,
    /// Training data with classes: a folder of class folders, .npz, CIFAR-10 .bin, IDX
    #[arg(long, value_name = "DATA", required_unless_present = "resume")]
    train: Option<PathBuf>,
    /// Data for the final figure only
    #[arg(long, value_name = "DATA")]
    val: Option<PathBuf>,
    /// How often training goes through all training samples but those held out
    #[arg(long, value_name = "N", required_unless_present = "resume", value_parser = epochs)]
    epochs: Option<usize>,
    /// Where the network goes: a new or empty folder
    #[arg(short, long, value_name = "DIR", required_unless_present = "resume", conflicts_with = "resume")]
    output: Option<PathBuf>,
    /// Go on with the interrupted training in this folder
    #[arg(long, value_name = "DIR")]
    resume: Option<PathBuf>,
    /// Samples of a step [default: 128]
    #[arg(long, value_name = "N", value_parser = at_least_one, help_heading = "Training")]
    batch: Option<usize>,
    /// How far a step moves weights after the warm-up [default: 0.1]
    #[arg(long, value_name = "RATE", help_heading = "Training")]
    lr: Option<f64>,
    /// How much of the velocity a step keeps [default: 0.9]
    #[arg(long, value_name = "SHARE", help_heading = "Training")]
    momentum: Option<f64>,
    /// How strongly weights are drawn to 0 [default: 0.0005]
    #[arg(long, value_name = "STRENGTH", help_heading = "Training")]
    weight_decay: Option<f64>,
    /// The share of steps over which the rate rises [default: 0.05]
    #[arg(long, value_name = "SHARE", help_heading = "Training")]
    warm_up: Option<f64>,
    /// The share of a label that all classes get alike [default: 0]
    #[arg(long, value_name = "SHARE", help_heading = "Training")]
    label_smoothing: Option<f64>,
    /// What is done to images: shift, flip, jitter, joined by commas, or none [default: shift,flip]
    #[arg(long, value_name = "LIST", default_value = "auto", hide_default_value = true, value_parser = augment)]
    #[arg(help_heading = "Training")]
    augment: Augmentation,
    /// Where all chance comes from
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u64).range(..=i64::MAX as u64))]
    seed: u64,
    #[command(flatten)]
    data: DataArgs,
    #[command(flatten)]
    preprocess: PreprocessArgs,
}

fn architecture(text: &str) -> Result<Architecture, String> {
    let found = Architecture::ALL.into_iter().find(|architecture| architecture.name() == text);
    found.ok_or_else(|| format!("`{text}` is none of {}", Architecture::ALL.map(Architecture::name).join(", ")))
}

impl TrainArgs {
    /// The command that goes on with an interrupted training.
    pub(crate) fn resume_command(&self) -> Option<String> {
        let folder = self.resume.as_ref().or(self.output.as_ref())?;
        Some(format!("bitesize train --resume {}", folder.shown()))
    }

    pub(crate) fn run(self, monitor: &Monitor) -> anyhow::Result<Ending> {
        let (out, trained) = match &self.resume {
            Some(folder) => (folder, resume(folder, monitor)?),
            None => {
                let out = self.output.as_ref().context("the parser asks for an output folder")?;
                (out, train(&self.config(monitor)?, out, monitor)?)
            }
        };
        tell(out, &trained);
        Ok(Ending::Done)
    }

    /// The network that is asked for.
    fn network(&self) -> anyhow::Result<ZooName> {
        let architecture = self.arch.context("the parser asks for an architecture")?;
        let settings = [
            ("width", self.width.map(|width| width.to_string())),
            ("resolution", self.resolution.map(|resolution| resolution.to_string())),
            ("classes", self.classes.map(|classes| classes.to_string())),
            ("downsample", self.downsample.map(|downsample| downsample.to_string())),
        ];
        let given = settings.into_iter().filter_map(|(key, value)| Some(format!("{key}={}", value?)));
        let name = format!("zoo:{}?{}", architecture.name(), given.collect::<Vec<_>>().join("&"));
        name.parse().map_err(|problem: String| usage(problem))
    }

    fn config(&self, monitor: &Monitor) -> anyhow::Result<ScratchConfig> {
        let train = self.train.as_deref().context("the parser asks for training data")?;
        let epochs = self.epochs.context("the parser asks for epochs")?;
        let start = ScratchConfig::new(&self.network()?, absolute(train)?, epochs);
        let given = self.preprocess.read()?;
        let preprocess = ScratchConfig::scaled(given.clone());
        if preprocess != given {
            monitor.note("no scaling of pixels is given: they are brought to about -2 to 2");
        }
        let config = ScratchConfig {
            val: self.val.as_deref().map(absolute).transpose()?,
            layout: self.data.data_layout,
            preprocess,
            batch: self.batch.unwrap_or(start.batch),
            lr: self.lr.unwrap_or(start.lr),
            momentum: self.momentum.unwrap_or(start.momentum),
            weight_decay: self.weight_decay.unwrap_or(start.weight_decay),
            warm_up: self.warm_up.unwrap_or(start.warm_up),
            label_smoothing: self.label_smoothing.unwrap_or(start.label_smoothing),
            augment: match &self.augment {
                Augmentation::Auto => vec![Augment::Shift, Augment::Flip],
                Augmentation::These(list) => list.clone(),
            },
            seed: self.seed,
            ..start
        };
        config.check().map_err(usage)?;
        Ok(config)
    }
}

fn tell(out: &Path, trained: &Trained) {
    let Trained { samples, held_out, epochs, validated } = trained;
    let seconds: f64 = epochs.iter().map(|epoch| epoch.seconds).sum();
    out_line!("trained for {} epochs on {samples} samples in {seconds:.0} s", epochs.len());
    if let Some(last) = epochs.last() {
        let top1 = 100.0 * last.held_out_top1;
        out_line!("top-1 {top1:.2} % on {held_out} held-out samples, loss {:.4}", last.held_out_loss);
    }
    if let Some((measured, samples)) = validated
        && let Some((metric, value)) = measured.first()
    {
        out_line!("{} {} on {samples} validation samples", metric.title(), metric.shown(Some(value)));
    }
    let [model, preprocess] = [MODEL, PREPROCESS].map(|name| out.join(name));
    out_line!("`bitesize fit {} --preprocess {} ...` goes on", model.shown(), preprocess.shown());
}
