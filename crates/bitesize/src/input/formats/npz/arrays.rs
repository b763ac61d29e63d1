//! The arrays of an archive, by name.

use super::super::npy::Header;
use super::super::unpacked::check_unpacked;
use super::super::zip::{Archive, Entry, Stream};

fn base(entry: &Entry) -> &str {
    entry.name.strip_suffix(".npy").unwrap_or(&entry.name)
}

/// The entry that holds the array `name`; `None` where there is none.
pub(super) fn find(archive: &Archive, name: &str) -> Option<Entry> {
    archive.entries().iter().find(|entry| base(entry) == name).cloned()
}

/// What is said of an archive without `x`.
pub(super) fn without_samples(archive: &Archive) -> String {
    const SHOWN: usize = 16;
    let mut names: Vec<&str> = archive.entries().iter().take(SHOWN).map(base).collect();
    if archive.entries().len() > SHOWN {
        names.push("...");
    }
    format!("no array `x`; it must hold the samples x and, where there are labels, y; found {names:?}")
}

/// What `name`'s header announces, and the elements behind it. `kept` bytes of other arrays count as its own do.
pub(super) fn open<'a>(archive: &'a mut Archive, name: &str, kept: u64) -> Result<(Header, Stream<'a>), String> {
    let of_array = |problem: String| format!("array `{name}`: {problem}");
    let entry = find(archive, name).ok_or_else(|| of_array("it is not there".into()))?;
    check_unpacked(entry.unpacked.saturating_add(kept), archive.size()).map_err(of_array)?;
    let mut bytes = archive.stream(&entry).map_err(of_array)?;
    let header = Header::read(&mut bytes, entry.unpacked).map_err(of_array)?;
    Ok((header, bytes))
}
