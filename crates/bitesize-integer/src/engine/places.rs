//! Where kernels read codes without a bounds check, as types that can only be built checked.
//!
//! The place of such a read is a sum: where a window or block begins, and where a segment and step, or a tap, lies in it.
//! [`Windows`] and [`Taps`] hold the second part and, computed from it, how far it reaches. [`Windows::starts`] and
//! [`Taps::block`] compare the first part with the codes at hand, once for a tile or a block, and hand out [`Starts`] and
//! [`Block`], of which the kernels' unsafe blocks need no more than what is written at them. Neither relies on the network
//! being legal, nor on buffers having the right size: where something is wrong a kernel panics.
//!
//! Alignment is no part of this: kernels read and write unaligned.

use std::marker::PhantomData;

/// Where the windows of a layer's output pixels find their codes.
#[derive(Debug)]
pub(crate) struct Windows {
    /// Where the window of each output pixel begins. Never descending.
    rows: Vec<u32>,
    /// Where each segment begins, from the window's first code.
    segments: Vec<usize>,
    /// Of a segment.
    steps: usize,
    /// Codes of a step.
    products: usize,
    /// The last segment's place, and the codes of a segment.
    span: usize,
}

/// The windows of `ROWS` output pixels.
///
/// **Invariant**: each pointer is into the same codes, which live for `'a`, and at least `segment + steps * PRODUCTS` of
/// them follow it, for every segment and the steps of the [`Windows`] that made it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Starts<'a, T, const ROWS: usize, const PRODUCTS: usize> {
    pointers: [*const T; ROWS],
    codes: PhantomData<&'a [T]>,
}

impl Windows {
    /// Windows that begin at `rows`, in which each of `segments` is read in `steps` of `products` codes.
    ///
    /// # Panics
    /// Where `rows` descend.
    pub(crate) fn new(rows: Vec<u32>, segments: Vec<usize>, steps: usize, products: usize) -> Self {
        assert!(rows.is_sorted(), "the windows of output pixels descend");
        let span = segments.iter().max().map_or(0, |last| last + steps * products);
        Self { rows, segments, steps, products, span }
    }

    pub(crate) fn rows(&self) -> &[u32] {
        &self.rows
    }

    pub(crate) fn segments(&self) -> &[usize] {
        &self.segments
    }

    /// Steps of a segment.
    pub(crate) fn steps(&self) -> usize {
        self.steps
    }

    /// Codes that are read for the first `rows` output pixels, of channels up to the group that begins at `group`.
    pub(crate) fn reach(&self, rows: usize, group: usize) -> usize {
        self.rows[rows - 1] as usize + group + self.span
    }

    /// The windows in `codes` of `ROWS` output pixels from `first` on, for the group whose channels begin at `group` in
    /// a pixel, to be read `PRODUCTS` codes at a time.
    ///
    /// # Panics
    /// Where there are fewer output pixels, a step has another number of codes, or a window reaches past the codes.
    #[inline(always)]
    pub(crate) fn starts<'a, T, const ROWS: usize, const PRODUCTS: usize>(
        &self,
        codes: &'a [T],
        first: usize,
        group: usize,
    ) -> Starts<'a, T, ROWS, PRODUCTS> {
        assert!(self.products == PRODUCTS, "the windows are read in other steps");
        let rows = self.rows[first..].first_chunk::<ROWS>().expect("an output pixel for each window");
        // The last of a sorted list is the largest; the others reach less far.
        let last = rows.last().map_or(0, |&row| row as usize).saturating_add(group).saturating_add(self.span);
        assert!(last <= codes.len(), "codes are missing");
        let mut pointers = [codes.as_ptr(); ROWS];
        for (pointer, &row) in pointers.iter_mut().zip(rows) {
            *pointer = pointer.wrapping_add(row as usize + group);
        }
        Starts { pointers, codes: PhantomData }
    }
}

impl<T, const ROWS: usize, const PRODUCTS: usize> Starts<'_, T, ROWS, PRODUCTS> {
    #[inline(always)]
    pub(crate) fn pointers(&self) -> &[*const T; ROWS] {
        &self.pointers
    }
}

/// Where the taps of a depthwise layer lie, from the block's place in the window's first pixel.
#[derive(Debug)]
pub(crate) struct Taps {
    taps: Vec<usize>,
    /// The largest of them.
    last: usize,
}

/// The codes of a block of `WIDTH` neighbouring sums.
///
/// **Invariant**: `WIDTH` codes follow each of `taps` in `codes`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Block<'a, const WIDTH: usize> {
    codes: &'a [u8],
    taps: &'a [usize],
}

impl Taps {
    pub(crate) fn new(taps: Vec<usize>) -> Self {
        let last = taps.iter().max().copied().unwrap_or(0);
        Self { taps, last }
    }

    pub(crate) fn places(&self) -> &[usize] {
        &self.taps
    }

    /// Codes that a block of `width` reads.
    pub(crate) fn reach(&self, width: usize) -> usize {
        self.last + width
    }

    /// The block whose window begins at `start`.
    ///
    /// # Panics
    /// Where a tap reaches past the codes.
    #[inline(always)]
    pub(crate) fn block<'a, const WIDTH: usize>(&'a self, codes: &'a [u8], start: usize) -> Block<'a, WIDTH> {
        Block { codes: &codes[start..][..self.reach(WIDTH)], taps: &self.taps }
    }
}

impl<'a, const WIDTH: usize> Block<'a, WIDTH> {
    #[inline(always)]
    pub(crate) fn codes(self) -> *const u8 {
        self.codes.as_ptr()
    }

    #[inline(always)]
    pub(crate) fn taps(self) -> &'a [usize] {
        self.taps
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::panic::catch_unwind;

    /// The places, as numbers of codes, from which the windows of two pixels begin.
    fn starts(windows: &Windows, codes: &[u8], first: usize, group: usize) -> Option<[usize; 2]> {
        let starts = catch_unwind(|| *windows.starts::<u8, 2, 4>(codes, first, group).pointers()).ok()?;
        Some(starts.map(|start| start as usize - codes.as_ptr() as usize))
    }

    #[test]
    fn windows_begin_only_where_their_last_step_is_inside() {
        let windows = Windows::new(vec![0, 3, 6], vec![0, 10], 2, 4);
        let codes = [0; 26];
        assert_eq!(windows.reach(3, 2), 26);
        assert_eq!(starts(&windows, &codes, 1, 2), Some([5, 8]));
        assert_eq!(starts(&windows, &codes[..25], 1, 2), None);
        assert_eq!(starts(&windows, &codes[..25], 0, 2), Some([2, 5]));
        assert_eq!(starts(&windows, &codes, 1, 3), None);
        assert_eq!(starts(&windows, &codes, 1, usize::MAX), None);
        assert_eq!(starts(&windows, &codes, 2, 0), None, "there is one pixel");
        assert_eq!(starts(&windows, &codes, 4, 0), None, "there is no pixel");
        assert!(catch_unwind(|| windows.starts::<u8, 2, 8>(&codes, 0, 0)).is_err(), "steps are of 4 codes");
    }

    #[test]
    fn windows_that_descend_are_refused() {
        assert!(catch_unwind(|| Windows::new(vec![0, 3, 2], vec![0], 1, 4)).is_err());
    }

    #[test]
    fn blocks_begin_only_where_their_last_tap_is_inside() {
        let taps = Taps::new(vec![0, 9, 4]);
        let codes = [0; 30];
        let begins = |start: usize, codes: &[u8]| catch_unwind(|| taps.block::<16>(codes, start).taps().len()).is_ok();
        assert!(begins(5, &codes) && !begins(6, &codes) && !begins(5, &codes[..29]) && !begins(31, &codes));
    }
}
