//! Where the elements of a stored array go.

/// A stretch of an axis: how many steps it has, and by how far each leads on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) size: usize,
    pub(super) stride: usize,
}

/// The places that stored elements go to, one after the other: an odometer.
pub(super) struct Places {
    /// The fastest first.
    parts: Vec<Part>,
    at: Vec<usize>,
    place: usize,
}

impl Places {
    /// For an array whose axes, in order, are made of `axes`: each of parts, the slowest first. The last axis runs
    /// fastest, or the first one where `is_fortran`.
    pub(super) fn new(axes: &[Vec<Part>], is_fortran: bool) -> Self {
        let of_axis = |axis: &Vec<Part>| axis.iter().rev().copied().collect::<Vec<_>>();
        let fastest_first: Vec<Part> = if is_fortran {
            axes.iter().flat_map(of_axis).collect()
        } else {
            axes.iter().rev().flat_map(of_axis).collect()
        };
        let mut parts: Vec<Part> = Vec::new();
        for part in fastest_first.into_iter().filter(|part| part.size != 1) {
            match parts.last_mut() {
                // It goes on where the one before ends.
                Some(last) if last.size.checked_mul(last.stride) == Some(part.stride) => last.size *= part.size,
                _ => parts.push(part),
            }
        }
        Self { at: vec![0; parts.len()], parts, place: 0 }
    }

    /// The axes of an array of `shape` that goes to row-major order.
    pub(super) fn row_major(shape: &[usize]) -> Vec<Vec<Part>> {
        let mut stride = 1;
        let part = |size: &usize| {
            let part = Part { size: *size, stride };
            stride *= (*size).max(1);
            vec![part]
        };
        let mut axes: Vec<Vec<Part>> = shape.iter().rev().map(part).collect();
        axes.reverse();
        axes
    }

    /// The place of the next element.
    pub(super) fn next(&mut self) -> usize {
        let current = self.place;
        for (at, part) in self.at.iter_mut().zip(&self.parts) {
            *at += 1;
            self.place += part.stride;
            if *at < part.size {
                break;
            }
            *at = 0;
            self.place -= part.stride * part.size;
        }
        current
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(axes: &[Vec<Part>], is_fortran: bool, expected: &[usize]) {
        let mut places = Places::new(axes, is_fortran);
        let found: Vec<usize> = expected.iter().map(|_| places.next()).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn orders() {
        check(&Places::row_major(&[2, 3]), false, &[0, 1, 2, 3, 4, 5]);
        check(&Places::row_major(&[2, 1, 3]), true, &[0, 3, 1, 4, 2, 5]);
        check(&Places::row_major(&[]), false, &[0]);
        // Two samples of two channels and three columns, channels first, become channels last.
        let part = |size, stride| Part { size, stride };
        let axes = [vec![part(2, 6)], vec![part(2, 1)], vec![part(3, 2)]];
        check(&axes, false, &[0, 2, 4, 1, 3, 5, 6, 8, 10, 7, 9, 11]);
        check(&axes, true, &[0, 6, 1, 7, 2, 8, 3, 9, 4, 10, 5, 11]);
        // Flattened, so that an axis has two parts, of which the last is the fastest in either order.
        let flat = [vec![part(2, 6)], vec![part(2, 1), part(3, 2)]];
        check(&flat, false, &[0, 2, 4, 1, 3, 5, 6, 8, 10, 7, 9, 11]);
        check(&flat, true, &[0, 6, 2, 8, 4, 10, 1, 7, 3, 9, 5, 11]);
    }
}
