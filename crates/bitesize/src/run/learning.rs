//! Settings of what is learned once widths are chosen.

use bitesize_train::{Augmentation, Freezing, Optimizer, Rates, Reconstruction, TuneSettings};
use serde::{Deserialize, Serialize};
use std::ops::RangeInclusive;
use std::path::PathBuf;

/// How many minutes a reconstruction may be given: from a few steps to a day.
pub const MINUTES: RangeInclusive<f64> = 0.001..=1440.0;

/// What is learned from images without labels.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReconstructConfig {
    /// The work, in minutes of two idle cores: a number of images that depends on the network and this alone.
    pub minutes: f64,
    /// Training samples that are learned from, at most.
    pub samples: usize,
}

impl Default for ReconstructConfig {
    fn default() -> Self {
        Self { minutes: 10.0, samples: 32_768 }
    }
}

impl ReconstructConfig {
    /// Refuses what the flags refuse too.
    pub(super) fn check(&self) -> Result<(), String> {
        if !MINUTES.contains(&self.minutes) {
            let (least, most) = (MINUTES.start(), MINUTES.end());
            return Err(format!("`reconstruct.minutes` is {}: {least} to {most} are possible", self.minutes));
        }
        if self.samples < Reconstruction::LEAST_SAMPLES {
            let least = Reconstruction::LEAST_SAMPLES;
            return Err(format!("`reconstruct.samples` is {}: at least {least} are needed", self.samples));
        }
        Ok(())
    }
}

/// How often training may go through all samples.
pub const EPOCHS: RangeInclusive<usize> = 1..=10_000;

/// How the network is trained at its widths.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FinetuneConfig {
    /// How often all samples are gone through.
    pub epochs: usize,
    /// Samples of a step.
    pub batch: usize,
    /// What makes steps of gradients.
    pub optimizer: OptimizerName,
    /// How much of its velocity a step of `sgd` keeps.
    pub momentum: f64,
    /// How far a step moves weights at first: with `adam` as a share of the greatest level, scales, biases and ranges follow; with `sgd` what
    /// gradients of all are multiplied by.
    pub lr: f64,
    /// The share of steps over which rates rise.
    pub warm_up: f64,
    /// What is taken off weights in a step, as a share of them and of the rate.
    pub weight_decay: f64,
    /// The share of the loss that the float network's answers have beside labels.
    pub distill: f64,
    /// At which classes are told apart there.
    pub temperature: f64,
    /// The share of a label that all classes get alike.
    pub label_smoothing: f64,
    /// How much of the mean of weights a step keeps; 0 for no mean.
    pub ema: f64,
    /// Whether weights of few levels that go to and fro are frozen.
    pub freeze: bool,
    /// How strongly weights of few levels are drawn to them at the end.
    pub dampen: f64,
    /// What is done to images: `shift`, `flip`, `jitter`.
    pub augment: Vec<Augment>,
    /// More samples, without labels, that the float network's answers teach.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unlabelled: Option<PathBuf>,
    /// Epochs without a better figure on held-out samples after which to stop.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub patience: Option<usize>,
}

/// What makes steps of gradients, by name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OptimizerName {
    /// Adam, with decoupled weight decay.
    #[default]
    Adam,
    /// Stochastic gradient descent with momentum.
    Sgd,
}

impl OptimizerName {
    /// All, by name.
    pub const ALL: [Self; 2] = [Self::Adam, Self::Sgd];

    /// As it is asked for.
    pub fn name(self) -> &'static str {
        match self {
            Self::Adam => "adam",
            Self::Sgd => "sgd",
        }
    }

    /// The rate that is used where none is asked for.
    pub fn usual_rate(self) -> f64 {
        match self {
            Self::Adam => written(TuneSettings::default().rates.weights),
            Self::Sgd => 5e-4,
        }
    }
}

/// The shortest decimal number that is `value` in 32 bits: as people write it, 0.001 and not the nearest 32-bit number.
pub(crate) fn written(value: f32) -> f64 {
    value.to_string().parse().unwrap_or(f64::from(value))
}

/// Something that is done to images before they are learned from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Augment {
    /// Moved by up to an eighth of their size.
    Shift,
    /// Half of them mirrored left to right.
    Flip,
    /// Brightness, contrast and saturation changed by up to a fifth.
    Jitter,
}

impl Augment {
    /// All, by name.
    pub const ALL: [Self; 3] = [Self::Shift, Self::Flip, Self::Jitter];

    /// As it is asked for.
    pub fn name(self) -> &'static str {
        match self {
            Self::Shift => "shift",
            Self::Flip => "flip",
            Self::Jitter => "jitter",
        }
    }
}

impl Default for FinetuneConfig {
    fn default() -> Self {
        let TuneSettings { epochs, batch, warm_up, decay, average, dampening, .. } = TuneSettings::default();
        Self {
            epochs,
            batch,
            optimizer: OptimizerName::Adam,
            momentum: 0.9,
            lr: OptimizerName::Adam.usual_rate(),
            warm_up,
            weight_decay: written(decay),
            distill: 0.7,
            temperature: 2.0,
            label_smoothing: 0.0,
            ema: average.map_or(0.0, written),
            freeze: true,
            dampen: written(dampening),
            augment: Vec::new(),
            unlabelled: None,
            patience: None,
        }
    }
}

impl FinetuneConfig {
    /// Whether everything is within its bounds.
    ///
    /// # Errors
    /// What is not.
    pub fn check(&self) -> Result<(), String> {
        let shares = [
            ("warm_up", self.warm_up, 0.0..=1.0),
            ("distill", self.distill, 0.0..=1.0),
            ("label_smoothing", self.label_smoothing, 0.0..=0.9),
            ("ema", self.ema, 0.0..=0.999_999),
            ("momentum", self.momentum, 0.0..=0.999),
            ("lr", self.lr, 1e-7..=1.0),
            ("weight_decay", self.weight_decay, 0.0..=1000.0),
            ("dampen", self.dampen, 0.0..=1000.0),
            ("temperature", self.temperature, 0.1..=100.0),
        ];
        if let Some((key, value, possible)) = shares.into_iter().find(|(_, value, possible)| !possible.contains(value))
        {
            let (least, most) = (possible.start(), possible.end());
            return Err(format!("`finetune.{key}` is {value}: {least} to {most} are possible"));
        }
        if !EPOCHS.contains(&self.epochs) {
            return Err(format!("`finetune.epochs` is {}: 1 to {} are possible", self.epochs, EPOCHS.end()));
        }
        if self.unlabelled.is_some() && self.distill <= 0.0 {
            return Err(
                "`finetune.distill` is 0, so that nothing teaches samples without labels: give it a share".into()
            );
        }
        let counts = [("batch", Some(self.batch)), ("patience", self.patience)];
        match counts.iter().find(|(_, count)| *count == Some(0)) {
            Some((key, _)) => Err(format!("`finetune.{key}` is 0: at least 1 is needed")),
            None => Ok(()),
        }
    }

    /// The settings of training that do not depend on the task, for images of `size` pixels a side.
    pub fn settings(&self, size: usize, seed: u64) -> TuneSettings {
        let start = TuneSettings::default();
        let faster = (self.lr / f64::from(start.rates.weights)) as f32;
        let rates = Rates {
            by: match self.optimizer {
                OptimizerName::Adam => Optimizer::Adam,
                OptimizerName::Sgd => Optimizer::Sgd { momentum: self.momentum as f32 },
            },
            weights: self.lr as f32,
            scales: start.rates.scales * faster,
            biases: start.rates.biases * faster,
            ranges: start.rates.ranges * faster,
            ..start.rates
        };
        let has = |one| self.augment.contains(&one);
        TuneSettings {
            epochs: self.epochs,
            batch: self.batch,
            seed,
            rates,
            warm_up: self.warm_up,
            decay: self.weight_decay as f32,
            average: (self.ema > 0.0).then_some(self.ema as f32),
            freezing: self.freeze.then(Freezing::default),
            dampening: self.dampen as f32,
            augmentation: Augmentation {
                shift: if has(Augment::Shift) { (size / 8).max(1) } else { 0 },
                flip: has(Augment::Flip),
                jitter: if has(Augment::Jitter) { 0.2 } else { 0.0 },
            },
            ..start
        }
    }
}
