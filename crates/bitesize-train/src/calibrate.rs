//! Ranges of activations, and from them an encoding of each tensor at each width.
//!
//! Streaming passes of the float network: least and greatest value of each tensor, then a histogram between them, of very
//! many tensors in several passes ([`histogram`]). Samples that would rule a range by themselves are left out of both
//! ([`outliers`]).
//! Tensors that share an encoding (max-pool, clamp and pad pass theirs on) are calibrated together, on the values that
//! some operator reads as numbers: what a clamp cuts off does not count.

mod bounds;
mod histogram;
mod outliers;

pub use outliers::LeftOut;

use crate::equalization::{Equalization, Picks};
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
    /// What channels are divided by before they are encoded, with the encodings that go with it.
    #[serde(default, skip_serializing_if = "Equalization::is_empty")]
    pub equalization: Equalization,
}

impl Calibration {
    /// The encoding of a tensor at a width where its channels stay as they are.
    pub fn encoding(&self, tensor: TensorId, bits: BitWidth) -> ActivationQuant {
        self.tensors[tensor.0].encodings[bits.index()]
    }

    /// The encodings that `policy` gives to the tensors of `network`.
    pub fn activations(&self, network: &Network, space: &PolicySpace, policy: &Policy) -> Vec<ActivationQuant> {
        self.activations_with(network, space, policy, &self.equalization.picks(network, space, policy))
    }

    /// The same, where `picks` are what the policy asks for of the equalization.
    pub(crate) fn activations_with(
        &self,
        network: &Network,
        space: &PolicySpace,
        policy: &Policy,
        picks: &Picks,
    ) -> Vec<ActivationQuant> {
        let bits = policy.tensor_bits(network, space);
        let mut all: Vec<_> = bits.into_iter().enumerate().map(|(i, bits)| self.encoding(TensorId(i), bits)).collect();
        if let Some(channels) = &self.output_channels {
            all[network.output.0] = ActivationQuant::shared_by(channels);
        }
        self.equalization.encode(picks, &mut all);
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
    let roots: Vec<usize> = network.encoding_roots().into_iter().map(|root| root.0).collect();
    let read = read_as_numbers(network);
    let of_pixels = matches!(network.input_encoding, InputEncoding::Pixels { .. });
    let output_root = roots[network.output.0];
    let is_fixed = |root: usize| of_pixels && root == network.input.0;
    let mut members: Vec<Vec<usize>> = vec![Vec::new(); bounds.len()];
    (0..bounds.len()).filter(|t| read[*t]).for_each(|t| members[roots[t]].push(t));
    let asked = |root: &usize| {
        *root != output_root && !is_fixed(*root) && !members[*root].is_empty() && settings.method != RangeMethod::MinMax
    };
    let asked: Vec<usize> = (0..bounds.len()).filter(asked).collect();
    let extent = |root: usize| {
        let (lo, hi): (Vec<f64>, Vec<f64>) =
            members[root].iter().map(|t| (f64::from(bounds[*t].0), f64::from(bounds[*t].1))).unzip();
        (lo.into_iter().fold(0.0, f64::min), hi.into_iter().fold(0.0, f64::max))
    };
    // Those that no histogram is needed for.
    let mut encodings: Vec<[ActivationQuant; 3]> = (0..bounds.len())
        .map(|root| {
            let (lo, hi) = extent(root);
            BitWidth::ALL.map(|bits| match is_fixed(root) {
                true => ActivationQuant { bits, scale: 1.0, zero: 0 },
                false => ActivationQuant::from_range(lo, hi, bits),
            })
        })
        .collect();
    let groups = histogram::groups(&asked, &members, &bounds);
    let passes = groups.len().max(1);
    for (pass, group) in groups.iter().enumerate() {
        let mut of_one = |done: usize, samples: usize| of_both((pass * samples + done) / passes, samples);
        let found = histogram::find(network, samples, group, &is_kept, &mut of_one)?;
        let chosen: Vec<[ActivationQuant; 3]> = group
            .roots
            .par_iter()
            .map(|(root, places)| {
                let points: Vec<(f64, f64)> = places.iter().flat_map(|place| found[*place].points()).collect();
                let (lo, hi) = extent(*root);
                BitWidth::ALL
                    .map(|bits| choose(points.clone(), (lo, hi), bits, settings.method, settings.candidates.max(2)))
            })
            .collect();
        group.roots.iter().zip(chosen).for_each(|((root, _), chosen)| encodings[*root] = chosen);
    }
    if groups.is_empty() && of_both(samples.len(), samples.len()).is_break() {
        return Err(TrainError::Stopped);
    }
    let mut output_channels = None;
    if of_channels {
        let mut of_third = |done, _| progress(2 * samples.len() + done, total);
        let ranges = bounds::of_output_channels(network, samples, &is_kept, &mut of_third)?;
        let encoding = |(lo, hi): (f32, f32)| ActivationQuant::from_range(lo.into(), hi.into(), BitWidth::B8);
        output_channels = Some(ranges.into_iter().map(encoding).collect());
    }
    let tensors = network.tensors.iter().enumerate().map(|(t, tensor)| TensorRange {
        name: tensor.name.clone(),
        lo: f64::from(bounds[t].0),
        hi: f64::from(bounds[t].1),
        encodings: encodings[roots[t]],
    });
    Ok(Calibration { tensors: tensors.collect(), left_out, output_channels, equalization: Equalization::default() })
}

/// For each tensor whether it is the output or read by an operator that makes a new encoding.
pub(crate) fn read_as_numbers(network: &Network) -> Vec<bool> {
    let mut read = vec![false; network.tensors.len()];
    read[network.output.0] = true;
    for node in network.nodes.iter().filter(|node| !node.op.passes_encoding_on()) {
        node.inputs.iter().for_each(|input| read[input.0] = true);
    }
    read
}

/// The encoding at `bits` of tensors that share one, whose values lie in `lo..=hi` and are `points` (mean value, count).
fn choose(
    mut points: Vec<(f64, f64)>,
    (lo, hi): (f64, f64),
    bits: BitWidth,
    method: RangeMethod,
    candidates: usize,
) -> ActivationQuant {
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

fn least_error(points: &[(f64, f64)], lo: f64, hi: f64, bits: BitWidth, candidates: usize) -> ActivationQuant {
    let error = |(lo, hi): (f64, f64)| encoding_error(points, &ActivationQuant::from_range(lo, hi, bits));
    let (lo, hi) = narrowed((lo, hi), candidates, error);
    ActivationQuant::from_range(lo, hi, bits)
}

/// The range of least `error` within `lo..=hi`: shrinks both bounds together, then each alone, by `candidates` shares.
pub(crate) fn narrowed((lo, hi): (f64, f64), candidates: usize, error: impl Fn((f64, f64)) -> f64) -> (f64, f64) {
    let share = |i: usize| (i + 1) as f64 / candidates as f64;
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
    best.0
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
