//! How fast what is learned moves.

use bitesize_ir::BitWidth;

/// Scales stay within this factor of what they were.
pub(super) const MOST_CHANGE: f32 = 4.0;

/// What makes steps of gradients.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Optimizer {
    /// Adam (Kingma and Ba). Everything moves in units of what it began with.
    #[default]
    Adam,
    /// Stochastic gradient descent with momentum, in the same units: real ones would move channels by how large they happen to be, which
    /// a folded batch-norm leaves to chance. [`Rates::weights`] is then the rate of all; gradients by scales are divided by the root of how
    /// many values they serve times the greatest level, as in LSQ.
    Sgd {
        /// How much of the velocity a step keeps, 0 to 1.
        momentum: f32,
    },
}

/// How far one step moves what is learned, at first; rates fall to 0 along half a cosine.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rates {
    /// What makes steps of gradients.
    pub by: Optimizer,
    /// Weights, as a share of the greatest level.
    pub weights: f32,
    /// What that is multiplied by for weights of 2 bits ...
    pub at_2_bits: f32,
    /// ... and of 4.
    pub at_4_bits: f32,
    /// What the other rates are multiplied by in layers whose weights have 2 bits, and for scales of activations of 2 bits.
    pub others_at_2_bits: f32,
    /// What the other rates are multiplied by in layers whose weights have 4 bits, and for scales of activations of 4 bits.
    pub others_at_4_bits: f32,
    /// Scales of weights, as a share of each.
    pub scales: f32,
    /// Biases, as a share of the range of the layer's output.
    pub biases: f32,
    /// Scales of activations, as a share of each.
    pub ranges: f32,
    /// How far from its level a weight starts at most, in levels, below 0.5: the nearer to it, the more steps have to agree before
    /// a weight changes its level.
    pub margin: f32,
}

impl Rates {
    /// What rates other than that of weights are multiplied by at `bits`.
    pub(super) fn pace(&self, bits: BitWidth) -> f32 {
        match bits {
            BitWidth::B2 => self.others_at_2_bits,
            BitWidth::B4 => self.others_at_4_bits,
            BitWidth::B8 => 1.0,
        }
    }

    /// What the rate of weights of `bits` is multiplied by.
    pub(super) fn haste(&self, bits: BitWidth) -> f32 {
        match bits {
            BitWidth::B2 => self.at_2_bits,
            BitWidth::B4 => self.at_4_bits,
            BitWidth::B8 => 1.0,
        }
    }
}
