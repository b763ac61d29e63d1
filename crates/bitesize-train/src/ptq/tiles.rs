//! Which pairs of inputs are looked at together: the layout of a covariance that would be too large as a whole.

use std::ops::Range;

/// Inputs in stretches of the same length, the last one maybe shorter. A matrix over pairs of inputs has entries for those
/// of the same stretch only, laid out `[stretch][k][k]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tiles {
    length: usize,
    tile: usize,
}

impl Tiles {
    /// `length` inputs in stretches of at most `longest`, and of 1 at least.
    pub(crate) fn new(length: usize, longest: usize) -> Self {
        Self { length, tile: longest.clamp(1, length.max(1)) }
    }

    /// Inputs of a stretch.
    pub(crate) fn longest(self) -> usize {
        self.tile
    }

    /// The stretches, in order.
    pub(crate) fn ranges(self) -> impl DoubleEndedIterator<Item = Range<usize>> {
        let range = move |i: usize| i * self.tile..((i + 1) * self.tile).min(self.length);
        (0..self.length.div_ceil(self.tile)).map(range)
    }

    /// Entries of a matrix.
    pub(crate) fn entries(self) -> usize {
        let (whole, rest) = (self.length / self.tile, self.length % self.tile);
        whole * self.tile * self.tile + rest * rest
    }

    /// Where the entries of the stretch that begins with input `start` begin.
    pub(crate) fn offset(self, start: usize) -> usize {
        start * self.tile
    }

    /// The stretch of input `k`, and where its row of entries begins.
    #[inline(always)]
    pub(crate) fn row(self, k: usize) -> (Range<usize>, usize) {
        let start = k / self.tile * self.tile;
        let end = (start + self.tile).min(self.length);
        (start..end, self.offset(start) + (k - start) * (end - start))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_entries_lie_one_after_the_other() {
        for (length, longest) in [(1, 1), (7, 7), (7, 100), (7, 3), (9, 3), (5, 1), (5, 0)] {
            let tiles = Tiles::new(length, longest);
            let mut next = 0;
            for k in 0..length {
                let (range, row) = tiles.row(k);
                assert!(range.contains(&k) && range.len() <= longest.max(1), "{length} by {longest}: {k} in {range:?}");
                assert_eq!(row, next, "{length} by {longest}: {k}");
                next += range.len();
            }
            assert_eq!(tiles.entries(), next, "{length} by {longest}");
            assert_eq!(tiles.ranges().flatten().collect::<Vec<_>>(), (0..length).collect::<Vec<_>>());
        }
    }
}
