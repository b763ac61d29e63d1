//! The way back of a batch: gradients by weights, biases and batch normalizations.
//!
//! Nodes are taken in reverse order, each for the whole batch. The gradient by a tensor's activations is complete once the first node that
//! reads the tensor has added its part; that node brings it behind the clamp and adds up what batch normalization needs of it, while both are in
//! the cache.

use super::channels::{NormBackward, Sums, tile};
use super::plan::{Layer, chunk, first_readers, layer};
use super::workspace::{Lane, Workspace, chunks, elements, parts, read};
use crate::engine::Pool;
use crate::engine::kernels::depthwise::Depthwise;
use crate::engine::kernels::padded::{padded, sized};
use crate::engine::kernels::pool::{self, Pool as AveragePool};
use bitesize_ir::op::Op;
use bitesize_ir::{BatchNorm, Network, TensorId};
use rayon::prelude::*;

/// Gradients by the parameters of a layer.
#[derive(Clone, Debug, Default)]
pub(super) struct LayerGradients {
    pub(super) weights: Vec<f32>,
    /// By the bias, or by the summand of the batch normalization.
    pub(super) shift: Vec<f32>,
    /// By the factor of the batch normalization, where there is one.
    pub(super) factor: Vec<f32>,
}

/// What the way back writes.
#[derive(Debug, Default)]
pub(super) struct Backward {
    /// Of each node.
    pub(super) layers: Vec<LayerGradients>,
    /// Of each tensor, while it is being gathered.
    gradients: Vec<Option<Vec<f32>>>,
    /// Of each tensor, the sums of its complete gradient.
    sums: Vec<Sums>,
    first_readers: Vec<Option<usize>>,
    pool: Pool,
}

/// Weights of which a thread adds up the lanes' gradients.
const PART: usize = 1 << 14;

impl Backward {
    /// Takes `gradient`, by the output of the batch in `workspace`, back to the parameters.
    pub(super) fn run(
        &mut self,
        network: &Network,
        norms: &[Option<BatchNorm>],
        workspace: &mut Workspace,
        gradient: Vec<f32>,
    ) {
        self.layers.resize_with(network.nodes.len(), LayerGradients::default);
        self.gradients.resize_with(network.tensors.len(), || None);
        self.sums.resize_with(network.tensors.len(), Sums::default);
        if self.first_readers.is_empty() {
            self.first_readers = first_readers(network);
        }
        self.gradients[network.output.0] = Some(gradient);
        for index in (0..network.nodes.len()).rev() {
            let Some(gradient) = self.gradients[network.nodes[index].output.0].take() else { continue };
            self.node(network, index, (workspace, norms[index].as_ref()), &gradient);
            self.pool.give(gradient);
        }
    }

    fn node(
        &mut self,
        network: &Network,
        index: usize,
        (workspace, norm): (&mut Workspace, Option<&BatchNorm>),
        gradient: &[f32],
    ) {
        let node = &network.nodes[index];
        let (output, images) = (network.shape(node.output), workspace.ranges.last().map_or(0, |range| range.end));
        let norm = norm.map(|norm| {
            let count = images * output.pixels();
            let (moments, sums) = (&workspace.moments[node.output.0], &self.sums[node.output.0]);
            let layer = &mut self.layers[index];
            layer.shift = sums.first.iter().map(|sum| *sum as f32).collect();
            layer.factor = sums.second.iter().zip(moments).map(|(sum, [_, s])| (sum * s) as f32).collect();
            NormBackward::new(&norm.gamma, moments, sums, count)
        });
        // The images themselves are not learned.
        let wanted: Vec<TensorId> = node.inputs.iter().copied().filter(|tensor| *tensor != network.input).collect();
        let mut targets: Vec<(Vec<f32>, bool)> = wanted
            .iter()
            .map(|tensor| match self.gradients[tensor.0].take() {
                Some(target) => (target, true),
                None => (self.pool.take(images * network.shape(*tensor).elements()), false),
            })
            .collect();
        let Workspace { ranges, lanes, .. } = workspace;
        let mut cut: Vec<Vec<&mut [f32]>> = ranges.iter().map(|_| Vec::new()).collect();
        let adds: Vec<bool> = targets.iter().map(|(_, adds)| *adds).collect();
        for ((target, _), tensor) in targets.iter_mut().zip(&wanted) {
            let parts = parts(target, ranges, network.shape(*tensor).elements());
            cut.iter_mut().zip(parts).for_each(|(lane, part)| lane.push(part));
        }
        let mut own_lanes = std::mem::take(lanes);
        let means: Vec<Option<Vec<f32>>> = wanted
            .iter()
            .map(|tensor| {
                let is_complete = self.first_readers[tensor.0] == Some(index);
                let is_normalized = workspace.activations[tensor.0].is_some();
                let moments = &workspace.moments[tensor.0];
                (is_complete && is_normalized).then(|| tile(moments.iter().map(|[mean, _]| *mean as f32)))
            })
            .collect();
        let way = Way {
            network,
            index,
            workspace,
            norm: norm.as_ref(),
            gradient,
            wanted: &wanted,
            adds: &adds,
            means: &means,
        };
        own_lanes
            .par_iter_mut()
            .zip(cut)
            .enumerate()
            .for_each(|(number, (lane, targets))| way.lane(number, lane, targets));
        self.add_up(network, index, &wanted, &means, &mut own_lanes);
        workspace.lanes = own_lanes;
        for ((target, _), tensor) in targets.into_iter().zip(wanted) {
            self.gradients[tensor.0] = Some(target);
        }
    }

    /// Adds up what the lanes found, in their order.
    fn add_up(
        &mut self,
        network: &Network,
        index: usize,
        wanted: &[TensorId],
        means: &[Option<Vec<f32>>],
        lanes: &mut [Lane],
    ) {
        for (number, (tensor, _)) in wanted.iter().zip(means).enumerate().filter(|(_, (_, mean))| mean.is_some()) {
            let sums = &mut self.sums[tensor.0];
            sums.clear(network.shape(*tensor).c);
            lanes.iter().for_each(|lane| sums.add_all(&lane.sums[number]));
        }
        let op = &network.nodes[index].op;
        if op.parameters().is_none() {
            return;
        }
        let layer = &mut self.layers[index];
        if matches!(op, Op::FullyConnected(_)) {
            let channels = network.shape(network.nodes[index].output).c;
            let of = |c: usize| lanes.iter().map(|lane| lane.sums[1].first[c]).sum::<f64>() as f32;
            layer.shift = (0..channels).map(of).collect();
        }
        let Some((first, others)) = lanes.split_first_mut() else { return };
        first.weights.par_chunks_mut(PART).enumerate().for_each(|(part, sums)| {
            for lane in &*others {
                let others = &lane.weights[part * PART..];
                sums.iter_mut().zip(others).for_each(|(sum, other)| *sum += other);
            }
        });
        std::mem::swap(&mut layer.weights, &mut first.weights);
    }
}

/// What the lanes share on the way back through a node.
struct Way<'a> {
    network: &'a Network,
    index: usize,
    workspace: &'a Workspace,
    norm: Option<&'a NormBackward>,
    /// By what the node gives.
    gradient: &'a [f32],
    /// Inputs whose gradient is asked for.
    wanted: &'a [TensorId],
    /// Whether each of them has a part of it already.
    adds: &'a [bool],
    /// Where the gradient of one becomes complete by this node, the means of the tensor's channels, as a tile.
    means: &'a [Option<Vec<f32>>],
}

impl Way<'_> {
    fn lane(&self, number: usize, lane: &mut Lane, mut targets: Vec<&mut [f32]>) {
        let Self { network, index, workspace, .. } = *self;
        let node = &network.nodes[index];
        let output = network.shape(node.output);
        lane.weights.clear();
        lane.weights.resize(node.op.parameters().map_or(0, |parameters| parameters.weights.len()), 0.0);
        for (sums, tensor) in lane.sums.iter_mut().zip(self.wanted) {
            sums.clear(network.shape(*tensor).c);
        }
        if matches!(node.op, Op::FullyConnected(_)) {
            lane.sums[1].clear(output.c);
        }
        for [own, images] in chunks(&workspace.ranges[number], chunk(network, index)) {
            let at = elements(&images, output.elements());
            let gradient = &self.gradient[at.clone()];
            let mut parts: Vec<&mut [f32]> = targets
                .iter_mut()
                .zip(self.wanted)
                .map(|(target, tensor)| &mut target[elements(&own, network.shape(*tensor).elements())])
                .collect();
            match layer(network, index) {
                Some(layer) => {
                    let mut buffer = std::mem::take(&mut lane.z);
                    let gradient = match self.norm {
                        Some(norm) => {
                            let out = sized(&mut buffer, gradient.len());
                            norm.apply(gradient, &workspace.values[node.output.0][at], out);
                            &*out
                        }
                        None => {
                            lane.sums[1].add_moments(gradient, &tile(std::iter::repeat_n(0.0, output.c)));
                            gradient
                        }
                    };
                    self.layer(layer, lane, &images, gradient, parts.first_mut().map(|part| &mut **part));
                    lane.z = buffer;
                }
                None => self.other(gradient, &mut parts),
            }
            for (number, (mean, part)) in self.means.iter().zip(parts).enumerate() {
                let (Some(mean), tensor) = (mean, self.wanted[number]) else { continue };
                let sums = &workspace.values[tensor.0][elements(&images, network.shape(tensor).elements())];
                if let Some(activation) = &workspace.activations[tensor.0] {
                    lane.sums[number].add_gradient(activation, part, sums, mean);
                }
            }
        }
    }

    /// `gradient` is that by the layer's sums for `images`.
    fn layer(
        &self,
        layer: Layer<'_>,
        lane: &mut Lane,
        images: &std::ops::Range<usize>,
        gradient: &[f32],
        target: Option<&mut [f32]>,
    ) {
        let Lane { x, y, rows, weights: sums, .. } = lane;
        let node = &self.network.nodes[self.index];
        let tensor = node.inputs[0];
        let (shape, pads) = (self.network.shape(tensor), layer.pads());
        let values = &self.workspace.values[tensor.0][elements(images, shape.elements())];
        let read = read(self.workspace.activations[tensor.0].as_ref(), values, (shape, pads), x);
        match layer {
            Layer::Dense(dense) => dense.add_weight_gradient((read, 1.0), gradient, rows, sums),
            Layer::Depthwise(depthwise) => depthwise.add_weight_gradient((read, 1.0), gradient, sums),
        }
        let Some(target) = target else { return };
        let adds = self.adds[0];
        let weights = node.op.parameters().map_or(&[][..], |parameters| parameters.weights);
        match layer {
            Layer::Dense(dense) if dense.is_plain() => {
                return dense.plain_input_gradient(gradient, weights, target, adds);
            }
            Layer::Depthwise(depthwise) => {
                if let (Some(window), false) = (depthwise.turned(), adds) {
                    let turned = Depthwise { window: &window, input: depthwise.output, output: depthwise.input };
                    return turned.forward_turned(gradient, weights, y, target);
                }
            }
            Layer::Dense(_) => {}
        }
        let outer_shape = padded(shape, pads);
        let outer = sized(y, images.len() * outer_shape.elements());
        outer.fill(0.0);
        match layer {
            Layer::Dense(dense) => dense.scatter(gradient, weights, rows, outer),
            Layer::Depthwise(depthwise) => depthwise.scatter(gradient, weights, outer),
        }
        if !adds {
            target.fill(0.0);
        }
        pool::unpad(outer, shape, outer_shape, pads, target);
    }

    fn other(&self, gradient: &[f32], parts: &mut [&mut [f32]]) {
        let node = &self.network.nodes[self.index];
        for (number, part) in parts.iter_mut().enumerate() {
            if !self.adds[number] {
                part.fill(0.0);
            }
            match &node.op {
                Op::AveragePool(pool) => {
                    let (input, output) = (self.network.shape(node.inputs[0]), self.network.shape(node.output));
                    let pool = AveragePool { window: &pool.window, input, output };
                    pool.spread(gradient, &[1.0 / input.pixels() as f32], part);
                }
                _ => part.iter_mut().zip(gradient).for_each(|(sum, g)| *sum += g),
            }
        }
    }
}
