//! One writer to a run folder: an advisory lock of the operating system on a file in it.

use anyhow::{Context as _, bail};
use bitesize_ir::shown::ShownPath as _;
use std::fs::{self, File, TryLockError};
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};

/// The file that is locked. It is removed when the lock is given back, and where a process was killed the next one
/// takes it over.
pub const LOCK: &str = ".lock";

/// A lock that is held.
#[derive(Debug)]
pub struct Lock {
    path: PathBuf,
    _file: File,
}

impl Lock {
    /// Whether the file at `path` is one that a process of bitesize has made: a plain file with its number or nothing.
    pub fn is_one(path: &Path) -> bool {
        let is_plain = fs::symlink_metadata(path).is_ok_and(|meta| meta.is_file() && meta.len() <= 20);
        is_plain && fs::read(path).is_ok_and(|bytes| bytes.iter().all(u8::is_ascii_digit))
    }

    /// Locks `folder`.
    ///
    /// # Errors
    /// Another process holds the lock; the folder cannot be written to.
    pub fn take(folder: &Path) -> anyhow::Result<Self> {
        let path = folder.join(LOCK);
        let shown = folder.shown();
        loop {
            if fs::symlink_metadata(&path).is_ok() && !Self::is_one(&path) {
                bail!("`{}` is not the lock of a run: move it away, or give another folder", path.shown());
            }
            let mut file = File::options()
                .read(true)
                .write(true)
                .create(true)
                .truncate(false)
                .open(&path)
                .with_context(|| format!("the run folder `{shown}` cannot be written to"))?;
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => {
                    let mut holder = String::new();
                    let process = match file.read_to_string(&mut holder) {
                        Ok(_) if !holder.trim().is_empty() => format!(" (process {})", holder.trim()),
                        _ => String::new(),
                    };
                    bail!(
                        "the run folder `{shown}` is in use: another bitesize{process} holds the lock `{}`; wait until \
                         it has ended, or give another folder",
                        path.shown()
                    );
                }
                Err(TryLockError::Error(error)) => {
                    return Err(error).with_context(|| {
                        format!("the run folder `{shown}` cannot be locked: give one on another file system")
                    });
                }
            }
            // Who held it may have removed the file between our opening and our locking it.
            if !is_at(&file, &path) {
                continue;
            }
            // The number only helps whoever is refused.
            let _ = file.set_len(0).and_then(|()| write!(file, "{}", std::process::id()));
            return Ok(Self { path, _file: file });
        }
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Before the lock is given back: afterwards the file may be another process's.
        let _ = fs::remove_file(&self.path);
    }
}

/// Whether `path` still leads to `file`.
#[cfg(unix)]
fn is_at(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    match (file.metadata(), fs::metadata(path)) {
        (Ok(held), Ok(found)) => (held.dev(), held.ino()) == (found.dev(), found.ino()),
        _ => false,
    }
}

/// A file that is open cannot be removed there.
#[cfg(not(unix))]
fn is_at(_: &File, _: &Path) -> bool {
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_lock_is_refused_until_the_first_is_given_back() {
        let folder = tempfile::tempdir().unwrap();
        let first = Lock::take(folder.path()).unwrap();
        let error = format!("{:#}", Lock::take(folder.path()).unwrap_err());
        let process = std::process::id().to_string();
        assert!(error.contains("in use") && error.contains(&process), "{error}");
        drop(first);
        assert!(!folder.path().join(LOCK).exists());
        // What a killed process leaves.
        fs::write(folder.path().join(LOCK), "1").unwrap();
        drop(Lock::take(folder.path()).unwrap());
        assert!(!folder.path().join(LOCK).exists());
    }
}
