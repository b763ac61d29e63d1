//! Class folders: `data/<class>/**/*.{jpg,jpeg,png}`.

use super::raw::{Raw, Source};
use crate::files;
use crate::input::error::DataError;
use crate::input::labels::StoredLabels;
use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};

/// What lies in a folder, by name; hidden entries are left out.
pub(super) fn sorted_entries(path: &Path) -> Result<Vec<PathBuf>, DataError> {
    let mut entries = Vec::new();
    for entry in std::fs::read_dir(path).map_err(DataError::io(path))? {
        let entry = entry.map_err(DataError::io(path))?.path();
        if !name(&entry).starts_with('.') {
            entries.push(entry);
        }
    }
    entries.sort();
    Ok(entries)
}

fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn is_image(path: &Path) -> bool {
    let extension = path.extension().and_then(|e| e.to_str()).unwrap_or_default().to_ascii_lowercase();
    matches!(extension.as_str(), "jpg" | "jpeg" | "png")
}

/// The lines of `classes.txt` in `path` or its parent.
fn classes_file(path: &Path) -> Result<Option<Vec<String>>, DataError> {
    let absolute = std::path::absolute(path).map_err(DataError::io(path))?;
    for folder in [Some(absolute.as_path()), absolute.parent()].into_iter().flatten() {
        let file = folder.join("classes.txt");
        if file.is_file() {
            let text = files::read_text(&file).map_err(DataError::io(&file))?;
            let lines: Vec<String> = text.lines().map(|l| l.trim().to_owned()).filter(|l| !l.is_empty()).collect();
            let distinct: BTreeSet<&String> = lines.iter().collect();
            if distinct.len() != lines.len() {
                return Err(DataError::unusable(&file, "a class is named twice"));
            }
            return Ok(Some(lines));
        }
    }
    Ok(None)
}

/// The class names in order for the data folders of one run: the lines of `classes.txt` in a folder or its parent,
/// else the sorted union of the folder names. `None` where no path holds class folders.
///
/// # Errors
/// A folder that cannot be read, or two `classes.txt` that differ.
pub fn class_order(paths: &[&Path]) -> Result<Option<Vec<String>>, DataError> {
    let mut union = BTreeSet::new();
    let mut listed: Option<(Vec<String>, &Path)> = None;
    for path in paths.iter().filter(|p| p.is_dir()) {
        let folders: Vec<PathBuf> = sorted_entries(path)?.into_iter().filter(|e| e.is_dir()).collect();
        if folders.is_empty() {
            continue;
        }
        union.extend(folders.iter().map(|f| name(f)));
        if let Some(classes) = classes_file(path)? {
            match &listed {
                Some((other, first)) if *other != classes => {
                    let problem = format!("its classes.txt differs from that of `{}`", first.display());
                    return Err(DataError::unusable(path, problem));
                }
                _ => listed = Some((classes, path)),
            }
        }
    }
    Ok(match listed {
        Some((classes, _)) => Some(classes),
        None if union.is_empty() => None,
        None => Some(union.into_iter().collect()),
    })
}

pub(super) fn read(path: &Path, classes: Option<&[String]>) -> Result<Raw, DataError> {
    let own;
    let classes = match classes {
        Some(classes) => classes,
        None => {
            own = class_order(&[path])?.unwrap_or_default();
            &own
        }
    };
    let index: HashMap<&str, usize> = classes.iter().enumerate().map(|(i, c)| (c.as_str(), i)).collect();
    let mut found = Images::default();
    found.enter(path)?;
    let mut labels = Vec::new();
    for folder in sorted_entries(path)?.into_iter().filter(|e| e.is_dir()) {
        let Some(&label) = index.get(name(&folder).as_str()) else {
            return Err(DataError::unusable(&folder, "the folder's name is not a line of classes.txt"));
        };
        found.collect(&folder)?;
        labels.resize(found.files.len(), label as i64);
    }
    let files = found.files;
    if files.is_empty() {
        return Err(DataError::unusable(path, "its class folders hold no jpg or png files"));
    }
    Ok(Raw {
        format: "class folders",
        samples: files.len(),
        source: Source::Files(files),
        labels: Some(StoredLabels::classes(labels)),
        class_count: classes.len(),
    })
}

/// The image files found so far.
#[derive(Default)]
struct Images {
    files: Vec<PathBuf>,
    /// The folders that were entered: where each really lies, and the path by which it was reached.
    entered: HashMap<PathBuf, PathBuf>,
}

impl Images {
    /// Notes that a folder is read; one that links reach twice would give its images twice, or never end.
    fn enter(&mut self, folder: &Path) -> Result<(), DataError> {
        let real = std::fs::canonicalize(folder).map_err(DataError::io(folder))?;
        match self.entered.insert(real, folder.to_owned()) {
            None => Ok(()),
            Some(first) => {
                let problem = format!(
                    "a link leads to this folder, or out of it, so that it is read twice: it is also `{}`; remove the link",
                    first.display()
                );
                Err(DataError::unusable(folder, problem))
            }
        }
    }

    fn collect(&mut self, folder: &Path) -> Result<(), DataError> {
        self.enter(folder)?;
        for entry in sorted_entries(folder)? {
            if entry.is_dir() {
                self.collect(&entry)?;
            } else if is_image(&entry) {
                let metadata = std::fs::metadata(&entry).map_err(DataError::io(&entry))?;
                files::check_regular(&metadata).map_err(DataError::io(&entry))?;
                self.files.push(entry);
            }
        }
        Ok(())
    }
}
