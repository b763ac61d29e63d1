//! Packed bytes of activations and weights: several codes in a byte, least significant bits first.
//!
//! A tensor is a sequence of rows. A row starts on a byte, so the last byte of a row may have unused high bits, which
//! are 0; a tensor ends on a word of 4 bytes, filled with 0. The lengths are those of [`bitesize_ir::memory`].
//! What a row is: one pixel's channels (activations), one output channel's kernel (convolution), one input vector
//! (fully connected), one tap's channels (depthwise).

use crate::network::{IntOp, IntWeights};
use bitesize_ir::Shape;
use bitesize_ir::grid::{BitWidth, WeightGrid};
use bitesize_ir::memory::word;

/// Packs `codes`, cut into rows of `row` codes, without padding to a word.
///
/// # Panics
/// Where a code has more than `bits` bits, or `row` does not divide their number.
pub fn pack_rows(codes: &[u8], row: usize, bits: BitWidth) -> Vec<u8> {
    assert!(codes.is_empty() || codes.len().is_multiple_of(row), "{} codes are no rows of {row}", codes.len());
    assert!(codes.iter().all(|&code| code <= bits.max_code()), "a code has more than {bits} bits");
    let width = usize::from(bits.bits());
    let per_byte = 8 / width;
    let pack_byte = |codes: &[u8]| codes.iter().enumerate().fold(0, |byte, (i, code)| byte | code << (i * width));
    codes.chunks(row.max(1)).flat_map(|row| row.chunks(per_byte).map(pack_byte)).collect()
}

/// The first `count` codes of `bytes`, cut into rows of `row` codes: the inverse of [`pack_rows`].
///
/// # Panics
/// Where `bytes` is too short, or `row` does not divide `count`.
pub fn unpack_rows(bytes: &[u8], count: usize, row: usize, bits: BitWidth) -> Vec<u8> {
    assert!(count == 0 || count.is_multiple_of(row), "{count} codes are no rows of {row}");
    let width = usize::from(bits.bits());
    let per_byte = 8 / width;
    let row_bytes = bits.row_bytes(row);
    let code = |i: usize| {
        let (at, within) = (i / row, i % row);
        bytes[at * row_bytes + within / per_byte] >> (within % per_byte * width) & bits.max_code()
    };
    (0..count).map(code).collect()
}

/// The bytes of an activation tensor: [`bitesize_ir::memory::tensor_bytes`] of them.
///
/// # Panics
/// Where there are not `shape.elements()` codes of at most `bits` bits.
pub fn pack_activations(codes: &[u8], shape: Shape, bits: BitWidth) -> Vec<u8> {
    assert_eq!(codes.len(), shape.elements(), "codes of a tensor of {shape}");
    to_word(pack_rows(codes, shape.c, bits))
}

/// The codes of an activation tensor, one a byte: the inverse of [`pack_activations`].
///
/// # Panics
/// Where `bytes` is too short.
pub fn unpack_activations(bytes: &[u8], shape: Shape, bits: BitWidth) -> Vec<u8> {
    unpack_rows(bytes, shape.elements(), shape.c, bits)
}

/// The bytes of weights in rows of `row` levels: [`bitesize_ir::memory::packed_weight_bytes`] of them.
///
/// # Panics
/// Where `row` does not divide the number of levels.
pub fn pack_weights(weights: &IntWeights, row: usize) -> Vec<u8> {
    let grid = WeightGrid::of(weights.bits);
    let codes: Vec<u8> = weights.levels.iter().map(|&level| grid.code(level)).collect();
    to_word(pack_rows(&codes, row, weights.bits))
}

/// The levels of packed weights: the inverse of [`pack_weights`].
///
/// # Panics
/// Where `bytes` is too short, or `row` does not divide `count`.
pub fn unpack_weights(bytes: &[u8], count: usize, row: usize, bits: BitWidth) -> IntWeights {
    let grid = WeightGrid::of(bits);
    let levels = unpack_rows(bytes, count, row, bits).into_iter().map(|code| grid.level(code)).collect();
    IntWeights { bits, levels }
}

/// Levels in one packed row of the weights of `op`, `None` where it has none.
pub fn weight_row(op: &IntOp) -> Option<usize> {
    match op {
        IntOp::Conv2d { weights, rescale, .. } | IntOp::FullyConnected { weights, rescale } => {
            Some(weights.levels.len() / rescale.bias.len())
        }
        IntOp::DepthwiseConv2d { rescale, .. } => Some(rescale.bias.len()),
        IntOp::Add { .. }
        | IntOp::Concat { .. }
        | IntOp::MaxPool { .. }
        | IntOp::AveragePool { .. }
        | IntOp::Clamp { .. }
        | IntOp::Pad { .. }
        | IntOp::Flatten { .. } => None,
    }
}

fn to_word(mut bytes: Vec<u8>) -> Vec<u8> {
    bytes.resize(word(bytes.len()), 0);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use bitesize_ir::code::Implementation;
    use bitesize_ir::memory::{packed_weight_bytes, tensor_bytes};
    use bitesize_ir::op::{Clamp, Conv2d, DepthwiseConv2d, FullyConnected, Op};
    use bitesize_ir::shape::Window;
    use proptest::prelude::*;

    fn width() -> impl Strategy<Value = BitWidth> {
        prop::sample::select(BitWidth::ALL.to_vec())
    }

    #[test]
    fn least_significant_bits_come_first_and_rows_start_on_a_byte() {
        assert_eq!(pack_rows(&[1, 2, 3, 0, 3], 5, BitWidth::B2), [0b00_11_10_01, 0b11]);
        assert_eq!(pack_rows(&[1, 2, 3, 0, 3, 1], 3, BitWidth::B2), [0b11_10_01, 0b01_11_00]);
        assert_eq!(pack_rows(&[1, 15, 7], 3, BitWidth::B4), [0xf1, 0x07]);
        assert_eq!(pack_rows(&[1, 255], 1, BitWidth::B8), [1, 255]);
        let weights = IntWeights { bits: BitWidth::B2, levels: [-2, -1, 0, 1].into() };
        assert_eq!(pack_weights(&weights, 4), [0b11_10_01_00, 0, 0, 0]);
        let weights = IntWeights { bits: BitWidth::B4, levels: [-8, -1, 7].into() };
        assert_eq!(pack_weights(&weights, 3), [0xf8, 0x07, 0, 0]);
    }

    proptest! {
        #[test]
        fn unpacking_undoes_packing_of_activations(
            (h, w, c, bits, bytes) in (1usize..5, 1usize..5, 1usize..19, width()).prop_flat_map(|(h, w, c, bits)| {
                (Just(h), Just(w), Just(c), Just(bits), prop::collection::vec(any::<u8>(), h * w * c))
            })
        ) {
            let shape = Shape::new(h, w, c);
            let codes: Vec<u8> = bytes.iter().map(|b| b & bits.max_code()).collect();
            let packed = pack_activations(&codes, shape, bits);
            prop_assert_eq!(packed.len(), tensor_bytes(shape, bits));
            prop_assert_eq!(unpack_activations(&packed, shape, bits), codes);
        }

        #[test]
        fn unpacking_undoes_packing_of_weights(
            [kh, kw] in [1usize..4, 1usize..4], out_c in 1usize..6, in_c in 1usize..8, bits in width(), seed in any::<u64>(),
        ) {
            let levels: Vec<i8> = WeightGrid::of(bits).levels().collect();
            let draw = |count: usize| -> Vec<i8> {
                (0..count as u64).map(|i| levels[(seed.wrapping_add(i).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) as usize % levels.len()]).collect()
            };
            let window = Window::of([kh, kw]);
            let (clamp, bias) = (Clamp::NONE, vec![0.0; out_c]);
            let floats = |count: usize| vec![0.0; count];
            let cases = [
                (in_c * kh * kw, Op::Conv2d(Conv2d { window, groups: 1, weights: floats(out_c * kh * kw * in_c), bias: bias.clone(), clamp })),
                (out_c, Op::DepthwiseConv2d(DepthwiseConv2d { window, weights: floats(kh * kw * out_c), bias: bias.clone(), clamp })),
                (in_c, Op::FullyConnected(FullyConnected { weights: floats(out_c * in_c), bias, clamp })),
            ];
            for (row, op) in cases {
                let weights = IntWeights { bits, levels: draw(op.parameters().unwrap().weights.len()).into() };
                let packed = pack_weights(&weights, row);
                prop_assert_eq!(packed.len(), packed_weight_bytes(&op, bits, Implementation::Whole));
                prop_assert_eq!(unpack_weights(&packed, weights.levels.len(), row, bits), weights);
            }
        }
    }
}
