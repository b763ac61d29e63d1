//! Edits of a whole network, each in time that grows with it; rewrites make theirs by [`super::graph::Graph`].

use crate::network::{Network, Node, NodeId, Tensor, TensorId};

/// Removes `id`, whose output equals its first input: readers of the output read the input.
pub(super) fn bypass(network: &mut Network, id: NodeId) {
    let node = network.nodes.remove(id.0);
    redirect(network, node.output, node.inputs[0]);
}

/// Makes all readers of `from` read `to`.
pub(super) fn redirect(network: &mut Network, from: TensorId, to: TensorId) {
    for input in network.nodes.iter_mut().flat_map(|n| &mut n.inputs) {
        if *input == from {
            *input = to;
        }
    }
    if network.output == from {
        network.output = to;
    }
}

/// Puts a node in front of all readers of `tensor`. Names that are taken get a number.
pub(super) fn insert_after(network: &mut Network, tensor: TensorId, op: crate::Op, name: &str) {
    let taken = |n: &str| network.tensors.iter().any(|t| t.name == n) || network.nodes.iter().any(|m| m.name == n);
    let name = (1..).map(|i| if i == 1 { name.to_owned() } else { format!("{name}_{i}") }).find(|n| !taken(n));
    let name = name.expect("there are fewer names than numbers");
    let shape = network.shape(tensor);
    network.tensors.push(Tensor { name: name.clone(), shape });
    let output = TensorId(network.tensors.len() - 1);
    redirect(network, tensor, output);
    let at = network.producer(tensor).map_or(0, |producer| producer.0 + 1);
    network.nodes.insert(at, Node { name, op, inputs: vec![tensor], output });
}

/// Whether all values are finite.
pub(super) fn finite(values: &[f32]) -> bool {
    values.iter().all(|v| v.is_finite())
}
