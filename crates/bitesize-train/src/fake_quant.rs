//! The quantized network in float arithmetic: sums of codes by matrix products, the integer constants of
//! [`bitesize_ir::requantize`], and `floor(x + 0.5)` where the integer network shifts.
//!
//! Codes are centred first (the padding code is subtracted), so that padding is zero and sums stay small. A sum of
//! products below 2^24 in magnitude is exact in `f32`: there a code can differ from the integer network's by one, and
//! only where the exact value lies within 2^-10 of a tie.

use crate::float::{LANES, for_each_in_order};
use crate::forward;
use crate::operators::{self, Image, Linear};
use crate::{Progress, SampleValues, Samples, TrainError};
use bitesize_ir::memory::last_uses;
use bitesize_ir::op::{AveragePool, Op};
use bitesize_ir::requantize::{
    AddIntegers, LayerInput, LayerIntegers, LayerOutput, Multiplier, WeightLayout, round_half_up,
};
use bitesize_ir::{
    ActivationQuant, Encodings, InputEncoding, Network, NodeId, QuantizedModel, Shape, TensorId, WeightQuant,
};
use std::ops::Range;

/// One layer's constants, ready for centred codes.
#[derive(Clone, Debug)]
struct LayerConstants {
    /// Levels in the operator's layout.
    levels: Vec<f32>,
    /// What is added to the sum over centred codes before it is requantized, in units of the sum.
    bias: Vec<f64>,
    /// What the sum is multiplied by.
    factors: Vec<f64>,
}

/// One tensor's codes of several images.
#[derive(Clone, Copy)]
pub(crate) struct CodeImage<'a> {
    pub(crate) shape: Shape,
    pub(crate) count: usize,
    pub(crate) codes: &'a [u8],
}

/// The codes that stand for zero in what `node` reads first: one for all channels or one for each.
pub(crate) fn centre(network: &Network, tensor: TensorId, activations: &[ActivationQuant]) -> Vec<u8> {
    LayerInput::of(network, tensor, &activations[tensor.0]).padding_codes()
}

/// Codes less their centre, as floats.
pub(crate) fn centred(codes: &[u8], centre: &[u8]) -> Vec<f32> {
    if let [centre] = centre {
        let centre = i16::from(*centre);
        return codes.iter().map(|q| f32::from(i16::from(*q) - centre)).collect();
    }
    let difference = |pixel: &[u8]| -> Vec<f32> {
        pixel.iter().zip(centre).map(|(q, z)| f32::from(i16::from(*q) - i16::from(*z))).collect()
    };
    codes.chunks_exact(centre.len()).flat_map(difference).collect()
}

/// How one node computes codes from codes.
#[derive(Clone, Debug)]
pub(crate) struct NodeRunner {
    kind: NodeKind,
    /// The output's zero point and the least and the greatest code.
    zero: f64,
    lo: f64,
    hi: f64,
}

#[derive(Clone, Debug)]
enum NodeKind {
    Layer {
        constants: LayerConstants,
        centre: Vec<u8>,
    },
    Add {
        integers: AddIntegers,
        zeros: [i32; 2],
    },
    /// One factor and zero point for each input.
    Concat(Vec<(f64, f64)>),
    /// Factor of a sum of one pixel, and the input's zero point.
    AveragePool {
        scale_ratio: f64,
        zero: u8,
    },
    /// Moves or clamps codes.
    Codes {
        zero: u8,
    },
}

impl NodeRunner {
    /// The runner of a node, given the encodings of all activations and, where it has some, its quantized weights.
    pub(crate) fn new(
        network: &Network,
        id: NodeId,
        encodings: Encodings<'_>,
        weights: Option<&WeightQuant>,
    ) -> Result<Self, TrainError> {
        let activations = encodings.tensors;
        let node = network.node(id);
        let output = &activations[node.output.0];
        let input = &activations[node.inputs[0].0];
        let failed = |reason| TrainError::Layer { node: node.name.clone(), reason };
        let kind = match (&node.op, weights) {
            (Op::Conv2d(_) | Op::DepthwiseConv2d(_) | Op::FullyConnected(_), Some(weights)) => {
                let integers = LayerIntegers::of_node(network, node, weights, encodings).map_err(failed)?;
                let centre = centre(network, node.inputs[0], activations);
                let layout = WeightLayout::of(&node.op).expect("these operators have weights");
                NodeKind::Layer { constants: LayerConstants::new(layout, integers, &centre), centre }
            }
            (Op::Conv2d(_) | Op::DepthwiseConv2d(_) | Op::FullyConnected(_), None) => {
                return Err(TrainError::Mismatch { what: "list of quantized weights", found: 0, expected: 1 });
            }
            (Op::Add(_), _) => {
                let other = &activations[node.inputs[1].0];
                let integers = AddIntegers::derive(input, other, output.scale).map_err(failed)?;
                NodeKind::Add { integers, zeros: [i32::from(input.zero), i32::from(other.zero)] }
            }
            (Op::Concat, _) => {
                let ratio = |tensor: &TensorId| {
                    let quant = &activations[tensor.0];
                    let multiplier = Multiplier::from_real(quant.scale / output.scale)?;
                    Ok((multiplier.to_real(), f64::from(quant.zero)))
                };
                NodeKind::Concat(node.inputs.iter().map(ratio).collect::<Result<_, _>>().map_err(failed)?)
            }
            (Op::AveragePool(_), _) => {
                NodeKind::AveragePool { scale_ratio: input.scale / output.scale, zero: input.zero }
            }
            (Op::MaxPool(_) | Op::Clamp(_) | Op::Pad(_) | Op::Flatten(_), _) => NodeKind::Codes { zero: input.zero },
            (Op::ChannelAffine(_), _) => {
                return Err(TrainError::NotRewritten { node: node.name.clone(), op: node.op.name() });
            }
        };
        let LayerOutput { zero, lo, hi, .. } = LayerOutput::of(network, node, encodings);
        Ok(Self { kind, zero: f64::from(zero), lo: f64::from(lo), hi: f64::from(hi) })
    }

    /// `floor(zero + value + 0.5)` between the bounds.
    #[inline(always)]
    fn code(&self, value: f64) -> u8 {
        // Adding 2^52 rounds to a whole number, which then lies in the low bits: the floor without a library call.
        const WHOLE: f64 = (1u64 << 52) as f64;
        let value = value + self.zero + 0.5;
        let value = if value > self.lo { value } else { self.lo };
        let value = if value < self.hi { value } else { self.hi };
        let near = value + WHOLE;
        let floor = if near - WHOLE > value { near - 1.0 } else { near };
        floor.to_bits() as u8
    }

    /// The codes of the node's output.
    pub(crate) fn run(&self, op: &Op, inputs: &[CodeImage<'_>], output: Shape) -> Vec<u8> {
        let input = &inputs[0];
        match (&self.kind, op) {
            (NodeKind::Layer { constants, centre }, op) => {
                let values = centred(input.codes, centre);
                let image = Image { shape: input.shape, count: input.count, values: &values };
                let linear = Linear::of(op).expect("the runner was made for a layer with weights");
                let zeros = vec![0.0; constants.bias.len()];
                let sums = linear.sums(&image, output, &constants.levels, &zeros);
                let mut codes = vec![0; sums.len()];
                operators::vectorized(
                    #[inline(always)]
                    || {
                        for (sums, codes) in sums.chunks_exact(output.c).zip(codes.chunks_exact_mut(output.c)) {
                            let (bias, factors) = (&constants.bias[..output.c], &constants.factors[..output.c]);
                            for c in 0..output.c {
                                codes[c] = self.code((f64::from(sums[c]) + bias[c]) * factors[c]);
                            }
                        }
                    },
                );
                codes
            }
            (NodeKind::Add { integers, zeros }, _) => {
                let half = 1 << (integers.n - 1);
                let sum = |(a, b): (&u8, &u8)| {
                    let a = (i32::from(*a) - zeros[0]) * integers.ma;
                    let b = (i32::from(*b) - zeros[1]) * integers.mb;
                    self.code(f64::from((a + b + half) >> integers.n))
                };
                input.codes.iter().zip(inputs[1].codes).map(sum).collect()
            }
            (NodeKind::Concat(ratios), _) => {
                let mut codes = Vec::with_capacity(input.count * output.elements());
                for pixel in 0..input.count * output.pixels() {
                    for (input, (factor, zero)) in inputs.iter().zip(ratios) {
                        let c = input.shape.c;
                        let part = &input.codes[pixel * c..(pixel + 1) * c];
                        codes.extend(part.iter().map(|q| self.code((f64::from(*q) - zero) * factor)));
                    }
                }
                codes
            }
            (NodeKind::AveragePool { scale_ratio, zero }, Op::AveragePool(pool)) => {
                self.average_pool(input, output, pool, *scale_ratio, *zero)
            }
            (NodeKind::Codes { .. }, Op::MaxPool(window)) => {
                operators::max_pool(input.codes, input.shape, output, window, 0)
            }
            (NodeKind::Codes { zero }, Op::Pad(pads)) => operators::pad(input.codes, input.shape, output, *pads, *zero),
            (NodeKind::Codes { .. }, Op::Flatten(order)) => operators::flatten(input.codes, input.shape, *order),
            (NodeKind::Codes { .. }, _) => {
                input.codes.iter().map(|q| f64::from(*q).max(self.lo).min(self.hi) as u8).collect()
            }
            (NodeKind::AveragePool { .. }, _) => unreachable!("the runner was made for an average pool"),
        }
    }

    fn average_pool(
        &self,
        input: &CodeImage<'_>,
        output: Shape,
        pool: &AveragePool,
        scale_ratio: f64,
        zero: u8,
    ) -> Vec<u8> {
        let values = centred(input.codes, &[zero]);
        let image = Image { shape: input.shape, count: input.count, values: &values };
        let (sums, counts) = operators::window_sums(&image, output, &pool.window);
        let factor = |count: usize| {
            let divisor = pool.window.divisor(pool.count_include_pad, count);
            Multiplier::from_real(scale_ratio / divisor as f64).map_or(0.0, Multiplier::to_real)
        };
        let factors: Vec<f64> = counts.into_iter().map(factor).collect();
        let mut codes = Vec::with_capacity(sums.len());
        for image in sums.chunks_exact(output.elements()) {
            for (pixel, factor) in image.chunks_exact(output.c).zip(&factors) {
                codes.extend(pixel.iter().map(|sum| self.code(f64::from(*sum) * factor)));
            }
        }
        codes
    }
}

impl LayerConstants {
    fn new(layout: WeightLayout, integers: LayerIntegers, centre: &[u8]) -> Self {
        let mut from_centre = vec![0i64; integers.bias.len()];
        for (i, level) in integers.levels.iter().enumerate() {
            let code = if centre.len() == 1 { centre[0] } else { centre[layout.in_channel(i)] };
            from_centre[layout.out_channel(i)] += i64::from(*level) * i64::from(code);
        }
        let unit = f64::from(1u32 << integers.acc_shift);
        let bias = integers.bias.iter().zip(&from_centre).map(|(b, z)| f64::from(*b) / unit + *z as f64);
        Self {
            bias: bias.collect(),
            factors: integers.multipliers.iter().map(|m| m.to_real() * unit).collect(),
            levels: integers.levels.iter().map(|l| f32::from(*l)).collect(),
        }
    }
}

/// The codes of the network's input tensor.
pub(crate) fn input_codes(network: &Network, activations: &[ActivationQuant], samples: &Samples<'_>) -> Vec<u8> {
    let quant = &activations[network.input.0];
    match (&network.input_encoding, samples.values) {
        (InputEncoding::Pixels { .. } | InputEncoding::Real, SampleValues::Pixels(pixels)) => pixels.to_vec(),
        (_, SampleValues::Real(values)) => {
            let code = |x: &f32| {
                let last = f64::from(quant.bits.max_code());
                round_half_up(f64::from(*x) / quant.scale + f64::from(quant.zero)).clamp(0.0, last) as u8
            };
            values.iter().map(code).collect()
        }
    }
}

/// A quantized model in float arithmetic.
pub struct FakeQuantModel<'a> {
    network: &'a Network,
    activations: &'a [ActivationQuant],
    runners: Vec<NodeRunner>,
}

impl<'a> FakeQuantModel<'a> {
    /// Derives every layer's constants.
    ///
    /// # Errors
    /// [`TrainError::Layer`] where a layer does not fit the integer arithmetic, [`TrainError::NotRewritten`],
    /// [`TrainError::Mismatch`] where encodings or weights are missing.
    pub fn new(model: &'a QuantizedModel) -> Result<Self, TrainError> {
        let network = &model.network;
        let lists = [
            ("list of encodings", model.activations.len(), network.tensors.len()),
            ("list of quantized weights", model.weights.len(), network.nodes.len()),
        ];
        for (what, found, expected) in lists {
            if found != expected {
                return Err(TrainError::Mismatch { what, found, expected });
            }
        }
        let runner = |(id, _)| {
            let NodeId(index) = id;
            NodeRunner::new(network, id, model.encodings(), model.weights[index].as_ref())
        };
        let runners = network.iter().map(runner).collect::<Result<_, _>>()?;
        Ok(Self { network, activations: &model.activations, runners })
    }

    /// The output codes of each image (`samples.len() * outputs` in all).
    ///
    /// # Errors
    /// [`TrainError::Samples`] where the images are not what the network takes, [`TrainError::Stopped`] where
    /// `progress` said so.
    pub fn forward(&self, samples: &Samples<'_>, progress: Progress<'_>) -> Result<Vec<u8>, TrainError> {
        samples.check(self.network)?;
        let fold = |lane: &mut Vec<Vec<u8>>, range: Range<usize>| {
            let count = range.len();
            let input = input_codes(self.network, self.activations, &samples.range(range));
            lane.push(std::mem::take(&mut self.run(input, count, false)[self.network.output.0]));
        };
        let lanes = forward::fold_chunks(self.network, samples.len(), vec![Vec::new(); LANES], progress, fold)?;
        let mut all = Vec::new();
        for_each_in_order(lanes, |part| all.extend_from_slice(&part));
        Ok(all)
    }

    /// The codes of every tensor for `count` images with the input codes `input`; tensors that nobody reads any more
    /// are emptied unless `keep`.
    fn run(&self, input: Vec<u8>, count: usize, keep: bool) -> Vec<Vec<u8>> {
        let last_uses = last_uses(self.network);
        let mut tensors = vec![Vec::new(); self.network.tensors.len()];
        tensors[self.network.input.0] = input;
        for (id, node) in self.network.iter() {
            let image = |t: &TensorId| CodeImage { shape: self.network.shape(*t), count, codes: &tensors[t.0] };
            let inputs: Vec<CodeImage<'_>> = node.inputs.iter().map(image).collect();
            let codes = self.runners[id.0].run(&node.op, &inputs, self.network.shape(node.output));
            tensors[node.output.0] = codes;
            for tensor in last_uses[id.0].iter().filter(|_| !keep) {
                tensors[tensor.0] = Vec::new();
            }
        }
        tensors
    }
}

/// The codes of every tensor for the images whose input codes are `codes` (one image after the other).
///
/// # Errors
/// As [`FakeQuantModel::new`]; [`TrainError::Mismatch`] where `codes` is not a whole number of images.
pub fn fake_quant_forward(model: &QuantizedModel, codes: &[u8]) -> Result<Vec<Vec<u8>>, TrainError> {
    let elements = model.network.shape(model.network.input).elements();
    if !codes.len().is_multiple_of(elements) {
        return Err(TrainError::Mismatch { what: "last image", found: codes.len() % elements, expected: elements });
    }
    Ok(FakeQuantModel::new(model)?.run(codes.to_vec(), codes.len() / elements, true))
}
