//! How the axes of `x` run over rows, columns and channels: told by its shape, or asked for where two ways would do.

use super::super::raw::Request;
use super::mend;
use super::reading::{Reading, readings, shown, shown_behind_samples};
use crate::input::layout::DataLayout;
use bitesize_import::{Axis, Layout};
use bitesize_ir::Shape;

use Axis::{C, H, W};

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
