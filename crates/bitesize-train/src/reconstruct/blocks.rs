//! The blocks of a network: runs of nodes that are learned together.

use bitesize_ir::{Network, Op};
use std::ops::Range;

/// Layers with weights that a block has at most, where it could be cut.
const LAYERS: usize = 3;

/// Cuts `network` into blocks, each of which reads one tensor and hands on one, its last node's output.
///
/// Cuts are made only where everything passes through one tensor. A residual block stays whole; an expansion, a depthwise layer
/// and the projection after it are one block; other layers are taken up to three at a time. Nodes without weights
/// go with what comes before them. With `layer_by_layer` a block is no longer than it has to be.
pub(super) fn blocks(network: &Network, layer_by_layer: bool) -> Vec<Range<usize>> {
    let mut blocks: Vec<Range<usize>> = Vec::new();
    let mut open = 0..0;
    for part in parts(network) {
        let layers = layers(network, part.clone());
        let between =
            layers > 0 && !open.is_empty() && (layers > 1 || layer_by_layer || is_complete(network, open.clone()));
        if between && self::layers(network, open.clone()) > 0 {
            blocks.push(std::mem::replace(&mut open, part));
        } else {
            open.end = part.end;
        }
    }
    if !open.is_empty() {
        blocks.push(open);
    }
    blocks
}

/// The smallest runs of nodes that can be cut apart.
fn parts(network: &Network) -> Vec<Range<usize>> {
    let nodes = network.nodes.len();
    // Where a tensor is read last; the output is read by the caller.
    let mut last_read = vec![0; network.tensors.len()];
    for (index, node) in network.nodes.iter().enumerate() {
        node.inputs.iter().for_each(|tensor| last_read[tensor.0] = index);
    }
    last_read[network.output.0] = nodes;
    let mut parts = Vec::new();
    let (mut start, mut others) = (0, last_read[network.input.0]);
    for (index, node) in network.nodes.iter().enumerate() {
        // `others`: the last reader of what was written before this node.
        if others <= index {
            parts.push(start..index + 1);
            start = index + 1;
        }
        others = others.max(last_read[node.output.0]);
    }
    if start < nodes {
        parts.push(start..nodes);
    }
    parts
}

/// Layers with weights.
fn layers(network: &Network, nodes: Range<usize>) -> usize {
    network.nodes[nodes].iter().filter(|node| node.op.parameters().is_some()).count()
}

/// Whether a block holds enough to be learned alone.
fn is_complete(network: &Network, nodes: Range<usize>) -> bool {
    let of_block = &network.nodes[nodes.clone()];
    let is_depthwise = |op: &Op| matches!(op, Op::DepthwiseConv2d(_));
    let last = of_block.iter().rev().find(|node| node.op.parameters().is_some());
    let pair = of_block.iter().any(|node| is_depthwise(&node.op)) && !last.is_some_and(|node| is_depthwise(&node.op));
    let joins = of_block.iter().any(|node| node.inputs.len() > 1);
    pair || joins || layers(network, nodes) >= LAYERS
}
