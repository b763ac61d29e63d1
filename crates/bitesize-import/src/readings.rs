//! The ways in which an input can be an image: which of its axes are height, width and channels.

use crate::layout::Layout;
use bitesize_ir::Axis;
use bitesize_ir::Shape;
use std::collections::VecDeque;

/// The most ways that are tried: each is a walk over all nodes.
const MAX_READINGS: usize = 12;

/// A shape of the input, and how the file's axes run over it.
pub(crate) type Reading = (Shape, Layout);

/// The ways of reading an input, each once, the likeliest first.
pub(crate) struct Readings<'a> {
    /// As the file declares them.
    dims: &'a [usize],
    open: VecDeque<Reading>,
    /// All that were ever open.
    known: Vec<Reading>,
}

use Axis::{C, H, W};

impl<'a> Readings<'a> {
    /// Those of an input of `dims`, the batch first. Images of 1 or 3 channels have them where that number stands.
    pub(crate) fn of(dims: &'a [usize]) -> Self {
        let mut readings = Self { dims, open: VecDeque::new(), known: Vec::new() };
        match *dims {
            [_, features] => readings.push(Shape::new(1, 1, features), &[C]),
            [_, a, b] => {
                readings.push(Shape::new(a, b, 1), &[H, W]);
                readings.push_form(dims);
            }
            [_, a, _, c] => {
                let usual = |channels| [1, 3].contains(&channels);
                if usual(c) && !usual(a) {
                    readings.push_channels_last(dims);
                }
                readings.push_form(dims);
            }
            _ => {}
        }
        readings
    }

    /// Adds those in which the input, reshaped to `form`, is an image.
    pub(crate) fn push_form(&mut self, form: &[usize]) {
        match *form {
            [_, a, b] => {
                self.push(Shape::new(1, b, a), &[C, W]);
                self.push(Shape::new(1, a, b), &[W, C]);
                self.push(Shape::new(a, b, 1), &[H, W]);
            }
            [_, a, b, c] => {
                self.push(Shape::new(b, c, a), &[C, H, W]);
                self.push_channels_last(form);
            }
            _ => {}
        }
    }

    fn push_channels_last(&mut self, form: &[usize]) {
        if let [_, a, b, c] = *form {
            self.push(Shape::new(a, b, c), &[H, W, C]);
        }
    }

    /// Adds the one in which the input's elements run over the axes of `shape` in the order `axes`, where there is one.
    fn push(&mut self, shape: Shape, axes: &[Axis]) {
        let flat = Layout::new(&[axes], shape);
        let Some(layout) = flat.reshaped(shape, self.dims) else { return };
        let reading = (shape, layout);
        if self.known.len() < MAX_READINGS && !self.known.contains(&reading) {
            self.open.push_back(reading.clone());
            self.known.push(reading);
        }
    }

    /// The next one that has not been given.
    pub(crate) fn next(&mut self) -> Option<Reading> {
        self.open.pop_front()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(dims: &[usize], forms: &[&[usize]]) -> Vec<String> {
        let mut readings = Readings::of(dims);
        forms.iter().for_each(|form| readings.push_form(form));
        std::iter::from_fn(|| readings.next())
            .map(|(shape, layout)| {
                assert_eq!(layout.dims(shape), dims);
                let axes: Vec<String> = layout.axes().concat().iter().map(|axis| format!("{axis:?}")).collect();
                format!("{shape} {}", axes.concat())
            })
            .collect()
    }

    #[test]
    fn images_have_their_channels_where_1_or_3_stands() {
        assert_eq!(all(&[1, 3, 8, 9], &[]), ["8x9x3 CHW", "3x8x9 HWC"]);
        assert_eq!(all(&[1, 8, 9, 3], &[]), ["8x9x3 HWC", "9x3x8 CHW"]);
        assert_eq!(all(&[1, 8, 9], &[]), ["8x9x1 HW", "1x9x8 CW", "1x8x9 WC"]);
    }

    #[test]
    fn vectors_are_the_images_that_they_are_reshaped_to() {
        assert_eq!(all(&[1, 490], &[&[1, 1, 49, 10]]), ["1x1x490 C", "49x10x1 HW", "1x49x10 WC"]);
        assert_eq!(all(&[1, 6], &[&[1, 2, 3], &[1, 2, 2], &[6], &[]]), ["1x1x6 C", "1x3x2 CW", "1x2x3 WC", "2x3x1 HW"]);
        // Axes are joined in the input, and never cut.
        assert_eq!(all(&[1, 10, 6], &[&[1, 5, 2, 6]])[3..], ["2x6x5 CHW", "5x2x6 HWC"]);
        assert_eq!(all(&[1, 4, 6], &[&[1, 2, 3, 4]]).len(), 3);
    }
}
