//! The reverse sweep over the nodes of a segment: beside each operator's forward pass, its backward one.

use super::gradients::add;
use super::kernels::depthwise::Depthwise;
use super::kernels::padded::{padded, sized};
use super::kernels::pool::{self, Pool};
use super::lane::Lane;
use super::pass::{Held, Layer, Pass};
use bitesize_ir::TensorId;
use bitesize_ir::op::Op;
use bitesize_ir::shape::Pads;

impl Pass<'_> {
    /// Takes the gradients by the outputs, which `lane` holds, back to parameters and inputs. `first` is the index of the
    /// chunk's first image; inputs get gradients where `by_inputs`.
    pub(super) fn backward(&self, lane: &mut Lane, first: usize, by_inputs: bool) {
        for index in self.segment.nodes.clone().rev() {
            let node = &self.network().nodes[index];
            let Some(mut gradient) = lane.by_tensor[node.output.0].take() else { continue };
            if self.held(node.output) == Held::Sums {
                self.through_quantizer(index, lane, first, &mut gradient);
            }
            match self.layer(node) {
                Some(layer) => self.layer_back(layer, index, lane, (first, by_inputs), &gradient),
                None => self.other_back(index, lane, (first, by_inputs), &gradient),
            }
            lane.pool.give(gradient);
        }
    }

    /// Whether anything asks for the gradient by a tensor.
    fn wants(&self, tensor: TensorId, by_inputs: bool) -> bool {
        by_inputs || !self.segment.inputs.contains(&tensor)
    }

    fn through_quantizer(&self, index: usize, lane: &mut Lane, first: usize, gradient: &mut [f32]) {
        let tensor = self.network().nodes[index].output;
        let quantizer = &self.prepared.quantizers[tensor.0];
        let shape = self.shape(tensor);
        lane.scratch.zero_tiles(quantizer.factors.len());
        let [bias, by_scale] = &mut lane.scratch.tiles;
        let dropped = self.drop_of(tensor);
        let dropped = dropped.as_ref().map(|dropped| (dropped, first * shape.elements()));
        quantizer.backward(&lane.values[tensor.0], dropped, gradient, [bias, by_scale]);
        let sum: f64 = by_scale.iter().map(|part| f64::from(*part)).sum();
        if !(self.prepared.output.is_some() && tensor == self.network().output) {
            lane.sums.scales[tensor.0] += sum;
        }
        let target = &mut lane.sums.layers[index].bias;
        if !target.is_empty() {
            bias.chunks_exact(shape.c).for_each(|channels| add(target, channels));
        }
    }

    fn layer_back(
        &self,
        layer: Layer<'_>,
        index: usize,
        lane: &mut Lane,
        (first, by_inputs): (usize, bool),
        gradient: &[f32],
    ) {
        let tensor = self.network().nodes[index].inputs[0];
        let Lane { values, by_tensor, sums, pool, scratch, .. } = lane;
        let pads = self.pads(layer);
        let x = self.centred(tensor, &values[tensor.0], pads, first, &mut scratch.x);
        let sums = &mut sums.layers[index].weights;
        let scale = self.prepared.quantizers[tensor.0].scale;
        match layer {
            Layer::Dense(dense) => dense.add_weight_gradient((x, scale), gradient, &mut scratch.rows, sums),
            Layer::Depthwise(depthwise) => depthwise.add_weight_gradient((x, scale), gradient, sums),
        }
        if !self.wants(tensor, by_inputs) {
            return;
        }
        let shape = self.shape(tensor);
        let length = values[tensor.0].len();
        let weights = self.weights(index);
        let (adds, mut target) = match by_tensor[tensor.0].take() {
            Some(target) => (true, target),
            None => (false, pool.take(length)),
        };
        let turned = match layer {
            Layer::Depthwise(depthwise) => depthwise.turned(),
            Layer::Dense(_) => None,
        };
        match (layer, turned) {
            (Layer::Dense(dense), _) if dense.is_plain() => {
                dense.plain_input_gradient(gradient, weights, &mut target, adds);
            }
            (Layer::Depthwise(depthwise), Some(window)) => {
                let turned = Depthwise { window: &window, input: depthwise.output, output: depthwise.input };
                if adds {
                    let mut more = pool.take(length);
                    turned.forward_turned(gradient, weights, &mut scratch.y, &mut more);
                    add(&mut target, &more);
                    pool.give(more);
                } else {
                    turned.forward_turned(gradient, weights, &mut scratch.y, &mut target);
                }
            }
            _ => {
                let outer = sized(&mut scratch.y, length / shape.elements() * padded(shape, pads).elements());
                outer.fill(0.0);
                match layer {
                    Layer::Dense(dense) => dense.scatter(gradient, weights, &mut scratch.rows, outer),
                    Layer::Depthwise(depthwise) => depthwise.scatter(gradient, weights, outer),
                }
                if !adds {
                    target.fill(0.0);
                }
                pool::unpad(outer, shape, padded(shape, pads), pads, &mut target);
            }
        }
        by_tensor[tensor.0] = Some(target);
    }

    fn other_back(&self, index: usize, lane: &mut Lane, (first, by_inputs): (usize, bool), gradient: &[f32]) {
        let node = &self.network().nodes[index];
        let output = self.shape(node.output);
        let mut start = 0;
        for tensor in &node.inputs {
            let Lane { values, by_tensor, sums, pool, scratch, .. } = lane;
            let input = self.shape(*tensor);
            let channels = start..start + input.c;
            start += input.c;
            if !self.wants(*tensor, by_inputs) {
                continue;
            }
            let target = by_tensor[tensor.0].get_or_insert_with(|| {
                let mut target = pool.take(values[tensor.0].len());
                target.fill(0.0);
                target
            });
            match &node.op {
                Op::Add(_) => add(target, gradient),
                Op::Concat => {
                    let pixels = target.chunks_exact_mut(input.c).zip(gradient.chunks_exact(output.c));
                    for (sums, gradient) in pixels {
                        sums.iter_mut().zip(&gradient[channels.clone()]).for_each(|(sum, g)| *sum += g);
                    }
                }
                Op::AveragePool(pool) => {
                    let pool = Pool { window: &pool.window, input, output };
                    pool.spread(gradient, &self.prepared.reciprocals[index], target);
                }
                Op::MaxPool(window) => {
                    let x = self.centred(*tensor, &values[tensor.0], Pads::default(), first, &mut scratch.x);
                    Pool { window, input, output }.largest_back(x, &values[node.output.0], gradient, target);
                }
                Op::Clamp(_) => {
                    let x = self.centred(*tensor, &values[tensor.0], Pads::default(), first, &mut scratch.x);
                    let by_scale = self.clamp_back(node.output, x, gradient, target);
                    sums.scales[self.network().encoding_root(*tensor).0] += by_scale;
                }
                Op::Pad(pads) => pool::unpad(gradient, input, output, *pads, target),
                Op::Flatten(order) => pool::unflatten(gradient, input, *order, target),
                _ => unreachable!("layers were handled, and the segment holds nothing else"),
            }
        }
    }

    /// Passes the gradient of codes within the bounds on; returns the gradient by the scale of those beyond, whose value is
    /// the bound's but for its rounding.
    fn clamp_back(&self, output: TensorId, x: &[f32], gradient: &[f32], sums: &mut [f32]) -> f64 {
        let quantizer = &self.prepared.quantizers[output.0];
        let ([lo, hi], [below, above]) = (quantizer.inside, quantizer.beyond);
        let mut by_scale = 0.0;
        for ((sum, x), g) in sums.iter_mut().zip(x).zip(gradient) {
            if *x < lo {
                by_scale += f64::from(g * below);
            } else if *x > hi {
                by_scale += f64::from(g * above);
            } else {
                *sum += g;
            }
        }
        by_scale
    }
}
