//! Ways of reading the axes of `x`.

use super::super::places::Part;
use super::super::raw::Request;
use crate::input::layout::DataLayout;
use bitesize_import::Axis;
use bitesize_ir::Shape;

use Axis::{C, H, W};

/// A way of reading the axes of a sample, the slowest first: each runs over one axis of the kept sample, over several,
/// or over none (of size 1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Reading {
    axes: Vec<Vec<Axis>>,
    /// Of a sample as it is kept.
    pub(super) shape: Shape,
}

impl Reading {
    pub(super) fn new(axes: &[&[Axis]], shape: Shape) -> Self {
        Self { axes: axes.iter().map(|axis| axis.to_vec()).collect(), shape }
    }

    /// The sizes of the axes.
    pub(super) fn dims(&self) -> Vec<usize> {
        self.axes.iter().map(|axis| axis.iter().map(|a| a.size(self.shape)).product()).collect()
    }

    /// The axes that move anything, the slowest first: readings of one order are one.
    pub(super) fn order(&self) -> Vec<Axis> {
        self.axes.iter().flatten().copied().filter(|axis| axis.size(self.shape) > 1).collect()
    }

    /// Where each of the axes leads, those of `samples` samples before them.
    pub(super) fn parts(&self, samples: usize) -> Vec<Vec<Part>> {
        let part = |axis: &Axis| {
            let stride = match axis {
                C => 1,
                W => self.shape.c,
                H => self.shape.w * self.shape.c,
            };
            Part { size: axis.size(self.shape), stride }
        };
        let of_samples = vec![Part { size: samples, stride: self.shape.elements() }];
        std::iter::once(of_samples).chain(self.axes.iter().map(|axis| axis.iter().map(part).collect())).collect()
    }

    /// As [`DataLayout`] calls it.
    pub(super) fn layout(&self) -> DataLayout {
        if self.order() == Self::new(&[&[H], &[W], &[C]], self.shape).order() {
            DataLayout::Nhwc
        } else {
            DataLayout::Nchw
        }
    }

    /// Whether it is one of `layout`: where channels are the only axis, or there is one of them, both are.
    pub(super) fn is(&self, layout: DataLayout) -> bool {
        let axes: [&[Axis]; 3] = match layout {
            DataLayout::Nhwc => [&[H], &[W], &[C]],
            DataLayout::Nchw => [&[C], &[H], &[W]],
        };
        self.order() == Self::new(&axes, self.shape).order()
    }
}

/// `(100, 3, 128)`.
pub(super) fn shown(dims: &[usize]) -> String {
    let sizes: Vec<String> = dims.iter().map(usize::to_string).collect();
    if sizes.len() == 1 { format!("({},)", sizes[0]) } else { format!("({})", sizes.join(", ")) }
}

/// `(N, 3, 128)`, of the sizes behind the samples'.
pub(super) fn shown_behind_samples(dims: &[usize]) -> String {
    let sizes: Vec<String> = dims.iter().map(|size| format!(", {size}")).collect();
    format!("(N{})", sizes.concat())
}

/// The ways in which samples of the network's own shape may be stored.
pub(super) fn readings(request: &Request) -> Vec<Reading> {
    let shape = request.shape;
    let mut readings = vec![Reading::new(&[&[H], &[W], &[C]], shape)];
    if shape.c == 1 {
        readings.push(Reading::new(&[&[H], &[W]], shape));
    }
    if let Some(own) = request.input {
        readings.push(Reading { axes: own.axes().iter().skip(1).cloned().collect(), shape });
    }
    if request.layout == Some(DataLayout::Nchw) {
        readings.push(Reading::new(&[&[C], &[H], &[W]], shape));
        if shape.h == 1 {
            readings.push(Reading::new(&[&[C], &[W]], shape));
        }
    }
    readings
}
