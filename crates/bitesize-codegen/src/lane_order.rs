//! Weights in the order in which the kernels that work row by row take them apart.
//!
//! `runtime/multiply_pixels.h` says what the order is. Output channels come in pairs within their group, each followed by a
//! channel of nothing where their number is odd; of a pair, the words of both in turn.

use bitesize_integer::IntWeights;
use bitesize_ir::grid::{BitWidth, WeightGrid};

/// Words of 32 bits that `length` weights of one output channel take.
pub(crate) fn words_of(length: usize, bits: BitWidth) -> usize {
    length.div_ceil(codes_in_word(bits))
}

fn codes_in_word(bits: BitWidth) -> usize {
    32 / usize::from(bits.bits())
}

/// `weights` in rows of `length`, one for each output channel, `out_per_group` of them in a group.
pub(crate) fn words(weights: &IntWeights, length: usize, out_per_group: usize) -> Vec<u32> {
    let bits = weights.bits;
    let rows: Vec<&[i8]> = weights.levels.chunks(length.max(1)).collect();
    let mut words = Vec::new();
    for pair in rows.chunks(out_per_group.max(1)).flat_map(|group| group.chunks(2)) {
        for at in (0..length).step_by(codes_in_word(bits)) {
            words.extend([0, 1].map(|channel| word(pair.get(channel).map_or(&[][..], |row| &row[at..]), bits)));
        }
    }
    words
}

/// The first levels of `row` in one word; behind its end levels of 0.
fn word(row: &[i8], bits: BitWidth) -> u32 {
    let grid = WeightGrid::of(bits);
    let codes = codes_in_word(bits);
    (0..codes).fold(0, |word, i| {
        let level = row.get(i).copied().unwrap_or(0);
        // Of 8 bits the two's complement; of fewer the level less the lowest, so that no code has a sign.
        let code = if bits == BitWidth::B8 {
            u32::from(level.cast_unsigned())
        } else {
            (i32::from(level) - i32::from(grid.lowest())).cast_unsigned()
        };
        word | code << (usize::from(bits.bits()) * place(i, bits))
    })
}

/// Which field of a word holds its code `i`.
fn place(i: usize, bits: BitWidth) -> usize {
    match bits {
        BitWidth::B8 => [0, 2, 1, 3][i],
        BitWidth::B4 | BitWidth::B2 => i / 2 + i % 2 * codes_in_word(bits) / 2,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_is_that_of_the_kernels() {
        let of = |bits, levels: &[i8], length, group| words(&IntWeights { bits, levels: levels.into() }, length, group);
        // Two channels of three codes: their words in turn, bytes 0 and 2 first.
        assert_eq!(of(BitWidth::B8, &[1, 2, 3, -1, -2, -3], 3, 2), [0x0002_0301, 0x00fe_fdff]);
        // An odd channel has a partner of nothing, in each group.
        assert_eq!(of(BitWidth::B8, &[1, 2], 1, 1), [1, 0, 2, 0]);
        assert_eq!(of(BitWidth::B4, &[-8, 7, 0], 3, 1), [0x888f_8880, 0x8888_8888]);
        assert_eq!(of(BitWidth::B2, &[1, -2, -1], 3, 1), [0xaaa8_aaa7, 0xaaaa_aaaa]);
        assert_eq!(words_of(17, BitWidth::B2), 2);
    }
}
