//! The run folder: one writer at a time, nothing half-written under a final name, and a run that fails leaves no trace.
//!
//! What a stage makes gets its place in one [`Commit`](super::Commit), so that the folder is in the state before
//! or after it, whatever kills the process. Only journals grow in place ([`super::journal`]).

use super::config::RunConfig;
use super::ledger::{Ledger, Stage};
use super::lock::{LOCK, Lock};
use super::moves;
use super::names::{CALIBRATION, CONFIG, LEDGER, POLICY, PREPARED, RECONSTRUCTION, REPORT_JSON, TUNING, WEIGHTS};
use crate::files;
use crate::hash::sha256;
use anyhow::{Context as _, bail};
use bitesize_ir::shown::ShownPath as _;
use std::collections::BTreeSet;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// A folder that a run writes into, locked.
///
/// Where the folder was new or empty and [`Self::keep`] is not called, dropping it takes away what this run wrote, and
/// nothing else.
pub struct RunFolder {
    path: PathBuf,
    /// The uppermost folder that this run made.
    made: Option<PathBuf>,
    /// Whether it was new or empty.
    fresh: bool,
    kept: bool,
    /// Every file that this run made, relative to the folder.
    written: Mutex<Vec<PathBuf>>,
    ledger: Mutex<Ledger>,
    /// `None` where the folder can only be read.
    lock: Option<Lock>,
}

/// What a folder holds, before it is touched.
enum Contents {
    /// There is none.
    Absent,
    /// Nothing but what a process that was killed left behind.
    Nothing,
    /// A run, or the first commit of one.
    Run,
    /// Other things.
    Foreign,
}

impl Contents {
    fn of(path: &Path) -> anyhow::Result<Self> {
        let what = || format!("cannot use the output folder `{}`", path.shown());
        let entries = match fs::read_dir(path) {
            Ok(entries) => entries,
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(Self::Absent),
            Err(e) => return Err(e).with_context(what),
        };
        // Nothing is taken for a run because a file of it is called so: others have a config.toml too.
        let config = || files::read_text(&path.join(CONFIG)).is_ok_and(|text| RunConfig::from_toml(&text).is_ok());
        if path.join(LEDGER).is_file() || moves::is_cut_off(path) || config() {
            return Ok(Self::Run);
        }
        for entry in entries {
            let entry = entry.with_context(what)?;
            let name = entry.file_name();
            let name = name.to_string_lossy();
            let is_ours = name == LOCK && Lock::is_one(&entry.path()) || moves::is_staging(&entry.path(), &name);
            if !is_ours {
                return Ok(Self::Foreign);
            }
        }
        Ok(Self::Nothing)
    }
}

/// Whether a file of this name in a run folder is what a process that was killed left behind.
fn is_left_behind(name: &str) -> bool {
    [".tmp", moves::STAGING, ".old-"].iter().any(|prefix| name.starts_with(prefix))
}

impl RunFolder {
    /// A folder for a new run: made where it is not there, refused where it holds something.
    ///
    /// # Errors
    /// It holds something, is a file, is in use, or cannot be written to.
    pub fn create(path: &Path) -> anyhow::Result<Self> {
        let folder = Self::open_or_create(path)?;
        if folder.holds_run() {
            return Err(not_empty(path));
        }
        Ok(folder)
    }

    /// The folder of an earlier run.
    ///
    /// # Errors
    /// It is not there, holds no run, is in use, or cannot be written to; a commit that cannot be brought to its end.
    pub fn open(path: &Path) -> anyhow::Result<Self> {
        let no_run = || anyhow::anyhow!("`{}` is not a run folder: it has no {CONFIG} of a run", path.shown());
        match Contents::of(path)? {
            Contents::Run => Some(Self::opened(path, None, false)?).filter(Self::holds_run).ok_or_else(no_run),
            Contents::Absent | Contents::Nothing | Contents::Foreign => Err(no_run()),
        }
    }

    /// The folder at `path` with the run that it holds, or for a new one.
    ///
    /// # Errors
    /// As [`Self::create`] and [`Self::open`].
    pub fn open_or_create(path: &Path) -> anyhow::Result<Self> {
        match Contents::of(path)? {
            Contents::Foreign => Err(not_empty(path)),
            Contents::Run => Self::opened(path, None, false),
            Contents::Nothing => Self::opened(path, None, true),
            Contents::Absent => {
                let what = || format!("cannot make the output folder `{}`", path.shown());
                let absolute = std::path::absolute(path).with_context(what)?;
                let made = absolute.ancestors().take_while(|a| !a.exists()).last().map(Path::to_owned);
                let result = fs::create_dir_all(path).with_context(what).and_then(|()| {
                    let made = made.clone();
                    Self::opened(path, made, true)
                });
                if let (Err(_), Some(made)) = (&result, &made) {
                    remove_folders(path, made);
                }
                result
            }
        }
    }

    /// The folder of an earlier run for a command that can do without writing: locked where that is possible.
    ///
    /// # Errors
    /// As [`Self::open`], but a folder that cannot be written to is none.
    pub fn open_to_read(path: &Path) -> anyhow::Result<Self> {
        let read_only = |error: &anyhow::Error| {
            let io = error.root_cause().downcast_ref::<std::io::Error>();
            io.is_some_and(|e| matches!(e.kind(), ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem))
        };
        match Self::open(path) {
            Err(error) if read_only(&error) && path.join(CONFIG).is_file() => {
                if moves::is_cut_off(path) {
                    bail!(
                        "a command was cut off in `{}` and its change is not at its end: give a command once where the folder \
                         can be written to",
                        path.shown()
                    );
                }
                let mut folder = Self::unlocked(path, None, false);
                folder.read_ledger()?;
                Ok(folder)
            }
            result => result,
        }
    }

    fn unlocked(path: &Path, made: Option<PathBuf>, fresh: bool) -> Self {
        Self {
            path: path.to_owned(),
            made,
            fresh,
            kept: !fresh,
            written: Mutex::default(),
            ledger: Mutex::default(),
            lock: None,
        }
    }

    /// Locks the folder, brings an earlier process's commit to its end, and clears away what it left behind.
    fn opened(path: &Path, made: Option<PathBuf>, fresh: bool) -> anyhow::Result<Self> {
        let mut folder = Self::unlocked(path, made, fresh);
        folder.lock = Some(Lock::take(path)?);
        moves::finish_earlier(path)?;
        folder.clear_left_behind()?;
        folder.read_ledger()?;
        if folder.holds_run() {
            (folder.fresh, folder.kept) = (false, true);
        } else if !folder.ledger().is_empty() {
            bail!(
                "`{}` is missing: put back the file, or start a new run in another folder",
                folder.join(CONFIG).shown()
            );
        }
        Ok(folder)
    }

    /// Nobody else's process writes here, since this one holds the lock.
    fn clear_left_behind(&self) -> anyhow::Result<()> {
        let what = || format!("cannot read the folder `{}`", self.path.shown());
        for entry in fs::read_dir(&self.path).with_context(what)? {
            let name = entry.with_context(what)?.file_name();
            let name = name.to_string_lossy();
            if is_left_behind(&name) {
                self.remove(&name)?;
            }
        }
        Ok(())
    }

    fn read_ledger(&mut self) -> anyhow::Result<()> {
        let path = self.join(LEDGER);
        let text = match files::read_text(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => return self.refuse_files_without_ledger(),
            Err(error) => return Err(error).with_context(|| format!("cannot read `{}`", path.shown())),
        };
        let ledger = Ledger::from_json(&text).map_err(|problem| {
            anyhow::anyhow!(
                "`{}` cannot be used: {problem}; put back the file that bitesize wrote, or start a new run",
                path.shown()
            )
        })?;
        *self.ledger.get_mut().unwrap_or_else(PoisonError::into_inner) = ledger;
        Ok(())
    }

    /// Without the ledger nothing says what stages' files were made from; journals carry checks of their own.
    fn refuse_files_without_ledger(&self) -> anyhow::Result<()> {
        let files = [CALIBRATION, PREPARED, RECONSTRUCTION, TUNING, POLICY, WEIGHTS, REPORT_JSON];
        match files.iter().find(|name| self.join(name).is_file()) {
            Some(name) => bail!(
                "`{}` is missing, so nothing says what `{name}` was made from: put back the file, or start a new run in \
                 another folder",
                self.join(LEDGER).shown()
            ),
            None => Ok(()),
        }
    }

    /// Whether it holds a run.
    pub fn holds_run(&self) -> bool {
        self.join(CONFIG).is_file()
    }

    /// Whether this process may write into it.
    pub fn is_writable(&self) -> bool {
        self.lock.is_some()
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The path of `name` in it.
    pub fn join(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// What is known of its stages.
    pub fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The bytes of the file `name` of `stage`, which are those that were written; `None` where there is no such file.
    /// `remedy` says what to do where they are not.
    ///
    /// # Errors
    /// Other bytes than were written, or a file of which nothing is known.
    pub fn read(&self, stage: Stage, name: &str, remedy: &str) -> anyhow::Result<Option<Vec<u8>>> {
        let path = self.join(name);
        let bytes = match files::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error).with_context(|| format!("cannot read `{}`", path.shown())),
        };
        let ledger = self.ledger();
        match ledger.entry(stage).and_then(|entry| entry.files.get(name)) {
            Some(hash) if *hash == sha256(&bytes) => Ok(Some(bytes)),
            Some(_) => bail!(
                "`{}` is damaged or was altered: its SHA-256 differs from that in {LEDGER}; {remedy}",
                path.shown()
            ),
            None => bail!(
                "`{}` is no file of this run: {LEDGER} does not say what it was made from; {remedy}",
                path.shown()
            ),
        }
    }

    /// The files of `stage` that are not what was written, or are not there.
    ///
    /// # Errors
    /// A file that cannot be read.
    pub fn altered_files(&self, stage: Stage) -> anyhow::Result<Vec<String>> {
        let files = self.ledger().entry(stage).map(|entry| entry.files.clone()).unwrap_or_default();
        let mut altered = Vec::new();
        for (name, hash) in files {
            let path = self.join(&name);
            match files::read(&path) {
                Ok(bytes) if sha256(&bytes) == hash => {}
                Ok(_) => altered.push(name),
                Err(error) if error.kind() == ErrorKind::NotFound => altered.push(name),
                Err(error) => return Err(error).with_context(|| format!("cannot read `{}`", path.shown())),
            }
        }
        Ok(altered)
    }

    /// Refuses to go on where files of `stages` are not what was written; whether all of them are there.
    ///
    /// # Errors
    /// A file that was altered, or that cannot be read.
    pub fn refuse_altered(&self, stages: &[Stage]) -> anyhow::Result<bool> {
        let mut is_whole = true;
        for stage in stages {
            for name in self.altered_files(*stage)? {
                let path = self.join(&name);
                if path.exists() {
                    bail!(
                        "`{}` is damaged or was altered: its SHA-256 differs from that in {LEDGER}; put back the file as it \
                         was, or remove it, and --resume makes it again",
                        path.shown()
                    );
                }
                is_whole = false;
            }
        }
        Ok(is_whole)
    }

    /// Removes the file or folder `name`, where it is there.
    fn remove(&self, name: &str) -> anyhow::Result<()> {
        let path = self.join(name);
        let removed = if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
        match removed {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                Err(error).with_context(|| format!("cannot remove `{}`", path.shown()))
            }
            _ => Ok(()),
        }
    }

    /// Notes that this run made the file `name`, so that it goes where the run fails.
    pub fn owns(&self, name: impl Into<PathBuf>) {
        self.written.lock().unwrap_or_else(PoisonError::into_inner).push(name.into());
    }

    /// Keeps everything written: the run is done, or can be resumed.
    pub fn keep(&mut self) {
        self.kept = true;
    }

    /// Whether a failure would take away what was written.
    pub fn is_kept(&self) -> bool {
        self.kept
    }
}

fn not_empty(path: &Path) -> anyhow::Error {
    anyhow::anyhow!(
        "the output folder `{}` is not empty: give another one, or --resume to go on with the run in it",
        path.shown()
    )
}

/// Removes the empty folder `path` and those above it up to `made`, which this run made.
fn remove_folders(path: &Path, made: &Path) {
    if let Ok(path) = std::path::absolute(path) {
        for folder in path.ancestors().take_while(|a| a.starts_with(made)) {
            let _ = fs::remove_dir(folder);
        }
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
        self.lock = None;
        if let Some(made) = &self.made {
            remove_folders(&self.path, made);
        }
    }
}

#[cfg(test)]
mod tests;
