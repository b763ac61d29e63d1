//! What a layer's inputs look like, as its weights see them: how often, their mean, their second moments.

use crate::operators::{Image, Linear, for_each_tap, vectorized};
use bitesize_ir::requantize::WeightLayout;
use bitesize_ir::{Op, Shape};
use faer::{Accum, MatMut, MatRef, Par};

/// How the weights of a layer fall into blocks of output channels that read the same inputs: the groups of a
/// convolution, or the channels of a depthwise one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Blocks {
    /// Number of blocks.
    pub(crate) count: usize,
    /// Output channels of one block.
    pub(crate) rows: usize,
    /// Weights of one output channel.
    pub(crate) length: usize,
    /// Whether weights lie `[taps][channels]` instead of one output channel after the other.
    channel_minor: bool,
}

impl Blocks {
    /// The blocks of `op`, `None` where it has no weights.
    pub(crate) fn of(op: &Op) -> Option<Self> {
        let weights = op.parameters()?.weights.len();
        Some(match WeightLayout::of(op)? {
            WeightLayout::ChannelMajor { out_c, per_channel, out_per_group, .. } => {
                Self { count: out_c / out_per_group, rows: out_per_group, length: per_channel, channel_minor: false }
            }
            WeightLayout::ChannelMinor { channels } => {
                Self { count: channels, rows: 1, length: weights / channels, channel_minor: true }
            }
        })
    }

    /// Output channels.
    pub(crate) fn channels(self) -> usize {
        self.count * self.rows
    }

    /// Where weight `k` of output channel `channel` lies in the operator's layout.
    pub(crate) fn index(self, channel: usize, k: usize) -> usize {
        if self.channel_minor { k * self.count + channel } else { channel * self.length + k }
    }

    /// Bytes of the [`Moments`] of such a layer.
    pub(crate) fn moment_bytes(self) -> usize {
        self.count * self.length * (self.length + 1) * size_of::<f64>()
    }
}

/// Sums over output pixels of the inputs that weights meet, and of their products, block by block.
#[derive(Clone, Debug)]
pub(crate) struct Moments {
    blocks: Blocks,
    /// Output pixels seen.
    pub(crate) rows_seen: f64,
    /// `[block][k]`; for depthwise layers `[k][block]`.
    sums: Vec<f64>,
    /// `[block][k][k]`; for depthwise layers `[k][k][block]`, of which only the upper half is filled.
    products: Vec<f64>,
}

impl Moments {
    pub(crate) fn new(blocks: Blocks) -> Self {
        let sums = blocks.count * blocks.length;
        Self { blocks, rows_seen: 0.0, sums: vec![0.0; sums], products: vec![0.0; sums * blocks.length] }
    }

    /// Adds what the layer `linear` meets in `input`.
    pub(crate) fn add(&mut self, linear: Linear<'_>, input: &Image<'_>, output: Shape) {
        self.rows_seen += (input.count * output.pixels()) as f64;
        match linear {
            Linear::Dense { .. } => self.add_dense(linear, input, output),
            Linear::Depthwise { window } => {
                let taps = window.area();
                self.add_depthwise(input, output, taps, |visit| for_each_tap(input.shape, output, window, visit));
            }
        }
    }

    fn add_dense(&mut self, linear: Linear<'_>, input: &Image<'_>, output: Shape) {
        let length = self.blocks.length;
        let mut products = vec![0f32; length * length];
        linear.for_each_rows(input, output, |group, rows, _| {
            let matrix = MatRef::from_row_major_slice(rows, rows.len() / length, length);
            let target = MatMut::from_row_major_slice_mut(&mut products, length, length);
            faer::linalg::matmul::matmul(target, Accum::Replace, matrix.transpose(), matrix, 1.0, Par::Seq);
            let sums = &mut self.sums[group * length..][..length];
            for row in rows.chunks_exact(length) {
                sums.iter_mut().zip(row).for_each(|(sum, x)| *sum += f64::from(*x));
            }
            let totals = &mut self.products[group * length * length..][..length * length];
            totals.iter_mut().zip(&products).for_each(|(total, x)| *total += f64::from(*x));
        });
    }

    /// `taps_of` lists `(output pixel, tap, input pixel)`, one output pixel after the other.
    fn add_depthwise(
        &mut self,
        input: &Image<'_>,
        output: Shape,
        taps: usize,
        taps_of: impl Fn(&mut dyn FnMut(usize, usize, usize)),
    ) {
        let c = input.shape.c;
        let mut inside: Vec<Vec<(usize, usize)>> = vec![Vec::new(); output.pixels()];
        taps_of(&mut |to, tap, from| inside[to].push((tap, from)));
        let mut sums = vec![0f32; taps * c];
        let mut products = vec![0f32; taps * taps * c];
        vectorized(
            #[inline(always)]
            || {
                for image in input.values.chunks_exact(input.shape.elements()) {
                    for inside in &inside {
                        for (i, (tap, from)) in inside.iter().enumerate() {
                            let values = &image[from * c..][..c];
                            sums[tap * c..][..c].iter_mut().zip(values).for_each(|(sum, x)| *sum += x);
                            for (other, other_from) in &inside[i..] {
                                let others = &image[other_from * c..][..c];
                                let products = &mut products[(tap * taps + other) * c..][..c];
                                for ((product, x), y) in products.iter_mut().zip(values).zip(others) {
                                    *product += x * y;
                                }
                            }
                        }
                    }
                }
            },
        );
        self.sums.iter_mut().zip(&sums).for_each(|(total, x)| *total += f64::from(*x));
        self.products.iter_mut().zip(&products).for_each(|(total, x)| *total += f64::from(*x));
    }

    /// Adds what another part has seen.
    pub(crate) fn merge(&mut self, other: &Self) {
        self.rows_seen += other.rows_seen;
        self.sums.iter_mut().zip(&other.sums).for_each(|(total, x)| *total += x);
        self.products.iter_mut().zip(&other.products).for_each(|(total, x)| *total += x);
    }

    /// The mean of input `k` of `block`.
    pub(crate) fn mean(&self, block: usize, k: usize) -> f64 {
        let Blocks { count, length, channel_minor, .. } = self.blocks;
        let index = if channel_minor { k * count + block } else { block * length + k };
        self.sums[index] / self.rows_seen.max(1.0)
    }

    /// The covariance of the inputs of `block`, `[k][k]`.
    pub(crate) fn covariance(&self, block: usize) -> Vec<f64> {
        let Blocks { count, length, channel_minor, .. } = self.blocks;
        let rows = self.rows_seen.max(1.0);
        let mut covariance = vec![0.0; length * length];
        for i in 0..length {
            for j in i..length {
                let at = i * length + j;
                let product =
                    self.products[if channel_minor { at * count + block } else { block * length * length + at }];
                let value = product / rows - self.mean(block, i) * self.mean(block, j);
                covariance[i * length + j] = value;
                covariance[j * length + i] = value;
            }
        }
        covariance
    }
}

impl Moments {
    /// The means of all inputs, `[block][k]`.
    pub(crate) fn means(&self) -> Vec<f64> {
        let Blocks { count, length, .. } = self.blocks;
        (0..count * length).map(|i| self.mean(i / length, i % length)).collect()
    }
}
