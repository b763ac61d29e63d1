//! What is learned of a network: levels and scales of weights, biases, scales of activations; or, of a float network, its
//! weights and biases.

mod average;
mod layer;
mod mover;
mod oscillations;
mod pull;
mod ranges;
mod rates;

pub(crate) use average::Average;
pub use oscillations::Freezing;
pub(crate) use pull::Pull;
pub use rates::{Optimizer, Rates};

use crate::engine::{Encoding, Gradients, Parameters};
use bitesize_ir::requantize::WeightLayout;
use bitesize_ir::{Network, QuantizedModel};
use layer::Layer;
use ranges::Ranges;
use std::ops::Range;

/// The parameters of some nodes, while they are learned.
pub(crate) struct Learner {
    layers: Vec<Layer>,
    ranges: Ranges,
    parameters: Parameters,
}

impl Learner {
    /// Begins with `model` in `nodes` of the float network `network`: with the float weights, moved as near to the model's
    /// levels as `rates.margin` asks for.
    pub(crate) fn new(network: &Network, nodes: Range<usize>, model: &QuantizedModel, rates: &Rates) -> Self {
        let mut layers = Vec::new();
        for (index, node) in network.nodes.iter().enumerate().filter(|(index, _)| nodes.contains(index)) {
            if let (Some(quant), Some(float), Some(layout)) =
                (&model.weights[index], node.op.parameters(), WeightLayout::of(&node.op))
            {
                let output = &model.activations[node.output.0];
                layers.push(Layer::rounded((index, layout), quant, float, output, rates));
            }
        }
        let ranges = Ranges::new(network, nodes, model, rates);
        Self { layers, ranges, parameters: Parameters::of_model(model) }
    }

    /// Begins with the float network itself, whose weights move as those of 8 bits would and are not rounded.
    pub(crate) fn of_float(network: &Network, rates: &Rates) -> Self {
        let layers = network.nodes.iter().enumerate().filter_map(|(index, node)| {
            let (float, layout) = (node.op.parameters()?, WeightLayout::of(&node.op)?);
            Some(Layer::float((index, layout), float, rates))
        });
        Self { layers: layers.collect(), ranges: Ranges::none(), parameters: Parameters::real(network) }
    }

    /// Counts how often weights of 4 bits and below go to and fro from now on.
    pub(crate) fn watch_oscillations(&mut self) {
        self.layers.iter_mut().for_each(Layer::watch_oscillations);
    }

    /// How many weights are frozen.
    pub(crate) fn frozen(&self) -> usize {
        self.layers.iter().map(Layer::frozen).sum()
    }

    /// What the engine computes with now.
    pub(crate) fn parameters(&mut self) -> &Parameters {
        for layer in &self.layers {
            if let Some(parameters) = &mut self.parameters.layers[layer.node] {
                layer.write(parameters);
            }
        }
        for (encoding, place) in self.parameters.encodings.iter_mut().zip(&self.ranges.place) {
            if let (Encoding::Codes(quant), Some(place)) = (encoding, place) {
                quant.scale = self.ranges.scale(*place);
            }
        }
        &self.parameters
    }

    /// Moves everything along `gradients`; `fall` (1 to 0) is what has become of the rates.
    pub(crate) fn step(&mut self, gradients: &Gradients, rates: &Rates, fall: f32, pull: &Pull) {
        for layer in &mut self.layers {
            let given = &gradients.layers[layer.node];
            layer.step(&given.weights, &given.bias, rates, fall, pull);
        }
        self.ranges.step(&gradients.scales, rates, fall);
    }

    /// Every list of numbers that is learned, in an order that depends on the network alone.
    pub(crate) fn learned(&mut self) -> Vec<&mut Vec<f32>> {
        let layers = self.layers.iter_mut().flat_map(|layer| layer.learned());
        layers.chain([&mut self.ranges.shifts]).collect()
    }

    /// Every list of numbers that decides how what is learned moves next, in such an order.
    pub(crate) fn moments(&mut self) -> Vec<&mut Vec<f32>> {
        let layers = self.layers.iter_mut().flat_map(Layer::moments);
        layers.chain(self.ranges.mover.moments()).collect()
    }

    /// Goes on as after `steps` steps.
    pub(crate) fn set_steps(&mut self, steps: usize) {
        self.layers.iter_mut().for_each(|layer| layer.set_steps(steps));
        self.ranges.mover.set_steps(steps);
    }

    /// `model` with what was learned.
    pub(crate) fn finish(&mut self, model: &QuantizedModel) -> QuantizedModel {
        self.parameters();
        let mut model = model.clone();
        for layer in &self.layers {
            if let (Some(quant), Some(found)) = (&mut model.weights[layer.node], &self.parameters.layers[layer.node]) {
                quant.levels = found.levels.iter().map(|level| *level as i8).collect();
                quant.scales.clone_from(&found.scales);
                quant.bias.clone_from(&found.bias);
            }
        }
        for (quant, place) in model.activations.iter_mut().zip(&self.ranges.place) {
            if let Some(place) = place {
                quant.scale = self.ranges.scale(*place);
            }
        }
        model
    }
}
