//! Which nodes run, what goes in and comes out, and how a batch is cut.

use crate::TrainError;
use bitesize_ir::op::Op;
use bitesize_ir::{Network, TensorId};
use std::ops::Range;

/// Parameters of all lanes' gradients at most.
const GRADIENT_ELEMENTS: usize = 1 << 24;

/// Images of a lane at least: fewer make matrix products that are too thin.
const LANE_IMAGES: usize = 8;

/// Lanes at most.
const LANES: usize = 8;

/// Elements of the largest tensor of a chunk: so that what one operator writes the next finds in the cache.
const CHUNK_ELEMENTS: usize = 1 << 19;

/// See the module.
#[derive(Clone, Debug)]
pub(super) struct Segment<'a> {
    pub(super) network: &'a Network,
    pub(super) nodes: Range<usize>,
    /// Tensors that its nodes read and none of them writes.
    pub(super) inputs: Vec<TensorId>,
    /// Tensors that the caller sees.
    pub(super) outputs: Vec<TensorId>,
}

impl<'a> Segment<'a> {
    /// # Errors
    /// [`TrainError::NotRewritten`] for an operator that has no backward pass, [`TrainError::Segment`] for a range or an
    /// output that is not the network's.
    pub(super) fn new(network: &'a Network, nodes: Range<usize>, outputs: &[TensorId]) -> Result<Self, TrainError> {
        let wrong = |problem: String| Err(TrainError::Segment { problem });
        if nodes.is_empty() || nodes.end > network.nodes.len() {
            return wrong(format!("there are no nodes {nodes:?} among {}", network.nodes.len()));
        }
        let of_segment = &network.nodes[nodes.clone()];
        if let Some(node) = of_segment.iter().find(|node| matches!(node.op, Op::ChannelAffine(_))) {
            return Err(TrainError::NotRewritten { node: node.name.clone(), op: node.op.name() });
        }
        let written = |tensor: &TensorId| of_segment.iter().any(|node| node.output == *tensor);
        if outputs.is_empty() {
            return wrong("no output was asked for".into());
        }
        if let Some(tensor) = outputs.iter().find(|tensor| !written(tensor)) {
            return wrong(format!("nodes {nodes:?} do not write tensor {}", tensor.0));
        }
        if let Some(tensor) = (1..outputs.len()).find(|i| outputs[..*i].contains(&outputs[*i])) {
            return wrong(format!("tensor {} is asked for twice", outputs[tensor].0));
        }
        let mut inputs: Vec<TensorId> = Vec::new();
        for tensor in of_segment.iter().flat_map(|node| &node.inputs) {
            if !written(tensor) && !inputs.contains(tensor) {
                inputs.push(*tensor);
            }
        }
        Ok(Self { network, nodes, inputs, outputs: outputs.to_vec() })
    }

    /// Into how many lanes a batch is cut: by the batch and the network, never by the machine.
    pub(super) fn lanes(&self, images: usize) -> usize {
        let nodes = &self.network.nodes[self.nodes.clone()];
        let parameters: usize = nodes.iter().filter_map(|n| n.op.parameters()).map(|p| p.weights.len()).sum();
        let by_memory = (GRADIENT_ELEMENTS / parameters.max(1)).clamp(2, LANES);
        (images / LANE_IMAGES).clamp(2, by_memory).min(images.max(1))
    }

    /// The images of lane `lane` of `lanes`.
    pub(super) fn images(&self, lane: usize, lanes: usize, images: usize) -> Range<usize> {
        lane * images / lanes..(lane + 1) * images / lanes
    }

    /// Images that go through the nodes together.
    pub(super) fn chunk(&self) -> usize {
        let nodes = &self.network.nodes[self.nodes.clone()];
        let written = nodes.iter().map(|node| self.network.shape(node.output).elements());
        let largest = written.max().unwrap_or(1);
        (CHUNK_ELEMENTS / largest).clamp(1, 64)
    }
}
