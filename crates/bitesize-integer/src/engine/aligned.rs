//! Buffers that begin on a cache line.

use std::ops::{Deref, DerefMut};

/// Bytes of a cache line, and of the widest vector register.
pub(crate) const LINE: usize = 64;

/// A fixed number of values that begin on a cache line. Alignment is for speed: no kernel depends on it.
#[derive(Debug, Default)]
pub(crate) struct Aligned<T> {
    values: Vec<T>,
    start: usize,
    len: usize,
}

impl<T: Copy + Default> Aligned<T> {
    /// `len` values of 0.
    pub(crate) fn zeros(len: usize) -> Self {
        let values = vec![T::default(); len + LINE];
        // `align_offset` may decline; the buffer is then merely not aligned.
        let start = values.as_ptr().align_offset(LINE).min(LINE);
        Self { values, start, len }
    }

    pub(crate) fn from_iter(values: impl ExactSizeIterator<Item = T>) -> Self {
        let mut aligned = Self::zeros(values.len());
        aligned.iter_mut().zip(values).for_each(|(to, from)| *to = from);
        aligned
    }
}

impl<T> Deref for Aligned<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.values[self.start..self.start + self.len]
    }
}

impl<T> DerefMut for Aligned<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        &mut self.values[self.start..self.start + self.len]
    }
}
