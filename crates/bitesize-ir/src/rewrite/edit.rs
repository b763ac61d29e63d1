//! Edits of a whole network, each in time that grows with it; rewrites make theirs by [`super::graph::Graph`].

use crate::network::{Network, Node, Tensor, TensorId};
use std::collections::HashSet;

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
    let tensors = network.tensors.iter().map(|tensor| tensor.name.as_str());
    let taken: HashSet<&str> = tensors.chain(network.nodes.iter().map(|node| node.name.as_str())).collect();
    let mut names = (1..).map(|i| if i == 1 { name.to_owned() } else { format!("{name}_{i}") });
    let name = names.find(|name| !taken.contains(name.as_str()));
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
