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
        by_values.extend(self.values.iter().zip(&self.floors).zip(by_real).enumerate().map(|(i, ((value, floor), g))| {
            let (part, slope) = part(*value);
            let inside = floor + part > lo && floor + part < hi;
            if inside { g * slope * self.scales[self.layout.out_channel(i)] as f32 } else { 0.0 }
        }));
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
