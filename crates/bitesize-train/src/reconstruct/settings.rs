//! What a caller decides about reconstruction.

use crate::learner::{Optimizer, Rates};
use crate::objective::Objective;
use bitesize_ir::{BitWidth, Network, Policy};
use std::ops::Range;

/// How a model is reconstructed.
#[derive(Clone, Debug, PartialEq)]
pub struct ReconstructSettings {
    /// The work that is done, in minutes on two cores of the kind that it was measured on. It is a number of images that depends
    /// on the network and on nothing else, so that two runs give the same model; another machine takes another time.
    pub minutes: f64,
    /// Decides the order of images and which elements stay unquantized.
    pub seed: u64,
    /// Images of a step.
    pub batch: usize,
    /// The share of the work that the whole network gets, 0 to 1. The rest is for blocks; with 1 there are none.
    pub network_share: f64,
    /// Samples that blocks learn from at most, the first ones: what goes in and out of a block is kept for all of them.
    pub block_samples: usize,
    /// The share of elements of activations that stay unquantized while a block is learned, 0 to 1.
    pub drop: f64,
    /// Whether blocks end wherever they can, for comparison: most are then one layer.
    pub layer_by_layer: bool,
    /// What the whole network's output is compared by.
    pub objective: Objective,
    /// Whether the whole network is learned by what its last layer reads too.
    pub features: bool,
    /// How much of the mean over steps, which is what the whole network becomes, a step keeps; `None` for what the last step left.
    pub average: Option<f32>,
    /// Of blocks.
    pub block_rates: Rates,
    /// Of the whole network.
    pub network_rates: Rates,
}

impl Default for ReconstructSettings {
    fn default() -> Self {
        Self {
            minutes: 10.0,
            seed: 0,
            batch: 64,
            network_share: 0.55,
            block_samples: 4096,
            drop: 0.5,
            layer_by_layer: false,
            objective: Objective::Distillation { temperature: Self::TEMPERATURE },
            features: true,
            average: None,
            block_rates: Rates {
                by: Optimizer::Adam,
                weights: 1e-3,
                at_2_bits: 1.0,
                at_4_bits: 0.25,
                others_at_2_bits: 1.0,
                others_at_4_bits: 1.0,
                scales: 3e-4,
                biases: 1e-4,
                ranges: 1e-3,
                margin: 0.45,
            },
            network_rates: Rates {
                by: Optimizer::Adam,
                weights: 5e-4,
                at_2_bits: 1.0,
                at_4_bits: 3.0,
                others_at_2_bits: 1.0,
                others_at_4_bits: 4.0,
                scales: 1e-4,
                biases: 3e-5,
                ranges: 3e-4,
                margin: 0.45,
            },
        }
    }
}

impl ReconstructSettings {
    /// At which classes are told apart, unless something else is asked for.
    pub const TEMPERATURE: f64 = 2.0;

    /// What suits widths: where none is 2 bits, blocks bring less than the whole network does in the same time, and a mean over
    /// steps more than the last one; where some are, a mean is too slow.
    pub fn suited_to(policy: &Policy) -> Self {
        let mut widths = policy.rows.iter().flat_map(|row| [row.weights, row.activations]).flatten();
        let start = Self::default();
        match widths.any(|bits| bits == BitWidth::B2) {
            true => start,
            false => Self { network_share: 1.0, average: Some(0.998), ..start },
        }
    }

    /// How often an image goes through all blocks forwards and backwards, and how often through the whole network.
    pub fn images(&self, network: &Network) -> [usize; 2] {
        let images = 60.0 * self.minutes.max(0.0) / seconds(network, 0..network.nodes.len()).max(1e-9);
        let share = self.network_share.clamp(0.0, 1.0);
        [(images * (1.0 - share) / BY_BLOCKS as f64) as usize, (images * share) as usize]
    }
}

/// How many times as long an image takes that goes through the blocks as one that goes through the network: its values are read and written
/// for each, and some stay in float. 1.6 on MNasNet, 2.3 on MobileNetV1, 3.5 on MobileNetV2, all at W4A4.
pub(super) const BY_BLOCKS: usize = 2;

/// What an image takes forwards and backwards through some nodes, on two idle cores of an AMD EPYC of family 26.
pub(super) fn seconds(network: &Network, nodes: Range<usize>) -> f64 {
    /// Products and values that pass through in a second.
    const SPEED: [f64; 2] = [30e9, 1e9];
    let nodes = &network.nodes[nodes];
    let macs: f64 = nodes.iter().map(|node| node.op.macs(network.shape(node.output)) as f64).sum();
    let values: usize = nodes.iter().map(|node| network.shape(node.output).elements()).sum();
    3.0 * macs / SPEED[0] + values as f64 / SPEED[1]
}

#[cfg(test)]
mod tests {
    use super::*;
    use bitesize_ir::PolicyRow;

    #[test]
    fn two_bits_anywhere_ask_for_blocks() {
        let check = |weights, activations, share: f64, averages: bool| {
            let row = |weights, activations| PolicyRow { name: String::new(), weights, activations };
            let policy = Policy { rows: vec![row(Some(BitWidth::B8), Some(BitWidth::B8)), row(weights, activations)] };
            let found = ReconstructSettings::suited_to(&policy);
            assert_eq!(
                (found.network_share, found.average.is_some()),
                (share, averages),
                "{weights:?} {activations:?}"
            );
        };
        check(Some(BitWidth::B4), Some(BitWidth::B4), 1.0, true);
        check(Some(BitWidth::B8), None, 1.0, true);
        check(Some(BitWidth::B2), Some(BitWidth::B8), 0.55, false);
        check(None, Some(BitWidth::B2), 0.55, false);
    }
}
