//! Which samples the correction of a layer's biases listens to, and whether the layer is better with it.
//!
//! Samples are dealt out to groups, and each group says which bias would keep the mean of each channel for it. A group that
//! is far from the others in most channels is not heard: its samples leave the ranges where the others do not, and a bias
//! that makes up for what was cut off is wrong for all others. What is learned from one half of those heard is tried on the
//! other half: where it leaves a markedly larger error than the float network's biases, these stay.

use crate::forward::{self, Met};
use crate::{Progress, Samples, TrainError};
use bitesize_ir::Network;
use std::sync::Arc;

/// How samples are dealt out: in turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Groups {
    count: usize,
}

/// Sums that all layers keep together for all groups: 16 MiB in each lane.
const GROUP_SUMS: usize = 1 << 21;

impl Groups {
    /// A group for each of `images` where they are few, and as few as memory asks for where channels are many.
    fn of(network: &Network, images: usize) -> Self {
        let channels: usize = network.nodes.iter().filter_map(|node| node.op.parameters()).map(|p| p.bias.len()).sum();
        Self { count: (GROUP_SUMS / channels.max(1)).clamp(8, 128).min(images.max(1)) }
    }

    fn of_image(self, image: usize) -> usize {
        image % self.count
    }
}

/// What each output channel of a layer sums up to, by group of samples.
#[derive(Clone, Debug)]
pub(super) struct GroupSums {
    groups: Groups,
    channels: usize,
    /// Output pixels seen by each group.
    rows: Vec<f64>,
    /// `[group][channel]`.
    sums: Vec<f64>,
}

impl GroupSums {
    pub(super) fn new(groups: Groups, channels: usize) -> Self {
        Self { groups, channels, rows: vec![0.0; groups.count], sums: vec![0.0; groups.count * channels] }
    }

    /// Adds `values`, `[image][pixel][channel]`, of images from `first` on.
    pub(super) fn add(&mut self, first: usize, values: &[f32], pixels: usize) {
        for (i, image) in values.chunks_exact(pixels * self.channels).enumerate() {
            let group = self.groups.of_image(first + i);
            self.rows[group] += pixels as f64;
            let sums = &mut self.sums[group * self.channels..][..self.channels];
            for pixel in image.chunks_exact(self.channels) {
                sums.iter_mut().zip(pixel).for_each(|(sum, x)| *sum += f64::from(*x));
            }
        }
    }

    /// Adds what another part has seen.
    pub(super) fn merge(&mut self, other: &Self) {
        self.rows.iter_mut().zip(&other.rows).for_each(|(total, x)| *total += x);
        self.sums.iter_mut().zip(&other.sums).for_each(|(total, x)| *total += x);
    }

    /// The sums of channels divided by `divisors`.
    fn divide(&mut self, divisors: &[f64]) {
        for sums in self.sums.chunks_exact_mut(self.channels) {
            sums.iter_mut().zip(divisors).for_each(|(sum, divisor)| *sum /= divisor);
        }
    }

    fn mean(&self, group: usize, channel: usize) -> f64 {
        self.sums[group * self.channels + channel] / self.rows[group].max(1.0)
    }
}

/// What the float network's layers sum up to, by group of samples, bias included, clamp not.
#[derive(Clone, Debug)]
pub(super) struct FloatGroups {
    pub(super) groups: Groups,
    /// Number of samples.
    pub(super) images: usize,
    /// `None` for nodes without weights.
    pub(super) layers: Vec<Option<GroupSums>>,
}

impl FloatGroups {
    /// Runs the float network on `samples`.
    pub(super) fn of(network: &Network, samples: &Samples<'_>, progress: Progress<'_>) -> Result<Self, TrainError> {
        let groups = Groups::of(network, samples.len());
        const LANES: usize = 8;
        let sums_of = |node: &bitesize_ir::Node| Some(GroupSums::new(groups, node.op.parameters()?.bias.len()));
        let start: Vec<Option<GroupSums>> = network.nodes.iter().map(sums_of).collect();
        let add = |totals: &mut GroupSums, met: &Met<'_>| {
            totals.add(met.range.start, met.sums, network.shape(network.node(met.node).output).pixels());
        };
        let layers = forward::sum_layers(network, samples, (start, LANES), progress, (add, GroupSums::merge))?;
        Ok(Self { groups, images: samples.len(), layers })
    }

    /// Those of `network`, where the channels of tensors are divided by `divisors`.
    pub(super) fn divided(&self, network: &Network, divisors: &[Option<Arc<[f64]>>]) -> Self {
        let mut divided = self.clone();
        for (node, layer) in network.nodes.iter().zip(&mut divided.layers) {
            if let (Some(sums), Some(divisors)) = (layer, &divisors[node.output.0]) {
                sums.divide(divisors);
            }
        }
        divided
    }
}

/// How far from the others, in their own spread, a group's wishes may be in half of the channels. On MobileNetV1 and V2 at 8
/// and 4 bits none is farther than 3.7; in layers of MNasNet a few in a hundred are at 10 and beyond.
const FARTHEST: f64 = 6.0;

/// By what share a correction learned from half of the samples may enlarge the error of the other half. Halves differ by
/// chance, most where there is nothing to correct: up to 0.38 on MobileNetV1 and V2 at 8 and 4 bits with compensated rounding.
/// In layers of MNasNet, where few samples teach most, it is 0.7 to 1.9.
const MARKED: f64 = 0.5;

/// Groups without which nothing can be told of the others.
const LEAST_GROUPS: usize = 10;

/// The biases of a layer, given those that keep the mean of each channel over all samples (`corrected`), those of the float
/// network, what the float layer sums up to and what the quantized weights do (without a bias, up to a constant for each
/// channel).
pub(super) fn checked(corrected: Vec<f64>, float_biases: &[f32], float: &GroupSums, quantized: &GroupSums) -> Vec<f64> {
    let groups: Vec<usize> = (0..float.groups.count).collect();
    if groups.len() < LEAST_GROUPS {
        return corrected;
    }
    let difference = |group: usize, channel: usize| float.mean(group, channel) - quantized.mean(group, channel);
    let mean_of = |groups: &[usize], channel: usize| -> f64 {
        let rows: f64 = groups.iter().map(|g| float.rows[*g]).sum();
        groups.iter().map(|g| float.rows[*g] * difference(*g, channel)).sum::<f64>() / rows
    };
    let over_all: Vec<f64> = (0..corrected.len()).map(|c| mean_of(&groups, c)).collect();
    let wish = |group: usize, channel: usize| corrected[channel] + difference(group, channel) - over_all[channel];

    let heard = heard(&groups, corrected.len(), &wish);
    let bias = |groups: &[usize], channel: usize| corrected[channel] + mean_of(groups, channel) - over_all[channel];
    let (teaching, held_out): (Vec<usize>, Vec<usize>) = heard.iter().partition(|group| group.is_multiple_of(2));
    if teaching.is_empty() || held_out.is_empty() {
        return corrected;
    }
    let (mut corrected_error, mut float_error) = (0.0, 0.0);
    for (channel, float_bias) in float_biases.iter().enumerate() {
        let learned = bias(&teaching, channel);
        for group in &held_out {
            let wish = wish(*group, channel);
            corrected_error += (wish - learned).powi(2);
            float_error += (wish - f64::from(*float_bias)).powi(2);
        }
    }
    if corrected_error > (1.0 + MARKED) * float_error {
        float_biases.iter().map(|bias| f64::from(*bias)).collect()
    } else if heard.len() == groups.len() {
        corrected
    } else {
        (0..corrected.len()).map(|channel| bias(&heard, channel)).collect()
    }
}

/// The groups whose wishes are near those of the others in half of the channels, or in more.
fn heard(groups: &[usize], channels: usize, wish: &impl Fn(usize, usize) -> f64) -> Vec<usize> {
    let mut distances = vec![Vec::new(); groups.len()];
    for channel in 0..channels {
        let mut wishes: Vec<f64> = groups.iter().map(|group| wish(*group, channel)).collect();
        let middle = median(&mut wishes.clone());
        wishes.iter_mut().for_each(|wish| *wish = (*wish - middle).abs());
        // The standard deviation of a normal distribution of that median distance.
        let spread = 1.4826 * median(&mut wishes.clone());
        if spread > 0.0 {
            distances.iter_mut().zip(&wishes).for_each(|(all, distance)| all.push(distance / spread));
        }
    }
    let is_near = |distances: &mut Vec<f64>| distances.is_empty() || median(distances) <= FARTHEST;
    groups.iter().zip(&mut distances).filter_map(|(group, distances)| is_near(distances).then_some(*group)).collect()
}

fn median(values: &mut [f64]) -> f64 {
    let middle = values.len() / 2;
    *values.select_nth_unstable_by(middle, f64::total_cmp).1
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHANNELS: usize = 6;

    /// Sums of 40 samples that differ by `of(sample, channel)`, and what [`checked`] makes of them from float biases of 1.
    fn biases(of: impl Fn(usize, usize) -> f32) -> Vec<f64> {
        let sums = |of: &dyn Fn(usize, usize) -> f32| {
            let mut sums = GroupSums::new(Groups { count: 40 }, CHANNELS);
            for sample in 0..40 {
                let values: Vec<f32> = (0..CHANNELS).map(|channel| of(sample, channel)).collect();
                sums.add(sample, &values, 1);
            }
            sums
        };
        let (float, quantized) = (sums(&|sample, channel| 1.0 + of(sample, channel)), sums(&|_, _| 0.0));
        let over_all = |channel| (0..40).map(|sample| f64::from(1.0 + of(sample, channel))).sum::<f64>() / 40.0;
        checked((0..CHANNELS).map(over_all).collect(), &[1.0; CHANNELS], &float, &quantized)
    }

    /// -1 to 1, 0 on average over samples.
    fn noise(sample: usize, channel: usize) -> f32 {
        ((sample * 7 + channel * 3) % 40) as f32 / 19.5 - 1.0
    }

    #[test]
    fn a_shift_that_all_samples_share_is_made_up_for() {
        for bias in biases(|sample, channel| 0.5 + 0.3 * noise(sample, channel)) {
            assert!((bias - 1.5).abs() < 1e-6, "{bias}");
        }
    }

    #[test]
    fn samples_far_from_the_others_are_not_heard() {
        let shift = |sample, channel| if sample % 20 == 3 { -50.0 } else { 0.5 + 0.3 * noise(sample, channel) };
        for bias in biases(shift) {
            assert!((bias - 1.5).abs() < 0.03, "{bias}");
        }
    }

    #[test]
    fn what_harms_other_samples_is_not_done() {
        let half = |sample: usize| if sample.is_multiple_of(2) { 0.5 } else { -0.4 };
        assert_eq!(biases(|sample, channel| half(sample) + 0.1 * noise(sample, channel)), [1.0; CHANNELS]);
    }
}
