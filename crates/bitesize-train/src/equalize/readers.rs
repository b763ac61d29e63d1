//! What the layers with weights make of the channels that they read.

use super::seen::Seen;
use super::spread::WHOLE;
use super::ties::Ties;
use bitesize_ir::grid::WeightGrid;
use bitesize_ir::requantize::WeightLayout;
use bitesize_ir::{BitWidth, Network, NodeId, TensorId};

/// Rows of a reader whose rounding is looked at, spread over all of them.
const ROWS: usize = 32;

/// The share of the squared error of rounding to nearest that remains where errors are compensated: measured on the reference
/// networks it lies between 0.2 and 0.7.
const COMPENSATED: f64 = 0.5;

/// A layer with weights.
#[derive(Clone, Debug)]
pub(super) struct Reader {
    pub(super) node: NodeId,
    pub(super) input: TensorId,
    rows: Vec<Row>,
    /// How many output channels each row stands for.
    stands_for: f64,
}

/// The weights of one output channel.
#[derive(Clone, Debug)]
struct Row {
    weights: Vec<f64>,
    /// Input channel of each weight.
    channels: Vec<u32>,
    /// The mean square of what it sums up, if inputs were independent.
    energy: f64,
}

/// How much the layers that read a tensor make of it.
#[derive(Clone, Debug)]
pub(super) struct Weights {
    /// Of each channel of each tensor the sum, over output channels of all readers, of the share of their energy that a unit has
    /// in it, squared.
    pub(super) shares: Vec<Vec<f64>>,
    /// As [`Self::shares`], of the readers whose rounding depends on factors alone.
    pub(super) dense: Vec<Vec<f64>>,
    pub(super) readers: Vec<Reader>,
}

impl Weights {
    pub(super) fn of(network: &Network, seen: &[Seen]) -> Self {
        let none: Vec<Vec<f64>> = network.tensors.iter().map(|tensor| vec![0.0; tensor.shape.c]).collect();
        let mut all = Self { shares: none.clone(), dense: none, readers: Vec::new() };
        for (id, node) in network.iter() {
            let (Some(layout), Some(parameters)) = (WeightLayout::of(&node.op), node.op.parameters()) else { continue };
            let input = node.inputs[0];
            let square = &seen[input.0].square;
            let mut energies = vec![0.0; layout.out_channels()];
            for (i, weight) in parameters.weights.iter().enumerate() {
                energies[layout.out_channel(i)] += f64::from(*weight).powi(2) * square[layout.in_channel(i)];
            }
            let depends = matches!(layout, WeightLayout::ChannelMajor { in_c, .. } if in_c > 1);
            for (i, weight) in parameters.weights.iter().enumerate() {
                let energy = energies[layout.out_channel(i)];
                if energy > 0.0 {
                    let share = f64::from(*weight).powi(2) / energy;
                    all.shares[input.0][layout.in_channel(i)] += share;
                    if depends {
                        all.dense[input.0][layout.in_channel(i)] += share;
                    }
                }
            }
            all.readers.push(Reader::of((id, input), layout, parameters.weights, &energies));
        }
        all
    }

    /// What each class has of the shares of its channels.
    pub(super) fn of_classes(shares: &[Vec<f64>], ties: &Ties) -> Vec<f64> {
        let mut all = vec![0.0; ties.classes];
        for (shares, classes) in shares.iter().zip(&ties.class) {
            for (share, class) in shares.iter().zip(classes) {
                if let Some(class) = class {
                    all[*class] += share;
                }
            }
        }
        all
    }
}

impl Reader {
    fn of((node, input): (NodeId, TensorId), layout: WeightLayout, weights: &[f32], energies: &[f64]) -> Self {
        let length = weights.len() / energies.len();
        let live: Vec<usize> = (0..energies.len()).filter(|row| energies[*row] > 0.0).collect();
        let step = live.len().div_ceil(ROWS).max(1);
        let row = |row: &usize| {
            let places = (0..length).map(|k| match layout {
                WeightLayout::ChannelMajor { .. } => row * length + k,
                WeightLayout::ChannelMinor { channels } => k * channels + row,
            });
            Row {
                weights: places.clone().map(|i| f64::from(weights[i])).collect(),
                channels: places.map(|i| layout.in_channel(i) as u32).collect(),
                energy: energies[*row],
            }
        };
        let rows: Vec<Row> = live.iter().step_by(step).map(row).collect();
        let stands_for = live.len() as f64 / rows.len().max(1) as f64;
        Self { node, input, rows, stands_for }
    }

    /// The sum over output channels of what rounding the weights adds to them, as a share of their energy, where input channel
    /// `c` with the mean square `square[c]` is divided by `factor(c)`.
    pub(super) fn noise(&self, factor: impl Fn(usize) -> f64, square: &[f64], bits: BitWidth) -> f64 {
        let of_row = |row: &Row| -> f64 {
            let factors: Vec<f64> = row.channels.iter().map(|c| factor(*c as usize)).collect();
            let scaled: Vec<f64> = row.weights.iter().zip(&factors).map(|(w, f)| w * f).collect();
            let importance =
                row.channels.iter().zip(&factors).map(|(c, f)| square[*c as usize] / (f * f)).collect::<Vec<_>>();
            rounding_error(&scaled, &importance, bits) / row.energy
        };
        let compensated = if bits == BitWidth::B8 { 1.0 } else { COMPENSATED };
        compensated * self.stands_for * self.rows.iter().map(of_row).sum::<f64>()
    }
}

/// The least sum of `importance * error^2` of weights rounded to nearest, over a few scales.
fn rounding_error(weights: &[f64], importance: &[f64], bits: BitWidth) -> f64 {
    const SCALES: usize = 12;
    let grid = WeightGrid::of(bits);
    let (lowest, highest) = (f64::from(grid.lowest()), f64::from(grid.highest()));
    let largest = weights.iter().fold(0.0, |max: f64, w| max.max(w.abs()));
    if largest <= 0.0 {
        return 0.0;
    }
    let error = |scale: f64| -> f64 {
        let inverse = 1.0 / scale;
        let of_one = |(w, importance): (&f64, &f64)| {
            let level = ((w * inverse + WHOLE) - WHOLE).max(lowest).min(highest);
            importance * (w - scale * level).powi(2)
        };
        weights.iter().zip(importance).map(of_one).sum()
    };
    let widest = largest / highest.min(-lowest);
    let signs: &[f64] = if grid.takes_scale(-1.0) { &[1.0, -1.0] } else { &[1.0] };
    let scales = signs.iter().flat_map(|sign| (0..SCALES).map(move |i| sign * widest * (1.0 - i as f64 / 16.0)));
    scales.map(error).fold(f64::INFINITY, f64::min)
}
