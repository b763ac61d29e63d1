//! The golden interpreter: what every other implementation is compared with, byte for byte.

use crate::lanes::{in_a_row, lanes_of};
use crate::network::{IntNetwork, IntNode, IntOp};
use crate::operators::{self, Image, Layer, OutputRange, Part};
use bitesize_ir::memory::lifetimes;
use bitesize_ir::requantize::Multiplier;
use bitesize_ir::{NodeId, TensorId};
use rayon::prelude::*;
use std::ops::{ControlFlow, Range};
use std::sync::atomic::{AtomicUsize, Ordering};

/// Told how many images of a batch are done, from any thread; [`ControlFlow::Break`] cancels the rest.
pub type Progress<'a> = &'a (dyn Fn(usize) -> ControlFlow<()> + Sync);

/// Runs an [`IntNetwork`] on codes. Building one widens the weights once; it can then be shared between threads.
#[derive(Clone, Debug)]
pub struct Interpreter<'a> {
    network: &'a IntNetwork,
    /// One for each node, empty where it has no weights.
    weights: Vec<Vec<i16>>,
    /// For each node, the tensors that nothing needs after it.
    dead: Vec<Vec<TensorId>>,
    /// How many threads may run at once.
    lanes: usize,
}

impl<'a> Interpreter<'a> {
    /// An interpreter of `network`, which must be legal ([`IntNetwork::validate`]).
    pub fn new(network: &'a IntNetwork) -> Self {
        let widen = |node: &IntNode| {
            let levels = node.op.weights().map_or(&[][..], |weights| &weights.levels);
            levels.iter().map(|&level| i16::from(level)).collect()
        };
        let edges = network.nodes.iter().map(|node| (node.inputs.as_slice(), node.output));
        let lifetimes = lifetimes(network.tensors.len(), edges, network.output);
        let (mut born, mut dead) = (vec![0; network.nodes.len() + 1], vec![Vec::new(); network.nodes.len()]);
        for (id, (first, last)) in (0..).map(TensorId).zip(lifetimes) {
            born[first] += network.tensor(id).shape.elements();
            if id != network.output
                && let Some(dead) = dead.get_mut(last)
            {
                dead.push(id);
            }
        }
        let (mut alive, mut most) = (0, 0);
        for (born, dead) in born.iter().zip(&dead) {
            alive += born;
            most = alive.max(most);
            alive -= dead.iter().map(|id| network.tensor(*id).shape.elements()).sum::<usize>();
        }
        Self { network, weights: network.nodes.iter().map(widen).collect(), dead, lanes: lanes_of(most) }
    }

    /// The output codes for one image of input codes, both in NHWC order, one code a byte.
    ///
    /// # Panics
    /// Where `image` has not as many codes as the input has elements.
    pub fn run(&self, image: &[u8]) -> Vec<u8> {
        let mut tensors = self.with_input(image);
        for (id, node) in self.network.iter() {
            tensors[node.output.0] = self.run_node(id, &tensors);
            for dead in &self.dead[id.0] {
                tensors[dead.0] = Vec::new();
            }
        }
        std::mem::take(&mut tensors[self.network.output.0])
    }

    /// All tensors empty but the input.
    fn with_input(&self, image: &[u8]) -> Vec<Vec<u8>> {
        let input = self.network.tensor(self.network.input);
        assert_eq!(image.len(), input.shape.elements(), "codes of an image of {}", input.shape);
        let mut tensors = vec![Vec::new(); self.network.tensors.len()];
        tensors[self.network.input.0] = image.to_vec();
        tensors
    }

    /// The codes of every tensor for one image, one code a byte, by [`TensorId`].
    ///
    /// # Panics
    /// As [`Self::run`].
    pub fn run_tensors(&self, image: &[u8]) -> Vec<Vec<u8>> {
        let mut tensors = self.with_input(image);
        for (id, node) in self.network.iter() {
            tensors[node.output.0] = self.run_node(id, &tensors);
        }
        tensors
    }

    /// The outputs for images that lie one after another, in their order: the same bytes whatever the number of
    /// threads (those of the current rayon pool).
    ///
    /// # Panics
    /// Where `images` is not a whole number of images.
    pub fn run_batch(&self, images: &[u8]) -> Vec<u8> {
        self.run_batch_with(images, &|_| ControlFlow::Continue(())).expect("nothing cancels")
    }

    /// As [`Self::run_batch`], calling `progress` after each image; `None` where it cancelled.
    ///
    /// # Panics
    /// As [`Self::run_batch`].
    pub fn run_batch_with(&self, images: &[u8], progress: Progress) -> Option<Vec<u8>> {
        let size = self.network.tensor(self.network.input).shape.elements();
        assert!(images.len().is_multiple_of(size), "{} codes are no images of {size}", images.len());
        let done = AtomicUsize::new(0);
        let run = |image| {
            let output = self.run(image);
            match progress(done.fetch_add(1, Ordering::Relaxed) + 1) {
                ControlFlow::Continue(()) => Some(output),
                ControlFlow::Break(()) => None,
            }
        };
        let images = images.par_chunks(size).with_min_len(in_a_row(images.len() / size, self.lanes));
        let outputs: Option<Vec<Vec<u8>>> = images.map(run).collect();
        outputs.map(|outputs| outputs.concat())
    }

    fn run_node(&self, id: NodeId, tensors: &[Vec<u8>]) -> Vec<u8> {
        let output = self.network.node(id).output;
        self.run_pixels(id, tensors, 0..self.network.tensor(output).shape.pixels())
    }

    /// The output codes of node `id` at `pixels`, numbered row by row, from `tensors`, of which its inputs are there;
    /// all of its pixels where it is fully connected or flattens.
    pub(crate) fn run_pixels(&self, id: NodeId, tensors: &[Vec<u8>], pixels: Range<usize>) -> Vec<u8> {
        let network = self.network;
        let node = network.node(id);
        let tensor = |index: usize| network.tensor(node.inputs[index]);
        let image = |id: TensorId| Image { codes: &tensors[id.0], shape: network.tensor(id).shape };
        let input = image(node.inputs[0]);
        let output = network.tensor(node.output);
        let zero = output.zero;
        let range = |lo, hi| OutputRange { zero, lo, hi };
        let part = &Part { shape: output.shape, pixels };
        let weights = &self.weights[id.0];
        match &node.op {
            IntOp::Conv2d { window, groups, rescale, padding, .. } => {
                let layer = Layer { weights, rescale, zero };
                operators::conv2d(input, part, (window, *groups), layer, padding)
            }
            IntOp::DepthwiseConv2d { window, rescale, padding, .. } => {
                let layer = Layer { weights, rescale, zero };
                operators::depthwise_conv2d(input, part, window, layer, padding)
            }
            IntOp::FullyConnected { rescale, .. } => {
                operators::fully_connected(input, Layer { weights, rescale, zero })
            }
            IntOp::Add { integers, lo, hi } => {
                let codes = [input.codes, image(node.inputs[1]).codes];
                operators::add(codes, part, [tensor(0).zero, tensor(1).zero], *integers, range(*lo, *hi))
            }
            IntOp::Concat { multipliers } => {
                let inputs: Vec<(Image, u8, Multiplier)> = (node.inputs.iter().zip(multipliers))
                    .map(|(&id, &multiplier)| (image(id), network.tensor(id).zero, multiplier))
                    .collect();
                operators::concat(&inputs, part, range(0, output.bits.max_code()))
            }
            IntOp::MaxPool { window } => operators::max_pool(input, part, window),
            IntOp::AveragePool { window, count_include_pad, multipliers, lo, hi } => {
                operators::average_pool(input, tensor(0).zero, part, window, |inside, acc| {
                    let divisor = window.divisor(*count_include_pad, inside);
                    let at = multipliers.iter().position(|(count, _)| *count == divisor);
                    let (_, multiplier) = multipliers[at.expect("a legal pool has a multiplier for each divisor")];
                    operators::requantize(acc, multiplier, range(*lo, *hi))
                })
            }
            IntOp::Clamp { lo, hi } => operators::clamp(input.codes, part, *lo, *hi),
            IntOp::Flatten { order } => operators::flatten(input, *order),
            IntOp::Pad { pads } => operators::pad(input, part, *pads, tensor(0).zero),
        }
    }
}

/// The class of an output: the lowest index of the highest code; 0 for an empty output.
pub fn top1(output: &[u8]) -> usize {
    let mut best = 0;
    for (i, &code) in output.iter().enumerate() {
        if code > output[best] {
            best = i;
        }
    }
    best
}
