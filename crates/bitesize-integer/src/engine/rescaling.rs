//! Requantization constants as kernels take them: arrays in the order of the sums.

use super::aligned::Aligned;
use crate::kernels::{self, OutputRange};
use crate::network::Rescale;
use bitesize_ir::requantize::Multiplier;

/// What turns the sums of a layer into codes. Arrays hold one value for each sum of the packed weights, those of no
/// channel being 0.
#[derive(Debug)]
pub(crate) struct Rescaling {
    /// Added to the shifted sum.
    pub(crate) bias: Aligned<i32>,
    /// `m` of the multiplier.
    pub(crate) multiplier: Aligned<i32>,
    /// Where the high word is enough: `2^(n-33) + (zero << (n-32))`, which rounds and adds the zero point.
    pub(crate) offset: Aligned<i32>,
    /// `n - 32` where the high word is enough, else `n`.
    pub(crate) shift: Aligned<i32>,
    /// Whether every channel can be requantized from the high word of its product, in 32 bits.
    pub(crate) high_word: bool,
    /// What is left of the accumulator shift after weights have taken what they can.
    pub(crate) left: u8,
    /// Zero point and bounds of the output.
    pub(crate) range: OutputRange,
}

/// From this shift on the high word is enough.
const LEAST: u8 = 33;
/// Up to this shift `2^(n-33) + (zero << (n-32))` added to a high word stays in 32 bits: the word is below 2^30 in
/// magnitude, the zero point times 2^22 below 2^30 - 2^21.
const MOST: u8 = 54;

impl Rescaling {
    /// The constants of `rescale` for the sums that stand for `channels` (`None` for padding), with an accumulator
    /// shift of `left` after the products are summed.
    pub(crate) fn new(rescale: &Rescale, zero: u8, left: u8, channels: &[Option<usize>]) -> Self {
        // The factor 0 has n = 1; with any other n it stays 0.
        let shift_of = |m: &Multiplier| if m.m == 0 { LEAST } else { m.n };
        let high_word = rescale.multipliers.iter().all(|m| (LEAST..=MOST).contains(&shift_of(m)));
        let each =
            |value: &dyn Fn(usize) -> i32| Aligned::from_iter(channels.iter().map(|channel| channel.map_or(0, value)));
        let shift = |channel: usize| {
            let n = shift_of(&rescale.multipliers[channel]);
            i32::from(if high_word { n - 32 } else { n })
        };
        let padded_shift = |channel: &Option<usize>| channel.map_or(1, shift);
        Self {
            bias: each(&|channel| rescale.bias[channel]),
            multiplier: each(&|channel| rescale.multipliers[channel].m),
            offset: each(&|channel| if high_word { high_word_offset(shift(channel), zero) } else { 0 }),
            shift: Aligned::from_iter(channels.iter().map(padded_shift)),
            high_word,
            left,
            range: OutputRange { zero, lo: rescale.lo, hi: rescale.hi },
        }
    }

    /// The code of the sum at `index`, one at a time.
    pub(crate) fn code(&self, index: usize, sum: i32) -> u8 {
        let acc = (sum << self.left).wrapping_add(self.bias[index]);
        let n = if self.high_word { self.shift[index] + 32 } else { self.shift[index] };
        kernels::requantize(acc, Multiplier { m: self.multiplier[index], n: n as u8 }, self.range)
    }
}

fn high_word_offset(shift: i32, zero: u8) -> i32 {
    (1 << (shift - 1)) + (i32::from(zero) << shift)
}
