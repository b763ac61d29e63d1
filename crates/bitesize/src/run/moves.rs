//! How files of a change come to their places: again and again, if need be, until all are there.
//!
//! A change lies in [`COMMIT`] with a plan of what goes where. Whoever opens the folder next does what a process that was
//! killed has not come to.

use anyhow::Context as _;
use serde::{Deserialize, Serialize};
use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path;

/// A change that has happened and whose files are on the way to their places.
pub(super) const COMMIT: &str = ".commit";
/// What the names of folders begin with in which a change is prepared.
pub(super) const STAGING: &str = ".writing-";
/// What goes where.
pub(super) const PLAN: &str = "plan.json";
/// Holds what is to be put into its place.
pub(super) const NEW: &str = "new";
/// Holds what stood there before.
pub(super) const OLD: &str = "old";

/// What goes where: names in the run folder.
#[derive(Serialize, Deserialize)]
pub(super) struct Moves {
    /// Files and folders that get their places.
    pub(super) put: Vec<String>,
    /// Files and folders that go.
    pub(super) remove: Vec<String>,
}

/// Writes a file and brings it to the disk.
pub(super) fn write_file(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let mut file = File::create(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// Brings names to the disk, where the operating system lets a folder be opened for that; elsewhere they follow later.
pub(super) fn sync_folder(path: &Path) {
    let _ = File::open(path).and_then(|folder| folder.sync_all());
}

/// Brings the change that an earlier process has made to its end.
///
/// # Errors
/// A file that cannot be moved to its place.
pub(super) fn finish_earlier(folder: &Path) -> anyhow::Result<()> {
    if folder.join(COMMIT).is_dir() { move_to_places(folder) } else { Ok(()) }
}

/// Moves what [`COMMIT`] holds to its places. Where that fails half-way, everything goes back to where it was.
pub(super) fn move_to_places(folder: &Path) -> anyhow::Result<()> {
    let commit = folder.join(COMMIT);
    let path = commit.join(PLAN);
    let text = match fs::read(&path) {
        Ok(text) => text,
        // All was done but clearing away.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return clear(&commit),
        Err(error) => return Err(error).with_context(|| format!("cannot read `{}`", path.display())),
    };
    let plan: Moves = serde_json::from_slice(&text).with_context(|| format!("`{}` is damaged", path.display()))?;
    let moves = plan.put.iter().map(|name| (name, true)).chain(plan.remove.iter().map(|name| (name, false)));
    let mut done: Vec<&str> = Vec::new();
    for (name, is_new) in moves {
        let moved = if is_new { replace(folder, name) } else { take_away(folder, name) };
        if let Err(error) = moved {
            if done.into_iter().rev().all(|name| put_back(folder, name).is_ok()) {
                clear(&commit)?;
            }
            return Err(error).with_context(|| format!("cannot put `{}` into its place", folder.join(name).display()));
        }
        done.push(name);
    }
    sync_folder(folder);
    clear(&commit)
}

fn clear(commit: &Path) -> anyhow::Result<()> {
    let cleared = match fs::remove_file(commit.join(PLAN)) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
        _ => fs::remove_dir_all(commit),
    };
    cleared.with_context(|| format!("cannot remove `{}`", commit.display()))
}

/// Puts the new `name` where the old one is, which is kept in [`COMMIT`]. Does nothing where that was done before; where
/// it fails, the old one stands again.
pub(super) fn replace(folder: &Path, name: &str) -> std::io::Result<()> {
    let [new, old] = [NEW, OLD].map(|part| folder.join(COMMIT).join(part).join(name));
    let place = folder.join(name);
    if !new.exists() {
        return Ok(());
    }
    if place.is_dir() || new.is_dir() {
        take_away(folder, name)?;
    } else if place.exists() && !old.exists() {
        // A second name keeps the old file while the new one takes its place in one step.
        if fs::hard_link(&place, &old).is_err() {
            fs::copy(&place, &old)?;
        }
    }
    fs::rename(&new, &place).inspect_err(|_| {
        if old.exists() && !place.exists() {
            let _ = fs::rename(&old, &place);
        }
    })
}

/// Moves `name` out of its place. Does nothing where that was done before.
pub(super) fn take_away(folder: &Path, name: &str) -> std::io::Result<()> {
    let (place, old) = (folder.join(name), folder.join(COMMIT).join(OLD).join(name));
    if place.exists() { fs::rename(&place, &old) } else { Ok(()) }
}

/// Undoes a [`replace`] or [`take_away`] that succeeded.
fn put_back(folder: &Path, name: &str) -> std::io::Result<()> {
    let [new, old] = [NEW, OLD].map(|part| folder.join(COMMIT).join(part).join(name));
    let place = folder.join(name);
    if place.exists() {
        fs::rename(&place, &new)?;
    }
    if old.exists() { fs::rename(&old, &place) } else { Ok(()) }
}
