//! What the channels of each tensor reach in the float network.

use crate::forward::{self, Event};
use crate::operators::vectorized;
use crate::{Progress, Samples, TrainError};
use bitesize_ir::Network;

/// Parts of the samples that are looked at in parallel at most. A constant, so that the machine decides nothing.
const LANES: usize = 8;

/// What each channel of a tensor reaches.
#[derive(Clone, Debug, Default)]
pub(super) struct Seen {
    /// Least value of each channel.
    pub(super) least: Vec<f32>,
    /// Greatest value of each channel.
    pub(super) greatest: Vec<f32>,
    /// Mean square of each channel; the sum of squares until all samples are seen.
    pub(super) square: Vec<f64>,
    /// Values of one channel seen.
    count: usize,
}

impl Seen {
    fn new(channels: usize) -> Self {
        Self {
            least: vec![f32::INFINITY; channels],
            greatest: vec![f32::NEG_INFINITY; channels],
            square: vec![0.0; channels],
            count: 0,
        }
    }

    /// Adds values, `[pixel][channel]`.
    fn add(&mut self, values: &[f32]) {
        let channels = self.least.len();
        let (least, greatest) = (&mut self.least[..channels], &mut self.greatest[..channels]);
        let mut square = vec![0f32; channels];
        vectorized(
            #[inline(always)]
            || {
                for pixel in values.chunks_exact(channels) {
                    for c in 0..channels {
                        let value = pixel[c];
                        least[c] = if value < least[c] { value } else { least[c] };
                        greatest[c] = if value > greatest[c] { value } else { greatest[c] };
                        square[c] += value * value;
                    }
                }
            },
        );
        self.square.iter_mut().zip(&square).for_each(|(total, x)| *total += f64::from(*x));
        self.count += values.len() / channels;
    }

    fn merge(&mut self, other: &Self) {
        self.least.iter_mut().zip(&other.least).for_each(|(all, part)| *all = all.min(*part));
        self.greatest.iter_mut().zip(&other.greatest).for_each(|(all, part)| *all = all.max(*part));
        self.square.iter_mut().zip(&other.square).for_each(|(all, part)| *all += part);
        self.count += other.count;
    }

    /// The largest magnitude in a channel.
    pub(super) fn reach(&self, channel: usize) -> f64 {
        f64::from(self.greatest[channel].max(-self.least[channel]))
    }

    /// Runs the float network on `samples`: what the channels of each tensor reach, by tensor.
    pub(super) fn of(
        network: &Network,
        samples: &Samples<'_>,
        progress: Progress<'_>,
    ) -> Result<Vec<Self>, TrainError> {
        let start: Vec<Self> = network.tensors.iter().map(|tensor| Self::new(tensor.shape.c)).collect();
        let lanes = forward::fold_chunks(network, samples.len(), vec![start; LANES], progress, |lane, range| {
            let values = samples.range(range.clone()).to_real(network);
            forward::run(network, values, range.len(), &mut |event| {
                if let Event::Tensor { id, values } = event {
                    lane[id.0].add(values);
                }
            });
        })?;
        let mut all = forward::merged(lanes, Self::merge);
        for seen in &mut all {
            let count = seen.count.max(1) as f64;
            seen.square.iter_mut().for_each(|sum| *sum /= count);
        }
        Ok(all)
    }
}
