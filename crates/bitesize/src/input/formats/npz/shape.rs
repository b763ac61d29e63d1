//! How the axes of `x` run over rows, columns and channels: told by its shape, or asked for where two ways would do.

use super::super::places::Part;
use super::super::raw::Request;
use super::mend;
use crate::input::layout::DataLayout;
use bitesize_import::{Axis, Layout};
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
    fn new(axes: &[&[Axis]], shape: Shape) -> Self {
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
    fn layout(&self) -> DataLayout {
        if self.order() == Self::new(&[&[H], &[W], &[C]], self.shape).order() {
            DataLayout::Nhwc
        } else {
            DataLayout::Nchw
        }
    }

    /// Whether it is one of `layout`: where channels are the only axis, or there is one of them, both are.
    fn is(&self, layout: DataLayout) -> bool {
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

/// Of `fitting`, the one that is asked for, or the only one. `None` where there is none.
fn only(fitting: Vec<Reading>, dims: &[usize], request: &Request) -> Result<Option<Reading>, String> {
    let is_none = fitting.is_empty();
    let asked = |reading: &Reading| request.layout.is_none_or(|layout| reading.is(layout));
    let mut found: Vec<Reading> = Vec::new();
    for reading in fitting.into_iter().filter(asked) {
        if found.iter().all(|other| other.order() != reading.order()) {
            found.push(reading);
        }
    }
    match (&found[..], request.layout) {
        ([], Some(layout)) if !is_none => {
            let other = if layout == DataLayout::Nhwc { DataLayout::Nchw } else { DataLayout::Nhwc };
            Err(format!(
                "array `x` has shape {}, which is {other} and not {layout}: pass --data-layout {other}, or leave it out",
                shown(dims)
            ))
        }
        ([first, second, ..], _) => {
            let [first, second] = [first, second].map(Reading::layout);
            Err(format!(
                "array `x` has shape {}, which may be {first} (channels last) or {second} (channels first, as the network \
                 takes them): say which with --data-layout {first} or --data-layout {second}",
                shown(dims)
            ))
        }
        _ => Ok(found.pop()),
    }
}

fn exact(dims: &[usize], request: &Request) -> Result<Option<Reading>, String> {
    let fitting = readings(request).into_iter().filter(|reading| reading.dims() == dims[1..]).collect();
    only(fitting, dims, request)
}

/// How real values of shape `dims`, samples first, are read: nothing resizes them.
///
/// # Errors
/// A sentence: they have not the network's shape, with the line that mends it where there is one, or two ways would do.
pub(super) fn of_reals(dims: &[usize], request: &Request) -> Result<Reading, String> {
    exact(dims, request)?.ok_or_else(|| refusal(dims, request))
}

/// How pixels of shape `dims`, samples first, are read: as the network's shape, or as images that are brought to it.
///
/// # Errors
/// As [`of_reals`]; images that the preprocessing does not bring to the network's shape.
pub(super) fn of_pixels(dims: &[usize], request: &Request) -> Result<Reading, String> {
    let becomes = |reading: &Reading| request.preprocess.check_stored(reading.shape);
    if let Some(reading) = exact(dims, request)? {
        becomes(&reading)?;
        return Ok(reading);
    }
    let last = match dims[1..] {
        [h, w] => Some(Reading::new(&[&[H], &[W]], Shape::new(h, w, 1))),
        [h, w, c] => Some(Reading::new(&[&[H], &[W], &[C]], Shape::new(h, w, c))),
        _ => None,
    };
    let first = match dims[1..] {
        [c, h, w] => Some(Reading::new(&[&[C], &[H], &[W]], Shape::new(h, w, c))),
        _ => None,
    };
    let is_asked_first = request.layout == Some(DataLayout::Nchw);
    let own = Layout::new(&[&[], &[C], &[H], &[W]], request.shape);
    let takes_first = is_asked_first || request.input == Some(&own);
    let tried = [last.as_ref(), first.as_ref().filter(|_| takes_first)];
    let fitting = tried.into_iter().flatten().filter(|reading| becomes(reading).is_ok()).cloned().collect();
    if let Some(reading) = only(fitting, dims, request)? {
        return Ok(reading);
    }
    if let Some(line) = mend::line(dims, request) {
        return Err(format!("{} {line}", refusal_without_line(dims, request)));
    }
    if first.as_ref().is_some_and(|first| becomes(first).is_ok()) {
        return Err(format!("{} {}", refusal_without_line(dims, request), mend::CHANNELS_LAST));
    }
    // Of images, it is said why they do not become the network's.
    match if is_asked_first { first } else { last }.map(|reading| becomes(&reading)) {
        Some(Err(problem)) => Err(problem),
        _ => Err(refusal(dims, request)),
    }
}

/// What is said of samples that have not the network's shape; a line that mends it may follow.
fn refusal_without_line(dims: &[usize], request: &Request) -> String {
    let mut known: Vec<String> = readings(request).iter().map(|r| shown_behind_samples(&r.dims())).collect();
    known.dedup();
    format!("array `x` has shape {}, but the network takes {}:", shown(dims), known.join(" or "))
}

fn refusal(dims: &[usize], request: &Request) -> String {
    let line = mend::line(dims, request).unwrap_or_else(|| {
        "arrays of real values are not resized, so give samples of that shape, as the network was trained on".into()
    });
    format!("{} {line}", refusal_without_line(dims, request))
}

#[cfg(test)]
mod tests;
