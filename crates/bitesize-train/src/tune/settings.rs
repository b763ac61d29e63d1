//! What a caller decides about training.

use crate::learner::{Freezing, Optimizer, Rates};
use crate::objective::Objective;

/// How a network is trained at its widths.
#[derive(Clone, Debug, PartialEq)]
pub struct TuneSettings {
    /// How often all samples are gone through.
    pub epochs: usize,
    /// Samples of a step.
    pub batch: usize,
    /// Decides the order of samples and what augmentation does.
    pub seed: u64,
    /// How fast weights, scales, biases and ranges move, after the warm-up.
    pub rates: Rates,
    /// The share of steps over which rates rise from 0; they fall to 0 along half a cosine afterwards.
    pub warm_up: f64,
    /// What is taken off weights in a step, as a share of them and of the rate (Loshchilov and Hutter, "Decoupled Weight Decay
    /// Regularization"). Scales, biases and ranges keep theirs.
    pub decay: f32,
    /// What labels mean; where there are none, it is distillation alone.
    pub labels: LabelLoss,
    /// How the float network's answers count; `None` for labels alone.
    pub distillation: Option<Distillation>,
    /// What is delivered is a mean over steps, in which a step counts by 1 less this; `None` for the last step's.
    pub average: Option<f32>,
    /// When weights that go to and fro are frozen.
    pub freezing: Option<Freezing>,
    /// How strongly weights of few levels are drawn to the one that they round to, at the end: it rises along half a cosine.
    pub dampening: f32,
    /// What is done to images before they are learned from.
    pub augmentation: Augmentation,
}

/// How much the float network's answers count beside labels.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Distillation {
    /// What answers are compared by.
    pub objective: Objective,
    /// The share of the loss, 0 to 1; the rest is that of labels.
    pub share: f64,
}

/// The loss that labels bring.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum LabelLoss {
    /// Cross entropy of the softmax over each `classes` outputs, mean over pixels.
    CrossEntropy {
        /// Outputs that exclude one another.
        classes: usize,
        /// The share of a label that all classes get alike, 0 to 1 (Szegedy et al., "Rethinking the Inception Architecture").
        smoothing: f64,
    },
    /// Cross entropy of yes and no, mean over outputs.
    Binary {
        /// What an output is multiplied by to be a logit.
        factor: f64,
    },
    /// Square error, mean over outputs.
    SquareError,
}

/// What is done to images, each with a chance of its own.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Augmentation {
    /// Pixels by which an image is moved at most in each direction; what comes in is what the first layer takes for 0.
    pub shift: usize,
    /// Whether half of the images are mirrored left to right.
    pub flip: bool,
    /// By how much brightness, contrast and saturation change at most, as a share: of pixels alone.
    pub jitter: f32,
}

impl Augmentation {
    /// Whether images stay as they are.
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }
}

impl Default for TuneSettings {
    fn default() -> Self {
        Self {
            epochs: 10,
            batch: 64,
            seed: 0,
            rates: Rates {
                by: Optimizer::Adam,
                weights: 1e-3,
                at_2_bits: 3.0,
                at_4_bits: 2.0,
                others_at_2_bits: 3.0,
                others_at_4_bits: 3.0,
                scales: 2e-4,
                biases: 6e-5,
                ranges: 6e-4,
                margin: 0.45,
            },
            warm_up: 0.05,
            decay: 0.0,
            labels: LabelLoss::CrossEntropy { classes: 0, smoothing: 0.0 },
            distillation: None,
            average: Some(0.999),
            freezing: Some(Freezing::default()),
            dampening: 0.0,
            augmentation: Augmentation::default(),
        }
    }
}
