//! Changes of a run folder that happen together or not at all, whatever kills the process.
//!
//! New files are written into a folder beside their places, with a plan of what goes where. Renaming that folder is the
//! one moment at which the change happens; `moves` then brings its files to their places.

use super::folder::RunFolder;
use super::ledger::{Ledger, Stage};
use super::moves::{
    COMMIT, Moves, NEW, OLD, PLAN, STAGING, files_below, is_there, move_to_places, sync_folder, write_file,
};
use super::names::{CONFIG, LEDGER};
use super::provenance::Provenance;
use crate::files;
use crate::hash::sha256;
use anyhow::{Context as _, bail};
use bitesize_ir::shown::ShownPath as _;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// A change in preparation. Dropped, it leaves the folder as it was.
pub struct Commit<'a> {
    folder: &'a RunFolder,
    staging: TempDir,
    plan: Moves,
    ledger: Ledger,
    /// Files whose edits a user knows to be taken or written over.
    asked_for: Vec<String>,
    /// Paths of all new files.
    files: Vec<String>,
}

impl RunFolder {
    /// Begins a change.
    ///
    /// # Errors
    /// The folder cannot be written to.
    pub fn begin(&self) -> anyhow::Result<Commit<'_>> {
        if !self.is_writable() {
            bail!("the run folder `{}` cannot be written to", self.path().shown());
        }
        let staging = tempfile::Builder::new()
            .prefix(STAGING)
            .tempdir_in(self.path())
            .with_context(|| format!("the run folder `{}` cannot be written to", self.path().shown()))?;
        let plan = Moves { put: Vec::new(), remove: Vec::new(), before: BTreeMap::new() };
        let ledger = self.ledger().clone();
        // Settings are read before they are written, so that nothing but comments is lost.
        let asked_for = vec![CONFIG.to_owned(), LEDGER.to_owned()];
        Ok(Commit { folder: self, staging, plan, ledger, asked_for, files: Vec::new() })
    }
}

impl Commit<'_> {
    /// Begins `stage` anew, made from `made_from`.
    pub fn stage(&mut self, stage: Stage, made_from: Provenance) {
        self.ledger.begin(stage, made_from);
    }

    /// Puts the file `name` of `stage` into its place.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn put(&mut self, stage: Stage, name: &str, bytes: &[u8]) -> anyhow::Result<()> {
        self.write(name, bytes)?;
        self.ledger.note(stage, name, bytes);
        self.plan.put.push(name.to_owned());
        Ok(())
    }

    /// Puts the folder `name` of `stage` with text files by path into its place.
    ///
    /// # Errors
    /// One of them cannot be written.
    pub fn put_tree(&mut self, stage: Stage, name: &str, files: &[(String, String)]) -> anyhow::Result<()> {
        fs::create_dir_all(self.new_path(name)).with_context(|| self.fail(name))?;
        self.ledger.empty(stage, name);
        for (path, text) in files {
            let path = format!("{name}/{path}");
            self.write(&path, text.as_bytes())?;
            self.ledger.note(stage, &path, text.as_bytes());
        }
        self.plan.put.push(name.to_owned());
        Ok(())
    }

    /// Takes the file `name`, which a user has edited to hold `bytes`, as that of `stage`.
    pub fn adopt(&mut self, stage: Stage, name: &str, bytes: &[u8]) {
        self.ledger.note(stage, name, bytes);
    }

    /// Forgets `stage`: removes its files, and the folders that hold them.
    pub fn forget(&mut self, stage: Stage) {
        for file in self.ledger.forget(stage) {
            let top = file.split('/').next().unwrap_or(&file).to_owned();
            if !self.plan.remove.contains(&top) && !self.plan.put.contains(&top) {
                self.plan.remove.push(top);
            }
        }
    }

    /// Leaves `stages` in their places until something takes them, and marks them as what is not of the run any more.
    pub fn outdate(&mut self, stages: &[Stage]) {
        stages.iter().for_each(|stage| self.ledger.outdate(*stage));
    }

    /// Forgets those of `stages` that are marked as outdated.
    pub fn forget_outdated(&mut self, stages: &[Stage]) {
        for stage in stages {
            if self.ledger.entry(*stage).is_some_and(|entry| entry.is_outdated) {
                self.forget(*stage);
            }
        }
    }

    /// Removes the journal `name`, whatever it holds.
    pub fn discard_journal(&mut self, name: &str) {
        self.asked_for.push(name.to_owned());
        self.plan.remove.push(name.to_owned());
    }

    /// Makes the change.
    ///
    /// # Errors
    /// A file that a user has edited would be lost; a folder that cannot be written to. The folder is as it was.
    pub fn finish(mut self) -> anyhow::Result<()> {
        self.plan.before = self.refuse_to_lose_edits()?;
        if let Ok(ledger) = files::read(&self.folder.join(LEDGER)) {
            self.plan.before.insert(LEDGER.to_owned(), sha256(&ledger));
        }
        self.write(LEDGER, self.ledger.to_json().as_bytes())?;
        self.plan.put.push(LEDGER.to_owned());
        let removed = |name: &String| !self.plan.put.contains(name) && is_there(&self.folder.join(name));
        let remove: Vec<String> = self.plan.remove.iter().filter(|name| removed(name)).cloned().collect();
        self.plan.remove = remove;
        let plan = serde_json::to_vec(&self.plan)?;
        write_file(&self.staging.path().join(PLAN), &plan).with_context(|| self.fail(PLAN))?;
        for part in [NEW, OLD] {
            fs::create_dir_all(self.staging.path().join(part)).with_context(|| self.fail(part))?;
        }
        let Self { folder, staging, ledger, files, .. } = self;
        let place = folder.join(COMMIT);
        fs::rename(staging.path(), &place).with_context(|| format!("cannot write into `{}`", folder.path().shown()))?;
        // The folder has moved away from under its guard.
        let _ = staging.keep();
        sync_folder(folder.path());
        files.into_iter().for_each(|file| folder.owns(file));
        move_to_places(folder.path())?;
        *folder.ledger() = ledger;
        Ok(())
    }

    fn new_path(&self, name: &str) -> PathBuf {
        self.staging.path().join(NEW).join(name)
    }

    fn fail(&self, name: &str) -> String {
        format!("cannot write `{}`: free some space or give another output folder", self.folder.join(name).shown())
    }

    fn write(&mut self, name: &str, bytes: &[u8]) -> anyhow::Result<()> {
        let path = self.new_path(name);
        let parent = path.parent().unwrap_or(Path::new("."));
        fs::create_dir_all(parent).and_then(|()| write_file(&path, bytes)).with_context(|| self.fail(name))?;
        self.files.push(name.to_owned());
        Ok(())
    }

    /// Refuses to replace or remove what is not as it was written; the hashes of what is.
    ///
    /// # Errors
    /// What a user has edited or put there.
    pub fn refuse_to_lose_edits(&self) -> anyhow::Result<BTreeMap<String, String>> {
        let known = self.folder.ledger();
        let mut before = BTreeMap::new();
        for name in self.plan.put.iter().chain(&self.plan.remove) {
            for path in files_below(self.folder.path(), name)? {
                let place = self.folder.join(&path);
                if place.is_symlink() && !self.asked_for.contains(name) {
                    bail!(
                        "`{}` is a link, which bitesize does not make, and would be lost: move it out of the run folder or \
                         remove it, then give the command again",
                        place.shown()
                    );
                }
                let bytes = files::read(&place).with_context(|| format!("cannot read `{}`", place.shown()))?;
                let hash = sha256(&bytes);
                let is_written = known.hash_of(&path) == Some(&hash) || self.ledger.hash_of(&path) == Some(&hash);
                if !is_written && !self.asked_for.contains(name) {
                    bail!(
                        "`{}` was edited or put there since bitesize wrote `{name}`, and would be lost: move it out of the \
                         run folder or remove it, then give the command again",
                        place.shown()
                    );
                }
                before.insert(path, hash);
            }
        }
        Ok(before)
    }
}

#[cfg(test)]
mod tests;
