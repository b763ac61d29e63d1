//! The run folder: nothing half-written gets a final name, and a run that fails leaves no trace.

use anyhow::{Context as _, bail};
use std::collections::BTreeSet;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// A folder that a run writes into.
///
/// Files are written beside their place and renamed. Where the folder was new or empty and [`Self::keep`] is not called,
/// dropping it takes away what this run wrote, and nothing else.
pub struct RunFolder {
    path: PathBuf,
    /// The uppermost folder that this run made.
    made: Option<PathBuf>,
    /// Whether it was new or empty.
    fresh: bool,
    kept: bool,
    /// Every file that this run made, relative to the folder.
    written: Mutex<Vec<PathBuf>>,
}

impl RunFolder {
    /// A folder for a new run: made where it is not there, refused where it holds something.
    ///
    /// # Errors
    /// It holds something, is a file, or cannot be written to.
    pub fn create(path: &Path) -> anyhow::Result<Self> {
        let what = || format!("the output folder `{}`", path.display());
        let mut folder =
            Self { path: path.to_owned(), made: None, fresh: true, kept: false, written: Mutex::default() };
        match fs::read_dir(path) {
            Ok(mut entries) => {
                if entries.next().is_some() {
                    bail!("{} is not empty: give another one, or --resume to go on with the run in it", what());
                }
            }
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
                let absolute = std::path::absolute(path).with_context(what)?;
                // Noted first, so that what was made goes where the rest cannot be made.
                folder.made = absolute.ancestors().take_while(|a| !a.exists()).last().map(Path::to_owned);
                fs::create_dir_all(path).with_context(|| format!("cannot make {}", what()))?;
            }
            Err(e) => return Err(e).with_context(|| format!("cannot use {}", what())),
        }
        folder.probe()?;
        Ok(folder)
    }

    /// The folder of an earlier run.
    ///
    /// # Errors
    /// It is not there, or holds no run.
    pub fn open(path: &Path) -> anyhow::Result<Self> {
        if !path.join(super::CONFIG).is_file() {
            bail!("`{}` is not a run folder: it has no {}", path.display(), super::CONFIG);
        }
        Ok(Self { path: path.to_owned(), made: None, fresh: false, kept: true, written: Mutex::default() })
    }

    /// Whether it can be written to, found out before hours of work.
    fn probe(&self) -> anyhow::Result<()> {
        tempfile::tempfile_in(&self.path)
            .map(drop)
            .with_context(|| format!("the output folder `{}` cannot be written to", self.path.display()))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The path of `name` in it.
    pub fn join(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Writes a file: wholly or not at all.
    ///
    /// # Errors
    /// It cannot be written; the place is as it was.
    pub fn write(&self, name: &str, bytes: &[u8]) -> anyhow::Result<()> {
        let fail =
            || format!("cannot write `{}`: free some space or give another output folder", self.join(name).display());
        let mut file = tempfile::NamedTempFile::new_in(&self.path).with_context(fail)?;
        file.write_all(bytes).and_then(|()| file.as_file().sync_all()).with_context(fail)?;
        readable(file.path()).with_context(fail)?;
        file.persist(self.join(name)).map_err(|e| e.error).with_context(fail)?;
        self.owns(name);
        Ok(())
    }

    /// Writes a folder of text files, replacing what was there: wholly or not at all.
    ///
    /// # Errors
    /// It cannot be written; the place is as it was.
    pub fn write_tree(&self, name: &str, files: &[(String, String)]) -> anyhow::Result<()> {
        let place = self.join(name);
        let fail = || format!("cannot write `{}`: free some space or give another output folder", place.display());
        let folder = tempfile::Builder::new().prefix(".writing-").tempdir_in(&self.path).with_context(fail)?;
        for (path, text) in files {
            let file = folder.path().join(path);
            if let Some(parent) = file.parent() {
                fs::create_dir_all(parent).with_context(fail)?;
            }
            fs::write(&file, text).with_context(fail)?;
        }
        readable_folder(folder.path()).with_context(fail)?;
        if place.exists() {
            let old = tempfile::Builder::new().prefix(".old-").tempdir_in(&self.path).with_context(fail)?;
            fs::rename(&place, old.path().join("old")).with_context(fail)?;
        }
        fs::rename(folder.path(), &place).with_context(fail)?;
        // The folder has moved away from under its guard.
        let _ = folder.keep();
        for (path, _) in files {
            self.owns(Path::new(name).join(path));
        }
        Ok(())
    }

    /// The complete lines of the file `name`, which grows by lines; a line that was cut off is left out. Empty where there
    /// is no such file.
    ///
    /// # Errors
    /// A file that cannot be read.
    pub fn read_lines(&self, name: &str) -> std::io::Result<String> {
        match fs::read_to_string(self.join(name)) {
            Ok(mut text) => {
                text.truncate(text.rfind('\n').map_or(0, |end| end + 1));
                Ok(text)
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(String::new()),
            Err(error) => Err(error),
        }
    }

    /// Opens the file `name` to go on after `lines`, which [`Self::read_lines`] gave: a line that was cut off goes.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub fn append_to_lines(&self, name: &str, lines: &str) -> std::io::Result<fs::File> {
        let file = fs::File::options().create(true).append(true).open(self.join(name))?;
        file.set_len(lines.len() as u64)?;
        self.owns(name);
        Ok(file)
    }

    /// Removes the file or folder `name`, where it is there.
    ///
    /// # Errors
    /// It cannot be removed.
    pub fn remove(&self, name: &str) -> anyhow::Result<()> {
        let path = self.join(name);
        let removed = if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
        match removed {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(error).with_context(|| format!("cannot remove `{}`", path.display()))
            }
            _ => Ok(()),
        }
    }

    /// Notes that this run made the file `name`, so that it goes where the run fails.
    pub fn owns(&self, name: impl Into<PathBuf>) {
        self.written.lock().unwrap_or_else(PoisonError::into_inner).push(name.into());
    }

    /// Keeps the files `names` though the run fails, so that it can be resumed; the others go.
    pub fn keep_only(&mut self, names: &[&str]) {
        let written = self.written.get_mut().unwrap_or_else(PoisonError::into_inner);
        written.retain(|file| !names.iter().any(|name| file == Path::new(name)));
    }

    /// Whether this run began in a new or empty folder.
    pub fn is_fresh(&self) -> bool {
        self.fresh
    }

    /// Keeps everything written: the run is done, or can be resumed.
    pub fn keep(&mut self) {
        self.kept = true;
    }
}

impl Drop for RunFolder {
    fn drop(&mut self) {
        if self.kept || !self.fresh {
            return;
        }
        // Nothing can be done here about what cannot be removed; a folder that holds something of others stays.
        let written = std::mem::take(self.written.get_mut().unwrap_or_else(PoisonError::into_inner));
        let mut folders = BTreeSet::new();
        for file in &written {
            let _ = fs::remove_file(self.path.join(file));
            folders.extend(file.ancestors().skip(1).filter(|a| !a.as_os_str().is_empty()));
        }
        // A folder comes before those in it.
        for folder in folders.into_iter().rev() {
            let _ = fs::remove_dir(self.path.join(folder));
        }
        if let (Some(made), Ok(path)) = (&self.made, std::path::absolute(&self.path)) {
            for folder in path.ancestors().take_while(|a| a.starts_with(made)) {
                let _ = fs::remove_dir(folder);
            }
        }
    }
}

/// Gives a temporary file the rights of an ordinary one.
#[cfg(unix)]
fn readable(path: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    fs::set_permissions(path, fs::Permissions::from_mode(0o644))
}

#[cfg(unix)]
fn readable_folder(path: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    fs::set_permissions(path, fs::Permissions::from_mode(0o755))
}

#[cfg(not(unix))]
fn readable(_: &Path) -> std::io::Result<()> {
    Ok(())
}

#[cfg(not(unix))]
fn readable_folder(_: &Path) -> std::io::Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_run_leaves_an_empty_folder_empty_and_a_missing_one_missing() {
        let root = tempfile::tempdir().unwrap();
        for (name, exists) in [("there", true), ("not/yet/there", false)] {
            let path = root.path().join(name);
            if exists {
                fs::create_dir(&path).unwrap();
            }
            let folder = RunFolder::create(&path).unwrap();
            folder.write("file", b"x").unwrap();
            folder.write_tree("tree", &[("a/b.c".into(), "y".into())]).unwrap();
            assert_eq!(fs::read_to_string(path.join("tree/a/b.c")).unwrap(), "y");
            drop(folder);
            assert_eq!(path.exists(), exists, "{name}");
            assert!(!root.path().join("not").exists());
        }
    }

    #[test]
    fn a_failed_run_leaves_what_others_put_there() {
        let root = tempfile::tempdir().unwrap();
        for exists in [true, false] {
            let above = root.path().join(format!("above-{exists}"));
            let path = above.join("out");
            if exists {
                fs::create_dir_all(&path).unwrap();
            }
            let folder = RunFolder::create(&path).unwrap();
            folder.write("mine", b"x").unwrap();
            folder.write_tree("tree", &[("a/b.c".into(), "y".into())]).unwrap();
            let others = [above.join("note"), path.join("note"), path.join("tree/note")];
            for other in &others {
                fs::write(other, "z").unwrap();
            }
            drop(folder);
            assert!(others.iter().all(|o| o.is_file()));
            assert!(!path.join("mine").exists() && !path.join("tree/a").exists());
        }
    }

    #[test]
    fn a_kept_run_stays_and_its_folder_is_refused_to_another() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("out");
        let mut folder = RunFolder::create(&path).unwrap();
        folder.write("file", b"x").unwrap();
        folder.write_tree("tree", &[("a".into(), "1".into()), ("b".into(), "2".into())]).unwrap();
        folder.write_tree("tree", &[("a".into(), "3".into())]).unwrap();
        folder.keep();
        drop(folder);
        let names: Vec<_> = fs::read_dir(&path).unwrap().map(|e| e.unwrap().file_name()).collect();
        assert_eq!(names.len(), 2, "no temporary file stays: {names:?}");
        assert!(!path.join("tree/b").exists());
        let error = RunFolder::create(&path).err().unwrap().to_string();
        assert!(error.contains("not empty") && error.contains("--resume"), "{error}");
    }
}
