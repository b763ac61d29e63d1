//! Samples that would rule a range by themselves: a sensor's glitch, a file of other units, values not scaled.
//!
//! One such sample among many makes the range of a tensor so wide that all others share a few codes, and weighs more than
//! they do in covariances and means. A range that clips it does not help those; so it is left out altogether.

use bitesize_ir::{InputEncoding, Network, TensorId};
use serde::{Deserialize, Serialize};

/// A sample that is left out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LeftOut {
    /// Its place among the samples.
    pub sample: usize,
    /// The first tensor, in the order of the network, whose range it would rule.
    pub tensor: String,
    /// How many times as far its values there reach as those of nine in ten samples do.
    pub factor: f64,
}

/// How many times as far as those of nine in ten samples the values of one may reach in a tensor that the network makes. In
/// the data of the reference networks the farthest reach 5.1 times as far (docs/ptq.md).
const FACTOR: f64 = 6.0;

/// The same for the network's input, where no tail was made longer by layers: a range as many times too wide costs two of
/// eight bits, in every tensor at once.
const INPUT_FACTOR: f64 = 4.0;

/// At most one in so many samples is left out; in any tensor it is one in ten.
const MOST: usize = 4;

/// With fewer samples no tenth of them can be told from the rest.
const LEAST_SAMPLES: usize = 10;

/// The samples to be left out, in rising order, given for each tensor the least and greatest value of each sample.
pub(super) fn find(network: &Network, bounds: &[Vec<(f32, f32)>]) -> Vec<LeftOut> {
    let mut found: Vec<LeftOut> = Vec::new();
    // The range of pixels is always that of a byte.
    let input = Some(network.input).filter(|_| matches!(network.input_encoding, InputEncoding::Real));
    let tensors = input.into_iter().chain(network.nodes.iter().map(|node| node.output));
    for tensor in tensors {
        let extents: Vec<f64> = bounds[tensor.0].iter().map(|bounds| extent(*bounds)).collect();
        let most = if tensor == network.input { INPUT_FACTOR } else { FACTOR };
        for (sample, factor) in beyond(&extents, most) {
            let at = found.partition_point(|left_out| left_out.sample < sample);
            if found.get(at).is_none_or(|left_out| left_out.sample != sample) {
                found.insert(at, LeftOut { sample, tensor: name(network, tensor), factor });
            }
        }
    }
    // Where so many samples reach far, that is the way of the data.
    if found.len() * MOST > bounds.first().map_or(0, Vec::len) { Vec::new() } else { found }
}

fn name(network: &Network, tensor: TensorId) -> String {
    network.tensor(tensor).name.clone()
}

/// How wide a range the values need that lie between `bounds`; every range contains 0.
fn extent((lo, hi): (f32, f32)) -> f64 {
    f64::from(hi.max(0.0)) - f64::from(lo.min(0.0))
}

/// The samples whose extent is more than `most` times that of nine in ten, with how many times it is.
fn beyond(extents: &[f64], most: f64) -> Vec<(usize, f64)> {
    if extents.len() < LEAST_SAMPLES {
        return Vec::new();
    }
    let mut sorted = extents.to_vec();
    sorted.sort_by(f64::total_cmp);
    let usual = sorted[(sorted.len() - 1) * 9 / 10];
    // Where nine in ten samples are 0 everywhere, those that are not are all that there is to learn from.
    let factors = extents.iter().enumerate().map(|(sample, extent)| (sample, extent / usual));
    factors.filter(|(_, factor)| usual > 0.0 && *factor > most).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_samples_far_beyond_the_others_are_found() {
        let usual = |i: usize| 1.0 + (i % 7) as f64 / 7.0;
        for (count, expected) in [(1, true), (2, true), (8, true), (9, false), (30, false), (80, false)] {
            let extents: Vec<f64> = (0..80).map(|i| if i % 80 < count { 30.0 * usual(i) } else { usual(i) }).collect();
            let found: Vec<usize> = beyond(&extents, FACTOR).into_iter().map(|(sample, _)| sample).collect();
            let all: Vec<usize> = if expected { (0..count).collect() } else { Vec::new() };
            assert_eq!(found, all, "{count} of 80");
        }
    }

    #[test]
    fn nothing_is_told_apart_without_a_measure() {
        assert_eq!(beyond(&[1.0, 100.0, 1.0], FACTOR), []);
        assert_eq!(beyond(&[&[0.0; 99][..], &[5.0]].concat(), FACTOR), []);
        assert_eq!(beyond(&[&[0.0; 40][..], &[1.0; 60], &[5.9]].concat(), FACTOR), []);
    }
}
