//! Post-training quantization: weight levels, scales and corrected biases for any policy.

mod moments;
mod rounding;
mod sequential;

use crate::calibrate::index_of;
use crate::engine::{self, Event};
use crate::kernels::{Image, Linear};
use crate::{Calibration, Progress, Samples, TrainError};
use bitesize_ir::policy::PolicySpace;
use bitesize_ir::{BitWidth, Network, NodeId, Op, Policy, QuantizedModel, WeightQuant};
use moments::{Blocks, Moments};
use rayon::prelude::*;
use rounding::{Curvature, Damping, Effort, Levels, quantize_row};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// How real weights become levels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rounding {
    /// Each to the nearest level.
    Nearest,
    /// Each rounding error is made up for by the weights still to be rounded, as the covariance of the inputs asks.
    #[default]
    Compensated,
}

/// Settings of [`Ptq`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PtqSettings {
    /// How weights are rounded.
    pub rounding: Rounding,
    /// Whether biases are corrected so that each channel keeps its mean before the activation.
    pub bias_correction: bool,
    /// Share of the mean of a covariance's diagonal that is added to it, above 0.
    pub damping: f64,
    /// Scales tried for each output channel, at least 1.
    pub scale_candidates: usize,
    /// Scales near the best that are tried with compensation, at least 1.
    pub compensated_candidates: usize,
    /// Rounds in which scale and single levels are fitted again, 0 for none.
    pub refinement_rounds: usize,
    /// Samples a weight needs: the covariance of `k` inputs seen by `n` independent rows loses the share
    /// `k * caution / (k * caution + n)` of its off-diagonal entries. 0 trusts it as it is.
    pub caution: f64,
}

impl Default for PtqSettings {
    fn default() -> Self {
        Self {
            rounding: Rounding::Compensated,
            bias_correction: true,
            damping: 0.01,
            scale_candidates: 46,
            compensated_candidates: 5,
            refinement_rounds: 10,
            caution: 1.0,
        }
    }
}

/// Quantizes one network again and again, for different policies.
#[derive(Clone, Debug)]
pub struct Ptq<'a> {
    network: &'a Network,
    /// A copy of `network` that all models share.
    shared: Arc<Network>,
    space: PolicySpace,
    calibration: Calibration,
    settings: PtqSettings,
    /// For each node with weights: the mean of each output channel's sums (bias included) in the float network.
    float_means: Vec<Option<Vec<f64>>>,
    /// For each node with weights, at 2, 4 and 8 bits: quantized under float inputs.
    fast: Vec<Option<[WeightQuant; 3]>>,
}

impl<'a> Ptq<'a> {
    /// Runs the float network on `samples` (no labels needed) and quantizes every layer at every width under its
    /// float inputs.
    ///
    /// `progress` counts images.
    ///
    /// # Errors
    /// [`TrainError::NoSamples`], [`TrainError::Samples`], [`TrainError::NotRewritten`],
    /// [`TrainError::Mismatch`] where `calibration` is that of another network, [`TrainError::Stopped`].
    pub fn prepare(
        network: &'a Network,
        samples: &Samples<'_>,
        calibration: Calibration,
        settings: PtqSettings,
        progress: Progress<'_>,
    ) -> Result<Self, TrainError> {
        check(network, samples, &calibration)?;
        let statistics = float_statistics(network, samples, progress)?;
        let quantized = |(id, statistics): (usize, Option<LayerStatistics>)| {
            let Some(statistics) = statistics else { return (None, None) };
            let op = &network.nodes[id].op;
            let quantizer = LayerQuantizer::new(op, &statistics.moments, samples.len(), &settings);
            let means = statistics.mean_sums();
            let input_means = statistics.moments.means();
            let quants = BitWidth::ALL.map(|bits| quantizer.quantize(bits, &input_means, &means));
            (Some(means), Some(quants))
        };
        let (float_means, fast) = statistics.into_iter().enumerate().map(quantized).unzip();
        let space = PolicySpace::of(network);
        let shared = Arc::new(network.clone());
        Ok(Self { network, shared, space, calibration, settings, float_means, fast })
    }

    /// The encodings of activations that models are built with.
    pub fn calibration(&self) -> &Calibration {
        &self.calibration
    }

    /// The model of `policy`, assembled from layers that were quantized under float inputs.
    ///
    /// # Panics
    /// Where `policy` is not one of the network's space.
    pub fn quantize_fast(&self, policy: &Policy) -> QuantizedModel {
        let pick = |(i, quants): (usize, &Option<[WeightQuant; 3]>)| {
            let bits = policy.weight_bits(&self.space, NodeId(i))?;
            quants.as_ref().map(|quants| quants[index_of(bits)].clone())
        };
        QuantizedModel {
            network: Arc::clone(&self.shared),
            policy: policy.clone(),
            activations: self.calibration.activations(self.network, &self.space, policy),
            weights: self.fast.iter().enumerate().map(pick).collect(),
        }
    }
}

/// The model of `policy` with every weight rounded to the nearest level and no bias changed: what needs no images
/// beyond those of the calibration.
///
/// # Errors
/// [`TrainError::Mismatch`] where `calibration` is that of another network.
pub fn quantize_nearest(
    network: &Network,
    calibration: &Calibration,
    policy: &Policy,
) -> Result<QuantizedModel, TrainError> {
    check_calibration(network, calibration)?;
    let space = PolicySpace::of(network);
    let settings = PtqSettings { rounding: Rounding::Nearest, bias_correction: false, ..PtqSettings::default() };
    let weights = network.iter().map(|(id, node)| {
        let bits = policy.weight_bits(&space, id)?;
        let moments = Moments::new(Blocks::of(&node.op)?);
        let quantizer = LayerQuantizer::new(&node.op, &moments, 0, &settings);
        Some(quantizer.quantize(bits, &moments.means(), &[]))
    });
    Ok(QuantizedModel {
        network: Arc::new(network.clone()),
        policy: policy.clone(),
        activations: calibration.activations(network, &space, policy),
        weights: weights.collect(),
    })
}

fn check_calibration(network: &Network, calibration: &Calibration) -> Result<(), TrainError> {
    let (found, expected) = (calibration.tensors.len(), network.tensors.len());
    if found != expected {
        return Err(TrainError::Mismatch { what: "calibration", found, expected });
    }
    Ok(())
}

fn check(network: &Network, samples: &Samples<'_>, calibration: &Calibration) -> Result<(), TrainError> {
    if let Some(node) = network.nodes.iter().find(|n| matches!(n.op, Op::ChannelAffine(_))) {
        return Err(TrainError::NotRewritten { node: node.name.clone(), op: node.op.name() });
    }
    check_calibration(network, calibration)?;
    samples.check(network)?;
    if samples.is_empty() { Err(TrainError::NoSamples) } else { Ok(()) }
}

/// What one layer meets and makes in the float network.
#[derive(Clone, Debug)]
struct LayerStatistics {
    moments: Moments,
    /// Sum of each channel's outputs before the clamp.
    output_sums: Vec<f64>,
}

impl LayerStatistics {
    fn mean_sums(&self) -> Vec<f64> {
        self.output_sums.iter().map(|s| s / self.moments.rows_seen.max(1.0)).collect()
    }
}

/// Bytes that the lanes of [`float_statistics`] may take together.
const STATISTICS_BYTES: usize = 512 << 20;

fn float_statistics(
    network: &Network,
    samples: &Samples<'_>,
    progress: Progress<'_>,
) -> Result<Vec<Option<LayerStatistics>>, TrainError> {
    let blocks: Vec<Option<Blocks>> = network.nodes.iter().map(|node| Blocks::of(&node.op)).collect();
    let bytes: usize = blocks.iter().flatten().map(|b| b.moment_bytes()).sum();
    let lanes = (STATISTICS_BYTES / bytes.max(1)).clamp(1, 8);
    let start: Vec<Option<LayerStatistics>> = blocks
        .iter()
        .map(|blocks| {
            blocks.map(|b| LayerStatistics { moments: Moments::new(b), output_sums: vec![0.0; b.channels()] })
        })
        .collect();
    let lanes = engine::fold_chunks(
        samples.len(),
        engine::chunk_images(network),
        vec![start; lanes],
        progress,
        |lane, range| {
            let count = range.len();
            engine::run(network, samples.range(range).to_real(network), count, &mut |event| {
                if let Event::Layer { node, input, sums } = event {
                    let statistics = lane[node.0].as_mut().expect("every layer with weights has statistics");
                    add_layer(network, node, count, input, &mut statistics.moments);
                    add_channel_sums(sums, &mut statistics.output_sums);
                }
            });
        },
    )?;
    let mut lanes = lanes.into_iter();
    let mut all = lanes.next().unwrap_or_default();
    for lane in lanes {
        for (total, part) in all.iter_mut().zip(lane) {
            if let (Some(total), Some(part)) = (total, part) {
                total.moments.merge(&part.moments);
                total.output_sums.iter_mut().zip(part.output_sums).for_each(|(t, p)| *t += p);
            }
        }
    }
    Ok(all)
}

/// Adds what layer `id` meets in `count` images of its input.
fn add_layer(network: &Network, id: NodeId, count: usize, input: &[f32], moments: &mut Moments) {
    let node = network.node(id);
    let image = Image { shape: network.shape(node.inputs[0]), count, values: input };
    let linear = Linear::of(&node.op).expect("the caller passes a layer with weights");
    moments.add(linear, &image, network.shape(node.output));
}

fn add_channel_sums(values: &[f32], totals: &mut [f64]) {
    for pixel in values.chunks_exact(totals.len()) {
        totals.iter_mut().zip(pixel).for_each(|(total, x)| *total += f64::from(*x));
    }
}

/// Quantizes one layer, at any width, given what its inputs look like.
struct LayerQuantizer<'a> {
    op: &'a Op,
    blocks: Blocks,
    curvatures: Vec<Curvature>,
    settings: &'a PtqSettings,
}

impl<'a> LayerQuantizer<'a> {
    fn new(op: &'a Op, moments: &Moments, images: usize, settings: &'a PtqSettings) -> Self {
        let blocks = Blocks::of(op).expect("the caller passes a layer with weights");
        let damping = Damping { of_mean: settings.damping, shrinkage: shrinkage(blocks, moments, images, settings) };
        let curvature = |block| Curvature::new(&moments.covariance(block), blocks.length, damping);
        let curvatures = (0..blocks.count).into_par_iter().map(curvature).collect();
        Self { op, blocks, curvatures, settings }
    }

    /// `input_means` are `[block][k]`; `target_means` those that each output channel shall have before its clamp.
    fn quantize(&self, bits: BitWidth, input_means: &[f64], target_means: &[f64]) -> WeightQuant {
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
    let needed = blocks.length as f64 * settings.caution;
    if needed + rows > 0.0 { needed / (needed + rows) } else { 0.0 }
}
