//! Ranges of activations, and from them an encoding of each tensor at each width.
//!
//! Two streaming passes of the float network: least and greatest value of each tensor, then a histogram between them. Samples
//! that would rule a range by themselves are left out of both ([`outliers`]).
//! Tensors that share an encoding (max-pool, clamp and pad pass theirs on) are calibrated together, on the values that
//! some operator reads as numbers: what a clamp cuts off does not count.

mod bounds;
mod outliers;

pub use outliers::LeftOut;

use crate::forward::{self, Event};
use crate::{Progress, Samples, TrainError};
use bitesize_ir::policy::{Policy, PolicySpace};
use bitesize_ir::{ActivationQuant, BitWidth, InputEncoding, Network, TensorId};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

/// How a range is chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RangeMethod {
    /// The least and the greatest value seen.
    MinMax,
    /// The quantiles `1 - p` and `p`, with `p` in 0.5..=1.
    Percentile(f64),
    /// The range of least mean square error, one for each width.
    #[default]
    MinError,
}

/// Settings of [`calibrate`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CalibrationSettings {
    /// How ranges are chosen; the network's output always has [`RangeMethod::MinMax`].
    pub method: RangeMethod,
    /// Ranges tried for each bound by [`RangeMethod::MinError`], at least 2.
    pub candidates: usize,
    /// Whether each channel of the network's output gets a range of its own, for outputs that are quantities of different sizes.
    /// Codes of different channels cannot be compared then, so it is not for classes. It has no effect where the output is not
    /// that of a layer with weights ([`Network::output_layer`]).
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub output_per_channel: bool,
}

impl Default for CalibrationSettings {
    fn default() -> Self {
        Self { method: RangeMethod::MinError, candidates: 36, output_per_channel: false }
    }
}

/// What calibration found for one tensor.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TensorRange {
    /// The tensor's name.
    pub name: String,
    /// Least real value seen in samples that were not left out.
    pub lo: f64,
    /// Greatest real value seen there.
    pub hi: f64,
    /// At 2, 4 and 8 bits. Tensors that share an encoding hold the same.
    pub encodings: [ActivationQuant; 3],
}

/// Ranges and encodings of every tensor of a network, by tensor id.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Calibration {
    /// One for each tensor.
    pub tensors: Vec<TensorRange>,
    /// Samples that ranges were not made from, in rising order. Whatever else learns from the samples should leave them
    /// out too.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left_out: Vec<LeftOut>,
    /// The encoding of each channel of the output, where they have encodings of their own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output_channels: Option<Vec<ActivationQuant>>,
}

impl Calibration {
    /// The encoding of a tensor at a width.
    pub fn encoding(&self, tensor: TensorId, bits: BitWidth) -> ActivationQuant {
        self.tensors[tensor.0].encodings[bits.index()]
    }

    /// The encodings that `policy` gives to the tensors of `network`.
    pub fn activations(&self, network: &Network, space: &PolicySpace, policy: &Policy) -> Vec<ActivationQuant> {
        let bits = policy.tensor_bits(network, space);
        let mut all: Vec<_> = bits.into_iter().enumerate().map(|(i, bits)| self.encoding(TensorId(i), bits)).collect();
        if let Some(channels) = &self.output_channels {
            all[network.output.0] = ActivationQuant::shared_by(channels);
        }
        all
    }
}

/// Finds ranges on `samples` and encodings for every tensor of a rewritten `network`. Labels are not needed. Samples with
/// values far beyond those of nearly all others are left out, which [`Calibration::left_out`] tells.
///
/// `progress` counts images, each twice, or three times where the output's channels get ranges of their own.
///
/// # Errors
/// [`TrainError::NoSamples`], [`TrainError::Samples`] where they do not suit the network, [`TrainError::NotFinite`]
/// where the float network overflows on them, [`TrainError::Stopped`].
pub fn calibrate(
    network: &Network,
    samples: &Samples<'_>,
    settings: &CalibrationSettings,
    progress: Progress<'_>,
) -> Result<Calibration, TrainError> {
    samples.check(network)?;
    if samples.is_empty() {
        return Err(TrainError::NoSamples);
    }
    let of_channels = settings.output_per_channel && network.output_layer().is_some();
    let total = (2 + usize::from(of_channels)) * samples.len();
    let of_samples = bounds::of_samples(network, samples, &mut |done, _| progress(done, total))?;
    let left_out = outliers::find(network, &of_samples);
    let is_kept = |sample: usize| left_out.binary_search_by_key(&sample, |left_out| left_out.sample).is_err();
    let bounds: Vec<(f32, f32)> = of_samples.iter().map(|bounds| bounds::of_all(bounds, is_kept)).collect();
    let mut of_both = |done, half| progress(half + done, total);
    let histograms = find_histograms(network, samples, &bounds, &is_kept, &mut of_both)?;
    let mut output_channels = None;
    if of_channels {
        let mut of_third = |done, _| progress(2 * samples.len() + done, total);
        let ranges = bounds::of_output_channels(network, samples, &is_kept, &mut of_third)?;
        let encoding = |(lo, hi): (f32, f32)| ActivationQuant::from_range(lo.into(), hi.into(), BitWidth::B8);
        output_channels = Some(ranges.into_iter().map(encoding).collect());
    }

    let roots: Vec<usize> = (0..bounds.len()).map(|t| network.encoding_root(TensorId(t)).0).collect();
    let output_root = network.encoding_root(network.output).0;
    let encodings: Vec<[ActivationQuant; 3]> = (0..bounds.len())
        .into_par_iter()
        .map(|root| {
            let method = if root == output_root { RangeMethod::MinMax } else { settings.method };
            let is_member = |t: &usize| roots[*t] == root && is_read_as_numbers(network, TensorId(*t));
            let members: Vec<&Histogram> = (0..bounds.len()).filter(is_member).map(|t| &histograms[t]).collect();
            let pixels = root == network.input.0 && matches!(network.input_encoding, InputEncoding::Pixels { .. });
            BitWidth::ALL.map(|bits| {
                if pixels {
                    ActivationQuant { bits, scale: 1.0, zero: 0 }
                } else {
                    choose(&members, bits, method, settings.candidates.max(2))
                }
            })
        })
        .collect();
    let tensors = network.tensors.iter().enumerate().map(|(t, tensor)| TensorRange {
        name: tensor.name.clone(),
        lo: f64::from(bounds[t].0),
        hi: f64::from(bounds[t].1),
        encodings: encodings[roots[t]],
    });
    Ok(Calibration { tensors: tensors.collect(), left_out, output_channels })
}

/// Whether the tensor is the output or read by an operator that makes a new encoding.
fn is_read_as_numbers(network: &Network, tensor: TensorId) -> bool {
    tensor == network.output || network.consumers(tensor).iter().any(|id| !network.node(*id).op.passes_encoding_on())
}

const BINS: usize = 2048;

/// How many values fell into each of [`BINS`] equal parts of a range, and their sum.
#[derive(Clone)]
struct Histogram {
    lo: f32,
    hi: f32,
    bins: Vec<(f64, f64)>,
}

impl Histogram {
    fn new((lo, hi): (f32, f32)) -> Self {
        Self { lo, hi, bins: vec![(0.0, 0.0); BINS] }
    }

    fn add(&mut self, values: &[f32]) {
        let extent = self.hi - self.lo;
        let per_unit = if extent > 0.0 { BINS as f32 / extent } else { 0.0 };
        for value in values {
            let bin = &mut self.bins[(((value - self.lo) * per_unit) as usize).min(BINS - 1)];
            bin.0 += 1.0;
            bin.1 += f64::from(*value);
        }
    }

    fn merge(&mut self, other: &Self) {
        for (bin, part) in self.bins.iter_mut().zip(&other.bins) {
            bin.0 += part.0;
            bin.1 += part.1;
        }
    }

    /// `(mean value, count)` of the bins that hold something, ascending.
    fn points(&self) -> impl Iterator<Item = (f64, f64)> {
        self.bins.iter().filter(|(count, _)| *count > 0.0).map(|(count, sum)| (sum / count, *count))
    }
}

fn find_histograms(
    network: &Network,
    samples: &Samples<'_>,
    bounds: &[(f32, f32)],
    is_kept: &(dyn Fn(usize) -> bool + Sync),
    progress: Progress<'_>,
) -> Result<Vec<Histogram>, TrainError> {
    let start: Vec<Histogram> = bounds.iter().map(|b| Histogram::new(*b)).collect();
    let lanes = forward::fold_chunks(
        samples.len(),
        forward::chunk_images(network),
        vec![start; bounds::LANES],
        progress,
        |lane, range| {
            let kept: Vec<bool> = range.clone().map(is_kept).collect();
            forward::run(network, samples.range(range).to_real(network), kept.len(), &mut |event| {
                if let Event::Tensor { id, values } = event {
                    let images = values.chunks_exact(network.shape(id).elements());
                    images.zip(&kept).filter(|(_, kept)| **kept).for_each(|(image, _)| lane[id.0].add(image));
                }
            });
        },
    )?;
    let mut lanes = lanes.into_iter();
    let mut all = lanes.next().unwrap_or_default();
    for lane in lanes {
        all.iter_mut().zip(&lane).for_each(|(histogram, part)| histogram.merge(part));
    }
    Ok(all)
}

/// The encoding at `bits` of tensors that share one.
fn choose(members: &[&Histogram], bits: BitWidth, method: RangeMethod, candidates: usize) -> ActivationQuant {
    let lo = members.iter().map(|h| f64::from(h.lo)).fold(0.0, f64::min);
    let hi = members.iter().map(|h| f64::from(h.hi)).fold(0.0, f64::max);
    let mut points: Vec<(f64, f64)> = members.iter().flat_map(|h| h.points()).collect();
    match method {
        RangeMethod::MinMax => ActivationQuant::from_range(lo, hi, bits),
        RangeMethod::Percentile(p) => {
            points.sort_by(|a, b| a.0.total_cmp(&b.0));
            let total: f64 = points.iter().map(|p| p.1).sum();
            let mut below = 0.0;
            let mut range = (hi, hi);
            for (value, count) in points {
                if below <= (1.0 - p) * total {
                    range.0 = value;
                }
                below += count;
                if below >= p * total {
                    range.1 = value;
                    break;
                }
            }
            ActivationQuant::from_range(range.0, range.1, bits)
        }
        RangeMethod::MinError => least_error(&points, lo, hi, bits, candidates),
    }
}

/// Shrinks both bounds together, then each alone, keeping what has the least mean square error.
fn least_error(points: &[(f64, f64)], lo: f64, hi: f64, bits: BitWidth, candidates: usize) -> ActivationQuant {
    let share = |i: usize| (i + 1) as f64 / candidates as f64;
    let error = |(lo, hi): (f64, f64)| encoding_error(points, &ActivationQuant::from_range(lo, hi, bits));
    let mut best = ((lo, hi), error((lo, hi)));
    let consider = |best: &mut ((f64, f64), f64), range: (f64, f64)| {
        let error = error(range);
        if error < best.1 {
            *best = (range, error);
        }
    };
    for i in 0..candidates {
        consider(&mut best, (lo * share(i), hi * share(i)));
    }
    if lo < 0.0 && hi > 0.0 {
        for _ in 0..2 {
            for i in 0..candidates {
                let (_, top) = best.0;
                consider(&mut best, (lo * share(i), top));
            }
            for i in 0..candidates {
                let (bottom, _) = best.0;
                consider(&mut best, (bottom, hi * share(i)));
            }
        }
    }
    let ((lo, hi), _) = best;
    ActivationQuant::from_range(lo, hi, bits)
}

fn encoding_error(points: &[(f64, f64)], quant: &ActivationQuant) -> f64 {
    let (inverse, zero, last) = (1.0 / quant.scale, f64::from(quant.zero), f64::from(quant.bits.max_code()));
    let error = |(value, count): &(f64, f64)| {
        let code = ((value * inverse + zero + 0.5).clamp(0.0, last) as u32) as f64;
        let difference = value - quant.scale * (code - zero);
        count * difference * difference
    };
    points.iter().map(error).sum()
}

#[cfg(test)]
mod tests;
