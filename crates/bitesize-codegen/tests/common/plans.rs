//! Plans with chains, made without the planner: everything lies one behind the other.

use super::networks::Drawn;
use bitesize_ir::NodeId;
use bitesize_ir::TensorId;
use bitesize_ir::code::Implementation;
use bitesize_ir::memory::{Chain, InputRows, MemoryPlan, PlannedSegment, RowNode, ram, scratch_of_layer, word};
use bitesize_ir::target::CoreCosts;
use std::ops::Range;

/// Places, one behind the other.
struct Places(usize);

impl Places {
    fn take(&mut self, bytes: usize) -> usize {
        let offset = self.0;
        self.0 += word(bytes);
        offset
    }
}

/// Runs of layers that compute by rows, each cut in two at `cut` (0 to 1) of its length.
pub(crate) fn runs(drawn: &Drawn, cut: f64) -> Vec<Range<usize>> {
    let mut runs = Vec::new();
    let mut first = 0;
    let has_rows = |node| RowNode::of(&drawn.network, node, Implementation::Whole).is_some_and(|node| node.has_rows());
    for (i, node) in drawn.network.nodes.iter().map(has_rows).chain([false]).enumerate() {
        if !node {
            let middle = first + ((i - first) as f64 * cut) as usize;
            runs.extend([first..middle, middle..i].into_iter().filter(|run| !run.is_empty()));
            first = i + 1;
        }
    }
    runs
}

fn row_nodes(drawn: &Drawn, core: &CoreCosts) -> Vec<RowNode> {
    let implementations = ram(&drawn.network, &drawn.widths, core).plan.implementations;
    let node = |(node, implementation)| RowNode::of(&drawn.network, node, implementation).expect("it has a kernel");
    drawn.network.nodes.iter().zip(implementations).map(node).collect()
}

/// The layers of each of `chains` in turns, the others one by one. Pushed rows come into the first chain, which begins with the
/// first layer, or into one without layers.
pub(crate) fn rolling(drawn: &Drawn, core: &CoreCosts, chains: &[Range<usize>], input: InputRows) -> MemoryPlan {
    let (network, mut plan) = (&drawn.network, ram(&drawn.network, &drawn.widths, core).plan);
    let nodes = row_nodes(drawn, core);
    let pushed = (input == InputRows::Pushed).then_some(network.input);
    let mut segments = Vec::new();
    if pushed.is_some() && chains.first().is_none_or(|chain| chain.start > 0) {
        let input = (network.input, network.shape(network.input));
        let chain = Chain::of(&[], 0, |_| true, Some(input));
        segments.push(PlannedSegment::Chain { chain, state: 0 });
    }
    let mut next = 0;
    while next < nodes.len() {
        match chains.iter().find(|chain| chain.start == next) {
            Some(range) => {
                let reads = |tensor| nodes[range.end..].iter().any(|node| node.inputs.contains(&tensor));
                let stays = |tensor: TensorId| tensor == network.output || reads(tensor);
                let input = pushed.filter(|_| next == 0);
                let pushed = input.map(|input| (input, network.tensor(input).shape));
                let chain = Chain::of(&nodes[range.clone()], next, stays, pushed);
                segments.push(PlannedSegment::Chain { chain, state: 0 });
                next = range.end;
            }
            None => {
                segments.push(PlannedSegment::Layer(NodeId(next)));
                next += 1;
            }
        }
    }
    let mut places = Places(0);
    let mut rows: Vec<usize> = network.tensors.iter().map(|tensor| tensor.shape.h).collect();
    for segment in &mut segments {
        if let PlannedSegment::Chain { chain, state } = segment {
            *state = places.take(chain.state_bytes());
            chain.bands.iter().for_each(|band| rows[band.tensor.0] = rows[band.tensor.0].min(band.rows));
        }
    }
    for (i, tensor) in network.tensors.iter().enumerate() {
        let row = tensor.shape.w * drawn.widths.tensors[i].row_bytes(tensor.shape.c);
        plan.tensors[i] = places.take(rows[i] * row);
    }
    for (i, node) in nodes.iter().enumerate() {
        let bytes = scratch_of_layer(&node.layer, node.implementation, drawn.widths.tensors[node.inputs[0].0]);
        plan.scratch[i] = (bytes > 0).then(|| places.take(bytes));
    }
    plan.at_once = nodes.iter().map(RowNode::at_once).collect();
    plan.arena_bytes = places.0;
    MemoryPlan { segments, input, ..plan }
}
