//! Depthwise convolutions: packed weights, and which codes are multiplied together.
//!
//! A kernel takes a block of neighbouring codes of the (padded) image, of as many channels or pixels as fill its
//! registers, at several taps, and interleaves them so that one instruction sums the products of several taps. Where
//! windows step by one row, two output rows share what is interleaved: a column of `kh + 1` rows holds both windows,
//! with other weights for each. Where windows step by one column, a block may run over the end of a pixel into the
//! next: the weights then repeat with the period of the channels.

use super::aligned::LINE;
use super::conv::{Geometry, PackedWeights, totals};
use super::padded::Padded;
use super::places::Taps;
use super::rescaling::Rescaling;
use super::set::Layout;
use crate::network::{IntWeights, Rescale};
use std::sync::Arc;

/// A convolution of each channel by itself.
#[derive(Debug)]
pub(crate) struct Depthwise {
    /// In the order block, step, output row, register, sum, product.
    pub(crate) weights: Arc<PackedWeights>,
    pub(crate) rescaling: Rescaling,
    pub(crate) shape: BlockShape,
    /// Where each step's taps lie: `products` for each step.
    pub(crate) taps: Taps,
    /// Runs of output codes in a row.
    pub(crate) runs: usize,
    /// Codes of a run.
    pub(crate) run: usize,
    /// Codes from one run's windows to the next's.
    pub(crate) run_step: usize,
    /// Codes from one output row's windows to the next's.
    pub(crate) row_step: usize,
    /// Output rows.
    pub(crate) height: usize,
    pub(crate) padded: Padded,
}

/// How a depthwise layer is cut into blocks.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct BlockShape {
    /// Codes of a block.
    pub(crate) codes: usize,
    /// Output rows that are computed together: 1 or 2.
    pub(crate) rows: usize,
    /// Blocks with weights of their own; then they repeat.
    pub(crate) period: usize,
    /// Whether a block may run into the next pixel.
    pub(crate) flat: bool,
    /// Steps of each block.
    pub(crate) steps: usize,
}

/// Registers of sums in a block.
fn registers(layout: Layout) -> usize {
    layout.panel
}

impl BlockShape {
    fn new(geometry: &Geometry, layout: Layout) -> Self {
        let window = geometry.window;
        let (codes, c) = (registers(layout) * layout.sums, geometry.input.c);
        let rows = if layout.products > 1 && window.stride[0] == 1 && window.dilation[0] == 1 { 2 } else { 1 };
        // Blocks that end with each pixel waste the rest of the last; that is worth weights that repeat later.
        let flat = window.stride[1] == 1 && c.div_ceil(codes) * codes * 15 > c * 16;
        let period = if flat { c / gcd(c, codes) } else { c.div_ceil(codes) };
        let taps = window.area();
        let steps = match rows {
            1 => taps.div_ceil(layout.products),
            _ => window.kernel[1] * (window.kernel[0] + 1).div_ceil(layout.products),
        };
        Self { codes, rows, period, flat, steps }
    }

    /// The channel of each sum of all blocks; `None` past the last channel.
    fn channels(&self, c: usize, layout: Layout) -> Vec<Option<usize>> {
        let order = layout.channels(registers(layout));
        let channel = |code: usize| if self.flat { Some(code % c) } else { (code < c).then_some(code) };
        let block = |block: usize| order.iter().map(move |at| channel(block * self.codes + at));
        (0..self.period).flat_map(block).collect()
    }

    /// For each step, output row and product: which tap it multiplies, as kernel row and column. Beside it, the
    /// place in the window that it reads.
    fn plan(&self, [kh, kw]: [usize; 2], products: usize) -> Vec<Slot> {
        let flat = |slot: usize| (slot / kw, slot % kw);
        let column = |slot: usize| {
            let rows = (kh + 1).div_ceil(products) * products;
            (slot % rows, slot / rows)
        };
        let slot = |index: usize| {
            let (y, x) = if self.rows == 1 { flat(index) } else { column(index) };
            let inside = x < kw && y < kh + self.rows - 1;
            if inside { Slot { place: (y, x), used: true } } else { Slot { place: (0, 0), used: false } }
        };
        (0..self.steps * products).map(slot).collect()
    }
}

/// A place in the window that a step reads.
#[derive(Clone, Copy, Debug)]
struct Slot {
    place: (usize, usize),
    used: bool,
}

fn gcd(a: usize, b: usize) -> usize {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// Levels `[kh][kw][c]` in the order of the blocks, each multiplied by `2^carried`.
pub(crate) fn pack(geometry: &Geometry, weights: &IntWeights, carried: u8, layout: Layout) -> PackedWeights {
    let shape = BlockShape::new(geometry, layout);
    let [kh, kw] = geometry.window.kernel;
    let c = geometry.input.c;
    let slots = shape.plan([kh, kw], layout.products);
    let channels = shape.channels(c, layout);
    let mut packed = Vec::with_capacity(shape.period * shape.steps * shape.rows * shape.codes * layout.products);
    for block in channels.chunks_exact(shape.codes) {
        for step in slots.chunks_exact(layout.products) {
            for row in 0..shape.rows {
                for channel in block {
                    packed.extend(step.iter().map(|slot| {
                        let (y, x) = slot.place;
                        let Some(channel) = channel.filter(|_| slot.used && (row..kh + row).contains(&y)) else {
                            return 0;
                        };
                        i16::from(weights.levels[((y - row) * kw + x) * c + channel]) << carried
                    }));
                }
            }
        }
    }
    let step = shape.codes * layout.products;
    // Both output rows have the same levels.
    let of_block = |block: &[i16]| totals(shape.codes, block.chunks_exact(step).step_by(shape.rows), layout.products);
    let blocks = packed.chunks_exact(shape.steps * shape.rows * step);
    let totals = if layout.less == 0 { Vec::new() } else { blocks.flat_map(of_block).collect() };
    PackedWeights::new(&packed, carried, totals, layout)
}

impl Depthwise {
    /// The layer, with `weights` that [`pack`] made.
    pub(crate) fn new(
        geometry: Geometry,
        (rescale, zero): (&Rescale, u8),
        weights: Arc<PackedWeights>,
        layout: Layout,
    ) -> Self {
        let Geometry { input, output, window, padding, .. } = geometry;
        let padded = Padded::new(input, window.pads, padding);
        let shape = BlockShape::new(&geometry, layout);
        let row = padded.shape.w * input.c;
        let place = |slot: &Slot| slot.place.0 * window.dilation[0] * row + slot.place.1 * window.dilation[1] * input.c;
        let channels = shape.channels(input.c, layout);
        let mut rescaling = Rescaling::new(rescale, zero, rescale.acc_shift - weights.carried, &channels, layout.sums);
        rescaling.make_up(layout.less, &weights.totals);
        Self {
            rescaling,
            taps: Taps::new(shape.plan(window.kernel, layout.products).iter().map(place).collect()),
            shape,
            runs: if shape.flat { 1 } else { output.w },
            run: if shape.flat { output.w * output.c } else { output.c },
            run_step: window.stride[1] * input.c,
            row_step: window.stride[0] * row,
            height: output.h,
            padded,
            weights,
        }
    }

    /// Codes of the padded image that kernels may read; those past the image do not matter.
    pub(crate) fn reach(&self) -> usize {
        let rows = self.height.next_multiple_of(self.shape.rows) - 1;
        rows * self.row_step
            + (self.runs - 1) * self.run_step
            + self.run.next_multiple_of(self.shape.codes)
            + self.taps.reach(LINE)
    }
}
