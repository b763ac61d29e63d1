//! One chunk of images through the nodes of a segment, forwards.

use super::boundary::Boundary;
use super::drop::Drop;
use super::kernels::dense::Dense;
use super::kernels::depthwise::Depthwise;
use super::kernels::padded;
use super::kernels::pool::Pool;
use super::lane::Lane;
use super::parameters::Parameters;
use super::prepared::Prepared;
use super::segment::Segment;
use crate::operators::{self, vectorized};
use bitesize_ir::op::Op;
use bitesize_ir::shape::{Pads, Window};
use bitesize_ir::{Network, Node, Shape, TensorId};
use std::ops::Range;

/// The window of a fully connected layer.
const POINT: Window =
    Window { kernel: [1, 1], stride: [1, 1], dilation: [1, 1], pads: Pads { top: 0, left: 0, bottom: 0, right: 0 } };

/// Everything that a chunk only reads.
#[derive(Clone, Copy)]
pub(super) struct Pass<'a> {
    pub(super) segment: &'a Segment<'a>,
    pub(super) parameters: &'a Parameters,
    pub(super) prepared: &'a Prepared,
    pub(super) boundaries: &'a [Boundary<'a>],
    pub(super) dropped: Option<Drop>,
}

/// The linear part of a layer.
#[derive(Clone, Copy)]
pub(super) enum Layer<'a> {
    Dense(Dense<'a>),
    Depthwise(Depthwise<'a>),
}

/// What a tensor holds.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Held {
    /// Centred codes.
    Codes,
    /// What the tensor's quantizer makes codes of.
    Sums,
}

impl<'a> Pass<'a> {
    pub(super) fn network(&self) -> &'a Network {
        self.segment.network
    }

    pub(super) fn shape(&self, tensor: TensorId) -> Shape {
        self.network().shape(tensor)
    }

    /// What is kept of a tensor.
    pub(super) fn held(&self, tensor: TensorId) -> Held {
        let nodes = &self.network().nodes[self.segment.nodes.clone()];
        match nodes.iter().find(|node| node.output == tensor) {
            Some(node) if !node.op.passes_encoding_on() => Held::Sums,
            _ => Held::Codes,
        }
    }

    /// The linear part of `node`, `None` where it has no weights.
    pub(super) fn layer(&self, node: &'a Node) -> Option<Layer<'a>> {
        let (input, output) = (self.shape(node.inputs[0]), self.shape(node.output));
        match &node.op {
            Op::Conv2d(op) => Some(Layer::Dense(Dense { window: &op.window, groups: op.groups, input, output })),
            Op::FullyConnected(_) => Some(Layer::Dense(Dense { window: &POINT, groups: 1, input, output })),
            Op::DepthwiseConv2d(op) => Some(Layer::Depthwise(Depthwise { window: &op.window, input, output })),
            _ => None,
        }
    }

    /// The levels of a layer.
    pub(super) fn levels(&self, index: usize) -> &'a [f32] {
        let layer = self.parameters.layers[index].as_ref().expect("the parameters were checked");
        self.prepared.weights[index].levels.as_deref().unwrap_or(&layer.levels)
    }

    /// The real weights of a layer.
    pub(super) fn weights(&self, index: usize) -> &'a [f32] {
        let real = &self.prepared.weights[index].real;
        if real.is_empty() { self.levels(index) } else { real }
    }

    /// The draws for a tensor, `None` where nothing is dropped.
    pub(super) fn drop_of(&self, tensor: TensorId) -> Option<Drop> {
        self.dropped.map(|dropped| dropped.of_tensor(tensor.0))
    }

    /// The padding that the reader of an image wants round it.
    pub(super) fn pads(&self, layer: Layer<'_>) -> Pads {
        match layer {
            Layer::Dense(dense) => dense.window.pads,
            Layer::Depthwise(depthwise) => depthwise.window.pads,
        }
    }

    /// The centred codes of a tensor with `pads` round each image, in `scratch` where they are not what is held. `first` is
    /// the index of the chunk's first image.
    pub(super) fn centred<'b>(
        &self,
        tensor: TensorId,
        values: &'b [f32],
        pads: Pads,
        first: usize,
        scratch: &'b mut Vec<f32>,
    ) -> &'b [f32] {
        let (shape, held) = (self.shape(tensor), self.held(tensor));
        let plain = pads == Pads::default();
        if plain && held == Held::Codes {
            return values;
        }
        let quantizer = &self.prepared.quantizers[tensor.0];
        let dropped = self.drop_of(tensor);
        let (before, count) = (first * shape.elements(), values.len() / shape.elements());
        let out = padded::sized(scratch, count * padded::padded(shape, pads).elements());
        vectorized(
            #[inline(always)]
            || {
                let of = |start: usize| dropped.as_ref().map(|dropped| (dropped, before + start));
                match (held, plain) {
                    (Held::Codes, _) => padded::fill(shape, pads, out, |start, row| {
                        row.copy_from_slice(&values[start..start + row.len()]);
                    }),
                    (Held::Sums, true) => quantizer.apply(values, of(0), out),
                    (Held::Sums, false) => padded::fill(
                        shape,
                        pads,
                        out,
                        #[inline(always)]
                        |start, row| quantizer.apply(&values[start..start + row.len()], of(start), row),
                    ),
                }
            },
        );
        out
    }

    /// Computes the values of all tensors for `images`.
    pub(super) fn forward(&self, lane: &mut Lane, images: Range<usize>) {
        lane.values.resize_with(self.network().tensors.len(), Vec::new);
        for (boundary, tensor) in self.boundaries.iter().zip(&self.segment.inputs) {
            let encoding = &self.parameters.encodings[tensor.0];
            let dropped = self.drop_of(*tensor);
            let out = &mut lane.values[tensor.0];
            boundary.write((self.network(), *tensor), encoding, dropped.as_ref(), images.clone(), out);
        }
        for index in self.segment.nodes.clone() {
            let node = &self.network().nodes[index];
            let mut out = std::mem::take(&mut lane.values[node.output.0]);
            out.resize(images.len() * self.shape(node.output).elements(), 0.0);
            match self.layer(node) {
                Some(layer) => self.run_layer(layer, index, lane, images.start, &mut out),
                None => self.run_other(index, lane, images.start, &mut out),
            }
            lane.values[node.output.0] = out;
        }
    }

    fn run_layer(&self, layer: Layer<'_>, index: usize, lane: &mut Lane, first: usize, out: &mut [f32]) {
        let input = self.network().nodes[index].inputs[0];
        let scratch = &mut lane.scratch;
        let x = self.centred(input, &lane.values[input.0], self.pads(layer), first, &mut scratch.x);
        match layer {
            Layer::Dense(dense) => dense.forward(x, self.levels(index), &mut scratch.rows, out),
            Layer::Depthwise(depthwise) => depthwise.forward(x, self.levels(index), out),
        }
    }

    fn run_other(&self, index: usize, lane: &mut Lane, first: usize, out: &mut [f32]) {
        let node = &self.network().nodes[index];
        let (output, factors) = (self.shape(node.output), &self.prepared.factors[index]);
        let input = self.shape(node.inputs[0]);
        let scratch = &mut lane.scratch;
        if let Op::Concat = node.op {
            let mut start = 0;
            for (tensor, factor) in node.inputs.iter().zip(factors) {
                let x = self.centred(*tensor, &lane.values[tensor.0], Pads::default(), first, &mut scratch.x);
                let c = self.shape(*tensor).c;
                for (from, to) in x.chunks_exact(c).zip(out.chunks_exact_mut(output.c)) {
                    to[start..start + c].iter_mut().zip(from).for_each(|(to, x)| *to = x * factor);
                }
                start += c;
            }
            return;
        }
        let x = self.centred(node.inputs[0], &lane.values[node.inputs[0].0], Pads::default(), first, &mut scratch.x);
        match &node.op {
            Op::Add(_) => {
                let other = node.inputs[1];
                let y = self.centred(other, &lane.values[other.0], Pads::default(), first, &mut scratch.y);
                let (a, b) = (factors[0], factors[1]);
                vectorized(
                    #[inline(always)]
                    || {
                        for ((out, x), y) in out.iter_mut().zip(x).zip(y) {
                            *out = x.mul_add(a, y * b);
                        }
                    },
                );
            }
            Op::AveragePool(pool) => Pool { window: &pool.window, input, output }.average(x, factors, out),
            Op::MaxPool(window) => {
                out.copy_from_slice(&operators::max_pool(x, input, output, window, f32::NEG_INFINITY));
            }
            Op::Clamp(_) => {
                let [lo, hi] = self.prepared.quantizers[node.output.0].codes;
                let bounds = bitesize_ir::op::Clamp { lo, hi };
                out.copy_from_slice(x);
                operators::clamp(out, bounds);
            }
            Op::Pad(pads) => out.copy_from_slice(&operators::pad(x, input, output, *pads, 0.0)),
            Op::Flatten(order) => out.copy_from_slice(&operators::flatten(x, input, *order)),
            _ => unreachable!("layers and concatenations were handled, and the segment holds nothing else"),
        }
    }
}
