//! Bytes of the arena that a layer's kernel works in.

use super::layer_shape::LayerShape;
use super::word::word;
use crate::code::Implementation;
use crate::grid::BitWidth;
use crate::op::KernelKind;
use crate::shape::Pads;

/// Columns of its output that a depthwise convolution computes together, row by row; `runtime/stages.h` has the same number.
pub const COLUMNS: usize = 16;

/// Codes that are gathered into lanes come in multiples of as many, which is what a word of 2-bit weights has.
pub const LANES: usize = 16;

/// Bytes of scratch that `layer`, computed as `implementation` says, needs where its first input has `bits`; a multiple of 4.
///
/// By a kernel of its widths, a convolution gathers the input codes of one window and group into bytes before it multiplies, a
/// fully connected layer its input vector; neither does where the input already is bytes in that order: 8 bits, and a 1x1
/// window of one group without padding (convolution). Row by row, a convolution gathers the windows of two pixels, a fully
/// connected layer its input, into lanes of 16 bits, up to a multiple of 16 of them; a depthwise convolution the columns
/// under [`COLUMNS`] pixels of four channels and one more, two rows in a word, beside its weights in the same form, and a sum and
/// a word of codes for each pixel. Other kernels read and write in place.
pub fn scratch_of_layer(layer: &LayerShape, implementation: Implementation, bits: BitWidth) -> usize {
    let (input, window) = (layer.inputs[0], &layer.window);
    let rows = implementation == Implementation::Rows;
    let [kh, kw] = window.kernel;
    match layer.kind {
        KernelKind::Conv2d => {
            let length = layer.length();
            let direct =
                bits == BitWidth::B8 && [kh, kw] == [1, 1] && layer.groups == 1 && window.pads == Pads::default();
            match (rows, direct) {
                (true, _) => 2 * lane_bytes(length),
                (false, true) => 0,
                (false, false) => word(length),
            }
        }
        KernelKind::FullyConnected if rows => lane_bytes(input.c),
        KernelKind::FullyConnected if bits != BitWidth::B8 => word(input.c),
        KernelKind::DepthwiseConv2d if rows => {
            let pixels = COLUMNS.min(layer.output.w);
            let columns = (pixels - 1) * window.stride[1] + (kw - 1) * window.dilation[1] + 1;
            4 * (2 * COLUMNS + 4 * kh.div_ceil(2) * (kw + columns + 1))
        }
        KernelKind::FullyConnected
        | KernelKind::DepthwiseConv2d
        | KernelKind::Add
        | KernelKind::Concat
        | KernelKind::MaxPool
        | KernelKind::AveragePool
        | KernelKind::Clamp
        | KernelKind::Pad
        | KernelKind::Flatten => 0,
    }
}

/// Bytes of `length` codes as lanes, up to a multiple of 16 of them, as the weights of all widths take them.
fn lane_bytes(length: usize) -> usize {
    2 * length.next_multiple_of(LANES)
}
