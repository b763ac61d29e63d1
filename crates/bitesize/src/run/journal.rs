//! Files that grow by a line at a time while a search runs: `search.jsonl`, `probes.jsonl`, `pareto.jsonl`.
//!
//! Each line is a JSON object whose last key, `check`, is a hash of the line and of the check before it; the first goes
//! by the hash of all that the journal is made from. So a line that was altered, left out or comes from another run is
//! seen, wherever the journal was cut off.

use super::folder::RunFolder;
use crate::files;
use crate::hash::Hasher;
use anyhow::{Context as _, bail};
use bitesize_ir::shown::ShownPath as _;
use std::fs::File;
use std::io::{ErrorKind, Write as _};
use std::path::PathBuf;

/// A journal that goes on.
pub struct Journal {
    path: PathBuf,
    file: File,
    check: String,
}

/// Hexadecimal digits of a check: 64 bits tell damage from none.
const DIGITS: usize = 16;
const KEY: &str = ",\"check\":\"";

/// The check of a line whose text without it is `body`, after the line with the check `before`.
fn check(before: &str, body: &str) -> String {
    let mut hasher = Hasher::default();
    hasher.add(before.as_bytes());
    hasher.add(body.as_bytes());
    let mut check = hasher.finish();
    check.truncate(DIGITS);
    check
}

/// `line` without its check, and the check.
fn split(line: &str) -> Option<(String, &str)> {
    let (body, rest) = line.rsplit_once(KEY)?;
    let check = rest.strip_suffix("\"}").filter(|check| check.len() == DIGITS)?;
    Some((format!("{body}}}"), check))
}

/// The JSON objects in the journal `text`, in order; a last line without its line break was cut off while it was written
/// and is left out.
///
/// # Errors
/// The number of the first line, from 1, that is not what was written after the lines before it.
pub fn parse(text: &str, made_from: &str) -> Result<Vec<String>, usize> {
    let complete = text.rfind('\n').map_or("", |end| &text[..end]);
    let mut before = made_from.to_owned();
    let mut bodies = Vec::new();
    for (index, line) in complete.lines().enumerate() {
        let (body, found) = split(line).ok_or(index + 1)?;
        before = check(&before, &body);
        if found != before {
            return Err(index + 1);
        }
        bodies.push(body);
    }
    Ok(bodies)
}

impl Journal {
    /// The journal `name` in `folder`, made from what has the hash `made_from`, with the JSON objects that it holds; begun
    /// where there is none.
    ///
    /// # Errors
    /// A line that was altered or is of another run; a file that cannot be read or written.
    pub fn open(folder: &RunFolder, name: &str, made_from: &str) -> anyhow::Result<(Self, Vec<String>)> {
        let path = folder.join(name);
        let shown = path.shown();
        // Lines are added in place: a link would lead them out of the folder.
        if path.is_symlink() {
            bail!("`{shown}` is a link, and nothing is written through one: put the file in its place, or remove it");
        }
        let text = match files::read(&path) {
            Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
            Err(error) if error.kind() == ErrorKind::NotFound => String::new(),
            Err(error) => return Err(error).with_context(|| format!("cannot read `{shown}`")),
        };
        let bodies = match parse(&text, made_from) {
            Ok(bodies) => bodies,
            Err(line) => bail!(
                "`{shown}`, line {line} differs from what bitesize wrote there for this run: put back the file as it was, \
                 or remove it, and what it holds is made again"
            ),
        };
        let file = match File::options().append(true).open(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                File::options().append(true).create_new(true).open(&path)
            }
            opened => opened,
        };
        let file = file.with_context(|| format!("cannot write `{shown}`"))?;
        let complete = text.rfind('\n').map_or(0, |end| end + 1);
        file.set_len(complete as u64).with_context(|| format!("cannot write `{shown}`"))?;
        folder.owns(name);
        let check = bodies.iter().fold(made_from.to_owned(), |before, body| check(&before, body));
        Ok((Self { path, file, check }, bodies))
    }

    /// Adds a line: `body` is a JSON object with at least one key.
    ///
    /// # Errors
    /// It cannot be written; the journal then ends with a line that was cut off, or as before.
    pub fn add(&mut self, body: &str) -> anyhow::Result<()> {
        let next = check(&self.check, body);
        let open = body.strip_suffix('}').context("a line of a journal is a JSON object")?;
        let line = format!("{open}{KEY}{next}\"}}\n");
        self.file.write_all(line.as_bytes()).with_context(|| {
            format!("cannot write `{}`: free some space, then go on with --resume", self.path.shown())
        })?;
        self.check = next;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn a_journal_goes_on_after_its_last_whole_line_and_sees_what_was_altered() {
        let root = tempfile::tempdir().unwrap();
        let folder = RunFolder::create(root.path()).unwrap();
        let path = root.path().join("j.jsonl");
        let bodies: Vec<String> = (0..4).map(|i| format!("{{\"i\":{i},\"check\":\"no\"}}")).collect();
        let (mut journal, held) = Journal::open(&folder, "j.jsonl", "seed").unwrap();
        assert!(held.is_empty());
        bodies[..3].iter().for_each(|body| journal.add(body).unwrap());
        let whole = fs::read_to_string(&path).unwrap();
        fs::write(&path, format!("{whole}{{\"i\":3,\"ch")).unwrap();
        let (mut journal, held) = Journal::open(&folder, "j.jsonl", "seed").unwrap();
        assert_eq!(held, bodies[..3]);
        journal.add(&bodies[3]).unwrap();
        let whole = fs::read_to_string(&path).unwrap();
        assert_eq!(parse(&whole, "seed"), Ok(bodies));
        let lines: Vec<&str> = whole.lines().collect();
        assert_eq!(parse(&whole, "other"), Err(1));
        assert_eq!(parse(&whole.replacen("\"i\":2", "\"i\":7", 1), "seed"), Err(3));
        assert_eq!(parse(&format!("{}\n{}\n", lines[0], lines[2]), "seed"), Err(2));
        assert_eq!(parse("{\"i\":0}\n", "seed"), Err(1));
        assert_eq!(parse("", "seed"), Ok(Vec::new()));
        #[cfg(unix)]
        for target in ["nowhere", "there"] {
            let outside = tempfile::tempdir().unwrap();
            let (link, target) = (root.path().join("link.jsonl"), outside.path().join(target));
            if target.ends_with("there") {
                fs::write(&target, "").unwrap();
            }
            std::os::unix::fs::symlink(&target, &link).unwrap();
            let error = Journal::open(&folder, "link.jsonl", "seed").err().unwrap().to_string();
            assert!(error.contains("link.jsonl` is a link"), "{error}");
            assert!(fs::read(&target).map_or(0, |bytes| bytes.len()) == 0);
            fs::remove_file(&link).unwrap();
        }
        let error = Journal::open(&folder, "j.jsonl", "other").err().unwrap().to_string();
        assert!(error.contains("j.jsonl") && error.contains("line 1"), "{error}");
    }
}
