//! How hard weights are quantized.

use serde::{Deserialize, Serialize};

/// How real weights become levels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rounding {
    /// Each to the nearest level.
    Nearest,
    /// Each rounding error is made up for by the weights still to be rounded, as the covariance of the inputs asks.
    #[default]
    Compensated,
}

/// Settings of [`Ptq`](crate::Ptq).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PtqSettings {
    /// How weights are rounded.
    pub rounding: Rounding,
    /// Whether biases are corrected so that each channel keeps its mean before the activation.
    pub bias_correction: bool,
    /// Share of the mean of a covariance's diagonal that is added to it, above 0.
    pub damping: f64,
    /// Scales tried for each output channel, at least 1.
    pub scale_candidates: usize,
    /// Scales near the best that are tried with compensation, at least 1.
    pub compensated_candidates: usize,
    /// Rounds in which scale and single levels are fitted again, 0 for none.
    pub refinement_rounds: usize,
    /// Samples a weight needs: the covariance of `k` inputs seen by `n` independent rows loses the share
    /// `k * caution / (k * caution + n)` of its off-diagonal entries. 0 trusts it as it is.
    pub caution: f64,
    /// Entries that the covariances of one layer may have together; a layer with more keeps them for stretches of inputs
    /// only, each input alone at worst. Ten copies of so many numbers of 64 bits are held at once.
    pub covariance_entries: usize,
}

impl Default for PtqSettings {
    fn default() -> Self {
        Self {
            rounding: Rounding::Compensated,
            bias_correction: true,
            damping: 0.01,
            scale_candidates: 46,
            compensated_candidates: 5,
            refinement_rounds: 10,
            caution: 1.0,
            // One block of 2,304 inputs, a 3x3 convolution of 256 channels; ten copies are 425 MB.
            covariance_entries: 2304 * 2304,
        }
    }
}
