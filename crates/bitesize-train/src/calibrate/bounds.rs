//! Least and greatest value of each tensor, sample by sample.

use crate::forward::{self, Event};
use crate::operators;
use crate::{Progress, Samples, TrainError};
use bitesize_ir::Network;

/// Parts of the samples that are looked at in parallel at most. A constant, so that the machine decides nothing.
pub(super) const LANES: usize = 8;

/// What a lane found of one sample in one tensor.
#[derive(Clone, Copy)]
struct Seen {
    sample: usize,
    bounds: (f32, f32),
    /// Whether all values are.
    finite: bool,
}

/// For each tensor the least and the greatest value of each sample.
pub(super) fn of_samples(
    network: &Network,
    samples: &Samples<'_>,
    progress: Progress<'_>,
) -> Result<Vec<Vec<(f32, f32)>>, TrainError> {
    let tensors = network.tensors.len();
    let start: Vec<Vec<Seen>> = vec![Vec::new(); tensors];
    let lanes = forward::fold_chunks(
        samples.len(),
        forward::chunk_images(network),
        vec![start; LANES],
        progress,
        |lane, range| {
            let count = range.len();
            forward::run(network, samples.range(range.clone()).to_real(network), count, &mut |event| {
                if let Event::Tensor { id, values } = event {
                    for (sample, image) in range.clone().zip(values.chunks_exact(network.shape(id).elements())) {
                        let (bounds, finite) = of_values(image);
                        lane[id.0].push(Seen { sample, bounds, finite });
                    }
                }
            });
        },
    )?;
    let mut all = vec![vec![(0.0, 0.0); samples.len()]; tensors];
    for (t, all) in all.iter_mut().enumerate() {
        let seen = || lanes.iter().flat_map(|lane| &lane[t]);
        if let Some(sample) = seen().filter(|seen| !seen.finite).map(|seen| seen.sample).min() {
            return Err(TrainError::NotFinite { tensor: network.tensors[t].name.clone(), sample });
        }
        seen().for_each(|seen| all[seen.sample] = seen.bounds);
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
    let lanes = forward::fold_chunks(
        samples.len(),
        forward::chunk_images(network),
        vec![none.clone(); LANES],
        progress,
        |lane, range| {
            let values = samples.range(range.clone()).to_real(network);
            let output = forward::run(network, values, range.len(), &mut |_| {});
            let kept = range.zip(output.chunks_exact(shape.elements())).filter(|(sample, _)| is_kept(*sample));
            for pixel in kept.flat_map(|(_, image)| image.chunks_exact(shape.c)) {
                lane.iter_mut().zip(pixel).for_each(|(all, value)| widen(all, (*value, *value)));
            }
        },
    )?;
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
