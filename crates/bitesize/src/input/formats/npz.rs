//! NumPy archives with the samples `x` and, where there are labels, `y`.
//!
//! What the headers announce is checked against the archive before anything is allocated, and elements become what they
//! are kept as while they are unpacked: the samples take memory once. Files: `shape` (how the axes of `x` are read),
//! `samples`, `labels`.

mod labels;
mod mend;
mod samples;
mod shape;

use super::npy::Header;
use super::raw::{Raw, Request};
use super::unpacked::check_unpacked;
use super::zip::{Archive, Entry, Stream};
use crate::files;
use crate::input::error::DataError;
use crate::input::labels::Numbers;
use std::path::Path;

fn base(entry: &Entry) -> &str {
    entry.name.strip_suffix(".npy").unwrap_or(&entry.name)
}

/// The entry that holds the array `name`; `None` where there is none.
fn find(archive: &Archive, name: &str) -> Option<Entry> {
    archive.entries().iter().find(|entry| base(entry) == name).cloned()
}

/// What is said of an archive without `x`.
fn without_samples(archive: &Archive) -> String {
    const SHOWN: usize = 16;
    let mut names: Vec<&str> = archive.entries().iter().take(SHOWN).map(base).collect();
    if archive.entries().len() > SHOWN {
        names.push("...");
    }
    format!("no array `x`; it must hold the samples x and, where there are labels, y; found {names:?}")
}

/// What `name`'s header announces, and the elements behind it. `kept` bytes of other arrays count as its own do.
fn array<'a>(archive: &'a mut Archive, name: &str, kept: u64) -> Result<(Header, Stream<'a>), String> {
    let of_array = |problem: String| format!("array `{name}`: {problem}");
    let entry = find(archive, name).ok_or_else(|| of_array("it is not there".into()))?;
    check_unpacked(entry.unpacked.saturating_add(kept), archive.size()).map_err(of_array)?;
    let mut bytes = archive.stream(&entry).map_err(of_array)?;
    let header = Header::read(&mut bytes, entry.unpacked).map_err(of_array)?;
    Ok((header, bytes))
}

pub(super) fn read(path: &Path, request: &Request) -> Result<Raw, DataError> {
    let (file, size) = files::open_whole(path).map_err(DataError::io(path))?;
    let unusable = |problem: String| DataError::unusable(path, problem);
    let mut archive =
        Archive::open(file, size).map_err(|problem| unusable(format!("not a NumPy .npz archive: {problem}")))?;
    if find(&archive, "x").is_none() {
        return Err(unusable(without_samples(&archive)));
    }
    let labels = find(&archive, "y").map(|_| labels::read(&mut archive)).transpose().map_err(unusable)?;
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
