//! Runs a network on a few images at a time: one NHWC buffer a tensor, matrix products by `faer`, all else plain loops.
//!
//! Images are cut into chunks whose size depends on the network alone, and each chunk is computed by one thread from
//! beginning to end; what chunks contribute is added up in their order. So results do not depend on the number of
//! threads.

use crate::operators;
use crate::{Progress, Samples, TrainError};
use bitesize_ir::memory::last_uses;
use bitesize_ir::{Network, NodeId, TensorId};
use rayon::prelude::*;
use std::ops::Range;

/// What happens while a network runs, in order.
pub(crate) enum Event<'a> {
    /// A layer with weights has computed its sums (bias included, clamp not).
    Layer {
        /// The layer.
        node: NodeId,
        /// Its input tensor.
        input: &'a [f32],
        /// `[images * pixels][channels]`.
        sums: &'a [f32],
    },
    /// A tensor has its values.
    Tensor {
        /// The tensor.
        id: TensorId,
        /// NHWC.
        values: &'a [f32],
    },
}

/// Images in a chunk: few enough that the largest tensor stays in the cache, many enough for the matrix products.
pub(crate) fn chunk_images(network: &Network) -> usize {
    const ELEMENTS: usize = 1 << 19;
    let largest = network.tensors.iter().map(|t| t.shape.elements()).max().unwrap_or(1);
    (ELEMENTS / largest).clamp(1, 64)
}

/// How many chunks are computed at once: on small networks all lanes', on large ones as many as their activations allow. Which
/// chunks go to which lane does not depend on it.
fn chunks_together(network: &Network) -> usize {
    const BYTES: usize = 512 << 20;
    let last_uses = last_uses(network);
    let mut alive = network.shape(network.input).elements();
    let mut most = alive;
    for (id, node) in network.iter() {
        alive += network.shape(node.output).elements();
        most = most.max(alive);
        alive -= last_uses[id.0].iter().map(|tensor| network.shape(*tensor).elements()).sum::<usize>();
    }
    BYTES / (most * chunk_images(network) * size_of::<f32>())
}

/// Runs `network` on `count` images whose input tensor is `input`, telling `visit` what happens; returns the output.
pub(crate) fn run(network: &Network, input: Vec<f32>, count: usize, visit: &mut dyn FnMut(Event<'_>)) -> Vec<f32> {
    let last_uses = last_uses(network);
    let mut tensors: Vec<Vec<f32>> = vec![Vec::new(); network.tensors.len()];
    visit(Event::Tensor { id: network.input, values: &input });
    tensors[network.input.0] = input;
    for (id, node) in network.iter() {
        let inputs: Vec<operators::Image<'_>> = node
            .inputs
            .iter()
            .map(|t| operators::Image { shape: network.shape(*t), count, values: &tensors[t.0] })
            .collect();
        let mut output = operators::apply(&node.op, &inputs, network.shape(node.output));
        if node.op.parameters().is_some() {
            visit(Event::Layer { node: id, input: inputs[0].values, sums: &output });
        }
        operators::clamp(&mut output, node.op.clamp());
        visit(Event::Tensor { id: node.output, values: &output });
        tensors[node.output.0] = output;
        for tensor in &last_uses[id.0] {
            tensors[tensor.0] = Vec::new();
        }
    }
    std::mem::take(&mut tensors[network.output.0])
}

/// Hands the chunks of `count` images of `network` to `accumulators` in turn (chunk `k` to accumulator `k % len`), those of
/// one round in parallel as far as memory allows, and reports progress after each round.
pub(crate) fn fold_chunks<A: Send>(
    network: &Network,
    count: usize,
    mut accumulators: Vec<A>,
    progress: Progress<'_>,
    fold: impl Fn(&mut A, Range<usize>) + Sync,
) -> Result<Vec<A>, TrainError> {
    let (lanes, chunk) = (accumulators.len(), chunk_images(network));
    let together = chunks_together(network).clamp(1, lanes.max(1));
    for round in (0..count).step_by(chunk * lanes) {
        for (part, accumulators) in accumulators.chunks_mut(together).enumerate() {
            accumulators.par_iter_mut().enumerate().for_each(|(lane, accumulator)| {
                let start = round + (part * together + lane) * chunk;
                if start < count {
                    fold(accumulator, start..(start + chunk).min(count));
                }
            });
        }
        if progress((round + chunk * lanes).min(count), count).is_break() {
            return Err(TrainError::Stopped);
        }
    }
    Ok(accumulators)
}

/// What the lanes of [`fold_chunks`] found, in one: each has a list, and what stands at one place is merged in the order of lanes.
pub(crate) fn merged<A>(lanes: Vec<Vec<A>>, merge: impl Fn(&mut A, &A)) -> Vec<A> {
    let mut lanes = lanes.into_iter();
    let mut all = lanes.next().unwrap_or_default();
    for lane in lanes {
        all.iter_mut().zip(&lane).for_each(|(all, part)| merge(all, part));
    }
    all
}

/// What a layer with weights meets and makes on some of the samples.
pub(crate) struct Met<'a> {
    pub(crate) node: NodeId,
    /// The samples.
    pub(crate) range: Range<usize>,
    pub(crate) input: &'a [f32],
    /// The outputs, bias included, clamp not.
    pub(crate) sums: &'a [f32],
}

/// Runs the network on `samples` and adds up what its layers meet and make, in `lanes` parts that are merged in order. `start`
/// has the empty sums of each node, `None` where nothing is asked for; what comes back is in the same order.
pub(crate) fn sum_layers<A: Clone + Send>(
    network: &Network,
    samples: &Samples<'_>,
    (start, lanes): (Vec<Option<A>>, usize),
    progress: Progress<'_>,
    (add, merge): (impl Fn(&mut A, &Met<'_>) + Sync, impl Fn(&mut A, &A)),
) -> Result<Vec<Option<A>>, TrainError> {
    let parts = fold_chunks(network, samples.len(), vec![start; lanes], progress, |part, range| {
        let values = samples.range(range.clone()).to_real(network);
        run(network, values, range.len(), &mut |event| {
            if let Event::Layer { node, input, sums } = event
                && let Some(totals) = &mut part[node.0]
            {
                add(totals, &Met { node, range: range.clone(), input, sums });
            }
        });
    })?;
    Ok(merged_where_asked(parts, merge))
}

/// As [`merged`], where some places have nothing.
pub(crate) fn merged_where_asked<A>(lanes: Vec<Vec<Option<A>>>, merge: impl Fn(&mut A, &A)) -> Vec<Option<A>> {
    merged(lanes, |total, part| {
        if let (Some(total), Some(part)) = (total, part) {
            merge(total, part);
        }
    })
}
