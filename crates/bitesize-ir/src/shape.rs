//! Shapes of activations, without the batch: height, width, channels.

use std::collections::BTreeSet;
use std::fmt;

/// The shape of one activation tensor of one image, in NHWC order without the batch.
///
/// A vector of `c` features is `1 x 1 x c`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Shape {
    /// Height in pixels, at least 1.
    pub h: usize,
    /// Width in pixels, at least 1.
    pub w: usize,
    /// Channels, at least 1.
    pub c: usize,
}

impl Shape {
    /// A shape of `h` rows, `w` columns and `c` channels.
    pub fn new(h: usize, w: usize, c: usize) -> Self {
        Self { h, w, c }
    }

    /// A vector of `c` features.
    pub fn vector(c: usize) -> Self {
        Self { h: 1, w: 1, c }
    }

    /// Number of pixels, `h * w`.
    pub fn pixels(self) -> usize {
        self.h * self.w
    }

    /// Number of elements, `h * w * c`.
    pub fn elements(self) -> usize {
        self.h * self.w * self.c
    }
}

/// An axis of an activation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Axis {
    /// Rows.
    H,
    /// Columns.
    W,
    /// Channels.
    C,
}

impl Axis {
    /// All three in NHWC order.
    pub const ALL: [Self; 3] = [Self::H, Self::W, Self::C];

    /// The size of the axis in `shape`.
    pub fn size(self, shape: Shape) -> usize {
        match self {
            Self::H => shape.h,
            Self::W => shape.w,
            Self::C => shape.c,
        }
    }

    /// How far apart two neighbours along the axis lie in an NHWC tensor of `shape`, in elements.
    pub fn step(self, shape: Shape) -> usize {
        match self {
            Self::H => shape.w * shape.c,
            Self::W => shape.c,
            Self::C => 1,
        }
    }

    /// As people call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::H => "height",
            Self::W => "width",
            Self::C => "channels",
        }
    }
}

/// Where the elements of an NHWC tensor of `shape` lie when one walks along `axes`, the last the fastest: one index for each
/// element, and all of them where every axis of a size beyond 1 is among `axes`.
pub fn nhwc_indices(shape: Shape, axes: impl Iterator<Item = Axis>) -> Vec<usize> {
    axes.fold(vec![0], |indices, axis| {
        let (size, step) = (axis.size(shape), axis.step(shape));
        indices.iter().flat_map(|at| (0..size).map(move |i| at + i * step)).collect()
    })
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x{}x{}", self.h, self.w, self.c)
    }
}

/// A window sliding over an image: the geometry that convolutions and pools share.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Window {
    /// Kernel height and width.
    pub kernel: [usize; 2],
    /// Step between windows, vertical and horizontal, at least 1.
    pub stride: [usize; 2],
    /// Distance between taps, vertical and horizontal, at least 1.
    pub dilation: [usize; 2],
    /// Rows and columns added at each side.
    pub pads: Pads,
}

impl Window {
    /// A window of `kernel` with stride 1, dilation 1 and no padding.
    pub fn of(kernel: [usize; 2]) -> Self {
        Self { kernel, stride: [1, 1], dilation: [1, 1], pads: Pads::default() }
    }

    /// Whether every output pixel reads exactly the input pixel at its own place.
    pub fn is_pointwise(&self) -> bool {
        self.kernel == [1, 1] && self.stride == [1, 1] && self.pads == Pads::default()
    }

    /// Height and width of the output over an image of `input`; `None` where no window fits or a field is 0.
    pub fn output(&self, input: Shape) -> Option<[usize; 2]> {
        let along = |size: usize, before: usize, after: usize, axis: usize| {
            let (kernel, stride, dilation) = (self.kernel[axis], self.stride[axis], self.dilation[axis]);
            if kernel == 0 || stride == 0 || dilation == 0 {
                return None;
            }
            let reach = dilation.checked_mul(kernel - 1)?.checked_add(1)?;
            let padded = size.checked_add(before)?.checked_add(after)?;
            Some(padded.checked_sub(reach)? / stride + 1)
        };
        Some([along(input.h, self.pads.top, self.pads.bottom, 0)?, along(input.w, self.pads.left, self.pads.right, 1)?])
    }

    /// Whether every window covers at least one pixel of an image of `input`; a pool's windows have to.
    pub fn touches_everywhere(&self, input: Shape) -> bool {
        let touches = |axis: usize, at: usize, before: usize, size: usize| {
            let begin = at * self.stride[axis];
            let first_tap = before.saturating_sub(begin).div_ceil(self.dilation[axis]);
            first_tap < self.kernel[axis] && begin + first_tap * self.dilation[axis] - before < size
        };
        self.output(input).is_some_and(|[h, w]| {
            (0..h).all(|y| touches(0, y, self.pads.top, input.h))
                && (0..w).all(|x| touches(1, x, self.pads.left, input.w))
        })
    }

    /// Number of taps.
    pub fn area(&self) -> usize {
        self.kernel[0].saturating_mul(self.kernel[1])
    }

    /// What an average over the window divides by where `inside` of its taps lie in the image: all taps where padding
    /// counts.
    pub fn divisor(&self, count_include_pad: bool, inside: usize) -> usize {
        if count_include_pad { self.area() } else { inside }
    }

    /// The distinct divisors of an average over an image of `input`, ascending; none where no window fits.
    pub fn divisors(&self, count_include_pad: bool, input: Shape) -> BTreeSet<usize> {
        let Some([h, w]) = self.output(input) else { return BTreeSet::new() };
        let along = |axis: usize, outputs: usize, size: usize| -> BTreeSet<usize> {
            let taps = 0..self.kernel[axis];
            (0..outputs).map(|at| taps.clone().filter(|&t| self.source(axis, at, t, size).is_some()).count()).collect()
        };
        let (rows, columns) = (along(0, h, input.h), along(1, w, input.w));
        let inside = rows.iter().flat_map(|rows| columns.iter().map(move |columns| rows * columns));
        inside.map(|inside| self.divisor(count_include_pad, inside)).collect()
    }

    /// The input coordinate that tap `tap` of the window at output position `at` reads along `axis` (0 vertical,
    /// 1 horizontal), or `None` where it falls into the padding.
    pub fn source(&self, axis: usize, at: usize, tap: usize, size: usize) -> Option<usize> {
        let before = if axis == 0 { self.pads.top } else { self.pads.left };
        (at * self.stride[axis] + tap * self.dilation[axis]).checked_sub(before).filter(|&position| position < size)
    }
}

/// Rows and columns added round an image.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Pads {
    /// Rows above.
    pub top: usize,
    /// Columns to the left.
    pub left: usize,
    /// Rows below.
    pub bottom: usize,
    /// Columns to the right.
    pub right: usize,
}

impl Pads {
    /// The same number of rows and columns at each side.
    pub fn all(n: usize) -> Self {
        Self { top: n, left: n, bottom: n, right: n }
    }
}

impl fmt::Display for Pads {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{},{},{},{}", self.top, self.left, self.bottom, self.right)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_that_touch_nothing_are_seen() {
        let image = Shape::new(3, 4, 1);
        for kernel in [1, 2, 3] {
            for stride in [1, 2, 3] {
                for dilation in [1, 2, 4] {
                    for (before, after) in [(0, 0), (1, 0), (2, 1), (0, 3), (4, 5)] {
                        let pads = Pads { top: before, left: before, bottom: after, right: after };
                        let window = Window { kernel: [kernel; 2], stride: [stride; 2], dilation: [dilation; 2], pads };
                        let sees = |axis: usize, at: usize, size: usize| {
                            (0..kernel).any(|tap| window.source(axis, at, tap, size).is_some())
                        };
                        let expected = window
                            .output(image)
                            .is_some_and(|[h, w]| (0..h).all(|y| sees(0, y, 3)) && (0..w).all(|x| sees(1, x, 4)));
                        assert_eq!(window.touches_everywhere(image), expected, "{window:?}");
                    }
                }
            }
        }
    }
}
