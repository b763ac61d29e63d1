//! Weights that are rounded to their grid, with a scale for each output channel that is learned with them.

use super::parameters::LayerParameters;
use crate::operators::vectorized;
use bitesize_ir::BitWidth;
use bitesize_ir::grid::WeightGrid;
use bitesize_ir::requantize::WeightLayout;
use rayon::prelude::*;

/// Weights that are worth a thread's while.
const PART: usize = 1 << 14;

/// Sums of a row that run beside each other.
const LANES: usize = 16;

/// Straight-through weights of one layer.
///
/// `real = s * q` with `q = clamp(floor(w / s + 0.5))`. Backwards the rounding counts as the identity:
/// within the grid's bounds `d real/d w = 1` and `d real/d s = q - w / s`; outside 0 and the level (Esser et al., "Learned Step Size
/// Quantization").
#[derive(Clone, Debug, PartialEq)]
pub struct LearnedScales {
    /// Real weights in the operator's layout.
    pub weights: Vec<f32>,
    /// One for each output channel.
    pub scales: Vec<f32>,
    layout: WeightLayout,
    bounds: [f32; 2],
    round: bool,
}

impl LearnedScales {
    /// Weights in `layout`, to be rounded to `bits`, at first with `scales`.
    ///
    /// # Panics
    /// Where there is not one scale for each output channel.
    pub fn new(weights: Vec<f32>, scales: Vec<f32>, layout: WeightLayout, bits: BitWidth) -> Self {
        assert_eq!(scales.len(), layout.out_channels(), "each output channel has a scale");
        let grid = WeightGrid::of(bits);
        Self { weights, scales, layout, bounds: [grid.lowest(), grid.highest()].map(f32::from), round: true }
    }

    /// Weights in `layout` that stay as they are, with scales of 1 that get no gradients: those of a float network.
    pub fn unrounded(weights: Vec<f32>, layout: WeightLayout) -> Self {
        let scales = vec![1.0; layout.out_channels()];
        Self { weights, scales, layout, bounds: [f32::NEG_INFINITY, f32::INFINITY], round: false }
    }

    /// The level that each weight rounds to.
    pub(crate) fn levels(&self) -> Vec<f32> {
        let mut layer = LayerParameters { levels: Vec::new(), scales: Vec::new(), bias: Vec::new() };
        self.write(&mut layer);
        layer.levels
    }

    /// Moves each weight by `share` of the way to the level that it rounds to.
    pub(crate) fn draw_to_levels(&mut self, share: f32) {
        let levels = self.levels();
        for (i, (weight, level)) in self.weights.iter_mut().zip(levels).enumerate() {
            *weight += share * (level * self.scales[self.layout.out_channel(i)] - *weight);
        }
    }

    /// Writes the levels and scales that the engine computes with.
    pub fn write(&self, layer: &mut LayerParameters) {
        layer.levels.resize(self.weights.len(), 0.0);
        layer.scales.clear();
        layer.scales.extend(self.scales.iter().map(|scale| f64::from(*scale)));
        if !self.round {
            layer.levels.copy_from_slice(&self.weights);
            return;
        }
        let [lo, hi] = self.bounds;
        let level = |weight: f32, scale: f32| {
            let level = (weight / scale + 0.5).floor();
            let level = if level > lo { level } else { lo };
            if level < hi { level } else { hi }
        };
        match self.layout {
            WeightLayout::ChannelMajor { per_channel, .. } => {
                let rows =
                    layer.levels.par_chunks_exact_mut(per_channel).zip(self.weights.par_chunks_exact(per_channel));
                rows.zip(&self.scales).with_min_len(min_rows(per_channel)).for_each(|((levels, weights), scale)| {
                    vectorized(
                        #[inline(always)]
                        || levels.iter_mut().zip(weights).for_each(|(out, weight)| *out = level(*weight, *scale)),
                    );
                });
            }
            WeightLayout::ChannelMinor { channels } => {
                for (levels, weights) in
                    layer.levels.chunks_exact_mut(channels).zip(self.weights.chunks_exact(channels))
                {
                    for ((out, weight), scale) in levels.iter_mut().zip(weights).zip(&self.scales) {
                        *out = level(*weight, *scale);
                    }
                }
            }
        }
    }

    /// The gradients by the weights and by the scales, given those by the real values.
    ///
    /// # Panics
    /// Where `by_real` is not as long as the weights.
    pub fn backward(&self, by_real: &[f32], [by_weights, by_scales]: [&mut Vec<f32>; 2]) {
        assert_eq!(by_real.len(), self.weights.len(), "each weight has a gradient");
        by_weights.resize(by_real.len(), 0.0);
        by_scales.clear();
        by_scales.resize(self.scales.len(), 0.0);
        if !self.round {
            by_weights.copy_from_slice(by_real);
            return;
        }
        match self.layout {
            WeightLayout::ChannelMajor { per_channel, .. } => {
                let rows = by_weights.par_chunks_exact_mut(per_channel).zip(by_real.par_chunks_exact(per_channel));
                let rows = rows.zip(self.weights.par_chunks_exact(per_channel));
                let rows = rows.zip(by_scales.par_iter_mut().zip(&self.scales)).with_min_len(min_rows(per_channel));
                rows.for_each(|(((out, given), weights), (by_scale, scale))| {
                    vectorized(
                        #[inline(always)]
                        || *by_scale = self.row(given, weights, *scale, out),
                    );
                });
            }
            WeightLayout::ChannelMinor { channels } => {
                let rows = by_weights.chunks_exact_mut(channels).zip(by_real.chunks_exact(channels));
                for ((out, given), weights) in rows.zip(self.weights.chunks_exact(channels)) {
                    for c in 0..channels {
                        by_scales[c] += self.one(given[c], weights[c], self.scales[c], &mut out[c]);
                    }
                }
            }
        }
    }

    /// The gradient of one weight into `out`; answers its part of the scale's.
    #[inline(always)]
    fn one(&self, given: f32, weight: f32, scale: f32, out: &mut f32) -> f32 {
        let [lo, hi] = self.bounds;
        let value = weight / scale;
        let level = (value + 0.5).floor();
        let inside = (value >= lo) & (value <= hi);
        let edge = if value > lo { hi } else { lo };
        *out = if inside { given } else { 0.0 };
        given * if inside { level - value } else { edge }
    }

    #[inline(always)]
    fn row(&self, given: &[f32], weights: &[f32], scale: f32, out: &mut [f32]) -> f32 {
        let mut sums = [0.0; LANES];
        for ((given, weights), out) in given.chunks(LANES).zip(weights.chunks(LANES)).zip(out.chunks_mut(LANES)) {
            for (i, out) in out.iter_mut().enumerate() {
                sums[i] += self.one(given[i], weights[i], scale, out);
            }
        }
        sums.iter().sum()
    }
}

/// Rows of output channels that are worth a thread's while.
fn min_rows(per_channel: usize) -> usize {
    (PART / per_channel).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROWS: WeightLayout = WeightLayout::ChannelMajor { out_c: 2, per_channel: 3, in_c: 3, out_per_group: 2 };
    const TAPS: WeightLayout = WeightLayout::ChannelMinor { channels: 2 };

    /// 2-bit levels, -2 to 1, of scales 0.5 and -1: inside, beyond both ends.
    #[test]
    fn levels_and_gradients_of_both_layouts() {
        let of_first = [(0.3, 1.0, 1.0, 1.0 - 0.6), (-1.2, -2.0, 0.0, -2.0), (0.6, 1.0, 0.0, 1.0)];
        let of_second = [(0.3, 0.0, 1.0, 0.0 + 0.3), (2.5, -2.0, 0.0, -2.0), (0.6, -1.0, 1.0, -1.0 + 0.6)];
        for layout in [ROWS, TAPS] {
            let cases: Vec<_> = match layout {
                ROWS => of_first.iter().chain(&of_second).copied().collect(),
                _ => of_first.iter().zip(&of_second).flat_map(|(a, b)| [*a, *b]).collect(),
            };
            let list = |of: fn(&(f32, f32, f32, f32)) -> f32| cases.iter().map(of).collect::<Vec<_>>();
            let learned = LearnedScales::new(list(|case| case.0), vec![0.5, -1.0], layout, BitWidth::B2);
            let mut layer = LayerParameters { levels: Vec::new(), scales: Vec::new(), bias: vec![0.0; 2] };
            learned.write(&mut layer);
            assert_eq!((layer.levels, layer.scales), (list(|case| case.1), vec![0.5, -1.0]));
            let (mut by_weights, mut by_scales) = (Vec::new(), Vec::new());
            learned.backward(&[2.0; 6], [&mut by_weights, &mut by_scales]);
            assert_eq!(by_weights, list(|case| 2.0 * case.2));
            for (found, cases) in by_scales.iter().zip([of_first, of_second]) {
                let expected: f32 = cases.iter().map(|case| 2.0 * case.3).sum();
                assert!((found - expected).abs() < 1e-5, "{found} by the scale, not {expected}");
            }
        }
    }
}
