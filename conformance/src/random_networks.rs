//! Random networks: branches, joins, tensors that wait, that nobody reads, and outputs in the middle, which other nodes read or
//! which further nodes follow.

use crate::draw::{Draw, to_width};
use bitesize_integer::{IntNetwork, IntNode, IntOp, IntTensor};
use bitesize_ir::requantize::Multiplier;
use bitesize_ir::shape::{Pads, Window};
use bitesize_ir::{BitWidth, Shape, TensorId};
use rand::RngExt;

/// A network of up to 16 nodes drawn from `seed`. Its output is any tensor of 8 bits, the input among them.
pub fn random_network(seed: u64) -> IntNetwork {
    let mut draw = Draw::new(seed);
    // Of one pixel, and so large that a thread takes one, 4 or 16 images through a node at once.
    let size = draw.one_of(&[1, 2, 3, 5, 8, 17, 33, 60]);
    let shape = Shape::new(size, draw.one_of(&[size, size.div_ceil(2)]), draw.one_of(&[1, 3, 4, 8]));
    let mut grown = Grown { tensors: vec![draw.tensor("in", shape, BitWidth::B8)], nodes: Vec::new() };
    for _ in 0..draw.0.random_range(1..=16) {
        grown.grow(&mut draw);
    }
    let Grown { tensors, nodes } = grown;
    let outputs: Vec<usize> = (0..tensors.len()).filter(|&at| tensors[at].bits == BitWidth::B8).collect();
    let network = IntNetwork {
        name: format!("network_{seed}"),
        nodes,
        input: TensorId(0),
        output: TensorId(draw.one_of(&outputs)),
        tensors,
        input_scale: Multiplier::ZERO,
        output_scale: Multiplier::ZERO,
        output_channels: Vec::new(),
        input_is_pixels: false,
        tail: None,
    };
    network.validate().unwrap_or_else(|error| panic!("the drawn network is not legal: {error}\n{network}"));
    network
}

struct Grown {
    tensors: Vec<IntTensor>,
    nodes: Vec<IntNode>,
}

/// Channels that a concatenation leaves at most.
const CHANNELS: usize = 24;

/// Elements that are made one vector at most.
const MOST_FLATTENED: usize = 300;

impl Grown {
    /// A tensor, more often than not one of the last.
    fn any(&self, draw: &mut Draw) -> usize {
        let count = self.tensors.len();
        let from = if draw.0.random_bool(0.6) { count.saturating_sub(2) } else { 0 };
        draw.0.random_range(from..count)
    }

    /// A tensor of which `fits` holds, which is a companion of `tensor`, or it itself.
    fn companion(&self, draw: &mut Draw, tensor: usize, fits: impl Fn(Shape) -> bool) -> usize {
        let all: Vec<usize> = (0..self.tensors.len()).filter(|&other| fits(self.tensors[other].shape)).collect();
        if all.is_empty() { tensor } else { draw.one_of(&all) }
    }

    fn push(&mut self, op: IntOp, inputs: &[usize], output: IntTensor) {
        let (name, inputs) = (format!("node{}", self.nodes.len()), inputs.iter().map(|&id| TensorId(id)).collect());
        self.nodes.push(IntNode { name, op, inputs, output: TensorId(self.tensors.len()) });
        self.tensors.push(output);
    }

    /// One node more, two where its output is not of 8 bits and is brought back.
    fn grow(&mut self, draw: &mut Draw) {
        let at = self.any(draw);
        let from = self.tensors[at].clone();
        let Shape { h, w, c } = from.shape;
        let name = format!("t{}", self.tensors.len());
        let bits = draw.one_of(&[BitWidth::B8, BitWidth::B8, BitWidth::B4, BitWidth::B2]);
        let same = Window { pads: Pads::all(1), ..Window::of([3, 3]) };
        let window = draw.one_of(&[same, same, Window { stride: [2, 2], ..same }, Window::of([1, 1])]);
        let made = |c: usize| {
            let [h, w] = window.output(from.shape).expect("the windows fit everywhere");
            Shape::new(h, w, c)
        };
        match draw.0.random_range(0..11) {
            0 | 1 => {
                let out_c = draw.one_of(&[1, 4, 8, 17]);
                let output = draw.tensor(&name, made(out_c), bits);
                self.push(draw.layer((&from, &output), window, Some(1), false), &[at], output);
            }
            2 => {
                let output = draw.tensor(&name, made(c), bits);
                self.push(draw.layer((&from, &output), window, None, false), &[at], output);
            }
            3 => self.push(IntOp::MaxPool { window }, &[at], IntTensor { name, shape: made(c), ..from }),
            4 => {
                let output = draw.tensor(&name, made(c), bits);
                self.push(draw.average(&from, &output, window), &[at], output);
            }
            5 => {
                let [lo, hi] = [0; 2].map(|_| draw.0.random_range(0..=from.bits.max_code()));
                self.push(IntOp::Clamp { lo: lo.min(hi), hi: lo.max(hi) }, &[at], IntTensor { name, ..from });
            }
            6 if h * w <= 100 => {
                let [top, left, bottom, right] = [0; 4].map(|_| draw.0.random_range(0..=1));
                let shape = Shape::new(h + top + bottom, w + left + right, c);
                let pads = Pads { top, left, bottom, right };
                self.push(IntOp::Pad { pads }, &[at], IntTensor { name, shape, ..from });
            }
            7 if c <= CHANNELS / 2 => {
                let fits = |other: Shape| (other.h, other.w) == (h, w) && other.c <= CHANNELS - c;
                let other = self.companion(draw, at, fits);
                let inputs = draw.one_of(&[[at, other], [other, at]]);
                let output = draw.tensor(&name, Shape::new(h, w, c + self.tensors[other].shape.c), bits);
                let multipliers = inputs.iter().map(|_| draw.multiplier(255)).collect();
                self.push(IntOp::Concat { multipliers }, &inputs, output);
            }
            8 if h * w == 1 => {
                let out_c = draw.one_of(&[1, 5, 17]);
                let output = draw.tensor(&name, Shape::vector(out_c), bits);
                self.push(draw.fully_connected(&from, &output), &[at], output);
            }
            9 if from.shape.elements() <= MOST_FLATTENED => {
                let (order, shape) = (draw.order(), Shape::vector(from.shape.elements()));
                self.push(IntOp::Flatten { order }, &[at], IntTensor { name, shape, ..from });
            }
            _ => {
                let other = self.companion(draw, at, |other| other == from.shape);
                let output = draw.tensor(&name, from.shape, bits);
                self.push(draw.add(&output), &[at, other], output);
            }
        }
        let last = self.tensors.len() - 1;
        let output = self.tensors[last].clone();
        if output.bits != BitWidth::B8 && draw.0.random_bool(0.5) {
            let back = draw.tensor(&format!("t{}", last + 1), output.shape, BitWidth::B8);
            self.push(to_width(output.bits, BitWidth::B8), &[last], back);
        }
    }
}
