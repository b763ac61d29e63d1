//! What a caller decides about reconstruction.

use bitesize_ir::Network;

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
    /// The share of the work that the whole network gets, 0 to 1. The rest is for blocks.
    pub network_share: f64,
    /// The share of elements of activations that stay unquantized while a block is learned, 0 to 1.
    pub drop: f64,
    /// What the whole network's output is compared by.
    pub objective: Objective,
    /// Of blocks.
    pub block_rates: Rates,
    /// Of the whole network.
    pub network_rates: Rates,
}

/// What the output of the whole network is held against.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Objective {
    /// The float network's answers, as probabilities of classes at a temperature: for classifiers.
    Distillation {
        /// Positive; the higher, the more the lesser classes count.
        temperature: f64,
    },
    /// The same at each pixel of the output, mean over pixels: for maps of classes.
    PixelDistillation {
        /// As that of [`Self::Distillation`].
        temperature: f64,
    },
    /// The float network's probabilities of yes, for each output by itself, mean over pixels: for logits.
    Outcomes {
        /// What an output is multiplied by to be a logit.
        factor: f64,
    },
    /// The float network's values.
    SquareError,
    /// The same over the variance of each channel of the float network's output on the samples, mean over channels and
    /// pixels: for values, which may be of different sizes.
    VarianceError,
}

/// How far one step moves what is learned, at first; rates fall to 0 along half a cosine.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rates {
    /// Weights, as a share of the greatest level.
    pub weights: f32,
    /// What that is multiplied by for weights of 4 bits.
    pub at_4_bits: f32,
    /// What the other rates are multiplied by in layers whose weights have 4 bits, and for scales of activations of 4 bits.
    pub others_at_4_bits: f32,
    /// Scales of weights, as a share of each.
    pub scales: f32,
    /// Biases, as a share of the range of the layer's output.
    pub biases: f32,
    /// Scales of activations, as a share of each.
    pub ranges: f32,
    /// How far from its level a weight starts at most, in levels, below 0.5: the nearer to it, the more steps have to agree before
    /// a weight changes its level.
    pub margin: f32,
}

impl Default for ReconstructSettings {
    fn default() -> Self {
        Self {
            minutes: 10.0,
            seed: 0,
            batch: 64,
            network_share: 0.7,
            drop: 0.5,
            objective: Objective::Distillation { temperature: Self::TEMPERATURE },
            block_rates: Rates {
                weights: 1e-3,
                at_4_bits: 0.25,
                others_at_4_bits: 1.0,
                scales: 3e-4,
                biases: 1e-4,
                ranges: 1e-3,
                margin: 0.45,
            },
            network_rates: Rates {
                weights: 5e-4,
                at_4_bits: 2.0,
                others_at_4_bits: 3.0,
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

    /// How often an image goes through all blocks forwards and backwards, and how often through the whole network.
    pub fn images(&self, network: &Network) -> [usize; 2] {
        /// Products and values that pass through in a second.
        const SPEED: [f64; 2] = [36e9, 1.2e9];
        let values: usize = network.nodes.iter().map(|node| network.shape(node.output).elements()).sum();
        let seconds = 3.0 * network.macs() as f64 / SPEED[0] + values as f64 / SPEED[1];
        let images = 60.0 * self.minutes.max(0.0) / seconds.max(1e-9);
        let share = self.network_share.clamp(0.0, 1.0);
        [(images * (1.0 - share)) as usize, (images * share) as usize]
    }
}
