//! What a backward pass adds up.

use crate::operators::vectorized;
use bitesize_ir::Network;
use rayon::prelude::*;
use std::ops::Range;

/// Gradients of one layer.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LayerGradients {
    /// By the real weights (level times scale), in the layout of the operator's weights.
    pub weights: Vec<f32>,
    /// By the real biases.
    pub bias: Vec<f32>,
}

/// Gradients of the loss.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Gradients {
    /// One for each node, empty where it has no weights or was not run.
    pub layers: Vec<LayerGradients>,
    /// By the scale of each tensor's codes; 0 for tensors that pass an encoding on, whose source has their part.
    pub scales: Vec<f64>,
}

impl Gradients {
    /// Zeros for the nodes of `nodes`.
    pub(super) fn zeros(network: &Network, nodes: &Range<usize>) -> Self {
        let layer = |(index, node): (usize, &bitesize_ir::Node)| match node.op.parameters() {
            Some(p) if nodes.contains(&index) => {
                LayerGradients { weights: vec![0.0; p.weights.len()], bias: vec![0.0; p.bias.len()] }
            }
            _ => LayerGradients::default(),
        };
        Self { layers: network.nodes.iter().enumerate().map(layer).collect(), scales: vec![0.0; network.tensors.len()] }
    }

    /// Zeros in place of all values.
    pub(super) fn clear(&mut self) {
        for layer in &mut self.layers {
            layer.weights.fill(0.0);
            layer.bias.fill(0.0);
        }
        self.scales.fill(0.0);
    }

    /// Adds those of the other lanes, in their order.
    pub(super) fn add(&mut self, others: &[&Self]) {
        const PART: usize = 1 << 14;
        for (index, layer) in self.layers.iter_mut().enumerate() {
            layer.weights.par_chunks_mut(PART).enumerate().for_each(|(part, sums)| {
                for other in others {
                    let values = &other.layers[index].weights[part * PART..][..sums.len()];
                    add(sums, values);
                }
            });
            for other in others {
                add(&mut layer.bias, &other.layers[index].bias);
            }
        }
        for other in others {
            self.scales.iter_mut().zip(&other.scales).for_each(|(sum, value)| *sum += value);
        }
    }
}

/// Adds elementwise.
pub(super) fn add(sums: &mut [f32], values: &[f32]) {
    vectorized(
        #[inline(always)]
        || sums.iter_mut().zip(values).for_each(|(sum, value)| *sum += value),
    );
}
