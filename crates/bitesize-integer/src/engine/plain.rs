//! Operators without weights: plain loops over channels, which the compiler vectorizes for each instruction set.

use crate::operators::{self, OutputRange};
use bitesize_ir::Shape;
use bitesize_ir::requantize::{AddIntegers, Multiplier};
use bitesize_ir::shape::Window;

/// An operator without weights on one image, but padding, which is a copy.
#[derive(Clone, Debug)]
pub(crate) enum Plain {
    Add(Add),
    /// For each input its channels and what each code becomes.
    Concat(Vec<(usize, Box<[u8; 256]>)>),
    MaxPool(Pool),
    AveragePool(AveragePool),
    Clamp {
        lo: u8,
        hi: u8,
    },
    /// Where each code of the output lies in the input.
    Flatten(Box<[usize]>),
}

#[derive(Clone, Debug)]
pub(crate) struct Add {
    ma: i32,
    mb: i32,
    n: u8,
    /// The zero points' part and the rounding.
    constant: i32,
    range: OutputRange,
}

#[derive(Clone, Debug)]
pub(crate) struct Pool {
    pub(crate) input: Shape,
    pub(crate) output: Shape,
    pub(crate) window: Window,
}

#[derive(Clone, Debug)]
pub(crate) struct AveragePool {
    pub(crate) pool: Pool,
    pub(crate) count_include_pad: bool,
    pub(crate) multipliers: Vec<(usize, Multiplier)>,
    pub(crate) zero_in: u8,
    pub(crate) range: OutputRange,
}

impl Plain {
    /// Computes one image; `input` gives the codes of each input, `sums` is room for the sums of a pixel.
    #[inline(always)]
    pub(crate) fn run<'a>(&self, input: impl Fn(usize) -> &'a [u8], output: &mut [u8], sums: &mut [i32]) {
        match self {
            Self::Add(add) => add.run(input(0), input(1), output),
            Self::Concat(parts) => concat(parts, input, output),
            Self::MaxPool(pool) => pool.largest(input(0), output),
            Self::AveragePool(pool) => pool.run(input(0), output, sums),
            Self::Clamp { lo, hi } => {
                output.iter_mut().zip(input(0)).for_each(|(to, &code)| *to = code.clamp(*lo, *hi));
            }
            Self::Flatten(from) => {
                let input = input(0);
                output.iter_mut().zip(from).for_each(|(to, &at)| *to = input[at]);
            }
        }
    }
}

impl Add {
    pub(crate) fn new(integers: AddIntegers, zeros: [u8; 2], range: OutputRange) -> Self {
        let AddIntegers { ma, mb, n } = integers;
        // Each part is below 2^30 in magnitude; only the total has to fit, and sums wrap on the way.
        let zeros = (i32::from(zeros[0]) * ma).wrapping_add(i32::from(zeros[1]) * mb);
        Self { ma, mb, n, constant: (1i32 << (n - 1)).wrapping_sub(zeros), range }
    }

    #[inline(always)]
    fn run(&self, a: &[u8], b: &[u8], output: &mut [u8]) {
        let Self { ma, mb, n, constant, range } = *self;
        let (zero, lo, hi) = (i32::from(range.zero), i32::from(range.lo), i32::from(range.hi));
        for ((to, &a), &b) in output.iter_mut().zip(a).zip(b) {
            let products = (i32::from(a) * ma).wrapping_add(i32::from(b) * mb);
            *to = (zero + (products.wrapping_add(constant) >> n)).clamp(lo, hi) as u8;
        }
    }
}

/// What each code of an input becomes in a concatenation.
pub(crate) fn concat_table(zero_in: u8, multiplier: Multiplier, range: OutputRange) -> Box<[u8; 256]> {
    let code = |code: usize| operators::requantize(code as i32 - i32::from(zero_in), multiplier, range);
    Box::new(std::array::from_fn(code))
}

#[inline(always)]
fn concat<'a>(parts: &[(usize, Box<[u8; 256]>)], input: impl Fn(usize) -> &'a [u8], output: &mut [u8]) {
    let all: usize = parts.iter().map(|(channels, _)| channels).sum();
    let mut first = 0;
    for (index, (channels, table)) in parts.iter().enumerate() {
        let pixels = output.chunks_exact_mut(all).zip(input(index).chunks_exact(*channels));
        for (to, from) in pixels {
            let to = &mut to[first..first + channels];
            to.iter_mut().zip(from).for_each(|(to, &code)| *to = table[usize::from(code)]);
        }
        first += channels;
    }
}

impl Pool {
    /// The pixels of the image in the window of each output pixel, with that pixel's number.
    #[inline(always)]
    fn each_pixel(&self, mut with: impl FnMut(usize, usize)) {
        let Self { input, output, window } = self;
        for at in 0..output.pixels() {
            let (y, x) = (at / output.w, at % output.w);
            for row in (0..window.kernel[0]).filter_map(|ky| window.source(0, y, ky, input.h)) {
                for column in (0..window.kernel[1]).filter_map(|kx| window.source(1, x, kx, input.w)) {
                    with(at, row * input.w + column);
                }
            }
        }
    }

    #[inline(always)]
    fn largest(&self, input: &[u8], output: &mut [u8]) {
        let c = self.input.c;
        output.fill(0);
        self.each_pixel(|to, from| {
            let (to, from) = (&mut output[to * c..(to + 1) * c], &input[from * c..(from + 1) * c]);
            to.iter_mut().zip(from).for_each(|(to, &code)| *to = code.max(*to));
        });
    }
}

impl AveragePool {
    #[inline(always)]
    fn run(&self, input: &[u8], output: &mut [u8], sums: &mut [i32]) {
        let c = self.pool.input.c;
        let sums = &mut sums[..c];
        let finish = |sums: &mut [i32], count: usize, output: &mut [u8]| {
            let divisor = self.pool.window.divisor(self.count_include_pad, count);
            let at = self.multipliers.iter().position(|(count, _)| *count == divisor);
            let (_, multiplier) = self.multipliers[at.expect("a legal pool has a multiplier for each divisor")];
            let zeros = count as i32 * i32::from(self.zero_in);
            for (to, sum) in output.iter_mut().zip(sums) {
                *to = operators::requantize(*sum - zeros, multiplier, self.range);
                *sum = 0;
            }
        };
        sums.fill(0);
        let (mut current, mut count) = (0, 0);
        self.pool.each_pixel(|to, from| {
            if to != current {
                finish(sums, count, &mut output[current * c..(current + 1) * c]);
                (current, count) = (to, 0);
            }
            count += 1;
            sums.iter_mut().zip(&input[from * c..(from + 1) * c]).for_each(|(sum, &code)| *sum += i32::from(code));
        });
        finish(sums, count, &mut output[current * c..(current + 1) * c]);
    }
}
