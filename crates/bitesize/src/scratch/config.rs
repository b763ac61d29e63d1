//! Settings of a training from scratch.

use crate::input::zoo::ZooName;
use crate::input::{DataLayout, PerChannel, Preprocess, PreprocessFile};
use crate::run::learning::{Augment, EPOCHS, written};
use bitesize_ir::rewrite::Normalization;
use bitesize_train::{Augmentation, ScratchSettings};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// Everything that decides what a training comes to, beside the contents of the data.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScratchConfig {
    /// The network, as a name of the zoo.
    pub network: String,
    /// Training data.
    pub train: PathBuf,
    /// Data for the final figure.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub val: Option<PathBuf>,
    /// Where the channels of `.npz` samples are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub layout: Option<DataLayout>,
    /// How stored values become the network's.
    pub preprocess: PreprocessFile,
    /// How often all samples are gone through.
    pub epochs: usize,
    /// Samples of a step.
    pub batch: usize,
    /// How far a step moves parameters after the warm-up.
    pub lr: f64,
    /// How much of the velocity a step keeps.
    pub momentum: f64,
    /// How strongly weights are drawn to 0.
    pub weight_decay: f64,
    /// The share of steps over which rates rise.
    pub warm_up: f64,
    /// The share of a label that all classes get alike.
    pub label_smoothing: f64,
    /// What is done to images.
    pub augment: Vec<Augment>,
    /// Where all chance comes from: weights, the order of samples, what is done to images, which are held out.
    pub seed: u64,
}

/// What pixels are made to where nobody says: about -2 to 2.
const USUAL: [f64; 3] = [1.0 / 255.0, 0.5, 0.25];

impl ScratchConfig {
    /// The usual settings for `network` and the data in `train`.
    pub fn new(network: &ZooName, train: PathBuf, epochs: usize) -> Self {
        let neutral = Normalization { scale: 1.0, mean: Vec::new(), std: Vec::new() };
        let ScratchSettings { batch, rate, momentum, decay, warm_up, smoothing, .. } =
            ScratchSettings::new(epochs, neutral);
        Self {
            network: network.to_string(),
            train,
            val: None,
            layout: None,
            preprocess: PreprocessFile::default(),
            epochs,
            batch,
            lr: written(rate),
            momentum: written(momentum),
            weight_decay: written(decay),
            warm_up,
            label_smoothing: smoothing,
            augment: vec![Augment::Shift, Augment::Flip],
            seed: 0,
        }
    }

    /// Whether everything is within its bounds.
    ///
    /// # Errors
    /// What is not.
    pub fn check(&self) -> Result<(), String> {
        let shares = [
            ("--lr", self.lr, 1e-7..=1000.0),
            ("--momentum", self.momentum, 0.0..=0.999),
            ("--weight-decay", self.weight_decay, 0.0..=1.0),
            ("--warm-up", self.warm_up, 0.0..=1.0),
            ("--label-smoothing", self.label_smoothing, 0.0..=0.9),
        ];
        if let Some((flag, value, possible)) = shares.into_iter().find(|(_, value, possible)| !possible.contains(value))
        {
            return Err(format!("{flag} is {value}: {} to {} are possible", possible.start(), possible.end()));
        }
        if !EPOCHS.contains(&self.epochs) {
            return Err(format!("--epochs is {}: 1 to {} are possible", self.epochs, EPOCHS.end()));
        }
        match self.batch {
            0 | 1 => Err(format!("--batch is {}: batch normalization needs at least 2 samples", self.batch)),
            _ => Ok(()),
        }
    }

    /// The preprocessing, where nobody says how pixels are scaled the usual one.
    pub fn scaled(file: PreprocessFile) -> PreprocessFile {
        if file.scale.is_some() || file.mean.is_some() || file.std.is_some() {
            return file;
        }
        let [scale, mean, std] = USUAL;
        let [mean, std] = [mean, std].map(|value| Some(PerChannel::All(value)));
        PreprocessFile { scale: Some(scale), mean, std, ..file }
    }

    /// The settings of training for images of `size` pixels a side. Samples that are no pixels are preprocessed where they are read.
    pub(super) fn settings(&self, size: usize, preprocess: &Preprocess, are_pixels: bool) -> ScratchSettings {
        let channels = preprocess.mean.len();
        let normalization = if are_pixels {
            Normalization { scale: preprocess.scale, mean: preprocess.mean.clone(), std: preprocess.std.clone() }
        } else {
            Normalization { scale: 1.0, mean: vec![0.0; channels], std: vec![1.0; channels] }
        };
        let has = |one| self.augment.contains(&one);
        ScratchSettings {
            batch: self.batch,
            seed: self.seed,
            rate: self.lr as f32,
            momentum: self.momentum as f32,
            decay: self.weight_decay as f32,
            warm_up: self.warm_up,
            smoothing: self.label_smoothing,
            augmentation: Augmentation {
                shift: if has(Augment::Shift) { (size / 8).max(1) } else { 0 },
                flip: has(Augment::Flip),
                jitter: if has(Augment::Jitter) { 0.2 } else { 0.0 },
            },
            ..ScratchSettings::new(self.epochs, normalization)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_out_of_bounds_are_named() {
        let name: ZooName = "zoo:mnasnet".parse().unwrap();
        let config = ScratchConfig::new(&name, "data".into(), 3);
        assert_eq!(config.check(), Ok(()));
        let check = |config: ScratchConfig, word: &str| assert!(config.check().unwrap_err().contains(word), "{word}");
        check(ScratchConfig { lr: f64::NAN, ..config.clone() }, "--lr is NaN");
        check(ScratchConfig { momentum: 1.0, ..config.clone() }, "--momentum is 1");
        check(ScratchConfig { weight_decay: -1.0, ..config.clone() }, "--weight-decay is -1");
        check(ScratchConfig { epochs: 0, ..config.clone() }, "--epochs is 0");
        check(ScratchConfig { batch: 1, ..config }, "--batch is 1");
    }

    #[test]
    fn scaling_is_only_chosen_where_nobody_says() {
        let file = ScratchConfig::scaled(PreprocessFile { size: Some([32, 32]), ..Default::default() });
        assert_eq!((file.size, file.mean), (Some([32, 32]), Some(PerChannel::All(0.5))));
        let given = PreprocessFile { scale: Some(2.0), ..Default::default() };
        assert_eq!(ScratchConfig::scaled(given.clone()), given);
    }
}
