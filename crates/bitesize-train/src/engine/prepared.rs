//! The constants of one pass: quantizers of tensors, weights with their scales, factors of sums and averages.

use super::kernels::quantizer::{Quantizer, tile};
use super::layer_constants::{LayerConstants, Weights};
use super::parameters::{Encoding, Parameters};
use crate::TrainError;
use crate::operators::for_each_tap;
use bitesize_ir::op::{AveragePool, Clamp, Op};
use bitesize_ir::requantize::{AddIntegers, Multiplier, Unrepresentable, clamp_codes};
use bitesize_ir::{ActivationQuant, BitWidth, Network, Node, Shape, TensorId};
use rayon::prelude::*;
use std::ops::Range;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Prepared {
    /// One for each tensor.
    pub(super) quantizers: Vec<Quantizer>,
    /// One for each node, empty where it has no weights or they are used as they are.
    pub(super) weights: Vec<Weights>,
    /// What a node without weights multiplies its inputs with, one for each input (sums, concatenations) or for each output pixel
    /// (averages).
    pub(super) factors: Vec<Vec<f32>>,
    /// For averages, the reciprocal of each output pixel's divisor.
    pub(super) reciprocals: Vec<Vec<f32>>,
    /// The zero points and scales of the output's channels, where they have some of their own: its codes are then not centred.
    pub(super) output: Option<[Vec<f32>; 2]>,
}

impl Prepared {
    /// Derives the constants of `nodes`, reusing memory.
    ///
    /// # Errors
    /// [`TrainError::Layer`] where a layer does not fit the integer arithmetic.
    pub(super) fn update(
        &mut self,
        network: &Network,
        nodes: Range<usize>,
        parameters: &Parameters,
    ) -> Result<(), TrainError> {
        let tensors = network.tensors.len();
        self.quantizers.resize_with(tensors, Quantizer::default);
        for list in [&mut self.factors, &mut self.reciprocals] {
            list.resize_with(network.nodes.len(), Vec::new);
        }
        self.weights.resize_with(network.nodes.len(), Weights::default);
        for (tensor, quantizer) in self.quantizers.iter_mut().enumerate() {
            let clamp = match network.producer(TensorId(tensor)) {
                Some(node) => network.node(node).op.clamp(),
                None => Clamp::NONE,
            };
            quantizer.set(&parameters.encodings[tensor], clamp, network.shape(TensorId(tensor)).c);
        }
        self.output = parameters.output_channels.as_ref().map(|channels| {
            let list = |of: fn(&ActivationQuant) -> f64| channels.iter().map(|quant| of(quant) as f32).collect();
            [list(|quant| f64::from(quant.zero)), list(|quant| quant.scale)]
        });
        for index in nodes.clone() {
            let node = &network.nodes[index];
            let failed = |reason| TrainError::Layer { node: node.name.clone(), reason };
            self.prepare_moves(network, node, index, parameters).map_err(failed)?;
        }
        let quants: Vec<ActivationQuant> = parameters.encodings.iter().map(quant).collect();
        let layers: Vec<_> = self.weights[nodes.clone()]
            .par_iter_mut()
            .zip(nodes)
            .filter(|(_, index)| network.nodes[*index].op.parameters().is_some())
            .map(|(weights, index)| {
                let node = &network.nodes[index];
                let made = LayerConstants::new(network, index, parameters, &quants, weights);
                made.map(|constants| (node.output, constants))
                    .map_err(|reason| TrainError::Layer { node: node.name.clone(), reason })
            })
            .collect();
        for layer in layers {
            let (output, constants) = layer?;
            let quantizer = &mut self.quantizers[output.0];
            if self.output.is_some() && output == network.output {
                quantizer.codes = [0.0, 255.0];
                quantizer.inside = [0.0, 255.0];
                quantizer.clamp = [f32::NEG_INFINITY, f32::INFINITY];
            }
            quantizer.factors = tile(&constants.factors);
            quantizer.shifts = tile(&constants.shifts);
        }
        Ok(())
    }

    fn prepare_moves(
        &mut self,
        network: &Network,
        node: &Node,
        index: usize,
        parameters: &Parameters,
    ) -> Result<(), Unrepresentable> {
        let encoding = |tensor: TensorId| &parameters.encodings[tensor.0];
        let output = encoding(node.output);
        let ratios = || node.inputs.iter().map(|t| scale(encoding(*t)) / scale(output));
        let exactly =
            |factor: f64| if rounds(output) { Ok(Multiplier::from_real(factor)?.to_real()) } else { Ok(factor) };
        let factors: Vec<f64> = match &node.op {
            Op::Add(_) => match (encoding(node.inputs[0]), encoding(node.inputs[1]), output) {
                (Encoding::Codes(a), Encoding::Codes(b), Encoding::Codes(_)) => {
                    let integers = AddIntegers::derive(a, b, scale(output))?;
                    let unit = 2f64.powi(-i32::from(integers.n));
                    [integers.ma, integers.mb].map(|m| f64::from(m) * unit).to_vec()
                }
                _ => ratios().collect(),
            },
            Op::Concat => ratios().map(exactly).collect::<Result<_, _>>()?,
            Op::AveragePool(pool) => {
                let divisors = divisors(pool, network.shape(node.inputs[0]), network.shape(node.output));
                self.reciprocals[index] = divisors.iter().map(|d| (1.0 / d) as f32).collect();
                let ratio = scale(encoding(node.inputs[0])) / scale(output);
                // A factor beyond what integers hold is 0, as in the fake-quantized network.
                divisors.iter().map(|d| exactly(ratio / d).unwrap_or(0.0)).collect()
            }
            _ => return Ok(()),
        };
        self.factors[index] = factors.into_iter().map(|factor| factor as f32).collect();
        Ok(())
    }
}

/// What each output pixel of an average divides by.
fn divisors(pool: &AveragePool, input: Shape, output: Shape) -> Vec<f64> {
    let mut counts = vec![0; output.pixels()];
    for_each_tap(input, output, &pool.window, |to, _, _| counts[to] += 1);
    counts.into_iter().map(|count| pool.window.divisor(pool.count_include_pad, count) as f64).collect()
}

fn scale(encoding: &Encoding) -> f64 {
    match encoding {
        Encoding::Real => 1.0,
        Encoding::Codes(quant) | Encoding::Unrounded(quant) => quant.scale,
    }
}

/// What stands for a tensor of real values where only codes are asked for.
const REAL: ActivationQuant = ActivationQuant { bits: BitWidth::B8, scale: 1.0, zero: 0 };

fn quant(encoding: &Encoding) -> ActivationQuant {
    match encoding {
        Encoding::Real => REAL,
        Encoding::Codes(quant) | Encoding::Unrounded(quant) => *quant,
    }
}

fn rounds(encoding: &Encoding) -> bool {
    matches!(encoding, Encoding::Codes(_))
}

impl Quantizer {
    /// Bounds and scale by an encoding and the clamp fused before it. Factors are 1: what is kept is the value itself.
    fn set(&mut self, encoding: &Encoding, clamp: Clamp, channels: usize) {
        self.round = rounds(encoding);
        self.scale = scale(encoding) as f32;
        self.factors = tile(&vec![1.0; channels]);
        self.shifts = tile(&vec![0.0; channels]);
        self.clamp = [clamp.lo, clamp.hi].map(|bound| (f64::from(bound) / scale(encoding)) as f32);
        let (Encoding::Codes(quant) | Encoding::Unrounded(quant)) = encoding else {
            (self.codes, self.inside, self.beyond) = (self.clamp, self.clamp, [0.0; 2]);
            return;
        };
        let zero = f64::from(quant.zero);
        let range = [-zero, f64::from(quant.bits.max_code()) - zero];
        let bounds = match encoding {
            Encoding::Codes(_) => {
                let (lo, hi) = clamp_codes(clamp, quant);
                [lo, hi].map(|code| f64::from(code) - zero)
            }
            _ => [f64::from(self.clamp[0]).max(range[0]), f64::from(self.clamp[1]).min(range[1])],
        };
        self.codes = bounds.map(|bound| bound as f32);
        self.inside = [self.clamp[0].max(range[0] as f32), self.clamp[1].min(range[1] as f32)];
        // Beyond the code range the code is fixed and its value grows with the scale; beyond the clamp the value is fixed,
        // but for the rounding of its code.
        let beyond = |i: usize, by_clamp: bool| if by_clamp { self.codes[i] - self.clamp[i] } else { self.codes[i] };
        self.beyond =
            [beyond(0, f64::from(self.clamp[0]) >= range[0]), beyond(1, f64::from(self.clamp[1]) <= range[1])];
    }
}
