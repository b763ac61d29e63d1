//! What lies in a run folder, and in what two folders differ.

use super::workshop::Failure;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// The report for programs, which tells seconds.
const REPORT: &str = "report.json";

/// Every file below a folder with its bytes, by its path in the folder.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct State(pub(super) BTreeMap<String, Vec<u8>>);

impl State {
    /// Of a folder; empty where there is none.
    pub(super) fn of(folder: &Path) -> Result<Self, Failure> {
        let mut files = BTreeMap::new();
        let mut open = if folder.exists() { vec![folder.to_owned()] } else { Vec::new() };
        while let Some(at) = open.pop() {
            for entry in fs::read_dir(&at).map_err(|error| format!("{}: {error}", at.display()))? {
                let path = entry?.path();
                let name = path.strip_prefix(folder)?.display().to_string();
                if path.is_dir() {
                    // So that an empty folder that is left behind is seen too.
                    files.insert(format!("{name}/"), Vec::new());
                    open.push(path);
                } else {
                    files.insert(name, fs::read(&path)?);
                }
            }
        }
        Ok(Self(files))
    }

    /// In what a folder that a command left differs from this one, which was left undisturbed: names that are missing or
    /// too many, and files that are not equal byte for byte. `report.json` may differ in seconds; the other report, which
    /// tells them too, and the books that the folder keeps of itself only have to be there.
    pub(super) fn differences(&self, left: &Self) -> Vec<String> {
        let missing = self.0.keys().filter(|name| !left.0.contains_key(*name)).map(|name| format!("no {name}"));
        let rubbish = left.0.keys().filter(|name| !self.0.contains_key(*name)).map(|name| format!("{name} left over"));
        let unequal = self.0.iter().filter_map(|(name, bytes)| {
            let equal = match left.0.get(name)? {
                other if name == REPORT => without_seconds(bytes) == without_seconds(other),
                _ if name == "report.md" || is_book(name) => true,
                other => other == bytes,
            };
            (!equal).then(|| format!("{name} differs"))
        });
        missing.chain(rubbish).chain(unequal).collect()
    }

    /// Names of files that are not as they were; a journal may have grown by lines. Where a search has begun that was
    /// none before, `config.toml` may have got its settings too: it goes on from them.
    pub(super) fn lost(&self, now: &Self) -> Vec<String> {
        let searches = |state: &Self| state.text("config.toml").lines().any(|line| line == "[search]");
        let begun = !searches(self) && searches(now);
        let kept = |name: &String, bytes: &Vec<u8>| match now.0.get(name) {
            Some(other) if name.ends_with(".jsonl") => other.starts_with(bytes),
            Some(_) if name == "config.toml" && begun => {
                let (before, after) = (self.text(name), now.text(name));
                before.lines().all(|line| after.lines().any(|other| other == line))
            }
            Some(other) => other == bytes || is_book(name),
            None => false,
        };
        self.0.iter().filter(|(name, bytes)| !kept(name, bytes)).map(|(name, _)| name.clone()).collect()
    }

    /// Whether nothing is another, but for a lock file, which may stay where it was made.
    pub(super) fn is_unchanged(&self, now: &Self) -> bool {
        let of = |state: &Self| {
            let files = state.0.iter().filter(|(name, _)| !is_lock(name));
            files.map(|(name, bytes)| (name.clone(), bytes.clone())).collect::<BTreeMap<_, _>>()
        };
        of(self) == of(now)
    }

    /// The text of a file; empty where it is not there.
    pub(super) fn text(&self, name: &str) -> String {
        String::from_utf8_lossy(self.0.get(name).map_or(&[], Vec::as_slice)).into_owned()
    }
}

/// Whether a file holds what the folder notes about itself: hashes of the reports among them, and who holds the lock.
fn is_book(name: &str) -> bool {
    name == "stages.json" || is_lock(name)
}

fn is_lock(name: &str) -> bool {
    name.ends_with("lock")
}

/// The report without what a clock says; `None` where it is no JSON.
fn without_seconds(bytes: &[u8]) -> Option<Value> {
    let mut value = serde_json::from_slice(bytes).ok()?;
    drop_seconds(&mut value);
    Some(value)
}

fn drop_seconds(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.retain(|key, _| !key.ends_with("seconds"));
            fields.values_mut().for_each(drop_seconds);
        }
        Value::Array(values) => values.iter_mut().for_each(drop_seconds),
        _ => {}
    }
}

/// Copies a folder with all that is in it.
pub(super) fn copy_folder(from: &Path, to: &Path) -> Result<(), Failure> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let path = entry?.path();
        let place = to.join(path.file_name().ok_or("an entry has a name")?);
        if path.is_dir() {
            copy_folder(&path, &place)?;
        } else {
            fs::copy(&path, &place)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(files: &[(&str, &str)]) -> State {
        State(files.iter().map(|(name, text)| ((*name).to_owned(), text.as_bytes().to_vec())).collect())
    }

    #[test]
    fn seconds_make_no_difference_and_all_else_does() {
        let whole = state(&[("policy.toml", "a"), ("report.json", r#"{"a": [{"seconds": 1, "b": 2}]}"#)]);
        let slower = state(&[("policy.toml", "a"), ("report.json", r#"{"a": [{"seconds": 3, "b": 2}]}"#)]);
        assert!(whole.differences(&slower).is_empty());
        let other = state(&[("policy.toml", "b"), ("report.json", "{}"), (".tmpX", "")]);
        assert_eq!(whole.differences(&other), [".tmpX left over", "policy.toml differs", "report.json differs"]);
        assert_eq!(whole.differences(&state(&[])), ["no policy.toml", "no report.json"]);
    }

    #[test]
    fn a_journal_may_grow() {
        let before = state(&[("search.jsonl", "1\n"), ("policy.toml", "a")]);
        assert!(before.lost(&state(&[("search.jsonl", "1\n2\n"), ("policy.toml", "a")])).is_empty());
        assert_eq!(before.lost(&state(&[("search.jsonl", "2\n")])), ["policy.toml", "search.jsonl"]);
    }

    #[test]
    fn settings_of_a_search_may_be_added_where_it_begins() {
        let before = state(&[("config.toml", "a\n")]);
        assert!(before.lost(&state(&[("config.toml", "a\n[search]\nb\n")])).is_empty());
        assert_eq!(before.lost(&state(&[("config.toml", "a\nb\n")])), ["config.toml"]);
        let searched = state(&[("config.toml", "a\n[search]\n")]);
        assert_eq!(searched.lost(&state(&[("config.toml", "a\n[search]\nb\n")])), ["config.toml"]);
    }
}
