//! When tensors are alive: the one rule for everything that keeps them somewhere.

use crate::network::{Network, TensorId};

/// First and last step of each of `tensors` tensors, a step being a node's index: from the node that writes it to the
/// last that reads it. The input is alive from step 0, the output until the last step.
///
/// `nodes` says in order what each node reads and writes.
pub fn lifetimes<'a>(
    tensors: usize,
    nodes: impl ExactSizeIterator<Item = (&'a [TensorId], TensorId)>,
    output: TensorId,
) -> Vec<(usize, usize)> {
    let last = nodes.len().saturating_sub(1);
    let mut alive = vec![(0, 0); tensors];
    for (step, (inputs, written)) in nodes.enumerate() {
        alive[written.0] = (step, step);
        for input in inputs {
            alive[input.0].1 = step;
        }
    }
    alive[output.0].1 = last;
    alive
}

/// [`lifetimes`] of a float network.
pub(super) fn of_network(network: &Network) -> Vec<(usize, usize)> {
    let nodes = network.nodes.iter().map(|node| (node.inputs.as_slice(), node.output));
    lifetimes(network.tensors.len(), nodes, network.output)
}

/// For each node, the tensors that nothing needs after it. The network's output is in none of the lists.
pub fn last_uses(network: &Network) -> Vec<Vec<TensorId>> {
    let mut last_uses = vec![Vec::new(); network.nodes.len()];
    for (tensor, (_, last)) in of_network(network).into_iter().enumerate() {
        if TensorId(tensor) != network.output
            && let Some(list) = last_uses.get_mut(last)
        {
            list.push(TensorId(tensor));
        }
    }
    last_uses
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::{InputEncoding, Node, Tensor};
    use crate::op::{Clamp, Op};
    use crate::shape::Shape;

    /// `nodes` by what they read; node `i` writes tensor `i + 1`. Expected: first and last step of each tensor.
    fn check(nodes: &[&[usize]], output: usize, expected: &[(usize, usize)]) {
        let tensor = |i: usize| Tensor { name: format!("t{i}"), shape: Shape::new(2, 2, 4) };
        let node = |(i, inputs): (usize, &&[usize])| Node {
            name: format!("n{i}"),
            op: if inputs.len() == 2 { Op::Add(Clamp::NONE) } else { Op::Clamp(Clamp::RELU) },
            inputs: inputs.iter().map(|id| TensorId(*id)).collect(),
            output: TensorId(i + 1),
        };
        let network = Network {
            name: "test".into(),
            tensors: (0..=nodes.len()).map(tensor).collect(),
            nodes: nodes.iter().enumerate().map(node).collect(),
            input: TensorId(0),
            output: TensorId(output),
            input_encoding: InputEncoding::Real,
            tail: None,
        };
        network.validate().expect("a legal network");
        assert_eq!(of_network(&network), expected, "{nodes:?}");
        let mut uses = vec![Vec::new(); nodes.len()];
        for (id, (_, last)) in expected.iter().enumerate().filter(|(id, _)| *id != output) {
            uses[*last].push(TensorId(id));
        }
        assert_eq!(last_uses(&network), uses, "{nodes:?}");
    }

    #[test]
    fn tensors_live_from_their_writer_to_their_last_reader() {
        check(&[&[0], &[1], &[2]], 3, &[(0, 0), (0, 1), (1, 2), (2, 2)]);
        // A residual waits for the addition, the input for one that comes late.
        check(&[&[0], &[1], &[2, 1], &[3, 0]], 4, &[(0, 3), (0, 2), (1, 2), (2, 3), (3, 3)]);
        // An output that is read on the way is kept until the end.
        check(&[&[0], &[1], &[2]], 1, &[(0, 0), (0, 2), (1, 2), (2, 2)]);
        // A tensor read twice by one node, and a network of one node.
        check(&[&[0, 0]], 1, &[(0, 0), (0, 0)]);
    }
}
