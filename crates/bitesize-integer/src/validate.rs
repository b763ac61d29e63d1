//! The rules of a legal integer network.

use crate::network::{IntNetwork, IntNode, IntOp, IntTensor, IntWeights, Rescale};
use bitesize_ir::grid::{BitWidth, WeightGrid};
use bitesize_ir::op::AveragePool;
use bitesize_ir::output_shape::Geometry;
use bitesize_ir::requantize::{AddIntegers, Multiplier, most_summed_by_code};
use bitesize_ir::{NodeId, Shape, TensorId};
use std::collections::HashSet;

/// An integer network that breaks a rule of [`IntNetwork::validate`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{place}`: {problem}")]
pub struct InvalidIntNetwork {
    /// The node or tensor.
    pub place: String,
    /// Which rule, with what was found.
    pub problem: String,
}

/// What a rule says when it is broken.
type Rule = Result<(), String>;

fn rule(holds: bool, problem: impl FnOnce() -> String) -> Rule {
    if holds { Ok(()) } else { Err(problem()) }
}

impl IntNetwork {
    /// Checks every rule of a legal integer network:
    ///
    /// 1. tensor and node names are unique and not empty; no tensor is without elements;
    /// 2. input and output have 8 bits; the zero point of every tensor is one of its codes, that of a pixel input 0;
    /// 3. every tensor but the input is written by exactly one node, after everything that node reads;
    /// 4. each node's output has the shape that its operator computes from its inputs; windows of pools touch the
    ///    image everywhere;
    /// 5. weights have the number that the shapes ask for, and every level is on its grid;
    /// 6. biases and multipliers are one for each output channel; a padding code is one for all input channels or
    ///    one for each, and a code of the input; only layers with weights read a pixel input;
    /// 7. a multiplier is 0 with n = 1, or `|m|` is in `2^30..2^31` and n in 1..=62; the accumulator shift is 0..=15;
    /// 8. no accumulator leaves 32 bits, whatever the input codes: neither the sum of any part of the products, nor
    ///    that sum shifted, nor with the bias; nor the sum of products with the codes of 2-bit weights, which kernels of
    ///    convolutions and fully connected layers form ([`most_summed_by_code`]);
    /// 9. an addition has factors of at least 0 with `(2^ba - 1) * ma + (2^bb - 1) * mb < 2^30` and n in 1..=30;
    /// 10. an average pool has exactly the divisors that occur, ascending;
    /// 11. `lo <= hi`, both codes of the output;
    /// 12. channels of the output have encodings of their own, all of them, only where a layer with weights makes it and no node
    ///     reads it;
    /// 13. max-pool, clamp, pad and flatten pass width and zero point on.
    ///
    /// # Errors
    /// The first rule broken, with its place.
    pub fn validate(&self) -> Result<(), InvalidIntNetwork> {
        self.validate_but(&|_| false)
    }

    /// As [`Self::validate`], leaving out the rules from 5 (levels) to 13, but 12, for nodes of which `checked` says that they were
    /// found to keep them, with the same widths and zero points around.
    pub(crate) fn validate_but(&self, checked: &dyn Fn(NodeId) -> bool) -> Result<(), InvalidIntNetwork> {
        let at = |place: &str, result: Rule| {
            result.map_err(|problem| InvalidIntNetwork { place: place.to_owned(), problem })
        };
        at(&self.name, self.check_ends())?;
        let mut names = HashSet::new();
        for tensor in &self.tensors {
            at(&tensor.name, check_tensor(tensor, names.insert(&tensor.name)))?;
        }
        names.clear();
        let mut written = vec![false; self.tensors.len()];
        written[self.input.0] = true;
        for (id, node) in self.iter() {
            at(
                &node.name,
                rule(!node.name.is_empty() && names.insert(&node.name), || "its name is not unique".into()),
            )?;
            at(&node.name, check_order(node, &mut written))?;
            at(&node.name, self.check_shape(node))?;
            if !checked(id) {
                at(&node.name, self.check_numbers(node))?;
            }
        }
        match written.iter().position(|written| !written) {
            Some(tensor) => at(&self.tensors[tensor].name, Err("no node writes the tensor".into())),
            None => Ok(()),
        }
    }

    fn check_ends(&self) -> Rule {
        rule(self.input.0 < self.tensors.len() && self.output.0 < self.tensors.len(), || {
            "its input or output is not one of its tensors".into()
        })?;
        let (input, output) = (self.tensor(self.input), self.tensor(self.output));
        rule((input.bits, output.bits) == (BitWidth::B8, BitWidth::B8), || {
            format!("input and output have {} and {} bits instead of 8", input.bits, output.bits)
        })?;
        rule(!self.input_is_pixels || input.zero == 0, || format!("its pixel input has zero point {}", input.zero))?;
        let channels = self.output_channels.len();
        let makes_output = |node: &&IntNode| node.output == self.output && node.op.weights().is_some();
        let own = self.nodes.iter().any(|node| makes_output(&node))
            && !self.nodes.iter().any(|node| node.inputs.contains(&self.output));
        rule(channels == 0 || own && channels == output.shape.c, || {
            format!("{channels} channels of its output have encodings of their own")
        })
    }

    fn check_shape(&self, node: &IntNode) -> Rule {
        let inputs: Vec<Shape> = node.inputs.iter().map(|&id| self.tensor(id).shape).collect();
        let (computed, declared) = (output_shape(&node.op, &inputs)?, self.tensor(node.output).shape);
        rule(computed == declared, || format!("its output is declared {declared} but computes as {computed}"))
    }

    fn check_numbers(&self, node: &IntNode) -> Rule {
        let input = self.tensor(node.inputs[0]);
        let output = self.tensor(node.output);
        let bounds = |lo: u8, hi: u8| {
            rule(lo <= hi && hi <= output.bits.max_code(), || {
                format!("it clamps to {lo}..={hi} of {} bits", output.bits)
            })
        };
        let layer = |weights: &IntWeights, rescale: &Rescale, channel_of: &dyn Fn(usize) -> usize| {
            check_rescale(rescale, output.shape.c)?;
            bounds(rescale.lo, rescale.hi)?;
            check_accumulators(weights, rescale, input.bits, channel_of)
        };
        let reads_pixels = self.reads_pixels(node);
        let padded = |padding: &[u8]| {
            let expected = if reads_pixels { input.shape.c } else { 1 };
            rule(padding.len() == expected && padding.iter().all(|&code| code <= input.bits.max_code()), || {
                format!("its padding codes are {padding:?} for {expected} zero points of {} bits", input.bits)
            })
        };
        rule(node.op.weights().is_some() || !reads_pixels, || "it reads a pixel input, but has no weights".into())?;
        match &node.op {
            IntOp::Conv2d { weights, rescale, padding, .. } => {
                padded(padding)?;
                let per_channel = weights.levels.len() / output.shape.c;
                check_code_sums(weights, input.bits, per_channel)?;
                layer(weights, rescale, &|index| index / per_channel)
            }
            IntOp::DepthwiseConv2d { weights, rescale, padding, .. } => {
                padded(padding)?;
                layer(weights, rescale, &|index| index % output.shape.c)
            }
            IntOp::FullyConnected { weights, rescale } => {
                check_code_sums(weights, input.bits, input.shape.c)?;
                layer(weights, rescale, &|index| index / input.shape.c)
            }
            IntOp::Add { integers, lo, hi } => {
                bounds(*lo, *hi)?;
                check_add(integers, input.bits, self.tensor(node.inputs[1]).bits)
            }
            IntOp::Concat { multipliers } => {
                rule(multipliers.len() == node.inputs.len(), || "it has not one multiplier for each input".into())?;
                multipliers.iter().try_for_each(|m| check_multiplier(*m))
            }
            IntOp::AveragePool { window, count_include_pad, multipliers, lo, hi } => {
                bounds(*lo, *hi)?;
                let divisors: Vec<usize> = multipliers.iter().map(|(divisor, _)| *divisor).collect();
                let expected = window.divisors(*count_include_pad, input.shape);
                rule(divisors.iter().eq(&expected), || format!("it divides by {divisors:?} instead of {expected:?}"))?;
                let largest = window.area();
                rule(largest <= AveragePool::MAX_AREA, || format!("its sum of {largest} codes can leave 32 bits"))?;
                multipliers.iter().try_for_each(|(_, m)| check_multiplier(*m))
            }
            IntOp::Clamp { lo, hi } => {
                bounds(*lo, *hi)?;
                passes_on(input, output)
            }
            IntOp::MaxPool { .. } | IntOp::Pad { .. } | IntOp::Flatten { .. } => passes_on(input, output),
        }
    }
}

fn check_tensor(tensor: &IntTensor, is_new: bool) -> Rule {
    rule(is_new && !tensor.name.is_empty(), || "its name is not unique".into())?;
    rule(tensor.shape.elements() > 0, || format!("it has no elements ({})", tensor.shape))?;
    rule(tensor.zero <= tensor.bits.max_code(), || format!("zero point {} in {} bits", tensor.zero, tensor.bits))
}

fn check_order(node: &IntNode, written: &mut [bool]) -> Rule {
    let known = |id: &TensorId| id.0 < written.len();
    rule(node.inputs.iter().all(known) && known(&node.output), || "it names a tensor that does not exist".into())?;
    rule(node.inputs.iter().all(|id| written[id.0]), || "it reads a tensor that is not written yet".into())?;
    rule(!std::mem::replace(&mut written[node.output.0], true), || "its output is written already".into())
}

fn output_shape(op: &IntOp, inputs: &[Shape]) -> Result<Shape, String> {
    let geometry = match op {
        IntOp::Conv2d { window, groups, weights, rescale, .. } => {
            Geometry::Conv2d { window, groups: *groups, weights: weights.levels.len(), out_c: rescale.bias.len() }
        }
        IntOp::DepthwiseConv2d { window, weights, rescale, .. } => {
            Geometry::DepthwiseConv2d { window, weights: weights.levels.len(), biases: rescale.bias.len() }
        }
        IntOp::FullyConnected { weights, rescale } => {
            Geometry::FullyConnected { weights: weights.levels.len(), out_c: rescale.bias.len() }
        }
        IntOp::Add { .. } => Geometry::Add,
        IntOp::Concat { .. } => Geometry::Concat,
        IntOp::MaxPool { window } => Geometry::MaxPool(window),
        IntOp::AveragePool { window, .. } => Geometry::AveragePool(window),
        IntOp::Clamp { .. } => Geometry::Clamp,
        IntOp::Pad { pads } => Geometry::Pad(pads),
        IntOp::Flatten { order } => Geometry::Flatten(order),
    };
    geometry.output_shape(inputs)
}

fn check_multiplier(Multiplier { m, n }: Multiplier) -> Rule {
    let normal = m.unsigned_abs() >= 1 << 30 && m != i32::MIN && (1..=62).contains(&n);
    rule(normal || Multiplier { m, n } == Multiplier::ZERO, || format!("its multiplier {m} >> {n} is not normalised"))
}

fn check_rescale(rescale: &Rescale, channels: usize) -> Rule {
    rule((rescale.bias.len(), rescale.multipliers.len()) == (channels, channels), || {
        format!("it has {} biases and {} multipliers", rescale.bias.len(), rescale.multipliers.len())
    })?;
    rule(rescale.acc_shift <= 15, || format!("its accumulator shift is {}", rescale.acc_shift))?;
    rescale.multipliers.iter().try_for_each(|m| check_multiplier(*m))
}

fn check_accumulators(
    weights: &IntWeights,
    rescale: &Rescale,
    input: BitWidth,
    channel_of: &dyn Fn(usize) -> usize,
) -> Rule {
    let grid = WeightGrid::of(weights.bits);
    // The least and the greatest sum of products of each channel; any partial sum lies between.
    let mut sums = vec![[0i64; 2]; rescale.bias.len()];
    for (index, &level) in weights.levels.iter().enumerate() {
        rule(grid.contains(level), || format!("the weight {level} is not a level of {} bits", weights.bits))?;
        let sum = &mut sums[channel_of(index)];
        sum[usize::from(level > 0)] += i64::from(level) * i64::from(input.max_code());
    }
    let fits = |value: i64| i32::try_from(value).is_ok();
    for (channel, ([low, high], &bias)) in sums.iter().zip(&rescale.bias).enumerate() {
        let (low, high, bias) = (low << rescale.acc_shift, high << rescale.acc_shift, i64::from(bias));
        rule([low, high, low + bias, high + bias].into_iter().all(fits), || {
            format!("the accumulator of channel {channel} runs from {} to {}, past 32 bits", low + bias, high + bias)
        })?;
    }
    Ok(())
}

fn check_code_sums(weights: &IntWeights, input: BitWidth, per_channel: usize) -> Rule {
    let most = most_summed_by_code(input.max_code());
    rule(weights.bits != BitWidth::B2 || per_channel <= most, || {
        format!("its sum of {per_channel} products with 2-bit weight codes can leave 32 bits; {most} cannot")
    })
}

fn check_add(integers: &AddIntegers, a: BitWidth, b: BitWidth) -> Rule {
    let AddIntegers { ma, mb, n } = *integers;
    let reach = i64::from(a.max_code()) * i64::from(ma) + i64::from(b.max_code()) * i64::from(mb);
    let legal = ma >= 0 && mb >= 0 && reach < 1 << 30 && (1..=30).contains(&n);
    rule(legal, || format!("its factors {ma} and {mb} with shift {n} can leave 32 bits"))
}

fn passes_on(input: &IntTensor, output: &IntTensor) -> Rule {
    rule((input.bits, input.zero) == (output.bits, output.zero), || {
        "its output has another width or zero point than its input".into()
    })
}
