//! Scales of activations, learned.

use super::rates::{MOST_CHANGE, Rates};
use crate::engine::Adam;
use bitesize_ir::{InputEncoding, Network, QuantizedModel};
use std::ops::Range;

/// The scales of activations.
#[derive(Default)]
pub(super) struct Ranges {
    /// Tensors that an encoding is made for.
    tensors: Vec<usize>,
    start: Vec<f64>,
    /// What the scale of each is multiplied by, less 1, over its pace: so that one rate moves each at its own.
    pub(super) shifts: Vec<f32>,
    /// What the rate of each is multiplied by.
    paces: Vec<f32>,
    pub(super) adam: Adam,
    /// For each tensor of the network the index in `tensors` of the one whose encoding it has.
    pub(super) place: Vec<Option<usize>>,
}

impl Ranges {
    pub(super) fn new(network: &Network, nodes: Range<usize>, model: &QuantizedModel, rates: &Rates) -> Self {
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
            paces: tensors.iter().map(|tensor| rates.pace(model.activations[*tensor].bits)).collect(),
            adam: Adam::new(tensors.len()),
            tensors,
            place,
        }
    }

    pub(super) fn scale(&self, place: usize) -> f64 {
        self.start[place] * f64::from(1.0 + self.paces[place] * self.shifts[place])
    }

    pub(super) fn step(&mut self, by_scales: &[f64], rate: f32) {
        // By shifts it is that times the pace, which Adam's steps do not depend on.
        let of = |(tensor, start): (&usize, &f64)| (by_scales[*tensor] * start) as f32;
        let gradients: Vec<f32> = self.tensors.iter().zip(&self.start).map(of).collect();
        self.adam.step(rate, &mut self.shifts, &gradients);
        for (shift, pace) in self.shifts.iter_mut().zip(&self.paces) {
            *shift = shift.clamp((1.0 / MOST_CHANGE - 1.0) / pace, (MOST_CHANGE - 1.0) / pace);
        }
    }
}
