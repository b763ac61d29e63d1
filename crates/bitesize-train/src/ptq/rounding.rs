//! From real weights to levels: scales, and rounding in which later weights make up for the error of earlier ones.
//!
//! All of it minimises `e' H e` for each output channel, where `e` is the error of its weights and `H` the covariance
//! of their inputs: the variance of the output's error. (Its mean is the business of the bias.)

use super::tiles::Tiles;
use crate::operators::vectorized;
use bitesize_ir::BitWidth;
use bitesize_ir::grid::WeightGrid;
use faer::prelude::*;

/// The whole numbers of a range.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Levels {
    lowest: f64,
    highest: f64,
    /// Whether the scale may be negative.
    signed: bool,
}

impl Levels {
    pub(crate) fn of(bits: BitWidth) -> Self {
        let grid = WeightGrid::of(bits);
        Self { lowest: grid.lowest().into(), highest: grid.highest().into(), signed: grid.takes_scale(-1.0) }
    }

    #[inline(always)]
    fn nearest(self, x: f64) -> f64 {
        (x + 0.5).floor().max(self.lowest).min(self.highest)
    }
}

/// The quadratic form `H` of one block, damped, with its Cholesky factor. It has no entries across [`Tiles`]; the
/// positions of a tile are its inputs in the order of rising diagonal.
#[derive(Clone, Debug)]
pub(crate) struct Curvature {
    tiles: Tiles,
    /// `order[p]` is the weight at position `p`.
    order: Vec<usize>,
    /// Each position's entry with itself.
    diagonal: Vec<f64>,
    /// `[tile][p][p]`.
    form: Vec<f64>,
    /// Row `p` holds column `p` of the tile's lower factor: `factor[p][i]` for `i >= p`.
    factor: Vec<f64>,
}

/// How a covariance is made safe to invert.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Damping {
    /// Share of the mean of the diagonal that is added to it.
    pub(crate) of_mean: f64,
    /// Share of the off-diagonal entries that is taken away.
    pub(crate) shrinkage: f64,
}

impl Curvature {
    /// From covariances in the layout of `tiles`. Inputs that never vary get the damping alone; where none does, all
    /// weights count alike.
    pub(crate) fn new(covariances: &[f64], tiles: Tiles, damping: Damping) -> Self {
        let variance = |k: usize| {
            let (tile, row) = tiles.row(k);
            covariances[row + k - tile.start].max(0.0)
        };
        let length = tiles.ranges().next_back().map_or(0, |last| last.end);
        let mean = (0..length).map(variance).sum::<f64>() / length as f64;
        let entries = tiles.entries();
        let (mut form, mut factor) = (Vec::with_capacity(entries), Vec::with_capacity(entries));
        let mut order = Vec::with_capacity(length);
        for tile in tiles.ranges() {
            let covariance = &covariances[tiles.offset(tile.start)..];
            order.extend(tile.clone());
            let order = &mut order[tile.clone()];
            order.sort_by(|a, b| variance(*a).total_cmp(&variance(*b)).then(b.cmp(a)));
            let positions: Vec<usize> = order.iter().map(|k| k - tile.start).collect();
            add_factored(&covariance[..tile.len() * tile.len()], &positions, mean, damping, &mut form, &mut factor);
        }
        let entry = |p: usize| {
            let (tile, row) = tiles.row(p);
            form[row + p - tile.start]
        };
        Self { tiles, order, diagonal: (0..length).map(entry).collect(), form, factor }
    }

    /// Rounds from the last position of each tile to the first, each weight shifted by what the errors so far ask of it.
    /// Returns the levels and `e' H e`.
    #[inline(always)]
    fn compensate(&self, weights: &[f64], scale: f64, levels: Levels) -> (Vec<f64>, f64) {
        let mut errors = vec![0.0; weights.len()];
        let mut rounded = vec![0.0; weights.len()];
        let mut total = 0.0;
        for tile in self.tiles.ranges().rev() {
            let factor = &self.factor[self.tiles.offset(tile.start)..];
            let length = tile.len();
            for p in (0..length).rev() {
                let at = tile.start + p;
                let row = &factor[p * length + p..(p + 1) * length];
                let pull = dot(&row[1..], &errors[at + 1..tile.end]);
                let target = weights[at] + pull / row[0];
                rounded[at] = levels.nearest(target / scale);
                errors[at] = weights[at] - scale * rounded[at];
                let part = row[0] * (target - scale * rounded[at]);
                total += part * part;
            }
        }
        (rounded, total)
    }

    /// `H v`.
    #[inline(always)]
    fn times(&self, v: &[f64]) -> Vec<f64> {
        let mut product = Vec::with_capacity(v.len());
        for tile in self.tiles.ranges() {
            let form = &self.form[self.tiles.offset(tile.start)..][..tile.len() * tile.len()];
            product.extend(form.chunks_exact(tile.len()).map(|row| dot(row, &v[tile.clone()])));
        }
        product
    }
}

/// Appends the damped form of one tile, whose inputs stand in `order`, in units of `mean`, and its factor.
fn add_factored(
    covariance: &[f64],
    order: &[usize],
    mean: f64,
    damping: Damping,
    forms: &mut Vec<f64>,
    factors: &mut Vec<f64>,
) {
    let length = order.len();
    let mut damp = damping.of_mean;
    loop {
        let entry = |p: usize, q: usize| {
            if !(mean > 0.0 && mean.is_finite()) {
                return if p == q { 1.0 } else { 0.0 };
            }
            let (i, j) = (order[p], order[q]);
            if p == q {
                covariance[i * length + i].max(0.0) / mean + damp
            } else {
                (1.0 - damping.shrinkage) * covariance[i * length + j] / mean
            }
        };
        let form = Mat::from_fn(length, length, entry);
        // Rounding can make the covariance indefinite; more damping always cures that.
        if let Ok(decomposition) = form.llt(faer::Side::Lower) {
            let lower = decomposition.L();
            forms.extend((0..length * length).map(|i| form[(i / length, i % length)]));
            factors.extend((0..length * length).map(|i| lower[(i % length, i / length)]));
            return;
        }
        damp = (10.0 * damp).max(1e-6);
    }
}

/// A sum of products in eight lanes, so that the compiler can use vector registers.
#[inline(always)]
fn dot(a: &[f64], b: &[f64]) -> f64 {
    let mut lanes = [0.0; 8];
    let (a_chunks, b_chunks) = (a.chunks_exact(8), b.chunks_exact(8));
    let rest: f64 = a_chunks.remainder().iter().zip(b_chunks.remainder()).map(|(x, y)| x * y).sum();
    for (x, y) in a_chunks.zip(b_chunks) {
        for lane in 0..8 {
            lanes[lane] += x[lane] * y[lane];
        }
    }
    lanes.iter().sum::<f64>() + rest
}

/// How hard to look for scales and levels.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Effort {
    /// Scales tried by the diagonal alone.
    pub(crate) scale_candidates: usize,
    /// Whether errors are compensated at all.
    pub(crate) compensate: bool,
    /// Scales near the best by the diagonal that are tried with compensation (odd).
    pub(crate) compensated_candidates: usize,
    /// Rounds of re-fitting scale and single levels.
    pub(crate) rounds: usize,
}

/// The levels and the scale of one output channel.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Row {
    pub(crate) levels: Vec<i8>,
    pub(crate) scale: f64,
}

/// The scale of a channel whose weights are all zero: so small that whatever the levels are, they add nothing.
const DEAD_SCALE: f64 = 1e-30;

/// Quantizes the weights of one output channel. Where the scale may be negative, both signs are tried.
pub(crate) fn quantize_row(curvature: &Curvature, weights: &[f64], levels: Levels, effort: Effort) -> Row {
    let magnitude = weights.iter().fold(0.0, |max: f64, w| max.max(w.abs()));
    if magnitude < DEAD_SCALE {
        return Row { levels: vec![0; weights.len()], scale: DEAD_SCALE };
    }
    let signs: &[f64] = if levels.signed { &[1.0, -1.0] } else { &[1.0] };
    let mut best = Fit { rounded: Vec::new(), scale: 0.0, error: f64::INFINITY };
    for sign in signs {
        // In units of the largest weight, so that no square underflows.
        let ordered: Vec<f64> = curvature.order.iter().map(|k| sign * weights[*k] / magnitude).collect();
        let found = vectorized(
            #[inline(always)]
            || fit(curvature, &ordered, levels, effort),
        );
        if found.error < best.error {
            best = Fit { scale: sign * found.scale, ..found };
        }
    }
    let mut out = vec![0; weights.len()];
    for (p, level) in best.rounded.iter().enumerate() {
        out[curvature.order[p]] = *level as i8;
    }
    Row { levels: out, scale: best.scale * magnitude }
}

/// Levels and a positive scale for weights in the order of a curvature.
struct Fit {
    rounded: Vec<f64>,
    scale: f64,
    /// By the whole form where errors are compensated, else by its diagonal.
    error: f64,
}

#[inline(always)]
fn fit(curvature: &Curvature, weights: &[f64], levels: Levels, effort: Effort) -> Fit {
    let (base, error) = diagonal_scale(curvature, weights, levels, effort.scale_candidates);
    if !effort.compensate {
        return Fit { rounded: weights.iter().map(|w| levels.nearest(w / base)).collect(), scale: base, error };
    }
    let mut best = Fit { rounded: Vec::new(), scale: base, error: f64::INFINITY };
    let half = effort.compensated_candidates / 2;
    for i in 0..2 * half + 1 {
        let scale = base * (1.0 + 0.07 * (i as f64 - half as f64));
        let (rounded, error) = curvature.compensate(weights, scale, levels);
        if error < best.error {
            best = Fit { rounded, scale, error };
        }
    }
    refine(curvature, weights, levels, effort.rounds, &mut best.scale, &mut best.rounded);
    let errors: Vec<f64> = weights.iter().zip(&best.rounded).map(|(w, level)| w - best.scale * level).collect();
    best.error = dot(&errors, &curvature.times(&errors));
    best
}

/// The scale of least error by the diagonal of the form, each weight rounded to the nearest level, and that error.
#[inline(always)]
fn diagonal_scale(curvature: &Curvature, weights: &[f64], levels: Levels, candidates: usize) -> (f64, f64) {
    let error = |scale: f64| -> f64 {
        let inverse = 1.0 / scale;
        let part = |(p, w): (usize, &f64)| {
            let e = w - scale * levels.nearest(w * inverse);
            curvature.diagonal[p] * e * e
        };
        weights.iter().enumerate().map(part).sum()
    };
    let largest = 1.1 / levels.highest.min(-levels.lowest);
    let mut best = (largest, f64::INFINITY);
    for i in 0..candidates {
        let scale = largest * (1.0 - 0.85 * i as f64 / candidates as f64);
        let error = error(scale);
        if error < best.1 {
            best = (scale, error);
        }
    }
    best
}

/// Alternates the best scale for the levels and the best level for each weight, all others fixed.
#[inline(always)]
fn refine(curvature: &Curvature, weights: &[f64], levels: Levels, rounds: usize, scale: &mut f64, rounded: &mut [f64]) {
    if rounds == 0 {
        return;
    }
    let of_weights = curvature.times(weights);
    let mut of_levels = curvature.times(rounded);
    for _ in 0..rounds {
        let fit = dot(rounded, &of_weights) / dot(rounded, &of_levels);
        if fit.is_finite() && fit > 0.0 {
            *scale = fit;
        }
        let mut changed = false;
        for tile in curvature.tiles.ranges().rev() {
            let form = &curvature.form[curvature.tiles.offset(tile.start)..];
            let of_levels = &mut of_levels[tile.clone()];
            for (p, at) in tile.clone().enumerate().rev() {
                let row = &form[p * tile.len()..(p + 1) * tile.len()];
                let slope = of_weights[at] - *scale * of_levels[p];
                let target = rounded[at] + slope / (row[p] * *scale);
                let level = levels.nearest(target);
                let change = level - rounded[at];
                if change != 0.0 {
                    rounded[at] = level;
                    of_levels.iter_mut().zip(row).for_each(|(sum, h)| *sum += change * h);
                    changed = true;
                }
            }
        }
        if !changed {
            break;
        }
    }
}

#[cfg(test)]
mod tests;
