//! The widths that are counted at.

use crate::grid::BitWidth;
use crate::network::Network;
use crate::policy::{Policy, PolicySpace};

/// A rewritten network with a width for every tensor and every weight: what the memory model counts.
#[derive(Clone, Debug)]
pub struct Widths {
    /// One for each tensor.
    pub tensors: Vec<BitWidth>,
    /// One for each node, `None` where it has no weights.
    pub weights: Vec<Option<BitWidth>>,
}

impl Widths {
    /// The widths that `policy` gives to `network`.
    pub fn of(network: &Network, space: &PolicySpace, policy: &Policy) -> Self {
        let mut weights = vec![None; network.nodes.len()];
        for (row, choice) in space.rows.iter().zip(&policy.rows) {
            weights[row.node.0] = choice.weights;
        }
        Self { tensors: policy.tensor_bits(network, space), weights }
    }
}
