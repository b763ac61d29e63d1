//! Least and greatest value of each tensor, sample by sample.

use crate::forward::{self, Event};
use crate::operators;
use crate::{Progress, Samples, TrainError};
use bitesize_ir::Network;

/// Parts of the samples that are looked at in parallel at most. A constant, so that the machine decides nothing.
pub(super) const LANES: usize = 8;

/// What a lane found in one tensor.
#[derive(Clone, Default)]
struct Seen {
    /// Of each of the lane's samples, in their order.
    bounds: Vec<(f32, f32)>,
    /// The first of them with a value that is not finite.
    not_finite: Option<usize>,
}

/// For each tensor the least and the greatest value of each sample: 8 bytes a tensor and sample, twice while they are merged.
pub(super) fn of_samples(
    network: &Network,
    samples: &Samples<'_>,
    progress: Progress<'_>,
) -> Result<Vec<Vec<(f32, f32)>>, TrainError> {
    let tensors = network.tensors.len();
    let chunk = forward::chunk_images(network);
    let lanes = forward::fold_chunks(
        network,
        samples.len(),
        vec![vec![Seen::default(); tensors]; LANES],
        progress,
        |lane, range| {
            let count = range.len();
            forward::run(network, samples.range(range.clone()).to_real(network), count, &mut |event| {
                if let Event::Tensor { id, values } = event {
                    let seen = &mut lane[id.0];
                    if seen.bounds.is_empty() {
                        seen.bounds.reserve_exact(samples.len().div_ceil(chunk).div_ceil(LANES) * chunk);
                    }
                    for (sample, image) in range.clone().zip(values.chunks_exact(network.shape(id).elements())) {
                        let (bounds, finite) = of_values(image);
                        seen.bounds.push(bounds);
                        if !finite && seen.not_finite.is_none() {
                            seen.not_finite = Some(sample);
                        }
                    }
                }
            });
        },
    )?;
    for (t, tensor) in network.tensors.iter().enumerate() {
        if let Some(sample) = lanes.iter().filter_map(|lane| lane[t].not_finite).min() {
            return Err(TrainError::NotFinite { tensor: tensor.name.clone(), sample });
        }
    }
    let mut lanes: Vec<_> = lanes.into_iter().map(Vec::into_iter).collect();
    let mut all = Vec::with_capacity(tensors);
    for _ in 0..tensors {
        let parts: Vec<Seen> = lanes.iter_mut().filter_map(Iterator::next).collect();
        // Chunk `k` went to lane `k % LANES`.
        let mut parts: Vec<_> = parts.iter().map(|seen| seen.bounds.chunks(chunk)).collect();
        let mut bounds = Vec::with_capacity(samples.len());
        for k in 0..samples.len().div_ceil(chunk) {
            bounds.extend_from_slice(parts[k % LANES].next().unwrap_or_default());
        }
        all.push(bounds);
    }
    Ok(all)
}

/// The least and the greatest value of each channel of the output over the samples that are kept.
pub(super) fn of_output_channels(
    network: &Network,
    samples: &Samples<'_>,
    is_kept: &(dyn Fn(usize) -> bool + Sync),
    progress: Progress<'_>,
) -> Result<Vec<(f32, f32)>, TrainError> {
    let shape = network.shape(network.output);
    let none = vec![(f32::INFINITY, f32::NEG_INFINITY); shape.c];
    let widen = |all: &mut (f32, f32), (lo, hi): (f32, f32)| *all = (all.0.min(lo), all.1.max(hi));
    let lanes = forward::fold_chunks(network, samples.len(), vec![none.clone(); LANES], progress, |lane, range| {
        let values = samples.range(range.clone()).to_real(network);
        let output = forward::run(network, values, range.len(), &mut |_| {});
        let kept = range.zip(output.chunks_exact(shape.elements())).filter(|(sample, _)| is_kept(*sample));
        for pixel in kept.flat_map(|(_, image)| image.chunks_exact(shape.c)) {
            lane.iter_mut().zip(pixel).for_each(|(all, value)| widen(all, (*value, *value)));
        }
    })?;
    let mut all = none;
    lanes.iter().for_each(|lane| all.iter_mut().zip(lane).for_each(|(all, part)| widen(all, *part)));
    Ok(all)
}

fn of_values(values: &[f32]) -> ((f32, f32), bool) {
    let (mut lo, mut hi, mut finite) = (f32::INFINITY, f32::NEG_INFINITY, true);
    operators::vectorized(
        #[inline(always)]
        || {
            for value in values {
                lo = if *value < lo { *value } else { lo };
                hi = if *value > hi { *value } else { hi };
                finite &= value.is_finite();
            }
        },
    );
    ((lo, hi), finite)
}

/// The least and the greatest value of the samples that are kept.
pub(super) fn of_all(of_samples: &[(f32, f32)], is_kept: impl Fn(usize) -> bool) -> (f32, f32) {
    let kept = of_samples.iter().enumerate().filter(|(sample, _)| is_kept(*sample)).map(|(_, bounds)| bounds);
    kept.fold((f32::INFINITY, f32::NEG_INFINITY), |(lo, hi), of_one| (lo.min(of_one.0), hi.max(of_one.1)))
}
