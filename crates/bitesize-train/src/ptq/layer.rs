//! One layer's weights and bias at one width, given what its inputs look like.

use super::moments::{Blocks, Moments};
use super::rounding::{Curvature, Damping, Effort, Levels, quantize_row};
use super::settings::{PtqSettings, Rounding};
use bitesize_ir::requantize::WeightLayout;
use bitesize_ir::{BitWidth, Op, WeightQuant};
use rayon::prelude::*;

/// Quantizes one layer, at any width, given what its inputs look like.
pub(super) struct LayerQuantizer<'a> {
    op: &'a Op,
    blocks: Blocks,
    curvatures: Vec<Curvature>,
    /// What each input is divided by, `[block][k]`.
    divisors: Option<Vec<f64>>,
    settings: &'a PtqSettings,
}

impl<'a> LayerQuantizer<'a> {
    /// For a layer whose input channel `c` is divided by `factors[c]`, and whose weights are those of `op` times the same.
    pub(super) fn new(
        op: &'a Op,
        moments: &Moments,
        images: usize,
        settings: &'a PtqSettings,
        factors: Option<&[f64]>,
    ) -> Self {
        let blocks = Blocks::of(op, settings).expect("the caller passes a layer with weights");
        let damping = Damping { of_mean: settings.damping, shrinkage: shrinkage(blocks, moments, images, settings) };
        let layout = WeightLayout::of(op).expect("the caller passes a layer with weights");
        let divisors = factors.map(|factors| -> Vec<f64> {
            let of = |i: usize| {
                let (block, k) = (i / blocks.length, i % blocks.length);
                factors[layout.in_channel(blocks.index(block * blocks.rows, k))]
            };
            (0..blocks.count * blocks.length).map(of).collect()
        });
        let curvature = |block| {
            let mut covariances = moments.covariances(block);
            if let Some(divisors) = &divisors {
                divide(&mut covariances, &divisors[block * blocks.length..][..blocks.length], blocks);
            }
            Curvature::new(&covariances, blocks.tiles(), damping)
        };
        let curvatures = (0..blocks.count).into_par_iter().map(curvature).collect();
        Self { op, blocks, curvatures, divisors, settings }
    }

    /// `input_means` are `[block][k]`, of the inputs before they are divided; `target_means` those that each output channel shall have before its clamp.
    pub(super) fn quantize(&self, bits: BitWidth, input_means: &[f64], target_means: &[f64]) -> WeightQuant {
        let Self { blocks, settings, .. } = self;
        let parameters = self.op.parameters().expect("the quantizer was made for a layer with weights");
        let effort = Effort {
            scale_candidates: settings.scale_candidates,
            compensate: settings.rounding == Rounding::Compensated,
            compensated_candidates: if bits == BitWidth::B8 { 1 } else { settings.compensated_candidates },
            rounds: if bits == BitWidth::B8 { 0 } else { settings.refinement_rounds },
        };
        let rows: Vec<_> = (0..blocks.channels())
            .into_par_iter()
            .map(|channel| {
                let first = channel / blocks.rows * blocks.length;
                let divisor = |k: usize| self.divisors.as_ref().map_or(1.0, |divisors| divisors[first + k]);
                let weight = |k| f64::from(parameters.weights[blocks.index(channel, k)]) * divisor(k);
                let weights: Vec<f64> = (0..blocks.length).map(weight).collect();
                quantize_row(&self.curvatures[channel / blocks.rows], &weights, Levels::of(bits), effort)
            })
            .collect();
        let mut levels = vec![0; parameters.weights.len()];
        let mut bias = Vec::with_capacity(rows.len());
        for (channel, row) in rows.iter().enumerate() {
            let block = channel / blocks.rows;
            let mut mean = 0.0;
            for (k, level) in row.levels.iter().enumerate() {
                levels[blocks.index(channel, k)] = *level;
                let input = block * blocks.length + k;
                let divisor = self.divisors.as_ref().map_or(1.0, |divisors| divisors[input]);
                mean += row.scale * f64::from(*level) * input_means[input] / divisor;
            }
            let corrected = settings.bias_correction.then(|| target_means[channel] - mean);
            bias.push(corrected.unwrap_or_else(|| f64::from(parameters.bias[channel])));
        }
        WeightQuant { bits, levels: levels.into(), scales: rows.iter().map(|row| row.scale).collect(), bias }
    }
}

/// Makes covariances of one block those of its inputs divided by `divisors`.
fn divide(covariances: &mut [f64], divisors: &[f64], blocks: Blocks) {
    let tiles = blocks.tiles();
    for k in 0..divisors.len() {
        let (tile, row) = tiles.row(k);
        let entries = &mut covariances[row..row + tile.len()];
        entries.iter_mut().zip(&divisors[tile]).for_each(|(entry, divisor)| *entry /= divisors[k] * divisor);
    }
}

/// Pixels of one image that count as independent rows at most: neighbours see nearly the same.
const INDEPENDENT_PIXELS: f64 = 16.0;

/// The share of a covariance's off-diagonal entries that cannot be trusted.
fn shrinkage(blocks: Blocks, moments: &Moments, images: usize, settings: &PtqSettings) -> f64 {
    let rows = moments.rows_seen.min(images as f64 * INDEPENDENT_PIXELS);
    let needed = blocks.tiles().longest() as f64 * settings.caution;
    if needed + rows > 0.0 { needed / (needed + rows) } else { 0.0 }
}
