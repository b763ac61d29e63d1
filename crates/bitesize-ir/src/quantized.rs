//! A network with widths, activation encodings and integer weights: what calibration and post-training quantization
//! (or fine-tuning) hand to lowering.

use crate::grid::BitWidth;
use crate::network::{Network, TensorId};
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

impl ActivationQuant {
    /// The encoding that an output's tensor has in the arithmetic where each of its `channels` has one of its own: the middle of their
    /// zero points, and the largest scale.
    ///
    /// # Panics
    /// Without channels.
    pub fn shared_by(channels: &[Self]) -> Self {
        let zeros = || channels.iter().map(|channel| channel.zero);
        let (least, most) = (zeros().min(), zeros().max());
        let (least, most) = least.zip(most).expect("a tensor has channels");
        let scale = channels.iter().map(|channel| channel.scale).fold(0.0, f64::max);
        Self { bits: channels[0].bits, scale, zero: least.midpoint(most) }
    }
}

/// The encodings of a model's activations.
#[derive(Clone, Copy, Debug)]
pub struct Encodings<'a> {
    /// One for each tensor.
    pub tensors: &'a [ActivationQuant],
    /// As [`QuantizedModel::output_channels`].
    pub output_channels: Option<&'a [ActivationQuant]>,
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
    /// The encoding of each channel of the network's output, all of 8 bits, where they have encodings of their own: only where
    /// [`Network::output_layer`] writes it. The output's entry in [`Self::activations`] is then what
    /// [`ActivationQuant::shared_by`] makes of them.
    pub output_channels: Option<Vec<ActivationQuant>>,
    /// One for each node; `None` where the operator has no weights.
    pub weights: Vec<Option<WeightQuant>>,
    /// For each tensor what the values of each channel are divided by before they are encoded, `None` where they are encoded as they
    /// are. Weights and biases have the factors in them, so that only comparisons with the float network need these. Without any
    /// factors, empty.
    pub equalized: Vec<Option<Arc<[f64]>>>,
}

impl QuantizedModel {
    /// The encodings.
    pub fn encodings(&self) -> Encodings<'_> {
        Encodings { tensors: &self.activations, output_channels: self.output_channels.as_deref() }
    }

    /// The encoding of one channel of a tensor, for the float network's values.
    pub fn encoding(&self, tensor: TensorId, channel: usize) -> ActivationQuant {
        let quant = match &self.output_channels {
            Some(channels) if tensor == self.network.output => channels[channel],
            _ => self.activations[tensor.0],
        };
        match self.equalized.get(tensor.0) {
            Some(Some(factors)) => ActivationQuant { scale: quant.scale * factors[channel], ..quant },
            _ => quant,
        }
    }

    /// The real values of output codes in NHWC order, of one image or several.
    pub fn output_values(&self, codes: &[u8]) -> Vec<f64> {
        let output = self.network.output;
        let channels = self.network.shape(output).c;
        codes.iter().enumerate().map(|(i, code)| self.encoding(output, i % channels).dequantize(*code)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn channels_share_the_middle_of_their_zero_points() {
        let quant = |scale, zero| ActivationQuant { bits: BitWidth::B8, scale, zero };
        assert_eq!(ActivationQuant::shared_by(&[quant(0.5, 0), quant(2.0, 255), quant(1.0, 7)]), quant(2.0, 127));
        assert_eq!(ActivationQuant::shared_by(&[quant(0.5, 9), quant(0.25, 9)]), quant(0.5, 9));
    }
}
