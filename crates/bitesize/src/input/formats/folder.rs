//! Class folders: image files anywhere below `data/<class>`.

use super::headers;
use super::raw::{Raw, Request, Source};
use crate::files;
use crate::input::decode::READ;
use crate::input::error::DataError;
use crate::input::labels::StoredLabels;
use bitesize_ir::shown::{self, ShownPath as _};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};

/// The file that lists classes in their order.
const CLASSES: &str = "classes.txt";

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

/// Extensions of the formats that are read; which of them a file is shows in its bytes.
const EXTENSIONS: [&str; 6] = ["jpg", "jpeg", "png", "bmp", "gif", "webp"];

/// The extension in lower case, empty where there is none.
fn extension(path: &Path) -> String {
    path.extension().unwrap_or_default().to_string_lossy().to_ascii_lowercase()
}

fn is_image(path: &Path) -> bool {
    EXTENSIONS.contains(&extension(path).as_str())
}

/// The lines of `classes.txt` in `path` or its parent.
fn classes_file(path: &Path) -> Result<Option<Vec<String>>, DataError> {
    let absolute = std::path::absolute(path).map_err(DataError::io(path))?;
    for folder in [Some(absolute.as_path()), absolute.parent()].into_iter().flatten() {
        let file = folder.join(CLASSES);
        if file.is_file() {
            let text = files::read_text(&file).map_err(DataError::io(&file))?;
            // Editors on Windows begin a text with a byte-order mark.
            let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
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
                    let problem = format!("its classes.txt differs from that of `{}`", first.shown());
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

pub(super) fn read(path: &Path, request: &Request) -> Result<Raw, DataError> {
    let own;
    let classes = match request.classes {
        Some(classes) => classes,
        None => {
            own = class_order(&[path])?.unwrap_or_default();
            &own
        }
    };
    let index: HashMap<&str, usize> = classes.iter().enumerate().map(|(i, c)| (c.as_str(), i)).collect();
    let mut found = Found::default();
    found.enter(path)?;
    let mut labels = Vec::new();
    let (folders, beside): (Vec<PathBuf>, _) = sorted_entries(path)?.into_iter().partition(|e| e.is_dir());
    found.others.extend(beside.into_iter().filter(|file| name(file) != CLASSES));
    for folder in folders {
        let Some(&label) = index.get(name(&folder).as_str()) else {
            return Err(DataError::unusable(&folder, "the folder's name is not a line of classes.txt"));
        };
        found.collect(&folder)?;
        labels.resize(found.files.len(), label as i64);
    }
    let left_out = found.left_out(path);
    let files = found.files;
    if files.is_empty() {
        let problem = format!("its class folders hold no {READ} files");
        return Err(DataError::unusable(path, left_out.map_or(problem.clone(), |text| format!("{problem}: {text}"))));
    }
    let warnings = left_out.into_iter().chain(headers::check(path, &files, request.preprocess)?).collect();
    Ok(Raw {
        format: "class folders",
        samples: files.len(),
        source: Source::Files(files),
        labels: Some(StoredLabels::classes(labels)),
        class_count: classes.len(),
        warnings,
    })
}

/// Whether `entries` of a folder are images that belong to no class.
pub(super) fn holds_images(entries: &[PathBuf]) -> bool {
    entries.iter().any(|entry| is_image(entry))
}

/// Images that lie in a folder without classes.
pub(super) fn read_unlabelled(path: &Path, request: &Request) -> Result<Raw, DataError> {
    let mut found = Found::default();
    found.collect(path)?;
    let left_out = found.left_out(path);
    let warnings = left_out.into_iter().chain(headers::check(path, &found.files, request.preprocess)?).collect();
    Ok(Raw {
        format: "images",
        samples: found.files.len(),
        source: Source::Files(found.files),
        labels: None,
        class_count: 0,
        warnings,
    })
}

/// The files found so far.
#[derive(Default)]
struct Found {
    files: Vec<PathBuf>,
    /// Those that are no images of a class.
    others: Vec<PathBuf>,
    /// The folders that were entered: where each really lies, and the path by which it was reached.
    entered: HashMap<PathBuf, PathBuf>,
}

impl Found {
    /// Notes that a folder is read; one that links reach twice would give its images twice, or never end.
    fn enter(&mut self, folder: &Path) -> Result<(), DataError> {
        let real = std::fs::canonicalize(folder).map_err(DataError::io(folder))?;
        match self.entered.insert(real, folder.to_owned()) {
            None => Ok(()),
            Some(first) => {
                let problem = format!(
                    "a link leads to this folder, or out of it, so that it is read twice: it is also `{}`; remove the link",
                    first.shown()
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
            } else {
                self.others.push(entry);
            }
        }
        Ok(())
    }

    /// What is said of the files below `root` that are no images of a class: how many of each extension, and the first.
    fn left_out(&self, root: &Path) -> Option<String> {
        const SHOWN: usize = 3;
        if self.others.is_empty() {
            return None;
        }
        let mut counts: BTreeMap<String, usize> = BTreeMap::new();
        for file in &self.others {
            let kind = match extension(file) {
                _ if is_image(file) => "images outside of class folders".into(),
                none if none.is_empty() => "without extension".into(),
                extension => format!(".{}", shown::name(&extension)),
            };
            *counts.entry(kind).or_default() += 1;
        }
        let mut counts: Vec<(String, usize)> = counts.into_iter().collect();
        counts.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        let mut kinds: Vec<String> =
            counts.iter().take(2 * SHOWN).map(|(kind, count)| format!("{count} {kind}")).collect();
        let rest: usize = counts.iter().skip(2 * SHOWN).map(|(_, count)| count).sum();
        if rest > 0 {
            kinds.push(format!("{rest} others"));
        }
        let below = |file: &PathBuf| format!("`{}`", file.strip_prefix(root).unwrap_or(file).shown());
        let first: Vec<String> = self.others.iter().take(SHOWN).map(below).collect();
        Some(format!(
            "{} files of `{}` are left out ({}): {}{}; {READ} files in class folders are read",
            self.others.len(),
            root.shown(),
            kinds.join(", "),
            first.join(", "),
            if self.others.len() > SHOWN { ", ..." } else { "" },
        ))
    }
}
