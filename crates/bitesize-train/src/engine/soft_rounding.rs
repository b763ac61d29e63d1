//! Rounding that is learned: each weight lies between the two levels round it, and is drawn to one of them.

use super::parameters::LayerParameters;
use bitesize_ir::BitWidth;
use bitesize_ir::grid::WeightGrid;
use bitesize_ir::requantize::WeightLayout;

/// How far the sigmoid is stretched beyond 0 and 1, so that it reaches both.
const STRETCH: [f32; 2] = [-0.1, 1.1];

/// The soft rounding of one layer (Nagel et al., "Up or Down? Adaptive Rounding for Post-Training Quantization").
///
/// `level = clamp(floor(w / s) + h)` with `h = clamp(1.2 * sigmoid(v) - 0.1, 0, 1)`; `v` is learned, `w` and `s` stay.
#[derive(Clone, Debug, PartialEq)]
pub struct SoftRounding {
    /// What is learned: one for each weight.
    pub values: Vec<f32>,
    /// `floor(w / s)`.
    floors: Vec<f32>,
    scales: Vec<f64>,
    layout: WeightLayout,
    bounds: [f32; 2],
}

impl SoftRounding {
    /// Rounding of `weights` (in `layout`) with `scales` to the grid of `bits`, at first where the weights themselves lie.
    ///
    /// # Panics
    /// Where there is not one scale for each output channel.
    pub fn new(weights: &[f32], scales: Vec<f64>, layout: WeightLayout, bits: BitWidth) -> Self {
        assert_eq!(scales.len(), layout.out_channels(), "each output channel has a scale");
        let grid = WeightGrid::of(bits);
        let ratio = |(i, weight): (usize, &f32)| (f64::from(*weight) / scales[layout.out_channel(i)]) as f32;
        let ratios: Vec<f32> = weights.iter().enumerate().map(ratio).collect();
        let [lo, hi] = STRETCH;
        // The inverse of h, away from the ends of the sigmoid.
        let start = |ratio: &f32| {
            let part = ((ratio - ratio.floor() - lo) / (hi - lo)).clamp(0.01, 0.99);
            (part / (1.0 - part)).ln()
        };
        Self {
            values: ratios.iter().map(start).collect(),
            floors: ratios.iter().map(|ratio| ratio.floor()).collect(),
            scales,
            layout,
            bounds: [grid.lowest(), grid.highest()].map(f32::from),
        }
    }

    /// Writes the levels that the engine computes with: soft ones, or, where `hard`, those on whose side each weight is.
    pub fn write(&self, hard: bool, layer: &mut LayerParameters) {
        let [lo, hi] = self.bounds;
        let level = |(value, floor): (&f32, &f32)| {
            let part = if hard { f32::from(u8::from(*value >= 0.0)) } else { part(*value).0 };
            (floor + part).clamp(lo, hi)
        };
        layer.levels.clear();
        layer.levels.extend(self.values.iter().zip(&self.floors).map(level));
        layer.scales.clone_from(&self.scales);
    }

    /// The gradient by [`Self::values`], given that by the real weights.
    ///
    /// # Panics
    /// Where `by_real` is not as long as the weights.
    pub fn backward(&self, by_real: &[f32], by_values: &mut Vec<f32>) {
        assert_eq!(by_real.len(), self.values.len(), "each weight has a gradient");
        let [lo, hi] = self.bounds;
        by_values.clear();
        by_values.extend(self.values.iter().zip(&self.floors).zip(by_real).enumerate().map(
            |(i, ((value, floor), g))| {
                let (part, slope) = part(*value);
                let inside = floor + part > lo && floor + part < hi;
                if inside { g * slope * self.scales[self.layout.out_channel(i)] as f32 } else { 0.0 }
            },
        ));
    }

    /// `weight * sum(1 - |2h - 1|^beta)`, which draws each `h` to 0 or 1, the more the smaller `beta`; its gradient is added.
    ///
    /// # Panics
    /// Where `by_values` is not as long as the weights.
    pub fn regularize(&self, weight: f32, beta: f32, by_values: &mut [f32]) -> f64 {
        assert_eq!(by_values.len(), self.values.len(), "each weight has a gradient");
        let mut loss = 0.0;
        for (value, gradient) in self.values.iter().zip(by_values) {
            let (part, slope) = part(*value);
            let from_middle = 2.0 * part - 1.0;
            let power = from_middle.abs().powf(beta - 1.0);
            loss += f64::from(1.0 - power * from_middle.abs());
            *gradient -= weight * beta * power * from_middle.signum() * 2.0 * slope;
        }
        f64::from(weight) * loss
    }
}

/// `h` and its derivative by `value`.
fn part(value: f32) -> (f32, f32) {
    let [lo, hi] = STRETCH;
    let sigmoid = 1.0 / (1.0 + (-value).exp());
    let stretched = (hi - lo) * sigmoid + lo;
    let slope = if (0.0..=1.0).contains(&stretched) { (hi - lo) * sigmoid * (1.0 - sigmoid) } else { 0.0 };
    (stretched.clamp(0.0, 1.0), slope)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LAYOUT: WeightLayout = WeightLayout::ChannelMajor { out_c: 2, per_channel: 4, in_c: 4, out_per_group: 2 };
    const WEIGHTS: [f32; 8] = [0.1, -0.37, 0.55, 0.94, -0.2, 0.42, 9.1, -9.1];
    const SCALES: [f64; 2] = [0.25, 0.5];

    fn rounding() -> SoftRounding {
        SoftRounding::new(&WEIGHTS, SCALES.to_vec(), LAYOUT, BitWidth::B4)
    }

    fn levels(rounding: &SoftRounding, hard: bool) -> Vec<f32> {
        let mut layer = LayerParameters { levels: Vec::new(), scales: Vec::new(), bias: vec![0.0; 2] };
        rounding.write(hard, &mut layer);
        assert_eq!(layer.scales, SCALES);
        layer.levels
    }

    #[test]
    fn it_starts_at_the_weights_and_ends_on_levels() {
        let soft = levels(&rounding(), false);
        for (i, (level, weight)) in soft.iter().zip(WEIGHTS).enumerate().take(6) {
            let expected = f64::from(weight) / SCALES[i / 4];
            assert!((f64::from(*level) - expected).abs() < 0.02, "{level} instead of {expected}");
        }
        assert_eq!(soft[6..], [7.0, -8.0]);
        assert_eq!(levels(&rounding(), true), [0.0, -1.0, 2.0, 4.0, 0.0, 1.0, 7.0, -8.0]);
    }

    #[test]
    fn gradients_are_the_slopes() {
        let of_real = |rounding: &SoftRounding| -> f64 {
            let real = levels(rounding, false).into_iter().enumerate();
            real.map(|(i, level)| (i as f64 - 2.5) * f64::from(level) * SCALES[i / 4]).sum()
        };
        let by_real: Vec<f32> = (0..8).map(|i| i as f32 - 2.5).collect();
        let (mut by_values, mut regularized) = (Vec::new(), vec![0.0; 8]);
        rounding().backward(&by_real, &mut by_values);
        rounding().regularize(0.5, 3.0, &mut regularized);
        for i in 0..8 {
            let slope = |of: &dyn Fn(&SoftRounding) -> f64| {
                let at = |step: f32| {
                    let mut moved = rounding();
                    moved.values[i] += step;
                    of(&moved)
                };
                (at(1e-2) - at(-1e-2)) / 2e-2
            };
            let expected = [slope(&of_real), slope(&|rounding| rounding.regularize(0.5, 3.0, &mut [0.0; 8]))];
            for (found, expected) in [by_values[i], regularized[i]].into_iter().zip(expected) {
                assert!((f64::from(found) - expected).abs() < 1e-3, "{i}: {found} instead of {expected}");
            }
        }
    }

    #[test]
    fn the_regularizer_is_largest_in_the_middle() {
        let mut rounding = rounding();
        rounding.values.fill(0.0);
        assert!((rounding.regularize(1.0, 2.0, &mut [0.0; 8]) - 8.0).abs() < 1e-5);
        rounding.values.fill(20.0);
        assert!(rounding.regularize(1.0, 2.0, &mut [0.0; 8]).abs() < 1e-5);
    }
}
