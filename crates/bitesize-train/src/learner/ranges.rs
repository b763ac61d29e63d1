//! Scales of activations, learned.

use super::mover::Mover;
use super::rates::{MOST_CHANGE, Optimizer, Rates};
use bitesize_ir::{InputEncoding, Network, QuantizedModel};
use std::ops::Range;

/// The scales of activations.
pub(super) struct Ranges {
    /// Tensors that an encoding is made for.
    tensors: Vec<usize>,
    start: Vec<f64>,
    /// What the scale of each is multiplied by, less 1, over its pace: so that one rate moves each at its own.
    pub(super) shifts: Vec<f32>,
    /// What the rate of each is multiplied by.
    paces: Vec<f32>,
    /// What gradients by the real scale of each are multiplied by where their size counts: LSQ's share, times the unit.
    shares: Vec<f64>,
    pub(super) mover: Mover,
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
        let pace = |tensor: &usize| match rates.by {
            Optimizer::Adam => rates.pace(model.activations[*tensor].bits),
            Optimizer::Sgd { .. } => 1.0,
        };
        let paces: Vec<f32> = tensors.iter().map(pace).collect();
        let share = |tensor: &usize| {
            let quant = &model.activations[*tensor];
            let served = network.tensors[*tensor].shape.elements() as f64 * f64::from(quant.bits.max_code());
            quant.scale / served.sqrt()
        };
        let place = roots.iter().map(|root| tensors.iter().position(|tensor| *tensor == root.0)).collect();
        Self {
            start: tensors.iter().map(|tensor| model.activations[*tensor].scale).collect(),
            shifts: vec![0.0; tensors.len()],
            shares: tensors.iter().map(share).collect(),
            mover: Mover::new(rates.by, tensors.len()),
            paces,
            tensors,
            place,
        }
    }

    /// Of a network without encodings.
    pub(super) fn none() -> Self {
        let (tensors, start, shifts, paces, shares) = Default::default();
        Self { tensors, start, shifts, paces, shares, mover: Mover::new(Optimizer::Adam, 0), place: Vec::new() }
    }

    pub(super) fn scale(&self, place: usize) -> f64 {
        self.start[place] * f64::from(1.0 + self.paces[place] * self.shifts[place])
    }

    /// Moves along gradients by real scales; `fall` is what has become of the rates.
    pub(super) fn step(&mut self, by_scales: &[f64], rates: &Rates, fall: f32) {
        // By shifts it is the gradient times start and pace, and Adam's steps do not depend on the pace.
        let (rate, units) = match rates.by {
            Optimizer::Adam => (rates.ranges, &self.start),
            Optimizer::Sgd { .. } => (rates.weights, &self.shares),
        };
        let of = |(tensor, unit): (&usize, &f64)| (by_scales[*tensor] * unit) as f32;
        let gradients: Vec<f32> = self.tensors.iter().zip(units).map(of).collect();
        self.mover.step(rate * fall, &mut self.shifts, &gradients);
        for (shift, pace) in self.shifts.iter_mut().zip(&self.paces) {
            *shift = shift.clamp((1.0 / MOST_CHANGE - 1.0) / pace, (MOST_CHANGE - 1.0) / pace);
        }
    }
}
