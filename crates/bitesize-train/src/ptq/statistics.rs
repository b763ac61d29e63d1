//! What every layer with weights meets and makes in the float network.

use super::moments::{Blocks, Moments};
use super::settings::PtqSettings;
use crate::forward::{self, Met};
use crate::operators::{Image, Linear};
use crate::{Progress, Samples, TrainError};
use bitesize_ir::{Network, NodeId};

/// How much [`float_statistics`] finds out about a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    /// Nothing.
    Nothing,
    /// The means of its sums.
    Means,
    /// The means of its sums, and the moments of its inputs.
    Moments,
}

/// What one layer meets and makes in the float network.
#[derive(Clone, Debug)]
pub(super) struct LayerStatistics {
    /// The inputs, where [`Wanted::Moments`] asked for them.
    pub(super) moments: Option<Moments>,
    /// Output pixels seen.
    rows_seen: f64,
    /// Sum of each channel's outputs before the clamp.
    output_sums: Vec<f64>,
}

impl LayerStatistics {
    fn new(blocks: Blocks, wanted: Wanted) -> Option<Self> {
        let moments = match wanted {
            Wanted::Nothing => return None,
            Wanted::Means => None,
            Wanted::Moments => Some(Moments::new(blocks)),
        };
        Some(Self { moments, rows_seen: 0.0, output_sums: vec![0.0; blocks.channels()] })
    }

    /// The mean of each output channel's sums (bias included, clamp not).
    pub(super) fn mean_sums(&self) -> Vec<f64> {
        self.output_sums.iter().map(|s| s / self.rows_seen.max(1.0)).collect()
    }

    /// Adds what another part has seen.
    fn merge(&mut self, other: &Self) {
        self.rows_seen += other.rows_seen;
        self.output_sums.iter_mut().zip(&other.output_sums).for_each(|(total, part)| *total += part);
        if let (Some(total), Some(part)) = (&mut self.moments, &other.moments) {
            total.merge(part);
        }
    }
}

/// Bytes that the lanes of [`float_statistics`] may take together.
const STATISTICS_BYTES: usize = 512 << 20;

/// Parts that a network's statistics are summed in. It goes by all of its layers, whichever are wanted: the order of
/// additions decides the last bits of a layer's sums, and those must not depend on the company that it is prepared in.
fn lanes(blocks: &[Option<Blocks>]) -> usize {
    let bytes: usize = blocks.iter().flatten().map(|b| b.moment_bytes()).sum();
    (STATISTICS_BYTES / bytes.max(1)).clamp(1, 8)
}

/// What to find out in each run of the network, so that the moments of no run take more than [`STATISTICS_BYTES`], unless
/// those of one layer do. The first finds all means that are wanted without moments; there is no run for nothing.
pub(super) fn runs(network: &Network, wanted: &[Wanted], settings: &PtqSettings) -> Vec<Vec<Wanted>> {
    let blocks: Vec<Option<Blocks>> = network.nodes.iter().map(|node| Blocks::of(&node.op, settings)).collect();
    let lanes = lanes(&blocks);
    let mut runs: Vec<Vec<Wanted>> = Vec::new();
    let mut bytes = 0;
    for (i, (blocks, wanted)) in blocks.iter().zip(wanted).enumerate() {
        let (Some(blocks), Wanted::Means | Wanted::Moments) = (blocks, wanted) else { continue };
        let needed = if *wanted == Wanted::Moments { lanes * blocks.moment_bytes() } else { 0 };
        if runs.is_empty() || (needed > 0 && bytes > 0 && bytes + needed > STATISTICS_BYTES) {
            runs.push(vec![Wanted::Nothing; network.nodes.len()]);
            bytes = 0;
        }
        bytes += needed;
        let run = if needed > 0 { runs.len() - 1 } else { 0 };
        runs[run][i] = *wanted;
    }
    runs
}

/// Runs the float network on `samples`; what is found about node `i` is what `wanted[i]` asks for, and does not depend
/// on what is asked for about others. Nodes without weights have no statistics. No image is looked at where nothing is
/// wanted.
pub(super) fn float_statistics(
    network: &Network,
    samples: &Samples<'_>,
    (wanted, settings): (&[Wanted], &PtqSettings),
    progress: Progress<'_>,
) -> Result<Vec<Option<LayerStatistics>>, TrainError> {
    let blocks: Vec<Option<Blocks>> = network.nodes.iter().map(|node| Blocks::of(&node.op, settings)).collect();
    let start: Vec<Option<LayerStatistics>> =
        blocks.iter().zip(wanted).map(|(blocks, wanted)| LayerStatistics::new((*blocks)?, *wanted)).collect();
    if start.iter().all(Option::is_none) {
        return Ok(start);
    }
    let add = |totals: &mut LayerStatistics, met: &Met<'_>| {
        let count = met.range.len();
        totals.rows_seen += (count * network.shape(network.node(met.node).output).pixels()) as f64;
        add_channel_sums(met.sums, &mut totals.output_sums);
        if let Some(moments) = &mut totals.moments {
            add_layer(network, met.node, count, met.input, moments);
        }
    };
    forward::sum_layers(network, samples, (start, lanes(&blocks)), progress, (add, LayerStatistics::merge))
}

/// Adds what layer `id` meets in `count` images of its input.
pub(super) fn add_layer(network: &Network, id: NodeId, count: usize, input: &[f32], moments: &mut Moments) {
    let node = network.node(id);
    let image = Image { shape: network.shape(node.inputs[0]), count, values: input };
    let linear = Linear::of(&node.op).expect("the caller passes a layer with weights");
    moments.add(linear, &image, network.shape(node.output));
}

fn add_channel_sums(values: &[f32], totals: &mut [f64]) {
    for pixel in values.chunks_exact(totals.len()) {
        totals.iter_mut().zip(pixel).for_each(|(total, x)| *total += f64::from(*x));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bitesize_ir::network::{InputEncoding, Node, Tensor};
    use bitesize_ir::op::{Clamp, FullyConnected, Op};
    use bitesize_ir::{Shape, TensorId};

    /// A chain of `layers` of `size` inputs and outputs.
    fn chain(layers: usize, size: usize) -> Network {
        let tensor = |i: usize| Tensor { name: format!("t{i}"), shape: Shape::vector(size) };
        let layer = |i: usize| Node {
            name: format!("n{i}"),
            op: Op::FullyConnected(FullyConnected {
                weights: vec![0.0; size * size],
                bias: vec![0.0; size],
                clamp: Clamp::NONE,
            }),
            inputs: vec![TensorId(i)],
            output: TensorId(i + 1),
        };
        Network {
            name: "chain".into(),
            tensors: (0..=layers).map(tensor).collect(),
            nodes: (0..layers).map(layer).collect(),
            input: TensorId(0),
            output: TensorId(layers),
            input_encoding: InputEncoding::Real,
            tail: None,
        }
    }

    #[test]
    fn each_layer_is_looked_at_once_and_no_run_takes_more_than_its_share() {
        let settings = PtqSettings::default();
        for (layers, size, expected) in [(3, 16, 1), (20, 1500, 1), (40, 1500, 2), (90, 1500, 4)] {
            let network = chain(layers, size);
            let blocks = Blocks::of(&network.nodes[0].op, &settings).unwrap();
            let mut wanted = vec![Wanted::Moments; layers];
            wanted[1] = Wanted::Means;
            wanted[2] = Wanted::Nothing;
            let runs = runs(&network, &wanted, &settings);
            assert_eq!(runs.len(), expected, "{layers} layers of {size}");
            for run in &runs {
                let moments = run.iter().filter(|wanted| **wanted == Wanted::Moments).count();
                assert!(moments * blocks.moment_bytes() <= STATISTICS_BYTES, "{moments} layers of {size} in one run");
            }
            for (i, wanted) in wanted.into_iter().enumerate() {
                let found: Vec<Wanted> = runs.iter().map(|run| run[i]).filter(|w| *w != Wanted::Nothing).collect();
                assert_eq!(found, if wanted == Wanted::Nothing { vec![] } else { vec![wanted] }, "layer {i}");
            }
        }
        assert!(runs(&chain(2, 4), &[Wanted::Nothing; 2], &settings).is_empty());
    }
}
