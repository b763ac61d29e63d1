//! A network with widths, activation encodings and integer weights: what calibration and post-training quantization
//! (or fine-tuning) hand to lowering.

use crate::grid::BitWidth;
use crate::network::Network;
use crate::policy::Policy;
use std::sync::Arc;

/// Encoding of an activation tensor: `real = scale * (q - zero)`, `q` in `0..=2^bits - 1`.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct ActivationQuant {
    /// Width of `q`.
    pub bits: BitWidth,
    /// Positive and finite.
    pub scale: f64,
    /// The code of real 0.
    pub zero: u8,
}

impl ActivationQuant {
    /// The encoding whose range covers `lo..=hi` widened to contain 0; the zero point is rounded to a code and the
    /// scale kept. A range without extent gets scale 1.
    pub fn from_range(lo: f64, hi: f64, bits: BitWidth) -> Self {
        let (lo, hi) = (lo.min(0.0), hi.max(0.0));
        let last = f64::from(bits.max_code());
        let scale = (hi - lo) / last;
        if !(scale.is_finite() && scale > 0.0) {
            return Self { bits, scale: 1.0, zero: 0 };
        }
        let zero = (-lo / scale + 0.5).floor().clamp(0.0, last) as u8;
        Self { bits, scale, zero }
    }

    /// The code of a real value: nearest, halves up, clamped.
    pub fn quantize(&self, real: f64) -> u8 {
        (real / self.scale + f64::from(self.zero) + 0.5).floor().clamp(0.0, f64::from(self.bits.max_code())) as u8
    }

    /// The real value of a code.
    pub fn dequantize(&self, code: u8) -> f64 {
        self.scale * (f64::from(code) - f64::from(self.zero))
    }
}

/// Integer weights of one operator, with their scales and a corrected bias.
#[derive(Clone, Debug, PartialEq)]
pub struct WeightQuant {
    /// Width of the levels.
    pub bits: BitWidth,
    /// Levels of [`crate::grid::WeightGrid`], in the layout of the operator's float weights. Shared by all policies that
    /// give the layer this width.
    pub levels: Arc<[i8]>,
    /// One for each output channel, as [`crate::grid::WeightGrid::takes_scale`] says: `weight = scale * level`.
    pub scales: Vec<f64>,
    /// One for each output channel, real-valued.
    pub bias: Vec<f64>,
}

/// A network ready to be lowered.
#[derive(Clone, Debug, PartialEq)]
pub struct QuantizedModel {
    /// After [`crate::rewrite`]. Shared: a search makes hundreds of models of one network.
    pub network: Arc<Network>,
    /// The widths.
    pub policy: Policy,
    /// One for each tensor. Tensors whose encoding is passed on hold a copy of it. That of a pixel input is
    /// `{8 bits, scale 1, zero 0}`; its real zero points are in [`Network::input_encoding`].
    pub activations: Vec<ActivationQuant>,
    /// One for each node; `None` where the operator has no weights.
    pub weights: Vec<Option<WeightQuant>>,
}
