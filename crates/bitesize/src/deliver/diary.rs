//! What an earlier run of a search recorded, and where this one goes on.

use crate::run::Journal;
use anyhow::Context as _;
use bitesize_search::record::{Record, Replay};

/// The records of a search, kept in `search.jsonl` or not at all.
pub struct Diary {
    journal: Option<Journal>,
    earlier: Vec<Record>,
    replay: Replay,
}

impl Diary {
    /// A diary that goes on in `journal` after `lines`.
    ///
    /// # Errors
    /// A line that is no record.
    pub fn going_on(journal: Journal, lines: &[String]) -> anyhow::Result<Self> {
        let earlier: Vec<Record> = lines
            .iter()
            .map(|line| serde_json::from_str(line))
            .collect::<Result<_, _>>()
            .context("a line is no record")?;
        Ok(Self { journal: Some(journal), replay: Replay::along(earlier.clone()), earlier })
    }

    /// A diary that keeps nothing.
    pub fn none() -> Self {
        Self { journal: None, replay: Replay::along(Vec::new()), earlier: Vec::new() }
    }

    /// What the earlier run recorded.
    pub(super) fn earlier(&self) -> &[Record] {
        &self.earlier
    }

    /// Writes `record` down where the earlier run has not.
    pub(super) fn add(&mut self, record: &Record) -> anyhow::Result<()> {
        match &mut self.journal {
            Some(journal) if self.replay.is_new(record)? => journal.add(&serde_json::to_string(record)?),
            _ => Ok(()),
        }
    }
}
