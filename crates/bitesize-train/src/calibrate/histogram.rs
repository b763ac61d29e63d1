//! How often which values occur in each tensor, counted within a bound of memory.
//!
//! A histogram takes [`BINS`] times 16 bytes, and each lane of a pass has its own. So a pass has fewer lanes where tensors are
//! many, and beyond that the tensors are counted in several passes. Both follow from the network alone.

use super::bounds::LANES;
use crate::forward::{self, Event};
use crate::{Progress, Samples, TrainError};
use bitesize_ir::Network;

const BINS: usize = 2048;

/// The most histograms that there are at once, all lanes together: 256 MiB.
const HISTOGRAMS: usize = 1 << 13;

/// The most tensors of one encoding that have a histogram each; more share one.
const MEMBERS: usize = 1 << 10;

/// How many values fell into each of [`BINS`] equal parts of a range, and their sum.
#[derive(Clone)]
pub(super) struct Histogram {
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
    pub(super) fn points(&self) -> impl Iterator<Item = (f64, f64)> {
        self.bins.iter().filter(|(count, _)| *count > 0.0).map(|(count, sum)| (sum / count, *count))
    }
}

/// Histograms that are counted in one pass.
#[derive(Default)]
pub(super) struct Group {
    /// Range of each histogram.
    ranges: Vec<(f32, f32)>,
    /// Of some tensors the histogram that each is counted in, by tensor.
    of_tensor: Vec<(usize, usize)>,
    /// Encoding roots, each with its histograms.
    pub(super) roots: Vec<(usize, Vec<usize>)>,
}

/// The histograms of the tensors (`members`) of each of `roots`, in passes. `bounds` are those of each tensor.
pub(super) fn groups(roots: &[usize], members: &[Vec<usize>], bounds: &[(f32, f32)]) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    for &root in roots {
        let tensors = &members[root];
        let shared = tensors.len() > MEMBERS;
        let wanted = if shared { 1 } else { tensors.len() };
        if groups.last().is_none_or(|group| group.ranges.len() + wanted > HISTOGRAMS) {
            groups.push(Group::default());
        }
        let group = groups.last_mut().expect("there is one now");
        let first = group.ranges.len();
        if shared {
            let of_all = tensors.iter().map(|t| bounds[*t]).reduce(|a, b| (a.0.min(b.0), a.1.max(b.1)));
            group.ranges.extend(of_all);
            group.of_tensor.extend(tensors.iter().map(|t| (*t, first)));
        } else {
            group.ranges.extend(tensors.iter().map(|t| bounds[*t]));
            group.of_tensor.extend(tensors.iter().copied().zip(first..));
        }
        group.roots.push((root, (first..group.ranges.len()).collect()));
    }
    groups.iter_mut().for_each(|group| group.of_tensor.sort_unstable());
    groups
}

/// In how many parts the samples are counted in parallel.
fn lanes(group: &Group) -> usize {
    (HISTOGRAMS / group.ranges.len().max(1)).clamp(1, LANES)
}

/// The histograms of `group` over the samples of which `is_kept` says so.
pub(super) fn find(
    network: &Network,
    samples: &Samples<'_>,
    group: &Group,
    is_kept: &(dyn Fn(usize) -> bool + Sync),
    progress: Progress<'_>,
) -> Result<Vec<Histogram>, TrainError> {
    let start: Vec<Histogram> = group.ranges.iter().map(|range| Histogram::new(*range)).collect();
    let lanes = forward::fold_chunks(network, samples.len(), vec![start; lanes(group)], progress, |lane, range| {
        let kept: Vec<bool> = range.clone().map(is_kept).collect();
        forward::run(network, samples.range(range).to_real(network), kept.len(), &mut |event| {
            if let Event::Tensor { id, values } = event
                && let Ok(found) = group.of_tensor.binary_search_by_key(&id.0, |(tensor, _)| *tensor)
            {
                let histogram = &mut lane[group.of_tensor[found].1];
                let images = values.chunks_exact(network.shape(id).elements());
                images.zip(&kept).filter(|(_, kept)| **kept).for_each(|(image, _)| histogram.add(image));
            }
        });
    })?;
    Ok(forward::merged(lanes, Histogram::merge))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pass_has_a_bounded_number_of_histograms() {
        for (count, passes, of_first) in
            [(0, 0, 0), (1000, 1, 8), (1025, 1, 7), (8192, 1, 1), (8193, 2, 1), (40_000, 5, 1)]
        {
            let roots: Vec<usize> = (0..count).collect();
            let members: Vec<Vec<usize>> = roots.iter().map(|root| vec![*root]).collect();
            let groups = groups(&roots, &members, &vec![(0.0, 1.0); count]);
            assert_eq!(groups.len(), passes, "{count}");
            assert_eq!(groups.first().map_or(0, lanes), of_first, "{count}");
            assert!(groups.iter().all(|group| group.ranges.len() * lanes(group) <= HISTOGRAMS));
            assert_eq!(groups.iter().map(|group| group.roots.len()).sum::<usize>(), count);
        }
    }

    #[test]
    fn very_many_tensors_of_one_encoding_share_a_histogram() {
        let bounds: Vec<(f32, f32)> = (0..2000).map(|t| (-(t as f32), t as f32)).collect();
        let mut members = vec![Vec::new(); 2000];
        members[0] = (0..2000).collect();
        let found = groups(&[0], &members, &bounds);
        let [group] = &found[..] else { panic!("one pass is enough") };
        assert_eq!(group.ranges, [(-1999.0, 1999.0)]);
        assert!(group.of_tensor.iter().map(|(tensor, _)| *tensor).eq(0..2000));
        assert!(group.of_tensor.iter().all(|(_, histogram)| *histogram == 0));
    }
}
