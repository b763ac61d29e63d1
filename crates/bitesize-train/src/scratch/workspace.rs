//! The memory of a batch on its way through a network, and the forward pass.
//!
//! Batch normalization looks at a whole batch before anything goes on, so a batch goes layer after layer. Of each layer its sums
//! are kept as they were computed; whoever reads them normalizes and clamps them anew, which costs less than to keep both.

use super::channels::{Activation, Sums, tile};
use super::plan::{Layer, chunk, is_normalized, lanes, layer};
use crate::engine::kernels::padded::{fill, padded, sized};
use crate::engine::kernels::pool::Pool as AveragePool;
use crate::operators::vectorized;
use bitesize_ir::op::Op;
use bitesize_ir::shape::Pads;
use bitesize_ir::{BatchNorm, Network, Shape};
use rayon::prelude::*;
use std::ops::Range;

/// How much of what statistics say of a batch goes into the running mean and variance, as in PyTorch.
const MOMENTUM: f64 = 0.1;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Workspace {
    /// The images of each lane.
    pub(super) ranges: Vec<Range<usize>>,
    /// Of each tensor what its node computed, NHWC.
    pub(super) values: Vec<Vec<f32>>,
    /// Of each tensor how its activations are made of that; `None` where they are the same.
    pub(super) activations: Vec<Option<Activation>>,
    /// Of each tensor with an activation, mean and 1 / sqrt(variance + epsilon) of each channel.
    pub(super) moments: Vec<Vec<[f64; 2]>>,
    pub(super) lanes: Vec<Lane>,
}

/// What a thread writes while it computes a node for the images of a lane.
#[derive(Debug, Default)]
pub(super) struct Lane {
    pub(super) x: Vec<f32>,
    pub(super) y: Vec<f32>,
    pub(super) z: Vec<f32>,
    pub(super) rows: Vec<f32>,
    /// The gradient by a layer's weights.
    pub(super) weights: Vec<f32>,
    /// For each input of a node, and for what it computes.
    pub(super) sums: [Sums; 2],
}

/// Cuts `buffer`, `each` elements an image, at the ends of the lanes.
pub(super) fn parts<'a>(mut buffer: &'a mut [f32], ranges: &[Range<usize>], each: usize) -> Vec<&'a mut [f32]> {
    let mut parts = Vec::with_capacity(ranges.len());
    for range in ranges {
        let (part, rest) = buffer.split_at_mut(range.len() * each);
        parts.push(part);
        buffer = rest;
    }
    parts
}

/// Images of a lane that are computed together, as counted in the lane and in the batch.
pub(super) fn chunks(range: &Range<usize>, chunk: usize) -> impl Iterator<Item = [Range<usize>; 2]> + use<> {
    let (first, count) = (range.start, range.len());
    (0..count).step_by(chunk).map(move |start| {
        let end = (start + chunk).min(count);
        [start..end, first + start..first + end]
    })
}

/// The elements of some images.
pub(super) fn elements(images: &Range<usize>, each: usize) -> Range<usize> {
    images.start * each..images.end * each
}

/// The activations that `sums` of images of `shape` make, between zeros.
pub(super) fn read<'a>(
    activation: Option<&Activation>,
    sums: &'a [f32],
    (shape, pads): (Shape, Pads),
    buffer: &'a mut Vec<f32>,
) -> &'a [f32] {
    let is_padded = pads != Pads::default();
    if activation.is_none() && !is_padded {
        return sums;
    }
    let images = sums.len() / shape.elements();
    let out = sized(buffer, images * padded(shape, pads).elements());
    vectorized(
        #[inline(always)]
        || match activation {
            Some(activation) if is_padded => {
                fill(
                    shape,
                    pads,
                    out,
                    #[inline(always)]
                    |start, row| activation.apply(&sums[start..start + row.len()], row),
                );
            }
            Some(activation) => activation.apply(sums, out),
            None => fill(
                shape,
                pads,
                out,
                #[inline(always)]
                |start, row| row.copy_from_slice(&sums[start..start + row.len()]),
            ),
        },
    );
    out
}

impl Workspace {
    /// Makes room for a batch of `images`, and answers where its input belongs.
    pub(super) fn begin(&mut self, network: &Network, images: usize) -> &mut Vec<f32> {
        let tensors = network.tensors.len();
        self.ranges = lanes(images);
        self.values.resize_with(tensors, Vec::new);
        self.activations.resize_with(tensors, || None);
        self.moments.resize_with(tensors, Vec::new);
        self.lanes.resize_with(self.ranges.len(), Lane::default);
        &mut self.values[network.input.0]
    }

    /// Computes every tensor of the batch. Batch normalizations take the statistics of the batch, and remember them, where it `learns`; else
    /// those that they remember.
    pub(super) fn forward(&mut self, network: &Network, norms: &mut [Option<BatchNorm>], learns: bool) {
        for (index, norm) in norms.iter_mut().enumerate() {
            let node = &network.nodes[index];
            let (tensor, shape) = (node.output.0, network.shape(node.output));
            let images = self.ranges.last().map_or(0, |range| range.end);
            let mut out = std::mem::take(&mut self.values[tensor]);
            out.resize(images * shape.elements(), 0.0);
            let pivot = norm.as_ref().filter(|_| learns).map(|norm| tile(norm.mean.iter().copied()));
            self.node_forward(network, index, pivot.as_deref(), &mut out);
            self.values[tensor] = out;
            let Some(norm) = norm else { continue };
            self.moments[tensor] = if learns {
                self.remember(norm, images * shape.pixels())
            } else {
                let moments = norm.mean.iter().zip(&norm.variance);
                moments.map(|(mean, variance)| [f64::from(*mean), reciprocal(f64::from(*variance), norm)]).collect()
            };
            let of = |c: usize| {
                let [mean, s] = self.moments[tensor][c];
                let scale = f64::from(norm.gamma[c]) * s;
                [scale, f64::from(norm.beta[c]) - scale * mean]
            };
            let affine: Vec<[f64; 2]> = (0..shape.c).map(of).collect();
            self.activations[tensor] = Some(Activation::new(&affine, node.op.clamp()));
        }
    }

    /// What a node computes, and where there is a `pivot`, a tile, the moments about it.
    fn node_forward(&mut self, network: &Network, index: usize, pivot: Option<&[f32]>, out: &mut [f32]) {
        let Self { ranges, values, activations, lanes, .. } = self;
        let node = &network.nodes[index];
        let output = network.shape(node.output);
        let (layer, chunk) = (layer(network, index), chunk(network, index));
        let pads = layer.map_or(Pads::default(), |layer| layer.pads());
        let weights = node.op.parameters().map_or(&[][..], |parameters| parameters.weights);
        let parts = parts(out, ranges, output.elements());
        lanes.par_iter_mut().zip(parts).zip(&*ranges).for_each(|((lane, out), range)| {
            lane.sums[0].clear(output.c);
            for [own, images] in chunks(range, chunk) {
                let out = &mut out[elements(&own, output.elements())];
                let Lane { x, y, rows, sums, .. } = &mut *lane;
                let input = |number: usize, buffer| {
                    let tensor = node.inputs[number];
                    let shape = network.shape(tensor);
                    let sums = &values[tensor.0][elements(&images, shape.elements())];
                    read(activations[tensor.0].as_ref(), sums, (shape, pads), buffer)
                };
                match (layer, &node.op) {
                    (Some(Layer::Dense(dense)), op) => {
                        dense.forward(input(0, x), weights, rows, out);
                        if let (Some(parameters), false) = (op.parameters(), is_normalized(op)) {
                            for pixel in out.chunks_exact_mut(output.c) {
                                pixel.iter_mut().zip(parameters.bias).for_each(|(sum, bias)| *sum += bias);
                            }
                        }
                    }
                    (Some(Layer::Depthwise(depthwise)), _) => depthwise.forward(input(0, x), weights, out),
                    (None, Op::AveragePool(pool)) => {
                        let shape = network.shape(node.inputs[0]);
                        let pool = AveragePool { window: &pool.window, input: shape, output };
                        pool.average(input(0, x), &[1.0 / shape.pixels() as f32], out);
                    }
                    _ => {
                        let both = input(0, x).iter().zip(input(1, y));
                        out.iter_mut().zip(both).for_each(|(sum, (a, b))| *sum = a + b);
                    }
                }
                if let Some(pivot) = pivot {
                    sums[0].add_moments(out, pivot);
                }
            }
        });
    }

    /// Mean and 1 / sqrt(variance + epsilon) of each channel over `count` values, by the sums of all lanes; `norm` remembers
    /// them.
    fn remember(&self, norm: &mut BatchNorm, count: usize) -> Vec<[f64; 2]> {
        let one = 1.0 / count as f64;
        let unbiased = count as f64 / (count as f64 - 1.0).max(1.0);
        let mut moments = Vec::with_capacity(norm.gamma.len());
        for c in 0..norm.gamma.len() {
            let sum =
                |of: fn(&Sums) -> &Vec<f64>| self.lanes.iter().map(|lane| of(&lane.sums[0])[c]).sum::<f64>() * one;
            let (distance, square) = (sum(|sums| &sums.first), sum(|sums| &sums.second));
            // Rounding may bring it below 0.
            let variance = (square - distance * distance).max(0.0);
            let mean = f64::from(norm.mean[c]) + distance;
            moments.push([mean, reciprocal(variance, norm)]);
            let toward = |old: &mut f32, new: f64| *old = (f64::from(*old) + MOMENTUM * (new - f64::from(*old))) as f32;
            toward(&mut norm.mean[c], mean);
            toward(&mut norm.variance[c], variance * unbiased);
        }
        moments
    }
}

fn reciprocal(variance: f64, norm: &BatchNorm) -> f64 {
    1.0 / (variance + f64::from(norm.epsilon)).sqrt()
}
