//! Images with zeros round them, so that windows need no test for the border.

use bitesize_ir::Shape;
use bitesize_ir::shape::{Pads, Window};

/// The shape with its padding.
pub(crate) fn padded(shape: Shape, pads: Pads) -> Shape {
    Shape { h: shape.h + pads.top + pads.bottom, w: shape.w + pads.left + pads.right, c: shape.c }
}

/// The first `length` elements of a buffer that never shrinks, so that nothing is zeroed anew when it is used for more.
pub(crate) fn sized(buffer: &mut Vec<f32>, length: usize) -> &mut [f32] {
    if buffer.len() < length {
        buffer.resize(length, 0.0);
    }
    &mut buffer[..length]
}

/// Fills `out` with images of `shape` between zeros; `write(start, row)` writes the row that begins at element `start` of the
/// unpadded images.
#[inline(always)]
pub(crate) fn fill(shape: Shape, pads: Pads, out: &mut [f32], mut write: impl FnMut(usize, &mut [f32])) {
    let (outer, row) = (padded(shape, pads), shape.w * shape.c);
    let (left, right) = (pads.left * shape.c, pads.right * shape.c);
    let pitch = outer.w * outer.c;
    for (index, image) in out.chunks_exact_mut(outer.elements()).enumerate() {
        let (above, rest) = image.split_at_mut(pads.top * pitch);
        let (inner, below) = rest.split_at_mut(shape.h * pitch);
        above.fill(0.0);
        below.fill(0.0);
        for (y, line) in inner.chunks_exact_mut(pitch).enumerate() {
            line[..left].fill(0.0);
            line[left + row..].fill(0.0);
            debug_assert_eq!(line.len(), left + row + right);
            write(index * shape.elements() + y * row, &mut line[left..left + row]);
        }
    }
}

/// Where the taps of a window lie, in elements of a padded image from the window's first.
pub(crate) fn tap_offsets(window: &Window, outer: Shape) -> Vec<usize> {
    let [kh, kw] = window.kernel;
    let at = |ky: usize, kx: usize| (ky * window.dilation[0] * outer.w + kx * window.dilation[1]) * outer.c;
    (0..kh).flat_map(|ky| (0..kw).map(move |kx| at(ky, kx))).collect()
}

/// Where the window of an output pixel begins in a padded image.
#[inline(always)]
pub(crate) fn window_start(window: &Window, outer: Shape, oy: usize, ox: usize) -> usize {
    (oy * window.stride[0] * outer.w + ox * window.stride[1]) * outer.c
}
