//! How a network is trained at its widths: the arguments that `fit` and `tune` share.

use crate::args::{absolute, at_least_one};
use bitesize::input::{DataLayout, Inputs};
use bitesize::observe::Monitor;
use bitesize::run::learning::{Augment, EPOCHS, FinetuneConfig, OptimizerName};
use bitesize::task::Task;
use bitesize::usage;
use clap::Args;
use std::path::PathBuf;

/// How a network is trained.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Training")]
pub(crate) struct TuneArgs {
    /// Samples of a step [default: 64]
    #[arg(long, value_name = "N", value_parser = at_least_one)]
    batch: Option<usize>,
    /// What makes steps of gradients: adam, or sgd with momentum [default: adam]
    #[arg(long, value_name = "NAME", value_parser = optimizer)]
    optimizer: Option<OptimizerName>,
    /// How much of its velocity a step of sgd keeps [default: 0.9]
    #[arg(long, value_name = "SHARE")]
    momentum: Option<f64>,
    /// How far a step moves weights at first: with adam as a share of the greatest level (scales, biases and ranges follow), with sgd
    /// what gradients of all are multiplied by [default: 0.001 with adam, 0.0005 with sgd]
    #[arg(long, value_name = "RATE")]
    lr: Option<f64>,
    /// The share of steps over which rates rise to that [default: 0.05]
    #[arg(long, value_name = "SHARE")]
    warm_up: Option<f64>,
    /// What is taken off weights in a step, as a share of them and of the rate [default: 0]
    #[arg(long, value_name = "SHARE")]
    weight_decay: Option<f64>,
    /// The share of the loss that the float network's answers have beside labels; 0 for labels alone, 1 for no labels
    /// [default: 0.7]
    #[arg(long, value_name = "SHARE")]
    distill: Option<f64>,
    /// At which temperature classes are told apart there [default: 2]
    #[arg(long, value_name = "T")]
    temperature: Option<f64>,
    /// The share of a label that all classes get alike [default: 0]
    #[arg(long, value_name = "SHARE")]
    label_smoothing: Option<f64>,
    /// How much of the mean of weights, which is what is delivered, a step keeps; 0 delivers the last step's
    /// [default: 0.999]
    #[arg(long, value_name = "SHARE")]
    ema: Option<f64>,
    /// Leave weights of 2 and 4 bits that go to and fro between two levels free
    #[arg(long)]
    no_freeze: bool,
    /// How strongly weights of 2 and 4 bits are drawn to their levels at the end [default: 0]
    #[arg(long, value_name = "STRENGTH")]
    dampen: Option<f64>,
    /// What is done to images before they are learned from: shift, flip, jitter (a list with commas), none, or auto: shift
    /// images, and flip those of three channels, but nothing where pixels or values are what is wanted
    #[arg(long, value_name = "LIST", default_value = "auto", value_parser = augment)]
    augment: Augmentation,
    /// More samples of the same kind, of which no label is read: the float network's answers teach them
    #[arg(long, value_name = "DATA")]
    unlabelled: Option<PathBuf>,
    /// Stop after so many epochs that were no better on held-out samples than one before them
    #[arg(long, value_name = "N", value_parser = at_least_one)]
    tune_patience: Option<usize>,
}

/// What is done to images.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Augmentation {
    /// What suits the samples.
    Auto,
    /// What is named.
    These(Vec<Augment>),
}

/// What a list of a flag says.
pub(crate) fn augment(text: &str) -> Result<Augmentation, String> {
    let one = |name: &str| {
        let found = Augment::ALL.into_iter().find(|one| one.name() == name.trim());
        found.ok_or_else(|| format!("`{name}` is none of shift, flip, jitter, none, auto"))
    };
    match text {
        "auto" => Ok(Augmentation::Auto),
        "none" => Ok(Augmentation::These(Vec::new())),
        list => list.split(',').map(one).collect::<Result<_, _>>().map(Augmentation::These),
    }
}

fn optimizer(text: &str) -> Result<OptimizerName, String> {
    let found = OptimizerName::ALL.into_iter().find(|one| one.name() == text);
    found.ok_or_else(|| format!("`{text}` is none of adam, sgd"))
}

/// The number of epochs that a flag says.
pub(crate) fn epochs(text: &str) -> Result<usize, String> {
    text.parse()
        .ok()
        .filter(|epochs| EPOCHS.contains(epochs))
        .ok_or_else(|| format!("`{text}` is not a number of epochs from {} to {}", EPOCHS.start(), EPOCHS.end()))
}

impl TuneArgs {
    /// The settings for `epochs` of training the network of `inputs`, where the samples without labels are opened; `layout` is where the channels
    /// of data are.
    ///
    /// # Errors
    /// A figure out of its bounds, something that is done to images for samples that are none, or samples that cannot be read.
    pub(crate) fn config(
        &self,
        epochs: usize,
        inputs: &mut Inputs,
        layout: Option<DataLayout>,
        monitor: &Monitor,
    ) -> anyhow::Result<FinetuneConfig> {
        let start = FinetuneConfig::default();
        let optimizer = self.optimizer.unwrap_or(start.optimizer);
        if self.momentum.is_some() && optimizer != OptimizerName::Sgd {
            return Err(usage("--momentum is that of --optimizer sgd: give that too, or leave it out"));
        }
        let config = FinetuneConfig {
            epochs,
            batch: self.batch.unwrap_or(start.batch),
            optimizer,
            momentum: self.momentum.unwrap_or(start.momentum),
            lr: self.lr.unwrap_or(optimizer.usual_rate()),
            warm_up: self.warm_up.unwrap_or(start.warm_up),
            weight_decay: self.weight_decay.unwrap_or(start.weight_decay),
            distill: self.distill.unwrap_or(start.distill),
            temperature: self.temperature.unwrap_or(start.temperature),
            label_smoothing: self.label_smoothing.unwrap_or(start.label_smoothing),
            ema: self.ema.unwrap_or(start.ema),
            freeze: !self.no_freeze,
            dampen: self.dampen.unwrap_or(start.dampen),
            augment: self.augment.of(inputs)?,
            unlabelled: self.unlabelled.as_deref().map(absolute).transpose()?,
            patience: self.tune_patience,
        };
        config.check().map_err(usage)?;
        inputs.unlabelled = None;
        if let Some(path) = &config.unlabelled {
            inputs.open_unlabelled(path, layout, monitor)?;
        }
        Ok(config)
    }
}

impl Augmentation {
    /// What that is for the samples of `inputs`.
    fn of(&self, inputs: &Inputs) -> anyhow::Result<Vec<Augment>> {
        let are_images = inputs.train.as_ref().is_some_and(|train| train.is_pixels());
        let shape = inputs.model.network.shape(inputs.model.network.input);
        let task = inputs.objective.task;
        // What is wanted lies in the image's places, and would stay where it was.
        let is_in_place = matches!(task, Task::Map | Task::Regress);
        match self {
            Self::Auto if is_in_place || !are_images || shape.h == 1 || shape.w == 1 => Ok(Vec::new()),
            Self::Auto if shape.c == 3 => Ok(vec![Augment::Shift, Augment::Flip]),
            Self::Auto => Ok(vec![Augment::Shift]),
            Self::These(list) if list.contains(&Augment::Jitter) && !are_images => {
                Err(usage("--augment jitter changes colours, and the training samples are no pixels: leave it out"))
            }
            Self::These(list) if is_in_place && !list.is_empty() => Err(usage(format!(
                "--augment changes images and not what they are to give, which for the task `{task}` is theirs: leave it out"
            ))),
            Self::These(list) => Ok(list.clone()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_what_is_done_to_images() {
        assert_eq!(augment("auto"), Ok(Augmentation::Auto));
        assert_eq!(augment("none"), Ok(Augmentation::These(Vec::new())));
        assert_eq!(augment("flip, shift"), Ok(Augmentation::These(vec![Augment::Flip, Augment::Shift])));
        assert!(augment("flip,none").is_err() && augment("").is_err());
        assert!(epochs("0").is_err() && epochs("x").is_err());
        assert_eq!(epochs("3"), Ok(3));
    }
}
