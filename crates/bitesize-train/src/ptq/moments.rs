//! What a layer's inputs look like, as its weights see them: how often, their mean, their second moments.

use super::settings::PtqSettings;
use super::tiles::Tiles;
use crate::operators::{Image, Linear, for_each_tap_at, vectorized};
use bitesize_ir::requantize::WeightLayout;
use bitesize_ir::shape::Window;
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
    /// Entries that the covariances of all blocks may have together.
    covariance_entries: usize,
}

impl Blocks {
    /// The blocks of `op`, `None` where it has no weights.
    pub(crate) fn of(op: &Op, settings: &PtqSettings) -> Option<Self> {
        let weights = op.parameters()?.weights.len();
        let covariance_entries = settings.covariance_entries;
        Some(match WeightLayout::of(op)? {
            WeightLayout::ChannelMajor { out_c, per_channel: length, out_per_group: rows, .. } => {
                Self { count: out_c / rows, rows, length, channel_minor: false, covariance_entries }
            }
            WeightLayout::ChannelMinor { channels: count } => {
                Self { count, rows: 1, length: weights / count, channel_minor: true, covariance_entries }
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

    /// The stretches of inputs within which products are summed: all inputs of a block together where the layer's
    /// covariances may have so many entries, else stretches as long as they may.
    pub(crate) fn tiles(self) -> Tiles {
        Tiles::new(self.length, self.covariance_entries / (self.count * self.length).max(1))
    }

    /// Bytes of the [`Moments`] of such a layer.
    pub(crate) fn moment_bytes(self) -> usize {
        self.count * (self.length + self.tiles().entries()) * size_of::<f64>()
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
    /// `[block][tile][k][k]`; for depthwise layers `[tile][k][k][block]`, of which only the upper half is filled.
    products: Vec<f64>,
}

impl Moments {
    pub(crate) fn new(blocks: Blocks) -> Self {
        let products = blocks.count * blocks.tiles().entries();
        Self { blocks, rows_seen: 0.0, sums: vec![0.0; blocks.count * blocks.length], products: vec![0.0; products] }
    }

    /// Adds what the layer `linear` meets in `input`.
    pub(crate) fn add(&mut self, linear: Linear<'_>, input: &Image<'_>, output: Shape) {
        self.rows_seen += (input.count * output.pixels()) as f64;
        match linear {
            Linear::Dense { .. } => self.add_dense(linear, input, output),
            Linear::Depthwise { window } => self.add_depthwise(input, output, window),
        }
    }

    fn add_dense(&mut self, linear: Linear<'_>, input: &Image<'_>, output: Shape) {
        let length = self.blocks.length;
        let tiles = self.blocks.tiles();
        let mut products = vec![0f32; tiles.longest() * tiles.longest()];
        linear.for_each_rows(input, output, |group, rows, _| {
            let matrix = MatRef::from_row_major_slice(rows, rows.len() / length, length);
            let sums = &mut self.sums[group * length..][..length];
            for row in rows.chunks_exact(length) {
                sums.iter_mut().zip(row).for_each(|(sum, x)| *sum += f64::from(*x));
            }
            for inputs in tiles.ranges() {
                let size = inputs.len();
                let products = &mut products[..size * size];
                let target = MatMut::from_row_major_slice_mut(products, size, size);
                let part = matrix.subcols(inputs.start, size);
                faer::linalg::matmul::matmul(target, Accum::Replace, part.transpose(), part, 1.0, Par::Seq);
                let totals = &mut self.products[group * tiles.entries() + tiles.offset(inputs.start)..][..size * size];
                totals.iter_mut().zip(&*products).for_each(|(total, x)| *total += f64::from(*x));
            }
        });
    }

    fn add_depthwise(&mut self, input: &Image<'_>, output: Shape, window: &Window) {
        /// Output pixels whose taps are listed at once.
        const LISTED: usize = 1 << 16;
        let c = input.shape.c;
        // Of some output pixels, for each the taps inside the image with their input pixels.
        let mut inside: Vec<Vec<(usize, usize)>> = Vec::new();
        let mut listed = 0..0;
        let tiles = self.blocks.tiles();
        let mut sums = vec![0f32; window.area() * c];
        let mut products = vec![0f32; tiles.entries() * c];
        let pixels = output.pixels();
        let parts = (0..pixels).step_by(LISTED).map(|start| start..pixels.min(start + LISTED));
        let images = input.values.chunks_exact(input.shape.elements());
        for (image, part) in images.flat_map(|image| parts.clone().map(move |part| (image, part))) {
            if part != listed {
                inside.resize(part.len(), Vec::new());
                for (inside, pixel) in inside.iter_mut().zip(part.clone()) {
                    inside.clear();
                    let at = [pixel / output.w, pixel % output.w];
                    for_each_tap_at(at, input.shape, window, |tap, from| inside.push((tap, from)));
                }
                listed = part;
            }
            vectorized(
                #[inline(always)]
                || {
                    for inside in &inside {
                        for (i, (tap, from)) in inside.iter().enumerate() {
                            let values = &image[from * c..][..c];
                            sums[tap * c..][..c].iter_mut().zip(values).for_each(|(sum, x)| *sum += x);
                            let (tile, row) = tiles.row(*tap);
                            let in_tile = inside[i..].iter().take_while(|(other, _)| *other < tile.end);
                            for (other, other_from) in in_tile {
                                let others = &image[other_from * c..][..c];
                                let products = &mut products[(row + other - tile.start) * c..][..c];
                                for ((product, x), y) in products.iter_mut().zip(values).zip(others) {
                                    *product += x * y;
                                }
                            }
                        }
                    }
                },
            );
        }
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

    /// The covariances of the inputs of `block`, laid out as [`Tiles`] say.
    pub(crate) fn covariances(&self, block: usize) -> Vec<f64> {
        let Blocks { count, channel_minor, .. } = self.blocks;
        let tiles = self.blocks.tiles();
        let rows = self.rows_seen.max(1.0);
        let mut covariances = vec![0.0; tiles.entries()];
        for tile in tiles.ranges() {
            let (first, size) = (tiles.offset(tile.start), tile.len());
            for i in 0..size {
                for j in i..size {
                    let at = first + i * size + j;
                    let product =
                        self.products[if channel_minor { at * count + block } else { block * tiles.entries() + at }];
                    let value = product / rows - self.mean(block, tile.start + i) * self.mean(block, tile.start + j);
                    covariances[at] = value;
                    covariances[first + j * size + i] = value;
                }
            }
        }
        covariances
    }

    /// The means of all inputs, `[block][k]`.
    pub(crate) fn means(&self) -> Vec<f64> {
        let Blocks { count, length, .. } = self.blocks;
        (0..count * length).map(|i| self.mean(i / length, i % length)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bitesize_ir::op::{Clamp, FullyConnected};

    #[test]
    fn no_number_of_inputs_takes_more_than_the_limit() {
        let settings = PtqSettings::default();
        for (inputs, outputs) in [(10, 3), (2304, 2), (2305, 2), (9216, 2), (40_000, 1), (3_000_000, 1)] {
            let (weights, bias) = (vec![0.0; inputs * outputs], vec![0.0; outputs]);
            let op = Op::FullyConnected(FullyConnected { weights, bias, clamp: Clamp::NONE });
            let blocks = Blocks::of(&op, &settings).unwrap();
            let entries = blocks.moment_bytes() / size_of::<f64>() - inputs;
            assert!(entries <= settings.covariance_entries.max(inputs), "{inputs} inputs: {entries} products");
            assert_eq!(entries == inputs * inputs, inputs <= 2304, "{inputs} inputs are looked at together");
        }
    }
}
