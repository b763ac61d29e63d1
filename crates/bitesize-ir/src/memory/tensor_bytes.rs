//! Bytes of activation tensors.

use super::word::word;
use crate::grid::BitWidth;
use crate::shape::Shape;

/// Bytes of a packed activation tensor: a row is one pixel's channels; padded to a word.
pub fn tensor_bytes(shape: Shape, bits: BitWidth) -> usize {
    word(shape.pixels() * bits.row_bytes(shape.c))
}
