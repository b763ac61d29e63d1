//! What a caller decides about training from scratch.

use crate::tune::Augmentation;
use bitesize_ir::rewrite::Normalization;

/// How a float network is trained from its first weights.
#[derive(Clone, Debug, PartialEq)]
pub struct ScratchSettings {
    /// How often all samples are gone through, at least 1.
    pub epochs: usize,
    /// Samples of a step, at least 2: batch normalization compares them.
    pub batch: usize,
    /// Decides the order of samples and what augmentation does.
    pub seed: u64,
    /// How far a step moves parameters after the warm-up, as a factor on the velocity.
    pub rate: f32,
    /// How much of the velocity a step keeps, 0 to below 1.
    pub momentum: f32,
    /// How strongly weights are drawn to 0; biases and batch normalizations are not.
    pub decay: f32,
    /// The share of steps over which the rate rises from 0; it falls to 0 along half a cosine afterwards.
    pub warm_up: f64,
    /// The share of a label that all classes get alike, 0 to 1.
    pub smoothing: f64,
    /// What is done to images before they are learned from.
    pub augmentation: Augmentation,
    /// What the network makes of a pixel. Samples that are no pixels are taken as they are.
    pub normalization: Normalization,
}

impl ScratchSettings {
    /// The usual ones for `epochs` over images with `normalization`.
    pub fn new(epochs: usize, normalization: Normalization) -> Self {
        Self {
            epochs,
            batch: 128,
            seed: 0,
            rate: 0.1,
            momentum: 0.9,
            decay: 5e-4,
            warm_up: 0.05,
            smoothing: 0.0,
            augmentation: Augmentation::default(),
            normalization,
        }
    }
}
