//! From the values before rounding to centred codes, and back through the rounding.
//!
//! A tensor is kept as what its node computed, `s`; its value before rounding, in codes less the zero point, is
//! `v = s * factor[c] + shift[c]`. Factors and shifts come as *tiles*: repeated until they fill a few vectors, so that
//! tensors with few channels are as fast as those with many.

use super::super::drop::Drop;
use crate::operators::vectorized;

/// Elements of a tile at least, where a tensor has fewer channels.
const TILE: usize = 64;

/// `channels` repeated.
pub(in crate::engine) fn tile(channels: &[f32]) -> Vec<f32> {
    channels.repeat(TILE.div_ceil(channels.len()))
}

/// What becomes of a tensor's values: clamped to `lo..=hi`, and rounded before where `round`. All in codes less the zero
/// point; with a scale of 1 and no rounding those are real values.
#[derive(Clone, Debug, Default)]
pub(in crate::engine) struct Quantizer {
    /// Whether codes are rounded.
    pub(in crate::engine) round: bool,
    /// Real value of one code.
    pub(in crate::engine) scale: f32,
    /// Least and greatest centred code.
    pub(in crate::engine) codes: [f32; 2],
    /// The open interval of values before rounding through which gradients pass.
    pub(in crate::engine) inside: [f32; 2],
    /// The derivative by the scale below and above it.
    pub(in crate::engine) beyond: [f32; 2],
    /// Bounds of the fused clamp, which hold where the rounding is dropped.
    pub(in crate::engine) clamp: [f32; 2],
    /// Tiles.
    pub(in crate::engine) factors: Vec<f32>,
    /// Tiles.
    pub(in crate::engine) shifts: Vec<f32>,
}

#[inline(always)]
fn bounded(value: f32, [lo, hi]: [f32; 2]) -> f32 {
    let value = if value > lo { value } else { lo };
    if value < hi { value } else { hi }
}

#[inline(always)]
fn rounded(value: f32) -> f32 {
    (value + 0.5).floor()
}

impl Quantizer {
    /// Writes the centred codes of whole pixels. `dropped` tells which elements stay as they are, and the index of the first.
    #[inline(always)]
    pub(in crate::engine) fn apply(&self, sums: &[f32], dropped: Option<(&Drop, usize)>, out: &mut [f32]) {
        match (dropped, self.round) {
            (Some((dropped, first)), true) => self.apply_dropping(sums, dropped, first, out),
            (_, true) => self.apply_to_all::<true>(sums, out),
            (_, false) => self.apply_to_all::<false>(sums, out),
        }
    }

    #[inline(always)]
    fn apply_to_all<const ROUND: bool>(&self, sums: &[f32], out: &mut [f32]) {
        let (length, codes) = (self.factors.len(), self.codes);
        for (sums, out) in sums.chunks(length).zip(out.chunks_mut(length)) {
            let n = sums.len();
            let (factors, shifts, out) = (&self.factors[..n], &self.shifts[..n], &mut out[..n]);
            for i in 0..n {
                let value = sums[i].mul_add(factors[i], shifts[i]);
                out[i] = bounded(if ROUND { rounded(value) } else { value }, codes);
            }
        }
    }

    #[inline(always)]
    fn apply_dropping(&self, sums: &[f32], dropped: &Drop, first: usize, out: &mut [f32]) {
        let length = self.factors.len();
        for (part, (sums, out)) in sums.chunks(length).zip(out.chunks_mut(length)).enumerate() {
            let (n, first) = (sums.len(), first + part * length);
            let (factors, shifts, out) = (&self.factors[..n], &self.shifts[..n], &mut out[..n]);
            for i in 0..n {
                let value = sums[i].mul_add(factors[i], shifts[i]);
                let code = bounded(rounded(value), self.codes);
                out[i] = if dropped.drops(first + i) { bounded(value, self.clamp) } else { code };
            }
        }
    }

    /// Turns the gradient by the output into that by the value before rounding, in place. Adds its sum over pixels to
    /// `bias` (one for each element of a tile) and the gradient by the scale to `by_scale` (likewise).
    pub(in crate::engine) fn backward(
        &self,
        sums: &[f32],
        dropped: Option<(&Drop, usize)>,
        gradient: &mut [f32],
        [bias, by_scale]: [&mut [f32]; 2],
    ) {
        vectorized(
            #[inline(always)]
            || match (dropped, self.round) {
                (Some((dropped, first)), true) => {
                    let kept = |i: usize| !dropped.drops(first + i);
                    self.back::<true>(sums, kept, gradient, bias, by_scale);
                }
                (_, true) => self.back::<true>(sums, |_| true, gradient, bias, by_scale),
                (_, false) => self.back::<false>(sums, |_| true, gradient, bias, by_scale),
            },
        );
    }

    #[inline(always)]
    fn back<const ROUND: bool>(
        &self,
        sums: &[f32],
        kept: impl Fn(usize) -> bool,
        gradient: &mut [f32],
        bias: &mut [f32],
        by_scale: &mut [f32],
    ) {
        let length = self.factors.len();
        let ([lo, hi], [below, above], clamp) = (self.inside, self.beyond, self.clamp);
        for (part, (sums, gradient)) in sums.chunks(length).zip(gradient.chunks_mut(length)).enumerate() {
            let n = sums.len();
            let (factors, shifts, gradient) = (&self.factors[..n], &self.shifts[..n], &mut gradient[..n]);
            let (bias, by_scale) = (&mut bias[..n], &mut by_scale[..n]);
            for i in 0..n {
                let value = sums[i].mul_add(factors[i], shifts[i]);
                let within = if ROUND { rounded(value) - value } else { 0.0 };
                let edge = if value > lo { above } else { below };
                let inside = (value > lo) & (value < hi);
                let slope = if inside { within } else { edge };
                let (inside, slope) = if kept(part * length + i) {
                    (inside, slope)
                } else {
                    ((value > clamp[0]) & (value < clamp[1]), 0.0)
                };
                by_scale[i] = gradient[i].mul_add(slope, by_scale[i]);
                let passed = if inside { gradient[i] } else { 0.0 };
                bias[i] += passed;
                gradient[i] = passed;
            }
        }
    }
}
