//! What a pass computes with: weights, biases and encodings, as the quantizers on top of the engine made them.

use crate::TrainError;
use bitesize_ir::{ActivationQuant, Network, QuantizedModel};

/// What the arithmetic makes of a tensor's values.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Encoding {
    /// Real values: only the fused clamp changes them.
    Real,
    /// Codes, as the integer network has them.
    Codes(ActivationQuant),
    /// The bounds and the scale of codes, without their rounding: what finite differences can be taken of.
    Unrounded(ActivationQuant),
}

/// The effective weights of one layer: `weight = scales[channel] * levels`, in the layout of the operator's weights.
#[derive(Clone, Debug, PartialEq)]
pub struct LayerParameters {
    /// Whole numbers of the grid, or fractions between them while a rounding is being learned; with a scale of 1 the weights
    /// themselves.
    pub levels: Vec<f32>,
    /// One for each output channel: finite, not 0.
    pub scales: Vec<f64>,
    /// One for each output channel, real-valued.
    pub bias: Vec<f64>,
}

/// Everything that a pass computes with.
#[derive(Clone, Debug, PartialEq)]
pub struct Parameters {
    /// One for each node; `None` where the operator has no weights.
    pub layers: Vec<Option<LayerParameters>>,
    /// One for each tensor. Those that pass an encoding on hold a copy of their input's.
    pub encodings: Vec<Encoding>,
    /// As [`QuantizedModel::output_channels`]; their scales get no gradients.
    pub output_channels: Option<Vec<ActivationQuant>>,
}

impl Parameters {
    /// The float network.
    pub fn real(network: &Network) -> Self {
        let layer = |node: &bitesize_ir::Node| {
            node.op.parameters().map(|p| LayerParameters {
                levels: p.weights.to_vec(),
                scales: vec![1.0; p.bias.len()],
                bias: p.bias.iter().map(|b| f64::from(*b)).collect(),
            })
        };
        Self {
            layers: network.nodes.iter().map(layer).collect(),
            encodings: vec![Encoding::Real; network.tensors.len()],
            output_channels: None,
        }
    }

    /// A quantized network.
    pub fn of_model(model: &QuantizedModel) -> Self {
        let layer = |weights: &bitesize_ir::WeightQuant| LayerParameters {
            levels: weights.levels.iter().map(|level| f32::from(*level)).collect(),
            scales: weights.scales.clone(),
            bias: weights.bias.clone(),
        };
        Self {
            layers: model.weights.iter().map(|weights| weights.as_ref().map(layer)).collect(),
            encodings: model.activations.iter().map(|quant| Encoding::Codes(*quant)).collect(),
            output_channels: model.output_channels.clone(),
        }
    }

    /// Whether the lists are as long as `network` needs them.
    pub(super) fn check(&self, network: &Network) -> Result<(), TrainError> {
        let agrees = |what, found, expected| {
            if found == expected { Ok(()) } else { Err(TrainError::Mismatch { what, found, expected }) }
        };
        agrees("list of encodings", self.encodings.len(), network.tensors.len())?;
        agrees("list of layers", self.layers.len(), network.nodes.len())?;
        for (node, layer) in network.nodes.iter().zip(&self.layers) {
            if let Some(parameters) = node.op.parameters() {
                let (weights, channels) = (parameters.weights.len(), parameters.bias.len());
                let found = layer.as_ref().map_or([0; 3], |l| [l.levels.len(), l.scales.len(), l.bias.len()]);
                agrees("list of weight levels", found[0], weights)?;
                agrees("list of weight scales", found[1], channels)?;
                agrees("list of biases", found[2], channels)?;
            }
        }
        match &self.output_channels {
            Some(channels) => agrees("list of output encodings", channels.len(), network.shape(network.output).c),
            None => Ok(()),
        }
    }
}
