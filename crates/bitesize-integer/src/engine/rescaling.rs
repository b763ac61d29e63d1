//! Requantization constants as kernels take them, in the order of the sums.

use super::aligned::Aligned;
use crate::network::Rescale;
use crate::operators::{self, OutputRange};
use bitesize_ir::requantize::Multiplier;

/// What turns the sums of a layer into codes.
#[derive(Debug)]
pub(crate) struct Rescaling {
    /// For each register of sums [`VALUES`] registers, those of sums that stand for no channel being harmless:
    ///
    /// 1. the bias, added to the shifted sum;
    /// 2. `m` of the multiplier;
    /// 3. where the high word is enough `2^(n-33) + (zero << (n-32))`, which rounds and adds the zero point;
    /// 4. `n - 32` where the high word is enough, else `n`.
    constants: Aligned<i32>,
    /// Sums of a register.
    sums: usize,
    /// Whether every channel can be requantized from the high word of its product, in 32 bits.
    pub(crate) high_word: bool,
    /// What is left of the accumulator shift after weights have taken what they can.
    pub(crate) left: u8,
    /// Zero point and bounds of the output.
    pub(crate) range: OutputRange,
}

/// Constants of a sum.
pub(crate) const VALUES: usize = 4;

/// From this shift on the high word is enough.
const LEAST: u8 = 33;
/// Up to this shift `2^(n-33) + (zero << (n-32))` added to a high word stays in 32 bits: the word is below 2^30 in
/// magnitude, the zero point times 2^22 below 2^30 - 2^21.
const MOST: u8 = 54;

impl Rescaling {
    /// The constants of `rescale` for the sums that stand for `channels` (`None` for padding), `sums` in a register,
    /// with an accumulator shift of `left` after the products are summed.
    pub(crate) fn new(rescale: &Rescale, zero: u8, left: u8, channels: &[Option<usize>], sums: usize) -> Self {
        // The factor 0 has n = 1; with any other n it stays 0.
        let shift_of = |m: &Multiplier| if m.m == 0 { LEAST } else { m.n };
        let high_word = rescale.multipliers.iter().all(|m| (LEAST..=MOST).contains(&shift_of(m)));
        let of_channel = |channel: usize| {
            let multiplier = &rescale.multipliers[channel];
            let n = shift_of(multiplier);
            let shift = i32::from(if high_word { n - 32 } else { n });
            let offset = if high_word { high_word_offset(shift, zero) } else { 0 };
            [rescale.bias[channel], multiplier.m, offset, shift]
        };
        let mut constants = Aligned::zeros(channels.len() * VALUES);
        for (register, channels) in constants.chunks_exact_mut(sums * VALUES).zip(channels.chunks_exact(sums)) {
            for (sum, channel) in channels.iter().enumerate() {
                let values = channel.map_or([0, 0, 0, 1], of_channel);
                register.iter_mut().skip(sum).step_by(sums).zip(values).for_each(|(to, value)| *to = value);
            }
        }
        Self { constants, sums, high_word, left, range: OutputRange { zero, lo: rescale.lo, hi: rescale.hi } }
    }

    /// For kernels that subtract `less` from every code before they multiply it: adds what the sums then lack, `totals`
    /// being the levels of each sum added up.
    pub(crate) fn make_up(&mut self, less: i32, totals: &[i32]) {
        let registers = self.constants.chunks_exact_mut(self.sums * VALUES).zip(totals.chunks_exact(self.sums));
        for (register, totals) in registers {
            for (bias, total) in register.iter_mut().zip(totals) {
                // Sums may wrap on the way: only the total has to fit.
                *bias = bias.wrapping_add(total.wrapping_mul(less) << self.left);
            }
        }
    }

    /// The constants of the register of `SUMS` sums whose first sum is number `at`.
    ///
    /// # Panics
    /// Where registers have another number of sums, or there are fewer.
    #[inline]
    pub(crate) fn register<const SUMS: usize>(&self, at: usize) -> &[[i32; SUMS]; VALUES] {
        assert!(self.sums == SUMS, "the constants are packed for other registers");
        self.of_register(at).as_chunks().0.first_chunk().expect("four values for each sum")
    }

    /// The constants of the register whose first sum is number `at`.
    #[inline]
    fn of_register(&self, at: usize) -> &[i32] {
        &self.constants[at * VALUES..(at + self.sums) * VALUES]
    }

    /// The codes of the first of a register's `sums`, one for each place of `codes`, one at a time. The register's first
    /// sum is number `at`.
    #[inline]
    pub(crate) fn codes(&self, at: usize, sums: &[i32], codes: &mut [u8]) {
        let (bias, rest) = self.of_register(at).split_at(self.sums);
        let (m, rest) = rest.split_at(self.sums);
        let (offset, shift) = rest.split_at(self.sums);
        let channels = bias.iter().zip(m).zip(shift);
        let accumulated = codes.iter_mut().zip(sums).zip(channels);
        if !self.high_word {
            for ((code, &sum), ((&bias, &m), &n)) in accumulated {
                let acc = (sum << self.left).wrapping_add(bias);
                *code = operators::requantize(acc, Multiplier { m, n: n as u8 }, self.range);
            }
            return;
        }
        let (lo, hi) = (i32::from(self.range.lo), i32::from(self.range.hi));
        for (((code, &sum), ((&bias, &m), &shift)), &offset) in accumulated.zip(offset) {
            let acc = (sum << self.left).wrapping_add(bias);
            let high = ((i64::from(acc) * i64::from(m)) >> 32) as i32;
            *code = ((high + offset) >> shift).max(lo).min(hi) as u8;
        }
    }
}

fn high_word_offset(shift: i32, zero: u8) -> i32 {
    (1 << (shift - 1)) + (i32::from(zero) << shift)
}
