//! Draws the parts of integer networks: legal numbers of any size, more often than not such that outputs differ.

use bitesize_integer::{IntOp, IntTensor, IntWeights, Rescale};
use bitesize_ir::grid::WeightGrid;
use bitesize_ir::requantize::{AddIntegers, Multiplier};
use bitesize_ir::shape::{Axis, Pads, Window};
use bitesize_ir::{BitWidth, Shape};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::collections::BTreeSet;

/// Draws the parts of integer networks.
#[derive(Debug)]
pub struct Draw(pub ChaCha8Rng);

impl Draw {
    /// The same parts for the same seed.
    pub fn new(seed: u64) -> Self {
        Self(ChaCha8Rng::seed_from_u64(seed))
    }

    /// One of `values`, of which there is at least one.
    pub fn one_of<T: Copy>(&mut self, values: &[T]) -> T {
        values[self.0.random_range(0..values.len())]
    }

    /// A width.
    pub fn width(&mut self) -> BitWidth {
        self.one_of(&BitWidth::ALL)
    }

    /// A tensor with the zero point anywhere, often at an end.
    pub fn tensor(&mut self, name: &str, shape: Shape, bits: BitWidth) -> IntTensor {
        let last = bits.max_code();
        let anywhere = self.0.random_range(0..=last);
        IntTensor { name: name.into(), shape, bits, zero: self.one_of(&[0, last, anywhere, anywhere]) }
    }

    /// A window of any stride, dilation and padding, of which some see nothing but padding.
    pub fn window(&mut self) -> Window {
        let kernel = [self.one_of(&[1, 1, 2, 3, 3, 4, 5]), self.one_of(&[1, 1, 2, 3, 3, 5])];
        let dilation = [self.one_of(&[1, 1, 1, 2, 3]), self.one_of(&[1, 1, 1, 2, 3])];
        let far = self.0.random_bool(0.15);
        let pad = |r: &mut Self, axis: usize| {
            let most = if far { (kernel[axis] - 1) * dilation[axis] + 2 } else { kernel[axis] / 2 + 1 };
            r.0.random_range(0..=most)
        };
        Window {
            kernel,
            stride: [self.one_of(&[1, 1, 2, 3, 5]), self.one_of(&[1, 1, 2, 4])],
            dilation,
            pads: Pads { top: pad(self, 0), bottom: pad(self, 0), left: pad(self, 1), right: pad(self, 1) },
        }
    }

    /// A multiplier that brings sums of about `sum` to codes, seldom 0 or anything that is legal.
    pub fn multiplier(&mut self, sum: i64) -> Multiplier {
        let m = self.0.random_range(1 << 30..=i32::MAX);
        let m = if self.0.random_bool(0.2) { -m } else { m };
        let typical = (31 + sum.max(1).ilog2() as i32 - 7).clamp(1, 62) as u8;
        match self.0.random_range(0..20) {
            0 => Multiplier::ZERO,
            1 => Multiplier { m, n: self.0.random_range(1..=62) },
            _ => Multiplier { m, n: (typical + self.0.random_range(0..3u8)).min(62) },
        }
    }

    /// `count` levels of the grid, sometimes its ends alone.
    pub fn levels(&mut self, bits: BitWidth, count: usize) -> IntWeights {
        let (lowest, highest) = (WeightGrid::of(bits).lowest(), WeightGrid::of(bits).highest());
        let ends = self.one_of(&[
            None,
            None,
            None,
            None,
            None,
            Some([lowest; 2]),
            Some([highest; 2]),
            Some([lowest, highest]),
        ]);
        let level = |_| match ends {
            Some(ends) => self.one_of(&ends),
            None => self.0.random_range(lowest..=highest),
        };
        let levels = (0..count).map(level).collect();
        IntWeights { bits, levels }
    }

    /// Anything legal for sums of at most `largest`, of each channel the magnitude.
    pub fn rescale(&mut self, largest: &[i64], output: &IntTensor) -> Rescale {
        let most = largest.iter().copied().max().unwrap_or(0).max(1);
        let room = (i64::from(i32::MAX >> 1) / most).max(1).ilog2() as u8;
        let acc_shift = self.0.random_range(0..=room.min(15));
        // Clamps that differ from sums of one kind are drawn so that most codes are inside.
        let same = self.0.random_bool(0.8);
        let shared = self.multiplier(most << acc_shift >> 2).n;
        let bias = largest.iter().map(|&sum| {
            let reach = (sum << acc_shift).max(1);
            let limit = if self.0.random_bool(0.1) { 1 << 30 } else { reach.min(1 << 30) };
            self.0.random_range(-limit..=limit) as i32
        });
        let bias: Vec<i32> = bias.collect();
        let multipliers = largest.iter().map(|&sum| {
            let multiplier = self.multiplier(sum << acc_shift >> 2);
            if same && multiplier.m != 0 { Multiplier { n: shared, ..multiplier } } else { multiplier }
        });
        let multipliers = multipliers.collect();
        let (a, b) = (self.0.random_range(0..=output.bits.max_code()), self.0.random_range(0..=output.bits.max_code()));
        let whole = self.0.random_bool(0.5);
        let (lo, hi) = if whole { (0, output.bits.max_code()) } else { (a.min(b), a.max(b)) };
        Rescale { acc_shift, bias, multipliers, lo, hi }
    }

    /// A layer with weights from a tensor to one of `output`: a convolution in `groups`, or where they are `None` a
    /// depthwise one. The padding is one code for each channel where the input is `pixels`.
    pub fn layer(
        &mut self,
        (input, output): (&IntTensor, &IntTensor),
        window: Window,
        groups: Option<usize>,
        pixels: bool,
    ) -> IntOp {
        let (c, out_c, bits) = (input.shape.c, output.shape.c, self.width());
        let codes = if pixels { c } else { 1 };
        let padding = (0..codes).map(|_| self.0.random_range(0..=input.bits.max_code())).collect();
        match groups {
            Some(groups) => {
                let per_channel = window.area() * c / groups;
                let weights = self.levels(bits, out_c * per_channel);
                let rescale = self.rescale(&largest(&weights, out_c, input.bits, |i| i / per_channel), output);
                IntOp::Conv2d { window, groups, weights, rescale, padding }
            }
            None => {
                let weights = self.levels(bits, window.area() * c);
                let rescale = self.rescale(&largest(&weights, c, input.bits, |i| i % c), output);
                IntOp::DepthwiseConv2d { window, weights, rescale, padding }
            }
        }
    }

    /// A fully connected layer.
    pub fn fully_connected(&mut self, input: &IntTensor, output: &IntTensor) -> IntOp {
        let (c, out_c, bits) = (input.shape.c, output.shape.c, self.width());
        let weights = self.levels(bits, out_c * c);
        let rescale = self.rescale(&largest(&weights, out_c, input.bits, |i| i / c), output);
        IntOp::FullyConnected { weights, rescale }
    }

    /// An average pool of a window that touches the image everywhere.
    pub fn average(&mut self, input: &IntTensor, output: &IntTensor, window: Window) -> IntOp {
        let inside = |axis: usize, at: usize, size: usize| {
            (0..window.kernel[axis]).filter(|&tap| window.source(axis, at, tap, size).is_some()).count()
        };
        let count_include_pad = self.0.random_bool(0.5);
        let pixels = (0..output.shape.h).flat_map(|y| (0..output.shape.w).map(move |x| (y, x)));
        let count = |(y, x)| inside(0, y, input.shape.h) * inside(1, x, input.shape.w);
        let divisors: BTreeSet<usize> = pixels.map(|at| window.divisor(count_include_pad, count(at))).collect();
        let multipliers =
            divisors.into_iter().map(|n| (n, self.multiplier(n as i64 * i64::from(input.bits.max_code()))));
        let multipliers = multipliers.collect();
        IntOp::AveragePool { window, count_include_pad, multipliers, lo: 0, hi: output.bits.max_code() }
    }

    /// Any order of the axes.
    pub fn order(&mut self) -> [Axis; 3] {
        let mut order = Axis::ALL;
        for left in (1..order.len()).rev() {
            order.swap(left, self.0.random_range(0..=left));
        }
        order
    }

    /// An addition.
    pub fn add(&mut self, output: &IntTensor) -> IntOp {
        let [ma, mb] = [0; 2].map(|_| self.0.random_range(0..1 << 21));
        let [a, b] = [0; 2].map(|_| self.0.random_range(0..=output.bits.max_code()));
        IntOp::Add { integers: AddIntegers { ma, mb, n: self.0.random_range(1..=30) }, lo: a.min(b), hi: a.max(b) }
    }
}

/// Hands the codes of a tensor on at another width: what brings a network's 8 bits to a layer's width and back.
pub fn to_width(from: BitWidth, to: BitWidth) -> IntOp {
    let ratio = f64::from(to.max_code()) / f64::from(from.max_code());
    let multiplier = Multiplier::from_real(ratio).expect("a ratio of widths is a multiplier");
    let window = Window::of([1, 1]);
    IntOp::AveragePool {
        window,
        count_include_pad: false,
        multipliers: vec![(1, multiplier)],
        lo: 0,
        hi: to.max_code(),
    }
}

/// The most that the sums of each of `channels` can be in magnitude.
pub fn largest(
    weights: &IntWeights,
    channels: usize,
    input: BitWidth,
    channel_of: impl Fn(usize) -> usize,
) -> Vec<i64> {
    let mut sums = vec![0; channels];
    for (i, &level) in weights.levels.iter().enumerate() {
        sums[channel_of(i)] += i64::from(level.unsigned_abs()) * i64::from(input.max_code());
    }
    sums
}
