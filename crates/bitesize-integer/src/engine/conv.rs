//! Convolutions and fully connected layers: packed weights, and where a window finds its codes.
//!
//! A window is cut into segments, runs of codes that lie next to one another in the (padded) image: a kernel row, or
//! one tap where dilation or groups tear the row apart. Output pixels are rows of a matrix product: row `r` of segment
//! `s` begins at `rows[r] + segments[s]`. Nothing is gathered.

use super::aligned::Aligned;
use super::padded::Padded;
use super::places::Windows;
use super::rescaling::Rescaling;
use super::set::Layout;
use crate::network::{IntWeights, Rescale};
use bitesize_ir::Shape;
use bitesize_ir::shape::Window;

/// Output channels that a kernel computes together.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Panel {
    /// The first output channel.
    pub(crate) channel: usize,
    /// How many; the rest of the registers is padding.
    pub(crate) channels: usize,
    /// Registers of sums.
    pub(crate) registers: usize,
    /// Where its weights begin.
    pub(crate) weights: usize,
    /// Where its requantization constants begin.
    pub(crate) constants: usize,
    /// Where its group's channels begin in a pixel.
    pub(crate) group: usize,
}

/// The levels of a layer in the order in which kernels read them: panel, segment, step of `products` codes, register,
/// sum, product.
#[derive(Debug)]
pub(crate) struct PackedWeights {
    /// As bytes, where four products are summed at once; else empty.
    pub(crate) bytes: Aligned<i8>,
    /// As 16-bit values; else empty.
    pub(crate) words: Aligned<i16>,
    /// The part of the accumulator shift that the levels carry.
    pub(crate) carried: u8,
    /// The packed levels of each sum added up, where codes are not multiplied as they are; else empty.
    pub(crate) totals: Vec<i32>,
}

/// A layer whose sums run over channels.
#[derive(Debug)]
pub(crate) struct Conv {
    pub(crate) weights: std::sync::Arc<PackedWeights>,
    pub(crate) panels: Vec<Panel>,
    pub(crate) rescaling: Rescaling,
    /// For as many images as are computed together. Steps are a segment's codes divided by the products of a step, rounded
    /// up; weights past its end are 0.
    pub(crate) windows: Windows,
    /// Output pixels of an image.
    pub(crate) pixels: usize,
    pub(crate) out_c: usize,
    /// Codes from one image to the next.
    pub(crate) image: usize,
    pub(crate) padded: Padded,
}

/// The geometry of a layer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Geometry<'a> {
    pub(crate) input: Shape,
    pub(crate) output: Shape,
    pub(crate) window: &'a Window,
    pub(crate) groups: usize,
    pub(crate) padding: &'a [u8],
}

/// How many levels of the accumulator's left shift `levels` of at most `bits` bits can carry: what then stays within
/// the values that the packed weights hold.
pub(crate) fn carried(weights: &IntWeights, rescale: &Rescale, layout: Layout) -> u8 {
    let room = if layout.products == 4 { 8 } else { 16 };
    // A level of 8 bits needs all 8; -127..=127 and so on.
    (room - weights.bits.bits().min(room)).min(rescale.acc_shift)
}

impl Geometry<'_> {
    /// The length of a segment, and where each begins in an image of `padded`.
    fn segments(&self, padded: Shape) -> (usize, Vec<usize>) {
        let Window { kernel: [kh, kw], dilation: [dy, dx], .. } = *self.window;
        let in_c = self.input.c / self.groups;
        if self.groups == 1 && (dx == 1 || kw == 1) {
            return (kw * in_c, (0..kh).map(|ky| ky * dy * padded.w * padded.c).collect());
        }
        let tap = |ky: usize, kx: usize| (ky * dy * padded.w + kx * dx) * padded.c;
        (in_c, (0..kh).flat_map(|ky| (0..kw).map(move |kx| tap(ky, kx))).collect())
    }

    /// Panels with their places in weights of `step` values a register and step, and the channel of each constant.
    fn panels(&self, layout: Layout, values: usize) -> (Vec<Panel>, Vec<Option<usize>>) {
        let (in_c, out_c) = (self.input.c / self.groups, self.output.c / self.groups);
        let (mut panels, mut channels, mut weights) = (Vec::new(), Vec::new(), 0);
        for group in 0..self.groups {
            let (mut channel, end) = (group * out_c, (group + 1) * out_c);
            for registers in layout.panels(out_c) {
                let here = (end - channel).min(registers * layout.sums);
                let constants = channels.len();
                panels.push(Panel { channel, channels: here, registers, weights, constants, group: group * in_c });
                let of_sum = |sum: usize| (sum < here).then_some(channel + sum);
                channels.extend(layout.channels(registers).into_iter().map(of_sum));
                weights += values * registers;
                channel += here;
            }
        }
        (panels, channels)
    }

    /// Levels in the order of the panels, each multiplied by `2^carried`.
    pub(crate) fn pack(&self, weights: &IntWeights, carried: u8, layout: Layout) -> PackedWeights {
        let (length, segments) = self.segments(self.input);
        let steps = length.div_ceil(layout.products);
        let values = segments.len() * steps * layout.sums * layout.products;
        let (panels, channels) = self.panels(layout, values);
        let per_channel = segments.len() * length;
        let total: usize = panels.iter().map(|p| p.registers * values).sum();
        let mut packed = vec![0i16; total];
        for panel in &panels {
            let sums = panel.registers * layout.sums;
            let step_values = sums * layout.products;
            for (sum, channel) in channels[panel.constants..panel.constants + sums].iter().enumerate() {
                let Some(channel) = channel else { continue };
                let levels = &weights.levels[channel * per_channel..][..per_channel];
                let mut at = panel.weights + sum * layout.products;
                for segment in levels.chunks_exact(length) {
                    for step in segment.chunks(layout.products) {
                        let to = packed[at..].iter_mut();
                        to.zip(step).for_each(|(to, &level)| *to = i16::from(level) << carried);
                        at += step_values;
                    }
                }
            }
        }
        let of_panel = |panel: &Panel| {
            let sums = panel.registers * layout.sums;
            let values = &packed[panel.weights..panel.weights + values * panel.registers];
            totals(sums, values.chunks_exact(sums * layout.products), layout.products)
        };
        let totals = if layout.less == 0 { Vec::new() } else { panels.iter().flat_map(of_panel).collect() };
        PackedWeights::new(&packed, carried, totals, layout)
    }
}

impl PackedWeights {
    pub(crate) fn new(values: &[i16], carried: u8, totals: Vec<i32>, layout: Layout) -> Self {
        let bytes = layout.products == 4;
        Self {
            bytes: Aligned::from_iter(values[..if bytes { values.len() } else { 0 }].iter().map(|&v| v as i8)),
            words: Aligned::from_iter(values[..if bytes { 0 } else { values.len() }].iter().copied()),
            carried,
            totals,
        }
    }
}

/// The levels of each sum added up; `steps` hold those of one step each, `products` for each sum.
pub(crate) fn totals<'a>(sums: usize, steps: impl Iterator<Item = &'a [i16]>, products: usize) -> Vec<i32> {
    let mut totals = vec![0; sums];
    for step in steps {
        for (total, levels) in totals.iter_mut().zip(step.chunks_exact(products)) {
            *total += levels.iter().map(|&level| i32::from(level)).sum::<i32>();
        }
    }
    totals
}

impl Conv {
    /// The layer for at most `images` at once, with `weights` that [`Geometry::pack`] made.
    pub(crate) fn new(
        geometry: Geometry,
        (rescale, zero): (&Rescale, u8),
        weights: std::sync::Arc<PackedWeights>,
        layout: Layout,
        images: usize,
    ) -> Self {
        let Geometry { input, output, window, padding, .. } = geometry;
        let padded = Padded::new(input, window.pads, padding);
        let (length, segments) = geometry.segments(padded.shape);
        let steps = length.div_ceil(layout.products);
        let (panels, channels) = geometry.panels(layout, segments.len() * steps * layout.sums * layout.products);
        let image = padded.shape.elements();
        let row = |r: usize| {
            let (image_at, at) = (r / output.pixels() * image, r % output.pixels());
            let (y, x) = (at / output.w, at % output.w);
            let place = image_at + (y * window.stride[0] * padded.shape.w + x * window.stride[1]) * input.c;
            u32::try_from(place).expect("the images of a group have less than 4 GiB")
        };
        let mut rescaling = Rescaling::new(rescale, zero, rescale.acc_shift - weights.carried, &channels, layout.sums);
        rescaling.make_up(layout.less, &weights.totals);
        Self {
            panels,
            rescaling,
            windows: Windows::new((0..images * output.pixels()).map(row).collect(), segments, steps, layout.products),
            pixels: output.pixels(),
            out_c: output.c,
            image,
            padded,
            weights,
        }
    }

    /// Codes of the input that kernels read for `images`, of which those past the images do not matter.
    pub(crate) fn reach(&self, images: usize) -> usize {
        let group = self.panels.iter().map(|panel| panel.group).max().unwrap_or(0);
        self.windows.reach(images * self.pixels, group)
    }
}
