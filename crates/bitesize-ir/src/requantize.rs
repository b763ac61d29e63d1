//! From scales to integers: multipliers, accumulator shifts and integer biases. The formulas are those of
//! `docs/numerics.md`; lowering and the fake-quantized model both take their constants from here.

use crate::grid::{BitWidth, WeightGrid};
use crate::network::{InputEncoding, Network, Node, TensorId};
use crate::op::Op;
use crate::quantized::{ActivationQuant, Encodings, WeightQuant};
use std::sync::Arc;

/// The fixed-point form of a real factor: `factor ~= m * 2^-n`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Multiplier {
    /// 0, or of magnitude in `2^30..2^31`.
    pub m: i32,
    /// In `1..=62`.
    pub n: u8,
}

impl Multiplier {
    /// The factor 0: the result is the zero point.
    pub const ZERO: Self = Self { m: 0, n: 1 };

    /// `m = round(|factor| * 2^n)` in `2^30..2^31`, then the sign. A magnitude below 2^-32 gives [`Self::ZERO`].
    ///
    /// # Errors
    /// [`Unrepresentable`] for a factor of 2^30 or more, or not finite.
    pub fn from_real(factor: f64) -> Result<Self, Unrepresentable> {
        let magnitude = factor.abs();
        if !magnitude.is_finite() || magnitude >= 2f64.powi(30) {
            return Err(Unrepresentable::Factor(factor));
        }
        if magnitude < 2f64.powi(-32) {
            return Ok(Self::ZERO);
        }
        // floor(log2(magnitude)), exact also next to powers of two.
        let mut exponent = magnitude.log2().floor() as i32;
        if 2f64.powi(exponent) > magnitude {
            exponent -= 1;
        } else if 2f64.powi(exponent + 1) <= magnitude {
            exponent += 1;
        }
        let mut n = 30 - exponent;
        let mut m = (magnitude * 2f64.powi(n)).round();
        if m >= 2f64.powi(31) {
            m = 2f64.powi(30);
            n -= 1;
        }
        if n < 1 {
            return Err(Unrepresentable::Factor(factor));
        }
        let m = if factor < 0.0 { -(m as i64) } else { m as i64 };
        Ok(Self { m: m as i32, n: n as u8 })
    }

    /// The factor that it stands for.
    pub fn to_real(self) -> f64 {
        f64::from(self.m) * 2f64.powi(-i32::from(self.n))
    }
}

/// Why a layer cannot be expressed in the integer arithmetic.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
pub enum Unrepresentable {
    /// The real factor of a requantization is not below 2^30.
    #[error("its requantization factor {0:e} is not below 2^30")]
    Factor(f64),
    /// The sum of a layer can leave 32 bits.
    #[error("output channel {channel} can overflow the 32-bit accumulator (sum of |weight levels| is {sum})")]
    Accumulator {
        /// The output channel.
        channel: usize,
        /// Sum of the absolute weight levels.
        sum: i64,
    },
    /// The sum of a layer's products with 2-bit weight codes can leave 32 bits.
    #[error(
        "each of its outputs sums {inputs} products with codes of 2-bit weights, and from {most} on that can overflow 32 \
         bits: give its weights 4 or 8 bits"
    )]
    CodeSum {
        /// Weights of one output channel.
        inputs: usize,
        /// The most of them that cannot overflow.
        most: usize,
    },
}

/// The most weights that one output channel of a convolution or fully connected layer may have at 2 bits, whatever they
/// are, where it reads codes of at most `max_code`.
///
/// Kernels of one combination of widths sum `code * (level - lowest)` there, whose second factor is a code of 0..=3, and
/// subtract `-lowest` times the sum of codes at the end. Both sums stay within 32 bits where `3 * max_code * weights < 2^31`.
pub fn most_summed_by_code(max_code: u8) -> usize {
    i32::MAX as usize / (usize::from(BitWidth::B2.max_code()) * usize::from(max_code))
}

/// What a layer with weights reads, for one input channel: `real = scale * (q - zero(channel))`.
#[derive(Clone, Debug, PartialEq)]
pub struct LayerInput {
    /// Scale of the codes.
    pub scale: f64,
    /// Real-valued zero points: one for all channels, or one for each.
    pub zeros: Vec<f64>,
}

impl LayerInput {
    /// How `node` of `network` sees its first input, whose encoding is `quant`.
    pub fn of(network: &Network, tensor: TensorId, quant: &ActivationQuant) -> Self {
        match &network.input_encoding {
            InputEncoding::Pixels { offset } if tensor == network.input => Self { scale: 1.0, zeros: offset.clone() },
            _ => Self { scale: quant.scale, zeros: vec![f64::from(quant.zero)] },
        }
    }

    /// The real-valued zero point of a channel.
    pub fn zero(&self, channel: usize) -> f64 {
        if self.zeros.len() == 1 { self.zeros[0] } else { self.zeros[channel] }
    }

    /// The codes that padding holds, one for each zero point: rounded, halves up, clamped to 0..=255.
    pub fn padding_codes(&self) -> Vec<u8> {
        self.zeros.iter().map(|z| (z + 0.5).floor().clamp(0.0, 255.0) as u8).collect()
    }
}

/// What a layer with weights writes: channel `c` in codes of `scales[c]` with the zero point `zero`, after `shifts[c]` has been added to
/// it. A shift moves a channel with a zero point of its own to the one that all share.
#[derive(Clone, Debug, PartialEq)]
pub struct LayerOutput {
    /// One for all channels, or one for each.
    scales: Vec<f64>,
    /// Real-valued: as [`Self::scales`].
    shifts: Vec<f64>,
    /// What the arithmetic adds.
    pub zero: u8,
    /// Lowest code.
    pub lo: u8,
    /// Highest code.
    pub hi: u8,
}

impl LayerOutput {
    /// One scale for all channels, the zero point 0 and all codes of 8 bits.
    pub fn of_scale(scale: f64) -> Self {
        Self { scales: vec![scale], shifts: vec![0.0], zero: 0, lo: 0, hi: BitWidth::B8.max_code() }
    }

    /// What `node` of `network` writes. Where the channels have encodings of their own the code range alone clamps: each channel's
    /// range lies within the fused activation's bounds.
    pub fn of(network: &Network, node: &Node, encodings: Encodings<'_>) -> Self {
        let quant = &encodings.tensors[node.output.0];
        match encodings.output_channels {
            Some(channels) if node.output == network.output => {
                let shift = |own: &ActivationQuant| own.scale * (f64::from(own.zero) - f64::from(quant.zero));
                Self {
                    scales: channels.iter().map(|own| own.scale).collect(),
                    shifts: channels.iter().map(shift).collect(),
                    zero: quant.zero,
                    lo: 0,
                    hi: quant.bits.max_code(),
                }
            }
            _ => {
                let (lo, hi) = clamp_codes(node.op.clamp(), quant);
                Self { scales: vec![quant.scale], shifts: vec![0.0], zero: quant.zero, lo, hi }
            }
        }
    }

    fn scale(&self, channel: usize) -> f64 {
        if self.scales.len() == 1 { self.scales[0] } else { self.scales[channel] }
    }

    /// What is added to the real value of a channel before it becomes a code.
    pub fn shift(&self, channel: usize) -> f64 {
        if self.shifts.len() == 1 { self.shifts[0] } else { self.shifts[channel] }
    }
}

/// Where each weight of an operator stands: which output channel it serves and which input channel it reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WeightLayout {
    /// `[out_c][taps][in_c]` of a convolution (per group) or fully connected layer (one tap).
    ChannelMajor {
        /// Output channels.
        out_c: usize,
        /// Weights of one output channel.
        per_channel: usize,
        /// Input channels that one output channel reads.
        in_c: usize,
        /// Output channels of one group.
        out_per_group: usize,
    },
    /// `[taps][c]` of a depthwise convolution.
    ChannelMinor {
        /// Channels.
        channels: usize,
    },
}

impl WeightLayout {
    /// The layout of `op`'s weights, `None` where it has none.
    pub fn of(op: &Op) -> Option<Self> {
        match op {
            Op::Conv2d(op) => {
                let out_c = op.bias.len();
                let per_channel = op.weights.len() / out_c;
                let taps = op.window.area();
                Some(Self::ChannelMajor {
                    out_c,
                    per_channel,
                    in_c: per_channel / taps,
                    out_per_group: out_c / op.groups,
                })
            }
            Op::FullyConnected(op) => {
                let (out_c, per_channel) = (op.bias.len(), op.weights.len() / op.bias.len());
                Some(Self::ChannelMajor { out_c, per_channel, in_c: per_channel, out_per_group: out_c })
            }
            Op::DepthwiseConv2d(op) => Some(Self::ChannelMinor { channels: op.bias.len() }),
            _ => None,
        }
    }

    /// Output channels.
    pub fn out_channels(self) -> usize {
        match self {
            Self::ChannelMajor { out_c, .. } => out_c,
            Self::ChannelMinor { channels } => channels,
        }
    }

    /// The output channel that the weight at `index` serves.
    pub fn out_channel(self, index: usize) -> usize {
        match self {
            Self::ChannelMajor { per_channel, .. } => index / per_channel,
            Self::ChannelMinor { channels } => index % channels,
        }
    }

    /// The input channel that the weight at `index` reads.
    pub fn in_channel(self, index: usize) -> usize {
        match self {
            Self::ChannelMajor { per_channel, in_c, out_per_group, .. } => {
                (index / per_channel / out_per_group) * in_c + index % in_c
            }
            Self::ChannelMinor { channels } => index % channels,
        }
    }
}

/// The integers of one layer with weights.
#[derive(Clone, Debug, PartialEq)]
pub struct LayerIntegers {
    /// Weight levels, those of channels whose scale had to grow re-rounded.
    pub levels: Arc<[i8]>,
    /// Scales of the levels, grown where the bias demanded it.
    pub scales: Vec<f64>,
    /// `acc = (sum << acc_shift) + bias`; in 0..=15.
    pub acc_shift: u8,
    /// The bias without the input's zero point and with the output's shift, in units of `s_in * s_w * 2^-acc_shift`: `|it| <= 2^30`.
    pub pure_bias: Vec<i32>,
    /// The bias with the input's zero point folded in, to be added to `sum(level * code) << acc_shift`.
    pub bias: Vec<i32>,
    /// One for each output channel.
    pub multipliers: Vec<Multiplier>,
}

const BIAS_LIMIT: f64 = (1u64 << 30) as f64;
const MAX_ACC_SHIFT: u8 = 15;

impl LayerIntegers {
    /// Derives the integers of a layer from its quantized weights, its input's encoding and what it
    /// writes.
    ///
    /// The accumulator shift `f` is the least in 0..=15 that brings every live channel's `|M|` to 2^-8 or below, or
    /// else the largest for which `2^30 + (255 * sum|w| << f) < 2^31`. A channel whose bias would then pass 2^30 gets
    /// a scale of the magnitude at which it is 2^30; an all-zero channel with zero bias gets the multiplier 0.
    ///
    /// # Errors
    /// [`Unrepresentable`] where the layer does not fit the arithmetic at `f = 0`.
    pub fn derive(
        layout: WeightLayout,
        weights: &WeightQuant,
        input: &LayerInput,
        output: &LayerOutput,
    ) -> Result<Self, Unrepresentable> {
        let channels = layout.out_channels();
        let real_bias: Vec<f64> = (0..channels).map(|c| weights.bias[c] + output.shift(c)).collect();
        let mut sums = vec![0i64; channels];
        for (i, level) in weights.levels.iter().enumerate() {
            sums[layout.out_channel(i)] += i64::from(level.unsigned_abs());
        }
        if let (BitWidth::B2, WeightLayout::ChannelMajor { per_channel: inputs, .. }) = (weights.bits, layout) {
            let most = most_summed_by_code(u8::MAX);
            if inputs > most {
                return Err(Unrepresentable::CodeSum { inputs, most });
            }
        }
        let acc_shift = accumulator_shift(&sums, &weights.scales, &real_bias, input, output)?;
        let unit_factor = 2f64.powi(-i32::from(acc_shift));

        let grid = WeightGrid::of(weights.bits);
        let mut scales = weights.scales.clone();
        let mut grown = vec![false; channels];
        for c in 0..channels {
            let least = least_scale(real_bias[c], input, acc_shift);
            if scales[c].abs() < least {
                scales[c] = least.copysign(scales[c]);
                grown[c] = true;
            }
        }
        let rounded_again = |(i, level): (usize, &i8)| {
            let c = layout.out_channel(i);
            if grown[c] { grid.nearest(f64::from(*level) * weights.scales[c] / scales[c]) } else { *level }
        };
        let levels: Arc<[i8]> = match grown.contains(&true) {
            true => weights.levels.iter().enumerate().map(rounded_again).collect(),
            false => Arc::clone(&weights.levels),
        };
        let mut zero_part = vec![0f64; channels];
        let mut weight_sum = vec![0i64; channels];
        let per_channel_zero = input.zeros.len() > 1;
        for (i, level) in levels.iter().enumerate() {
            let c = layout.out_channel(i);
            weight_sum[c] += i64::from(*level);
            if per_channel_zero {
                zero_part[c] += f64::from(*level) * input.zero(layout.in_channel(i));
            }
        }
        // The grids hold 0, so a level that is rounded again at a larger scale never grows: the sums still bound them.
        let mut integers = Self {
            levels,
            scales,
            acc_shift,
            pure_bias: Vec::with_capacity(channels),
            bias: Vec::with_capacity(channels),
            multipliers: Vec::with_capacity(channels),
        };
        for c in 0..channels {
            let unit = input.scale * integers.scales[c] * unit_factor;
            let pure = real_bias[c] / unit;
            let zeros = if per_channel_zero { zero_part[c] } else { weight_sum[c] as f64 * input.zeros[0] };
            let shifted_zeros = zeros / unit_factor;
            integers.pure_bias.push(round_half_up(pure) as i32);
            let folded = round_half_up(pure - shifted_zeros);
            // Only pixel offsets far outside 0..=255 come here: other zero points are codes.
            if folded.abs() >= 2.0 * BIAS_LIMIT {
                return Err(Unrepresentable::Accumulator { channel: c, sum: sums[c] });
            }
            integers.bias.push(folded as i32);
            let dead = sums[c] == 0 && real_bias[c] == 0.0;
            integers.multipliers.push(if dead {
                Multiplier::ZERO
            } else {
                Multiplier::from_real(unit / output.scale(c))?
            });
        }
        Ok(integers)
    }

    /// [`Self::derive`] for a node of a network.
    ///
    /// # Errors
    /// As [`Self::derive`].
    ///
    /// # Panics
    /// Where `node` has no weights.
    pub fn of_node(
        network: &Network,
        node: &Node,
        weights: &WeightQuant,
        encodings: Encodings<'_>,
    ) -> Result<Self, Unrepresentable> {
        let layout = WeightLayout::of(&node.op).expect("the caller passes a node with weights");
        let input = LayerInput::of(network, node.inputs[0], &encodings.tensors[node.inputs[0].0]);
        Self::derive(layout, weights, &input, &LayerOutput::of(network, node, encodings))
    }
}

/// The accumulator shift of a layer, given of each output channel the sum of its absolute levels, their scale, and the real bias
/// with the output's shift: the least in 0..=15 that brings every live channel's factor to 2^-8 or below, or else the largest with
/// which no sum overflows.
///
/// # Errors
/// [`Unrepresentable::Accumulator`] where a sum can overflow without any shift.
pub fn accumulator_shift(
    sums: &[i64],
    scales: &[f64],
    bias: &[f64],
    input: &LayerInput,
    output: &LayerOutput,
) -> Result<u8, Unrepresentable> {
    let channels = sums.len();
    let fits = |sum: i64, f: u8| (1i64 << 30) + ((255 * sum) << f) < 1i64 << 31;
    if let Some(channel) = (0..channels).find(|&c| !fits(sums[c], 0)) {
        return Err(Unrepresentable::Accumulator { channel, sum: sums[channel] });
    }
    // A channel whose bias already passes the limit at f = 0 has weights that do not matter beside it: it is not
    // live, and its scale is replaced.
    let live = |c: usize| sums[c] > 0 && bias[c].abs() <= BIAS_LIMIT * input.scale * scales[c].abs();
    let largest_factor =
        (0..channels).filter(|&c| live(c)).map(|c| input.scale * scales[c].abs() / output.scale(c)).fold(0.0, f64::max);
    let wanted = (0..=MAX_ACC_SHIFT).find(|&f| largest_factor * 2f64.powi(-i32::from(f)) <= 2f64.powi(-8));
    let possible = (0..=MAX_ACC_SHIFT).rev().find(|&f| sums.iter().all(|&s| fits(s, f))).unwrap_or(0);
    Ok(wanted.unwrap_or(MAX_ACC_SHIFT).min(possible))
}

/// The least magnitude of a channel's scale at which its real bias stays within 2^30 units of the accumulator.
pub fn least_scale(bias: f64, input: &LayerInput, acc_shift: u8) -> f64 {
    bias.abs() / (input.scale * 2f64.powi(-i32::from(acc_shift)) * BIAS_LIMIT)
}

/// `floor(x + 0.5)`.
pub fn round_half_up(x: f64) -> f64 {
    (x + 0.5).floor()
}

/// The codes between which a tensor's values are clamped: the code range, narrowed by a fused activation.
pub fn clamp_codes(clamp: crate::op::Clamp, quant: &ActivationQuant) -> (u8, u8) {
    let last = f64::from(quant.bits.max_code());
    let code = |real: f32| {
        if real == f32::NEG_INFINITY {
            0
        } else if real == f32::INFINITY {
            last as u8
        } else {
            round_half_up(f64::from(real) / quant.scale + f64::from(quant.zero)).clamp(0.0, last) as u8
        }
    };
    (code(clamp.lo), code(clamp.hi))
}

/// The integers of an addition: `clamp(zero + (((qa-za)*ma + (qb-zb)*mb + 2^(n-1)) >> n), lo, hi)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AddIntegers {
    /// Factor of the first input, non-negative.
    pub ma: i32,
    /// Factor of the second input, non-negative.
    pub mb: i32,
    /// In `1..=30`.
    pub n: u8,
}

impl AddIntegers {
    /// The largest `n` in `1..=30` with `(2^ba - 1) * ma + (2^bb - 1) * mb < 2^30`, both factors rounded.
    ///
    /// # Errors
    /// [`Unrepresentable::Factor`] where even `n = 1` does not fit.
    pub fn derive(a: &ActivationQuant, b: &ActivationQuant, output_scale: f64) -> Result<Self, Unrepresentable> {
        let (factor_a, factor_b) = (a.scale / output_scale, b.scale / output_scale);
        let (span_a, span_b) = (f64::from(a.bits.max_code()), f64::from(b.bits.max_code()));
        for n in (1..=30u8).rev() {
            let unit = 2f64.powi(i32::from(n));
            let (ma, mb) = (round_half_up(factor_a * unit), round_half_up(factor_b * unit));
            if span_a * ma + span_b * mb < BIAS_LIMIT {
                return Ok(Self { ma: ma as i32, mb: mb as i32, n });
            }
        }
        Err(Unrepresentable::Factor(factor_a.max(factor_b)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::grid::BitWidth;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_multiplier_is_normalised_and_close(exponent in -31.9f64..29.9, sign in prop::bool::ANY) {
            let factor = exponent.exp2() * if sign { -1.0 } else { 1.0 };
            let multiplier = Multiplier::from_real(factor).unwrap();
            prop_assert!((1i64 << 30..1i64 << 31).contains(&i64::from(multiplier.m).abs()));
            prop_assert!((1..=62).contains(&multiplier.n));
            prop_assert!((multiplier.to_real() / factor - 1.0).abs() <= 2f64.powi(-31));
        }

        #[test]
        fn a_layer_never_overflows(
            levels in prop::collection::vec(-127i8..=127, 12),
            scales in prop::collection::vec(-60f64..0.0, 3),
            bias in prop::collection::vec(-1e3f64..1e3, 3),
            zero in 0u8..=255,
            output in -20f64..8.0,
        ) {
            let layout = WeightLayout::ChannelMajor { out_c: 3, per_channel: 4, in_c: 4, out_per_group: 3 };
            let weights = WeightQuant { bits: BitWidth::B8, levels: levels.into(), scales: scales.iter().map(|s| s.exp2()).collect(), bias };
            let input = LayerInput { scale: 0.05, zeros: vec![f64::from(zero)] };
            if let Ok(layer) = LayerIntegers::derive(layout, &weights, &input, &LayerOutput::of_scale(output.exp2())) {
                for c in 0..3 {
                    let sum: i64 = layer.levels[4 * c..4 * c + 4].iter().map(|l| i64::from(l.unsigned_abs())).sum();
                    let bound = i64::from(layer.bias[c]).abs().max(i64::from(layer.pure_bias[c]).abs() + ((255 * sum) << layer.acc_shift));
                    prop_assert!(bound < 1i64 << 31);
                }
            }
        }

        #[test]
        fn an_addition_stays_in_32_bits(a in -20f64..20.0, b in -20f64..20.0, out in -5f64..5.0) {
            let quant = |s: f64| ActivationQuant { bits: BitWidth::B8, scale: s.exp2(), zero: 3 };
            if let Ok(add) = AddIntegers::derive(&quant(a), &quant(b), out.exp2()) {
                prop_assert!(255 * (i64::from(add.ma) + i64::from(add.mb)) < 1 << 30);
            }
        }
    }

    #[test]
    fn sums_of_2_bit_codes_are_bounded_by_their_number() {
        let most = 2_807_168;
        assert_eq!(most_summed_by_code(255), most);
        let derive = |bits, inputs: usize, level: i8| {
            let layout = WeightLayout::ChannelMajor { out_c: 1, per_channel: inputs, in_c: inputs, out_per_group: 1 };
            let weights = WeightQuant { bits, levels: vec![level; inputs].into(), scales: vec![1e-6], bias: vec![0.5] };
            LayerIntegers::derive(
                layout,
                &weights,
                &LayerInput { scale: 0.05, zeros: vec![3.0] },
                &LayerOutput::of_scale(1.0),
            )
            .map(drop)
        };
        assert_eq!(derive(BitWidth::B2, most, 1), Ok(()));
        // Levels of 0 are codes of 2: their sum of levels would never say so.
        assert_eq!(derive(BitWidth::B2, most + 1, 0), Err(Unrepresentable::CodeSum { inputs: most + 1, most }));
        assert_eq!(derive(BitWidth::B4, most + 1, 0), Ok(()));
    }

    #[test]
    fn the_ends_of_the_multiplier_range() {
        assert_eq!(Multiplier::from_real(0.0), Ok(Multiplier::ZERO));
        assert_eq!(Multiplier::from_real(2f64.powi(-32)), Ok(Multiplier { m: 1 << 30, n: 62 }));
        assert_eq!(Multiplier::from_real(1.0 - 1e-12), Ok(Multiplier { m: 1 << 30, n: 30 }));
        assert!(Multiplier::from_real(2f64.powi(30)).is_err());
        assert_eq!(Multiplier::from_real(-0.5), Ok(Multiplier { m: -(1 << 30), n: 31 }));
    }
}
