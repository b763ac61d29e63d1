//! The operators on codes, one function each, written from `docs/numerics.md`. Codes are one a byte here; sums run
//! over contiguous 16-bit values, which compilers turn into multiply-add instructions.
//!
//! Each computes a part of its output, given as the numbers of its pixels row by row; those that make a vector
//! compute all of it.

use crate::network::Rescale;
use bitesize_ir::Shape;
use bitesize_ir::requantize::{AddIntegers, Multiplier};
use bitesize_ir::shape::{Axis, Pads, Window};
use std::ops::Range;

/// What an output code must obey: the output's zero point and the least and greatest code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutputRange {
    /// The code of real 0.
    pub zero: u8,
    /// Lowest code.
    pub lo: u8,
    /// Highest code.
    pub hi: u8,
}

impl OutputRange {
    fn clamp(self, value: i64) -> u8 {
        (i64::from(self.zero) + value).clamp(i64::from(self.lo), i64::from(self.hi)) as u8
    }
}

/// `clamp(zero + ((acc * m + 2^(n-1)) >> n), lo, hi)`, exact.
pub fn requantize(acc: i32, multiplier: Multiplier, range: OutputRange) -> u8 {
    let product = i64::from(acc) * i64::from(multiplier.m);
    range.clamp((product + (1i64 << (multiplier.n - 1))) >> multiplier.n)
}

/// The codes of one tensor with its shape.
#[derive(Clone, Copy)]
pub(crate) struct Image<'a> {
    pub(crate) codes: &'a [u8],
    pub(crate) shape: Shape,
}

impl Image<'_> {
    /// The channels of one pixel.
    fn pixel(&self, y: usize, x: usize) -> &[u8] {
        let start = (y * self.shape.w + x) * self.shape.c;
        &self.codes[start..start + self.shape.c]
    }

    /// The pixels of the window at output position `(y, x)`, tap by tap; `None` in the padding.
    fn taps(&self, window: &Window, y: usize, x: usize) -> impl Iterator<Item = Option<&[u8]>> {
        let columns = move |ky| (0..window.kernel[1]).map(move |kx| (ky, kx));
        (0..window.kernel[0]).flat_map(columns).map(move |(ky, kx)| {
            let row = window.source(0, y, ky, self.shape.h)?;
            Some(self.pixel(row, window.source(1, x, kx, self.shape.w)?))
        })
    }
}

/// A layer with weights, as the interpreter keeps it.
#[derive(Clone, Copy)]
pub(crate) struct Layer<'a> {
    /// In the network's layout, widened.
    pub(crate) weights: &'a [i16],
    pub(crate) rescale: &'a Rescale,
    /// The output's zero point.
    pub(crate) zero: u8,
}

impl Layer<'_> {
    fn code(&self, channel: usize, sum: i32) -> u8 {
        let Rescale { acc_shift, ref bias, ref multipliers, lo, hi } = *self.rescale;
        let acc = (sum << acc_shift) + bias[channel];
        requantize(acc, multipliers[channel], OutputRange { zero: self.zero, lo, hi })
    }
}

/// A part of an output: its shape and the numbers of the pixels, row by row.
#[derive(Clone, Debug)]
pub(crate) struct Part {
    pub(crate) shape: Shape,
    pub(crate) pixels: Range<usize>,
}

impl Part {
    /// The position of each pixel.
    fn positions(&self) -> impl Iterator<Item = (usize, usize)> + use<> {
        let w = self.shape.w;
        self.pixels.clone().map(move |pixel| (pixel / w, pixel % w))
    }

    /// Its codes, of as many in all.
    fn elements(&self) -> usize {
        self.pixels.len() * self.shape.c
    }

    /// Of the codes of a tensor of the output's shape, those at its place.
    fn of<'c>(&self, codes: &'c [u8]) -> &'c [u8] {
        &codes[self.pixels.start * self.shape.c..self.pixels.end * self.shape.c]
    }
}

fn dot(a: &[i16], b: &[i16]) -> i32 {
    a.iter().zip(b).map(|(&a, &b)| i32::from(a) * i32::from(b)).sum()
}

/// One padding code for each channel.
fn padding_pixel(padding: &[u8], channels: usize) -> Vec<u8> {
    if padding.len() == 1 { vec![padding[0]; channels] } else { padding.to_vec() }
}

pub(crate) fn conv2d(
    input: Image,
    output: &Part,
    (window, groups): (&Window, usize),
    layer: Layer,
    padding: &[u8],
) -> Vec<u8> {
    let (in_c, out_c) = (input.shape.c / groups, output.shape.c / groups);
    let per_channel = window.area() * in_c;
    let outside = padding_pixel(padding, input.shape.c);
    let mut codes = Vec::with_capacity(output.elements());
    let mut gathered = Vec::with_capacity(per_channel);
    for (y, x) in output.positions() {
        for group in 0..groups {
            gathered.clear();
            for pixel in input.taps(window, y, x) {
                let channels = &pixel.unwrap_or(&outside)[group * in_c..(group + 1) * in_c];
                gathered.extend(channels.iter().map(|&code| i16::from(code)));
            }
            let kernels = layer.weights.chunks_exact(per_channel).enumerate().skip(group * out_c).take(out_c);
            codes.extend(kernels.map(|(channel, kernel)| layer.code(channel, dot(&gathered, kernel))));
        }
    }
    codes
}

pub(crate) fn depthwise_conv2d(input: Image, output: &Part, window: &Window, layer: Layer, padding: &[u8]) -> Vec<u8> {
    let outside = padding_pixel(padding, input.shape.c);
    let mut codes = Vec::with_capacity(output.elements());
    let mut sums = vec![0i32; output.shape.c];
    for (y, x) in output.positions() {
        sums.fill(0);
        for (pixel, weights) in input.taps(window, y, x).zip(layer.weights.chunks_exact(output.shape.c)) {
            for ((sum, &code), &weight) in sums.iter_mut().zip(pixel.unwrap_or(&outside)).zip(weights) {
                *sum += i32::from(code) * i32::from(weight);
            }
        }
        codes.extend(sums.iter().enumerate().map(|(channel, &sum)| layer.code(channel, sum)));
    }
    codes
}

pub(crate) fn fully_connected(input: Image, layer: Layer) -> Vec<u8> {
    let vector: Vec<i16> = input.codes.iter().map(|&code| i16::from(code)).collect();
    let rows = layer.weights.chunks_exact(vector.len()).enumerate();
    rows.map(|(channel, row)| layer.code(channel, dot(&vector, row))).collect()
}

/// `clamp(zero + (((qa - za) * ma + (qb - zb) * mb + 2^(n-1)) >> n), lo, hi)`.
pub(crate) fn add(
    inputs: [&[u8]; 2],
    output: &Part,
    zeros: [u8; 2],
    integers: AddIntegers,
    range: OutputRange,
) -> Vec<u8> {
    let AddIntegers { ma, mb, n } = integers;
    let sum = |qa: u8, qb: u8| {
        let acc = (i32::from(qa) - i32::from(zeros[0])) * ma + (i32::from(qb) - i32::from(zeros[1])) * mb;
        range.clamp(i64::from((acc + (1 << (n - 1))) >> n))
    };
    let [a, b] = inputs.map(|codes| output.of(codes));
    a.iter().zip(b).map(|(&qa, &qb)| sum(qa, qb)).collect()
}

/// Requantizes each input, given with its zero point and multiplier, while putting the channels one after another.
pub(crate) fn concat(inputs: &[(Image, u8, Multiplier)], output: &Part, range: OutputRange) -> Vec<u8> {
    let mut codes = Vec::with_capacity(output.elements());
    for pixel in output.pixels.clone() {
        for (image, zero, multiplier) in inputs {
            let channels = image.codes[pixel * image.shape.c..(pixel + 1) * image.shape.c].iter();
            let code = |&q: &u8| requantize(i32::from(q) - i32::from(*zero), *multiplier, range);
            codes.extend(channels.map(code));
        }
    }
    codes
}

pub(crate) fn max_pool(input: Image, output: &Part, window: &Window) -> Vec<u8> {
    let mut codes = vec![0; output.elements()];
    for ((y, x), largest) in output.positions().zip(codes.chunks_exact_mut(output.shape.c)) {
        for pixel in input.taps(window, y, x).flatten() {
            for (largest, &code) in largest.iter_mut().zip(pixel) {
                *largest = code.max(*largest);
            }
        }
    }
    codes
}

/// `multiplier` gives the factor for the number of pixels inside the image.
pub(crate) fn average_pool(
    input: Image,
    zero: u8,
    output: &Part,
    window: &Window,
    requantize_sum: impl Fn(usize, i32) -> u8,
) -> Vec<u8> {
    let mut codes = Vec::with_capacity(output.elements());
    let mut sums = vec![0i32; output.shape.c];
    for (y, x) in output.positions() {
        sums.fill(0);
        let mut count = 0;
        for pixel in input.taps(window, y, x).flatten() {
            count += 1;
            for (sum, &code) in sums.iter_mut().zip(pixel) {
                *sum += i32::from(code);
            }
        }
        codes.extend(sums.iter().map(|sum| requantize_sum(count, sum - count as i32 * i32::from(zero))));
    }
    codes
}

pub(crate) fn clamp(input: &[u8], output: &Part, lo: u8, hi: u8) -> Vec<u8> {
    output.of(input).iter().map(|&code| code.clamp(lo, hi)).collect()
}

pub(crate) fn pad(input: Image, output: &Part, pads: Pads, zero: u8) -> Vec<u8> {
    let window = Window { pads, ..Window::of([1, 1]) };
    let mut codes = vec![zero; output.elements()];
    for ((y, x), codes) in output.positions().zip(codes.chunks_exact_mut(output.shape.c)) {
        for pixel in input.taps(&window, y, x).flatten() {
            codes.copy_from_slice(pixel);
        }
    }
    codes
}

pub(crate) fn flatten(input: Image, order: [Axis; 3]) -> Vec<u8> {
    let [a, b, c] = order.map(|axis| (0..axis.size(input.shape), axis.step(input.shape)));
    let mut codes = Vec::with_capacity(input.codes.len());
    for i in a.0 {
        for j in b.0.clone() {
            codes.extend(c.0.clone().map(|k| input.codes[i * a.1 + j * b.1 + k * c.1]));
        }
    }
    codes
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn multiplier() -> impl Strategy<Value = Multiplier> {
        let live = (1i64 << 30..1i64 << 31, any::<bool>(), 1u8..=62).prop_map(|(m, negative, n)| {
            let m = if negative { -m } else { m };
            Multiplier { m: m as i32, n }
        });
        prop_oneof![9 => live, 1 => Just(Multiplier::ZERO)]
    }

    fn range() -> impl Strategy<Value = OutputRange> {
        (any::<u8>(), any::<u8>(), any::<u8>()).prop_map(|(zero, a, b)| OutputRange {
            zero,
            lo: a.min(b),
            hi: a.max(b),
        })
    }

    proptest! {
        #[test]
        fn requantize_is_monotone_and_in_range(a: i32, b: i32, multiplier in multiplier(), range in range()) {
            let (low, high) = (requantize(a.min(b), multiplier, range), requantize(a.max(b), multiplier, range));
            prop_assert!((range.lo..=range.hi).contains(&low) && (range.lo..=range.hi).contains(&high));
            if multiplier.m >= 0 {
                prop_assert!(low <= high);
            } else {
                prop_assert!(low >= high);
            }
        }

        #[test]
        fn requantize_rounds_to_the_nearest_code_halves_up(acc: i32, multiplier in multiplier()) {
            let range = OutputRange { zero: 100, lo: 0, hi: 255 };
            let q = i128::from(requantize(acc, multiplier, range)) - 100;
            // q <= exact + 1/2 < q + 1, both times 2^(n+1).
            let doubled = 2 * i128::from(acc) * i128::from(multiplier.m) + (1i128 << multiplier.n);
            let unit = 1i128 << (multiplier.n + 1);
            prop_assert!(q == -100 || q * unit <= doubled);
            prop_assert!(q == 155 || doubled < (q + 1) * unit);
        }

        /// Stated in the contract: with n >= 33 the high word of the product is enough.
        #[test]
        fn the_high_word_is_enough_for_large_shifts(acc: i32, multiplier in multiplier(), range in range()) {
            prop_assume!(multiplier.n >= 33);
            let high = (i64::from(acc) * i64::from(multiplier.m)) >> 32;
            let short = (high + (1 << (multiplier.n - 33))) >> (multiplier.n - 32);
            prop_assert_eq!(requantize(acc, multiplier, range), range.clamp(short));
        }
    }

    #[test]
    fn requantize_at_its_ends() {
        let range = OutputRange { zero: 7, lo: 0, hi: 255 };
        let half = Multiplier { m: 1 << 30, n: 31 };
        for (acc, expected) in [(0, 7), (1, 8), (-1, 7), (2, 8), (-2, 6), (-3, 6), (i32::MAX, 255), (i32::MIN, 0)] {
            assert_eq!(requantize(acc, half, range), expected, "{acc} / 2");
        }
        assert_eq!(requantize(i32::MIN, Multiplier::ZERO, range), 7);
    }
}
