//! The output folder of a training: one writer at a time, nothing half-written under a final name, and nothing of others touched.

use crate::files;
use crate::run::lock::{LOCK, Lock};
use anyhow::{Context as _, bail};
use bitesize_ir::shown::ShownPath as _;
use std::fs;
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};

/// What the names of files begin with that are not yet in their places.
const STAGING: &str = ".writing-";

/// A folder with a training, locked.
pub(super) struct Folder {
    path: PathBuf,
    _lock: Lock,
}

impl Folder {
    /// Whether a new training can begin in the folder at `path`: it is not there, or empty.
    ///
    /// # Errors
    /// It holds something, which is named, or cannot be read.
    pub(super) fn check_new(path: &Path) -> anyhow::Result<()> {
        let what = || format!("cannot use the output folder `{}`", path.shown());
        let entries = match fs::read_dir(path) {
            Ok(entries) => entries,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error).with_context(what),
        };
        for entry in entries {
            let entry = entry.with_context(what)?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if !(is_left_behind(&entry.path(), &name) || name == LOCK && Lock::is_one(&entry.path())) {
                bail!(
                    "the output folder `{}` is not empty, it holds `{}`: give another folder, or go on with a training in it \
                     with --resume",
                    path.shown(),
                    Path::new(&name).shown()
                );
            }
        }
        Ok(())
    }

    /// The folder at `path` for a new training; made where it is not there.
    ///
    /// # Errors
    /// As [`Self::check_new`]; it is in use, or cannot be written to.
    pub(super) fn create(path: &Path) -> anyhow::Result<Self> {
        Self::check_new(path)?;
        fs::create_dir_all(path).with_context(|| format!("cannot make the output folder `{}`", path.shown()))?;
        let folder = Self::open(path)?;
        Self::check_new(path)?;
        Ok(folder)
    }

    /// The folder at `path`, which is there.
    ///
    /// # Errors
    /// It is in use, or cannot be written to.
    pub(super) fn open(path: &Path) -> anyhow::Result<Self> {
        let lock = Lock::take(path)?;
        let what = || format!("cannot read the folder `{}`", path.shown());
        for entry in fs::read_dir(path).with_context(what)? {
            let entry = entry.with_context(what)?;
            if is_left_behind(&entry.path(), &entry.file_name().to_string_lossy()) {
                // Where that fails it stays where it does no harm.
                let _ = fs::remove_file(entry.path());
            }
        }
        Ok(Self { path: path.to_owned(), _lock: lock })
    }

    /// The path of `name` in it.
    pub(super) fn join(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Puts `bytes` into their place `name`, all of them or none.
    ///
    /// # Errors
    /// It cannot be written.
    pub(super) fn put(&self, name: &str, bytes: &[u8]) -> anyhow::Result<()> {
        let place = self.join(name);
        let what = || format!("cannot write `{}`: free some space or give another output folder", place.shown());
        if files::read(&place).is_ok_and(|found| found == bytes) {
            return Ok(());
        }
        let mut file = tempfile::Builder::new().prefix(STAGING).tempfile_in(&self.path).with_context(what)?;
        file.write_all(bytes).and_then(|()| file.as_file().sync_all()).with_context(what)?;
        make_readable(file.path()).with_context(what)?;
        file.persist(&place).map_err(|error| error.error).with_context(what)?;
        Ok(())
    }
}

/// Whether the file `name` at `path` is what a process that was killed left behind.
fn is_left_behind(path: &Path, name: &str) -> bool {
    name.starts_with(STAGING) && fs::symlink_metadata(path).is_ok_and(|meta| meta.is_file())
}

/// Files in preparation are their owner's alone; what is delivered is as readable as any other file.
#[cfg(unix)]
fn make_readable(path: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    fs::set_permissions(path, fs::Permissions::from_mode(0o644))
}

#[cfg(not(unix))]
fn make_readable(_: &Path) -> std::io::Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_others_is_touched_and_leftovers_go() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("a/out");
        let folder = Folder::create(&path).unwrap();
        assert!(Folder::open(&path).is_err(), "it is in use");
        folder.put("one", b"1").unwrap();
        folder.put("one", b"12").unwrap();
        assert_eq!(fs::read(folder.join("one")).unwrap(), b"12");
        drop(folder);
        fs::write(path.join(format!("{STAGING}x")), b"half").unwrap();
        drop(Folder::open(&path).unwrap());
        let names: Vec<_> = fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(names, ["one"]);
        let error = format!("{:#}", Folder::create(&path).err().unwrap());
        assert!(error.contains("holds `one`") && error.contains("--resume"), "{error}");
        assert!(!path.join(LOCK).exists());
    }
}
