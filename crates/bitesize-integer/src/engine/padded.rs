//! Images with their padding written out, so that windows need no bounds.

use bitesize_ir::Shape;
use bitesize_ir::shape::Pads;

/// How an image is copied with its padding.
#[derive(Clone, Debug)]
pub(crate) struct Padded {
    /// Of the image.
    input: Shape,
    pads: Pads,
    /// One padded row.
    row: Vec<u8>,
    /// Of the copy.
    pub(crate) shape: Shape,
}

impl Padded {
    /// Images of `input` with `pads` that hold the code `padding`, or one for each channel.
    pub(crate) fn new(input: Shape, pads: Pads, padding: &[u8]) -> Self {
        let shape = Shape::new(input.h + pads.top + pads.bottom, input.w + pads.left + pads.right, input.c);
        let row = padding.iter().copied().cycle().take(shape.w * shape.c).collect();
        Self { input, pads, row, shape }
    }

    /// Whether the copy is the image.
    pub(crate) fn is_plain(&self) -> bool {
        self.pads == Pads::default()
    }

    /// Writes `image` with its padding to the beginning of `to`.
    pub(crate) fn copy(&self, image: &[u8], to: &mut [u8]) {
        let row = self.row.len();
        let (left, width) = (self.pads.left * self.input.c, self.input.w * self.input.c);
        let inside = self.pads.top..self.pads.top + self.input.h;
        for (y, to) in to.chunks_exact_mut(row).take(self.shape.h).enumerate() {
            if inside.contains(&y) {
                let from = &image[(y - inside.start) * width..][..width];
                to[..left].copy_from_slice(&self.row[..left]);
                to[left..left + width].copy_from_slice(from);
                to[left + width..].copy_from_slice(&self.row[left + width..]);
            } else {
                to.copy_from_slice(&self.row);
            }
        }
    }
}
