//! How files of a change come to their places: again and again, if need be, until all are there.
//!
//! A change lies in [`COMMIT`] with a plan of what goes where. Whoever opens the folder next does what a process that was
//! killed has not come to.

use crate::files;
use crate::hash::sha256;
use anyhow::{Context as _, bail};
use bitesize_ir::shown::ShownPath as _;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
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
    /// SHA-256 of each file that stood in their places, by path in the folder.
    pub(super) before: BTreeMap<String, String>,
}

/// Whether anything lies at `path`, a link that leads nowhere too.
pub(super) fn is_there(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok()
}

/// Whether a folder lies at `path`, and no link to one.
fn is_folder(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|meta| meta.is_dir())
}

/// Whether `folder` holds a change that was cut off.
pub(super) fn is_cut_off(folder: &Path) -> bool {
    let commit = folder.join(COMMIT);
    let holds_parts = [NEW, OLD].iter().all(|part| commit.join(part).is_dir());
    holds_parts && (!commit.join(PLAN).exists() || read_plan(&commit).is_ok())
}

/// Whether the folder `name` at `path` is one in which a change was prepared.
pub(super) fn is_staging(path: &Path, name: &str) -> bool {
    let ending = name.strip_prefix(STAGING).unwrap_or_default();
    ending.len() == 6 && ending.bytes().all(|b| b.is_ascii_alphanumeric()) && path.is_dir()
}

/// The plan in `commit`, whose names lead nowhere but into the run folder.
fn read_plan(commit: &Path) -> anyhow::Result<Moves> {
    let path = commit.join(PLAN);
    let text = files::read(&path).with_context(|| format!("cannot read `{}`", path.shown()))?;
    let plan: Moves = serde_json::from_slice(&text).with_context(|| format!("`{}` is damaged", path.shown()))?;
    let is_plain = |name: &String| !name.is_empty() && !name.starts_with('.') && !name.contains(['/', '\\']);
    match plan.put.iter().chain(&plan.remove).find(|name| !is_plain(name)) {
        Some(name) => bail!("`{}` is damaged: `{name}` is no file of a run", path.shown()),
        None => Ok(plan),
    }
}

/// The paths of the files in `name` of `folder`: itself, or those below it; none where it is not there. Links count as
/// files, wherever they lead.
pub(super) fn files_below(folder: &Path, name: &str) -> anyhow::Result<Vec<String>> {
    let path = folder.join(name);
    if !is_folder(&path) {
        return Ok(if is_there(&path) { vec![name.to_owned()] } else { Vec::new() });
    }
    let mut files = Vec::new();
    for entry in fs::read_dir(&path).with_context(|| format!("cannot read `{}`", path.shown()))? {
        let inner = entry?.file_name();
        files.extend(files_below(folder, &format!("{name}/{}", inner.to_string_lossy()))?);
    }
    Ok(files)
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
    let commit = folder.join(COMMIT);
    if !is_there(&commit) {
        return Ok(());
    }
    refuse_foreign(&commit)?;
    if commit.join(PLAN).exists() {
        refuse_edited_since(folder, &read_plan(&commit)?)?;
    }
    move_to_places(folder)
}

/// Refuses to take for a change, and to clear away, what no command has put there.
fn refuse_foreign(commit: &Path) -> anyhow::Result<()> {
    let is_part = |entry: std::io::Result<fs::DirEntry>| {
        entry.is_ok_and(|entry| [PLAN, NEW, OLD].iter().any(|part| entry.file_name() == *part))
    };
    if is_folder(commit) && fs::read_dir(commit).is_ok_and(|mut entries| entries.all(is_part)) {
        return Ok(());
    }
    bail!("`{}` is not what bitesize puts there: move it out of the run folder", commit.shown())
}

/// Refuses to replace or remove what a user has edited since the change was cut off.
fn refuse_edited_since(folder: &Path, plan: &Moves) -> anyhow::Result<()> {
    let new = folder.join(COMMIT).join(NEW);
    let put = plan.put.iter().filter(|name| is_there(&new.join(name)));
    for name in put.chain(&plan.remove) {
        for file in files_below(folder, name)? {
            let path = folder.join(&file);
            let found = files::read(&path).with_context(|| format!("cannot read `{}`", path.shown()))?;
            let is_known = plan.before.get(&file).is_some_and(|hash| *hash == sha256(&found));
            if !is_known && !files::read(&new.join(&file)).is_ok_and(|bytes| bytes == found) {
                bail!(
                    "`{}` was edited after a command was cut off that had written it anew, and would be lost: move it out \
                     of the run folder, then give the command again",
                    path.shown()
                );
            }
        }
    }
    Ok(())
}

/// Moves what [`COMMIT`] holds to its places. Where that fails half-way, everything goes back to where it was.
pub(super) fn move_to_places(folder: &Path) -> anyhow::Result<()> {
    let commit = folder.join(COMMIT);
    let path = commit.join(PLAN);
    let text = match files::read(&path) {
        Ok(text) => text,
        // All was done but clearing away.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return clear(&commit),
        Err(error) => return Err(error).with_context(|| format!("cannot read `{}`", path.shown())),
    };
    let plan: Moves = serde_json::from_slice(&text).with_context(|| format!("`{}` is damaged", path.shown()))?;
    let moves = plan.put.iter().map(|name| (name, true)).chain(plan.remove.iter().map(|name| (name, false)));
    let mut done: Vec<&str> = Vec::new();
    for (name, is_new) in moves {
        let moved = if is_new { replace(folder, name) } else { take_away(folder, name) };
        if let Err(error) = moved {
            let what = format!("cannot put `{}` into its place", folder.join(name).shown());
            if done.into_iter().rev().all(|name| put_back(folder, name).is_ok()) {
                clear(&commit)?;
                return Err(error).context(what);
            }
            return Err(error).with_context(|| {
                format!(
                    "{what}, and the files that have theirs cannot go back: mend that, and the next command finishes it"
                )
            });
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
    cleared.with_context(|| format!("cannot remove `{}`", commit.shown()))
}

/// Puts the new `name` where the old one is, which is kept in [`COMMIT`]. Does nothing where that was done before; where
/// it fails, the old one stands again.
pub(super) fn replace(folder: &Path, name: &str) -> std::io::Result<()> {
    let [new, old] = [NEW, OLD].map(|part| folder.join(COMMIT).join(part).join(name));
    let place = folder.join(name);
    if !is_there(&new) {
        return Ok(());
    }
    if is_folder(&place) || is_folder(&new) {
        take_away(folder, name)?;
    } else if is_there(&place) && !is_there(&old) {
        // A second name keeps the old file while the new one takes its place in one step.
        if fs::hard_link(&place, &old).is_err() {
            files::check_regular(&fs::symlink_metadata(&place)?)?;
            fs::copy(&place, &old)?;
        }
    }
    fs::rename(&new, &place).inspect_err(|_| {
        if is_there(&old) && !is_there(&place) {
            let _ = fs::rename(&old, &place);
        }
    })
}

/// Moves `name` out of its place. Does nothing where that was done before.
pub(super) fn take_away(folder: &Path, name: &str) -> std::io::Result<()> {
    let (place, old) = (folder.join(name), folder.join(COMMIT).join(OLD).join(name));
    if is_there(&place) { fs::rename(&place, &old) } else { Ok(()) }
}

/// Undoes a [`replace`] or [`take_away`] that succeeded.
fn put_back(folder: &Path, name: &str) -> std::io::Result<()> {
    let [new, old] = [NEW, OLD].map(|part| folder.join(COMMIT).join(part).join(name));
    let place = folder.join(name);
    if is_there(&place) {
        fs::rename(&place, &new)?;
    }
    if is_there(&old) { fs::rename(&old, &place) } else { Ok(()) }
}
