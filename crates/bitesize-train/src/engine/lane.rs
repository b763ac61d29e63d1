//! The memory of one lane: what a thread that takes a few images through the network writes, kept from step to step.

use super::gradients::Gradients;

/// Buffers that lie ready.
#[derive(Debug, Default)]
pub(crate) struct Pool(Vec<Vec<f32>>);

impl Pool {
    /// A buffer of `length` elements with any content.
    pub(crate) fn take(&mut self, length: usize) -> Vec<f32> {
        // One of the same length, if there is one: then nothing has to be zeroed anew.
        let best = (0..self.0.len()).min_by_key(|at| self.0[*at].len().abs_diff(length));
        let mut buffer = best.map_or_else(Vec::new, |at| self.0.swap_remove(at));
        buffer.resize(length, 0.0);
        buffer
    }

    /// Takes a buffer back.
    pub(crate) fn give(&mut self, buffer: Vec<f32>) {
        self.0.push(buffer);
    }
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Lane {
    /// Of each tensor, what its node computed for the images of the chunk.
    pub(super) values: Vec<Vec<f32>>,
    /// Of each tensor, the gradient by its real values, while it is being gathered.
    pub(super) by_tensor: Vec<Option<Vec<f32>>>,
    /// Gradients by parameters, of all chunks.
    pub(super) sums: Gradients,
    /// Of each input and output of the segment, what the caller asked for: gradients and real values, chunk after chunk.
    pub(super) input_gradients: Vec<Vec<f32>>,
    pub(super) outputs: Vec<Vec<f32>>,
    pub(super) loss: f64,
    pub(super) pool: Pool,
    pub(super) scratch: Scratch,
}

/// Buffers of single operators.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    /// Centred codes, padded or not.
    pub(super) x: Vec<f32>,
    /// Those of a second input; padded gradients.
    pub(super) y: Vec<f32>,
    /// Gathered windows.
    pub(super) rows: Vec<f32>,
    /// Sums of tiles, by bias and by scale.
    pub(super) tiles: [Vec<f32>; 2],
}

impl Scratch {
    /// Two tiles of zeros.
    pub(super) fn zero_tiles(&mut self, length: usize) {
        for tile in &mut self.tiles {
            tile.clear();
            tile.resize(length, 0.0);
        }
    }
}
