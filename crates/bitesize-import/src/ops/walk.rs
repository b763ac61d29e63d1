//! Indices into row-major constants.

use crate::error::Reason;

/// The distance in elements between neighbours along each axis.
pub(super) fn row_major_strides(dims: &[usize]) -> Vec<usize> {
    let mut strides = vec![1; dims.len()];
    for axis in (1..dims.len()).rev() {
        strides[axis - 1] = strides[axis] * dims[axis];
    }
    strides
}

/// The indices that walking `dims` with `strides` visits, in row-major order, one at a time.
pub(super) struct Indices {
    dims: Vec<usize>,
    strides: Vec<isize>,
    at: Vec<usize>,
    next: Option<isize>,
}

impl Indices {
    /// From the index `start` on; none where a dimension is 0.
    pub(super) fn new(start: usize, dims: Vec<usize>, strides: Vec<isize>) -> Self {
        let next = if dims.contains(&0) { None } else { Some(start as isize) };
        Self { at: vec![0; dims.len()], dims, strides, next }
    }
}

impl Iterator for Indices {
    type Item = usize;

    fn next(&mut self) -> Option<usize> {
        let current = self.next?;
        let mut next = current;
        let mut axis = self.dims.len();
        self.next = loop {
            let Some(inner) = axis.checked_sub(1) else { break None };
            axis = inner;
            self.at[axis] += 1;
            next += self.strides[axis];
            if self.at[axis] < self.dims[axis] {
                break Some(next);
            }
            next -= self.strides[axis] * self.dims[axis] as isize;
            self.at[axis] = 0;
        };
        Some(current as usize)
    }
}

/// The first index and the number of indices that `start..end` by `step` takes of `size`.
pub(super) fn sliced(size: usize, start: i64, end: i64, step: i64) -> Result<(usize, usize), Reason> {
    let size = size as i64;
    let from_front = |at: i64| if at < 0 { at.saturating_add(size) } else { at };
    let (start, end) = (from_front(start), from_front(end));
    let (start, distance) = match step {
        _ if size == 0 => (0, 0),
        0 => return Err(Reason::new("its step is 0")),
        1.. => {
            let start = start.clamp(0, size);
            (start, end.clamp(0, size) - start)
        }
        _ => {
            let start = start.clamp(0, size - 1);
            (start, start - end.clamp(-1, size - 1))
        }
    };
    let count = if distance <= 0 { 0 } else { distance.unsigned_abs().div_ceil(step.unsigned_abs()) as usize };
    // A start behind the end of an empty slice is no index.
    Ok((if count == 0 { 0 } else { start as usize }, count))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn walks_are_row_major_and_end_at_once_where_a_dimension_is_0() {
        let walk = |start, dims: &[usize], strides: &[isize]| -> Vec<usize> {
            Indices::new(start, dims.to_vec(), strides.to_vec()).collect()
        };
        assert_eq!(walk(0, &[2, 3], &[3, 1]), [0, 1, 2, 3, 4, 5]);
        assert_eq!(walk(0, &[3, 2], &[1, 3]), [0, 3, 1, 4, 2, 5]);
        assert_eq!(walk(5, &[3], &[-2]), [5, 3, 1]);
        assert_eq!(walk(1, &[2, 2], &[0, 0]), [1; 4]);
        assert_eq!(walk(7, &[], &[]), [7]);
        assert!(walk(0, &[1 << 40, 0, 1 << 20], &[0, 0, 0]).is_empty());
        assert_eq!(row_major_strides(&[4, 2, 3]), [6, 3, 1]);
    }
}
