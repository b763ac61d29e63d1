//! `stages.json`: for each stage of the run what it was made from, and the SHA-256 of each of its files.

use super::provenance::Provenance;
use crate::hash::sha256;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A stage that owns files of the run folder, in the order in which they are reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stage {
    /// The settings: `config.toml`.
    Opened,
    /// Ranges: `calibration.json`.
    Calibrated,
    /// Layers by width: `prepared.safetensors`.
    Prepared,
    /// The search and its journals, which grow and so carry checks of their own.
    Chosen,
    /// What was learned of the chosen network: `reconstruction.safetensors`.
    Tuned,
    /// How far a training at the chosen widths is: `tuning.safetensors`, `losses.csv`, and the same for
    /// TensorBoard.
    Finetuned,
    /// Widths and integer weights: `policy.toml`, `weights.safetensors`.
    Delivered,
    /// C: `package/`, `example/`.
    Emitted,
    /// What a sweep of budgets found: `pareto.csv`, `pareto.svg`, `pareto/`.
    Swept,
    /// `report.md`, `report.json`.
    Reported,
}

/// What is known of one stage.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// Its inputs and those of the stages before.
    pub made_from: Provenance,
    /// SHA-256 of each of its files, by path in the folder with `/` between names.
    pub files: BTreeMap<String, String>,
    /// Whether it is what an earlier search led to, which stands until the one that was begun has led to something.
    #[serde(default)]
    pub is_outdated: bool,
}

/// What is known of every stage that was reached.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ledger {
    stages: BTreeMap<Stage, Entry>,
}

/// The form of `stages.json` that this version writes and reads.
const FORMAT: u32 = 1;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    format: u32,
    stages: BTreeMap<Stage, Entry>,
    /// SHA-256 of the compact JSON of `stages`.
    check: String,
}

impl Ledger {
    /// The text of `stages.json`.
    pub fn to_json(&self) -> String {
        let stored = Stored { format: FORMAT, stages: self.stages.clone(), check: check(&self.stages) };
        let mut text = serde_json::to_string_pretty(&stored).expect("texts and numbers always have a JSON form");
        text.push('\n');
        text
    }

    /// Reads `stages.json`.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn from_json(text: &str) -> Result<Self, String> {
        let stored: Stored = serde_json::from_str(text).map_err(|e| e.to_string())?;
        if stored.format != FORMAT {
            return Err(format!("its form is {}, this version reads {FORMAT}", stored.format));
        }
        if check(&stored.stages) != stored.check {
            return Err("it is not what bitesize wrote: its check differs".into());
        }
        Ok(Self { stages: stored.stages })
    }

    /// Whether nothing is known of any stage.
    pub fn is_empty(&self) -> bool {
        self.stages.is_empty()
    }

    /// What is known of `stage`.
    pub fn entry(&self, stage: Stage) -> Option<&Entry> {
        self.stages.get(&stage)
    }

    /// Begins `stage` anew, made from `made_from`, with no file yet.
    pub fn begin(&mut self, stage: Stage, made_from: Provenance) {
        self.stages.insert(stage, Entry { made_from, ..Entry::default() });
    }

    /// Notes that `stage` has the file `path` with these bytes.
    pub fn note(&mut self, stage: Stage, path: &str, bytes: &[u8]) {
        self.stages.entry(stage).or_default().files.insert(path.to_owned(), sha256(bytes));
    }

    /// Marks `stage` as outdated.
    pub fn outdate(&mut self, stage: Stage) {
        if let Some(entry) = self.stages.get_mut(&stage) {
            entry.is_outdated = true;
        }
    }

    /// Forgets the files of `stage` that lie in the folder `name`.
    pub fn empty(&mut self, stage: Stage, name: &str) {
        if let Some(entry) = self.stages.get_mut(&stage) {
            entry.files.retain(|path, _| !path.strip_prefix(name).is_some_and(|rest| rest.starts_with('/')));
        }
    }

    /// Forgets `stage`; the paths of its files.
    pub fn forget(&mut self, stage: Stage) -> Vec<String> {
        self.stages.remove(&stage).map_or_else(Vec::new, |entry| entry.files.into_keys().collect())
    }

    /// The SHA-256 that the file `path` had when it was written; `None` for a file of no stage.
    pub fn hash_of(&self, path: &str) -> Option<&str> {
        self.stages.values().find_map(|entry| entry.files.get(path)).map(String::as_str)
    }
}

fn check(stages: &BTreeMap<Stage, Entry>) -> String {
    sha256(&serde_json::to_vec(stages).expect("texts and numbers always have a JSON form"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_damage_is_seen() {
        let mut ledger = Ledger::default();
        ledger.begin(Stage::Calibrated, Provenance::new().with("seed", "0"));
        ledger.note(Stage::Calibrated, "calibration.json", b"text");
        let text = ledger.to_json();
        assert_eq!(Ledger::from_json(&text), Ok(ledger.clone()));
        for (from, to) in [("\"seed\": \"0\"", "\"seed\": \"1\""), ("calibration.json", "calibration.jsom")] {
            let damaged = text.replace(from, to);
            assert!(damaged != text && Ledger::from_json(&damaged).is_err_and(|e| e.contains("check")), "{damaged}");
        }
        assert!(Ledger::from_json(&text[..text.len() / 2]).is_err());
        assert_eq!(ledger.hash_of("calibration.json"), Some(sha256(b"text").as_str()));
        assert_eq!(ledger.forget(Stage::Calibrated), ["calibration.json"]);
        assert_eq!(ledger, Ledger::default());
    }
}
