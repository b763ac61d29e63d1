//! What is learned: levels and scales of weights, biases, scales of activations.

use super::settings::Rates;
use crate::engine::{Adam, Encoding, Gradients, LearnedScales, Parameters};
use bitesize_ir::BitWidth;
use bitesize_ir::grid::WeightGrid;
use bitesize_ir::requantize::WeightLayout;
use bitesize_ir::{InputEncoding, Network, QuantizedModel};
use std::ops::Range;

/// Scales stay within this factor of what they were.
const MOST_CHANGE: f32 = 4.0;

/// The parameters of some nodes, while they are learned.
pub(super) struct Learner {
    layers: Vec<Layer>,
    ranges: Ranges,
    parameters: Parameters,
}

/// One layer, in units of what it started with: so that one rate suits all channels.
struct Layer {
    node: usize,
    layout: WeightLayout,
    /// Least and greatest level.
    bounds: [f32; 2],
    /// What the rate of weights is a share of, in levels.
    reach: f32,
    /// What the rates of scales and biases are multiplied by.
    pace: f32,
    /// The scale that each channel started with.
    units: Vec<f64>,
    /// Weights and scales in these units; scales start at 1.
    learned: LearnedScales,
    bias: Vec<f64>,
    /// What a bias is moved by, in units of `bias_unit`.
    shifts: Vec<f32>,
    bias_unit: f64,
    adams: [Adam; 3],
    scratch: [Vec<f32>; 3],
}

/// The scales of activations.
struct Ranges {
    /// Tensors that an encoding is made for.
    tensors: Vec<usize>,
    start: Vec<f64>,
    /// What the scale of each is multiplied by, less 1, over its pace: so that one rate moves each at its own.
    shifts: Vec<f32>,
    /// What the rate of each is multiplied by.
    paces: Vec<f32>,
    adam: Adam,
    /// For each tensor of the network the index in `tensors` of the one whose encoding it has.
    place: Vec<Option<usize>>,
}

impl Learner {
    /// Begins with `model` in `nodes` of the float network `network`: with the float weights, moved as near to the model's
    /// levels as `rates.margin` asks for.
    pub(super) fn new(network: &Network, nodes: Range<usize>, model: &QuantizedModel, rates: &Rates) -> Self {
        let mut layers = Vec::new();
        for (index, node) in network.nodes.iter().enumerate().filter(|(index, _)| nodes.contains(index)) {
            if let (Some(quant), Some(float), Some(layout)) =
                (&model.weights[index], node.op.parameters(), WeightLayout::of(&node.op))
            {
                let grid = WeightGrid::of(quant.bits);
                let bounds = [grid.lowest(), grid.highest()].map(f32::from);
                let start = |(i, level): (usize, &i8)| {
                    let level = f32::from(*level);
                    let value = (f64::from(float.weights[i]) / quant.scales[layout.out_channel(i)]) as f32;
                    (level + (value - level).clamp(-rates.margin, rates.margin)).clamp(bounds[0], bounds[1])
                };
                let weights: Vec<f32> = quant.levels.iter().enumerate().map(start).collect();
                let (count, channels) = (weights.len(), quant.scales.len());
                let output = &model.activations[node.output.0];
                layers.push(Layer {
                    node: index,
                    layout,
                    bounds,
                    reach: bounds[0].abs() * if quant.bits == BitWidth::B4 { rates.at_4_bits } else { 1.0 },
                    pace: pace(quant.bits, rates),
                    units: quant.scales.clone(),
                    learned: LearnedScales::new(weights, vec![1.0; channels], layout, quant.bits),
                    bias: quant.bias.clone(),
                    shifts: vec![0.0; channels],
                    bias_unit: output.scale * f64::from(output.bits.max_code()),
                    adams: [count, channels, channels].map(Adam::new),
                    scratch: Default::default(),
                });
            }
        }
        let ranges = Ranges::new(network, nodes, model, rates);
        Self { layers, ranges, parameters: Parameters::of_model(model) }
    }

    /// What the engine computes with now.
    pub(super) fn parameters(&mut self) -> &Parameters {
        for layer in &self.layers {
            if let Some(parameters) = &mut self.parameters.layers[layer.node] {
                layer.learned.write(parameters);
                parameters.scales.iter_mut().zip(&layer.units).for_each(|(scale, unit)| *scale *= unit);
                let shifts = layer.shifts.iter().zip(&layer.bias);
                for (bias, (shift, start)) in parameters.bias.iter_mut().zip(shifts) {
                    *bias = start + layer.bias_unit * f64::from(*shift);
                }
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
    pub(super) fn step(&mut self, gradients: &Gradients, rates: &Rates, fall: f32) {
        for layer in &mut self.layers {
            let given = &gradients.layers[layer.node];
            layer.step(&given.weights, &given.bias, rates, fall);
        }
        self.ranges.step(&gradients.scales, rates.ranges * fall);
    }

    /// `model` with what was learned.
    pub(super) fn finish(mut self, model: &QuantizedModel) -> QuantizedModel {
        self.parameters();
        let mut model = model.clone();
        for layer in &self.layers {
            if let (Some(quant), Some(found)) =
                (&mut model.weights[layer.node], self.parameters.layers[layer.node].take())
            {
                quant.levels = found.levels.iter().map(|level| *level as i8).collect();
                quant.scales = found.scales;
                quant.bias = found.bias;
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

impl Layer {
    fn step(&mut self, by_real: &[f32], by_bias: &[f32], rates: &Rates, fall: f32) {
        let [given, by_weights, by_scales] = &mut self.scratch;
        given.clear();
        given.extend_from_slice(by_real);
        for_each_of_channel(self.layout, given, |c, value| *value *= self.units[c] as f32);
        self.learned.backward(given, [by_weights, by_scales]);
        let [of_weights, of_scales, of_biases] = &mut self.adams;
        of_weights.step(rates.weights * self.reach * fall, &mut self.learned.weights, by_weights);
        let fall = self.pace * fall;
        of_scales.step(rates.scales * fall, &mut self.learned.scales, by_scales);
        given.clear();
        given.extend(by_bias.iter().map(|gradient| gradient * self.bias_unit as f32));
        of_biases.step(rates.biases * fall, &mut self.shifts, given);
        for scale in &mut self.learned.scales {
            *scale = scale.clamp(1.0 / MOST_CHANGE, MOST_CHANGE);
        }
        // A weight beyond the outermost level would get no gradient any more.
        let ([lo, hi], scales) = (self.bounds, &self.learned.scales);
        for_each_of_channel(self.layout, &mut self.learned.weights, |c, weight| {
            *weight = weight.max(lo * scales[c]).min(hi * scales[c]);
        });
    }
}

impl Ranges {
    fn new(network: &Network, nodes: Range<usize>, model: &QuantizedModel, rates: &Rates) -> Self {
        let of_pixels = matches!(network.input_encoding, InputEncoding::Pixels { .. });
        let roots = network.encoding_roots();
        let is_fixed = |tensor: usize| {
            (tensor == network.input.0 && of_pixels)
                || (model.output_channels.is_some() && roots[network.output.0].0 == tensor)
        };
        let written = network.nodes[nodes].iter().filter(|node| !node.op.passes_encoding_on());
        let tensors: Vec<usize> = written.map(|node| node.output.0).filter(|tensor| !is_fixed(*tensor)).collect();
        let place = roots.iter().map(|root| tensors.iter().position(|tensor| *tensor == root.0)).collect();
        Self {
            start: tensors.iter().map(|tensor| model.activations[*tensor].scale).collect(),
            shifts: vec![0.0; tensors.len()],
            paces: tensors.iter().map(|tensor| pace(model.activations[*tensor].bits, rates)).collect(),
            adam: Adam::new(tensors.len()),
            tensors,
            place,
        }
    }

    fn scale(&self, place: usize) -> f64 {
        self.start[place] * f64::from(1.0 + self.paces[place] * self.shifts[place])
    }

    fn step(&mut self, by_scales: &[f64], rate: f32) {
        // By shifts it is that times the pace, which Adam's steps do not depend on.
        let of = |(tensor, start): (&usize, &f64)| (by_scales[*tensor] * start) as f32;
        let gradients: Vec<f32> = self.tensors.iter().zip(&self.start).map(of).collect();
        self.adam.step(rate, &mut self.shifts, &gradients);
        for (shift, pace) in self.shifts.iter_mut().zip(&self.paces) {
            *shift = shift.clamp((1.0 / MOST_CHANGE - 1.0) / pace, (MOST_CHANGE - 1.0) / pace);
        }
    }
}

/// What rates other than that of weights are multiplied by at `bits`.
fn pace(bits: BitWidth, rates: &Rates) -> f32 {
    if bits == BitWidth::B4 { rates.others_at_4_bits } else { 1.0 }
}

/// Calls `change` with the output channel of each weight and the weight.
fn for_each_of_channel(layout: WeightLayout, weights: &mut [f32], mut change: impl FnMut(usize, &mut f32)) {
    match layout {
        WeightLayout::ChannelMajor { per_channel, .. } => {
            for (c, row) in weights.chunks_exact_mut(per_channel).enumerate() {
                row.iter_mut().for_each(|weight| change(c, weight));
            }
        }
        WeightLayout::ChannelMinor { channels } => {
            for row in weights.chunks_exact_mut(channels) {
                row.iter_mut().enumerate().for_each(|(c, weight)| change(c, weight));
            }
        }
    }
}
