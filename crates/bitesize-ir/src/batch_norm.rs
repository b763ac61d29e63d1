//! Batch normalization (Ioffe and Szegedy 2015) as training has it: beside the convolution it follows, and folded into it.

use crate::network::Network;
use crate::requantize::WeightLayout;

/// The batch normalization behind a layer: `gamma[c] * (x - mean[c]) / sqrt(variance[c] + epsilon) + beta[c]`.
#[derive(Clone, Debug, PartialEq)]
pub struct BatchNorm {
    /// Factor for each channel.
    pub gamma: Vec<f32>,
    /// Summand for each channel.
    pub beta: Vec<f32>,
    /// Mean of each channel, as it was in training.
    pub mean: Vec<f32>,
    /// Variance of each channel, as it was in training; not below 0.
    pub variance: Vec<f32>,
    /// What keeps the divisor above 0.
    pub epsilon: f32,
}

impl BatchNorm {
    /// One that has seen nothing yet: mean 0, variance 1, factor 1, summand 0.
    pub fn new(channels: usize, epsilon: f32) -> Self {
        let [zeros, ones] = [0.0, 1.0].map(|value| vec![value; channels]);
        Self { gamma: ones.clone(), beta: zeros.clone(), mean: zeros, variance: ones, epsilon }
    }

    /// The same as `scale[c] * x + shift[c]`: both, channel after channel.
    pub fn affine(&self) -> impl Iterator<Item = [f64; 2]> + '_ {
        (0..self.gamma.len()).map(|c| {
            let [gamma, beta, mean, variance] =
                [&self.gamma, &self.beta, &self.mean, &self.variance].map(|of| f64::from(of[c]));
            let scale = gamma / (variance + f64::from(self.epsilon)).sqrt();
            [scale, beta - scale * mean]
        })
    }

    /// `network` with the normalization that follows each of its nodes, where there is one, in the node's weights and bias.
    ///
    /// # Panics
    /// Where a normalization has another number of channels than its node, or no node to be folded into.
    pub fn folded(network: &Network, norms: &[Option<Self>]) -> Network {
        let mut network = network.clone();
        for (node, norm) in network.nodes.iter_mut().zip(norms) {
            let Some(norm) = norm else { continue };
            let affine: Vec<[f64; 2]> = norm.affine().collect();
            let layout = WeightLayout::of(&node.op).expect("a layer with weights is normalized");
            let (weights, bias) = node.op.parameters_mut().expect("a layer with weights is normalized");
            assert_eq!(bias.len(), affine.len(), "each channel is normalized");
            for (i, weight) in weights.iter_mut().enumerate() {
                *weight = (f64::from(*weight) * affine[layout.out_channel(i)][0]) as f32;
            }
            for (bias, [scale, shift]) in bias.iter_mut().zip(affine) {
                *bias = (f64::from(*bias) * scale + shift) as f32;
            }
        }
        network
    }
}
