//! One layer's weights and bias at one width, given what its inputs look like.

use super::moments::{Blocks, Moments};
use super::rounding::{Curvature, Damping, Effort, Levels, quantize_row};
use super::settings::{PtqSettings, Rounding};
use bitesize_ir::{BitWidth, Op, WeightQuant};
use rayon::prelude::*;

/// Quantizes one layer, at any width, given what its inputs look like.
pub(super) struct LayerQuantizer<'a> {
    op: &'a Op,
    blocks: Blocks,
    curvatures: Vec<Curvature>,
    settings: &'a PtqSettings,
}

impl<'a> LayerQuantizer<'a> {
    pub(super) fn new(op: &'a Op, moments: &Moments, images: usize, settings: &'a PtqSettings) -> Self {
        let blocks = Blocks::of(op, settings).expect("the caller passes a layer with weights");
        let damping = Damping { of_mean: settings.damping, shrinkage: shrinkage(blocks, moments, images, settings) };
        let curvature = |block| Curvature::new(&moments.covariances(block), blocks.tiles(), damping);
        let curvatures = (0..blocks.count).into_par_iter().map(curvature).collect();
        Self { op, blocks, curvatures, settings }
    }

    /// `input_means` are `[block][k]`; `target_means` those that each output channel shall have before its clamp.
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
                let weight = |k| f64::from(parameters.weights[blocks.index(channel, k)]);
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
                mean += row.scale * f64::from(*level) * input_means[block * blocks.length + k];
            }
            let corrected = settings.bias_correction.then(|| target_means[channel] - mean);
            bias.push(corrected.unwrap_or_else(|| f64::from(parameters.bias[channel])));
        }
        WeightQuant { bits, levels: levels.into(), scales: rows.iter().map(|row| row.scale).collect(), bias }
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
