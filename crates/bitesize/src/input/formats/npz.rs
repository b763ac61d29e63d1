//! NumPy archives with the samples `x` and, where there are labels, `y`.
//!
//! What the headers announce is checked against the archive before anything is allocated, and elements become what they
//! are kept as while they are unpacked: the samples take memory once. Files: `arrays`, `reading` and
//! `shape` (how the axes of `x` are read), `mend`, `samples`, `labels`.

mod arrays;
mod labels;
mod mend;
mod reading;
mod samples;
mod shape;

use super::raw::{Raw, Request};
use super::zip::Archive;
use crate::files;
use crate::input::error::DataError;
use crate::input::labels::Numbers;
use std::path::Path;

pub(super) fn read(path: &Path, request: &Request) -> Result<Raw, DataError> {
    let (file, size) = files::open_whole(path).map_err(DataError::io(path))?;
    let unusable = |problem: String| DataError::unusable(path, problem);
    let mut archive =
        Archive::open(file, size).map_err(|problem| unusable(format!("not a NumPy .npz archive: {problem}")))?;
    if arrays::find(&archive, "x").is_none() {
        return Err(unusable(arrays::without_samples(&archive)));
    }
    let labels = arrays::find(&archive, "y").map(|_| labels::read(&mut archive)).transpose().map_err(unusable)?;
    let of_labels = labels.as_ref().map_or(0, |(_, labels)| labels::bytes(labels));
    let (samples, source) = samples::read(&mut archive, request, of_labels).map_err(unusable)?;
    if let Some((labelled, _)) = &labels
        && *labelled != samples
    {
        return Err(unusable(format!("x holds {samples} samples, y {labelled} labels")));
    }
    let labels = labels.map(|(_, labels)| labels);
    let greatest = match labels.as_ref().map(|labels| &labels.numbers) {
        Some(Numbers::Integers(integers)) => integers.iter().max().copied(),
        Some(Numbers::Reals(_)) | None => None,
    };
    let class_count = greatest.map_or(0, |m| usize::try_from(m).map_or(0, |m| m.saturating_add(1)));
    Ok(Raw { format: "npz", source, samples, labels, class_count, warnings: Vec::new() })
}
