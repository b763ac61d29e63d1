//! From a layer's levels, scales and biases to real weights, and to what makes a sum of products a code. Biases are
//! rounded as [`bitesize_ir::requantize::LayerIntegers`] rounds them.

use super::parameters::{Encoding, LayerParameters, Parameters};
use crate::operators::vectorized;
use bitesize_ir::requantize::{
    LayerInput, LayerOutput, Unrepresentable, WeightLayout, accumulator_shift, least_scale, round_half_up,
};
use bitesize_ir::{ActivationQuant, Encodings, Network};

/// The weights of a layer, where they are not its levels.
#[derive(Debug, Default)]
pub(super) struct Weights {
    /// Levels times scales; empty where all scales are 1.
    pub(super) real: Vec<f32>,
    /// The levels, where the bias of a channel demanded that its scale grow.
    pub(super) levels: Option<Vec<f32>>,
}

/// `v = sum * factor + shift` of one layer.
pub(super) struct LayerConstants {
    /// One for each output channel.
    pub(super) factors: Vec<f32>,
    /// One for each output channel.
    pub(super) shifts: Vec<f32>,
}

impl LayerConstants {
    /// The constants of node `index`; `quants` has the encoding of each tensor that has one.
    ///
    /// # Errors
    /// Where its sums can overflow the accumulator.
    pub(super) fn new(
        network: &Network,
        index: usize,
        parameters: &Parameters,
        quants: &[ActivationQuant],
        weights: &mut Weights,
    ) -> Result<Self, Unrepresentable> {
        let node = &network.nodes[index];
        let layer = parameters.layers[index].as_ref().expect("the parameters were checked");
        let layout = WeightLayout::of(&node.op).expect("the node has weights");
        let (input, output) = (node.inputs[0].0, node.output.0);
        let own = parameters.output_channels.as_deref().filter(|_| node.output == network.output);
        let mut scales = layer.scales.clone();
        weights.levels = None;
        let bias = match [&parameters.encodings[input], &parameters.encodings[output]] {
            [Encoding::Codes(_), Encoding::Codes(_)] => {
                let encodings = Encodings { tensors: quants, output_channels: own };
                let output = LayerOutput::of(network, node, encodings);
                let input = LayerInput::of(network, node.inputs[0], &quants[input]);
                rounded_bias(layout, layer, [&mut scales], (&input, &output), &mut weights.levels)?
            }
            _ => layer.bias.clone(),
        };
        let levels = weights.levels.as_deref().unwrap_or(&layer.levels);
        scaled(layout, levels, &scales, &mut weights.real);
        // Codes of channels that have encodings of their own are not centred.
        let written = |c: usize| own.map_or((quants[output].scale, 0.0), |own| (own[c].scale, f64::from(own[c].zero)));
        let constants = (0..scales.len()).map(|c| {
            let (scale, zero) = written(c);
            ((quants[input].scale * scales[c] / scale) as f32, (bias[c] / scale + zero) as f32)
        });
        let (factors, shifts) = constants.unzip();
        Ok(Self { factors, shifts })
    }
}

/// The bias that is added to the sum over centred codes, rounded to units of the accumulator, as a real value. Scales that
/// would let it pass 2^30 units grow, and their levels are rounded again.
fn rounded_bias(
    layout: WeightLayout,
    layer: &LayerParameters,
    [scales]: [&mut [f64]; 1],
    (input, output): (&LayerInput, &LayerOutput),
    grown: &mut Option<Vec<f32>>,
) -> Result<Vec<f64>, Unrepresentable> {
    let channels = scales.len();
    let sums: Vec<i64> = sums_of_magnitudes(layout, &layer.levels).iter().map(|sum| sum.ceil() as i64).collect();
    let bias: Vec<f64> = (0..channels).map(|c| layer.bias[c] + output.shift(c)).collect();
    let acc_shift = accumulator_shift(&sums, scales, &bias, input, output)?;
    let unit = 2f64.powi(-i32::from(acc_shift));
    let least: Vec<f64> = bias.iter().map(|bias| least_scale(*bias, input, acc_shift)).collect();
    if (0..channels).any(|c| scales[c].abs() < least[c]) {
        let mut levels = layer.levels.clone();
        for (i, level) in levels.iter_mut().enumerate() {
            let c = layout.out_channel(i);
            if scales[c].abs() < least[c] {
                *level = round_half_up(f64::from(*level) * scales[c].abs() / least[c]) as f32;
            }
        }
        for c in 0..channels {
            scales[c] = scales[c].abs().max(least[c]).copysign(scales[c]);
        }
        *grown = Some(levels);
    }
    let levels = grown.as_deref().unwrap_or(&layer.levels);
    // Zero points that are no codes: what their rounding leaves over is in the bias.
    let mut beyond_centre = vec![0.0; channels];
    let mut zeros = vec![0.0; channels];
    if input.zeros.len() > 1 || input.zeros[0].fract() != 0.0 {
        let centre = input.padding_codes();
        for (i, level) in levels.iter().enumerate() {
            let (c, from) = (layout.out_channel(i), layout.in_channel(i));
            let code = if centre.len() == 1 { centre[0] } else { centre[from] };
            beyond_centre[c] += f64::from(*level) * f64::from(code);
            zeros[c] += f64::from(*level) * input.zero(from);
        }
    }
    let rounded = |c: usize| {
        let step = input.scale * scales[c];
        let whole = round_half_up(bias[c] / (step * unit) - zeros[c] / unit);
        (whole * unit + beyond_centre[c]) * step - output.shift(c)
    };
    Ok((0..channels).map(rounded).collect())
}

/// The sum of absolute levels of each output channel.
fn sums_of_magnitudes(layout: WeightLayout, levels: &[f32]) -> Vec<f64> {
    const LANES: usize = 16;
    vectorized(
        #[inline(always)]
        || match layout {
            WeightLayout::ChannelMajor { per_channel, .. } => levels
                .chunks_exact(per_channel)
                .map(|row| {
                    let mut sums = [0f32; LANES];
                    for part in row.chunks(LANES) {
                        for (sum, level) in sums.iter_mut().zip(part) {
                            *sum += level.abs();
                        }
                    }
                    sums.iter().map(|sum| f64::from(*sum)).sum()
                })
                .collect(),
            WeightLayout::ChannelMinor { channels } => {
                let mut sums = vec![0.0; channels];
                for tap in levels.chunks_exact(channels) {
                    sums.iter_mut().zip(tap).for_each(|(sum, level)| *sum += f64::from(level.abs()));
                }
                sums
            }
        },
    )
}

/// Levels times scales into `real`, nothing where all scales are 1.
fn scaled(layout: WeightLayout, levels: &[f32], scales: &[f64], real: &mut Vec<f32>) {
    real.clear();
    if scales.iter().all(|scale| *scale == 1.0) {
        return;
    }
    real.resize(levels.len(), 0.0);
    let scales: Vec<f32> = scales.iter().map(|scale| *scale as f32).collect();
    vectorized(
        #[inline(always)]
        || match layout {
            WeightLayout::ChannelMajor { per_channel, .. } => {
                let rows = real.chunks_exact_mut(per_channel).zip(levels.chunks_exact(per_channel));
                for ((real, levels), scale) in rows.zip(&scales) {
                    real.iter_mut().zip(levels).for_each(|(real, level)| *real = level * scale);
                }
            }
            WeightLayout::ChannelMinor { channels } => {
                for (real, levels) in real.chunks_exact_mut(channels).zip(levels.chunks_exact(channels)) {
                    for ((real, level), scale) in real.iter_mut().zip(levels).zip(&scales) {
                        *real = level * scale;
                    }
                }
            }
        },
    );
}
