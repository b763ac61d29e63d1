//! The diary of a search: one record an episode, and how a run is resumed from it.

use crate::score::Score;
use serde::{Deserialize, Serialize};

/// One episode. There is no time in it, so the same search writes the same diary.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// Counted from 0.
    pub episode: usize,
    /// The policy evaluated, one word a row: see [`crate::compact::to_compact`].
    pub policy: String,
    /// Its FLASH.
    pub flash_bytes: u64,
    /// Its RAM.
    pub ram_bytes: u64,
    /// Its accuracy over the held-out images ([`Score::accuracy`]), in 0..=1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accuracy: Option<f64>,
    /// Its loss over them ([`Score::loss`]).
    pub loss: f64,
    /// What is maximised, in 0..=1: one of the two, or made of it.
    pub reward: f64,
    /// The highest reward so far, this episode included.
    pub best_reward: f64,
}

impl Record {
    /// Accuracy and loss.
    pub fn score(&self) -> Score {
        Score { accuracy: self.accuracy, loss: self.loss }
    }
}

/// A diary that cannot be resumed from.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DiaryError {
    /// A line is not a record.
    #[error("line {line}: {problem}")]
    Syntax {
        /// Counted from 1.
        line: usize,
        /// What is wrong.
        problem: String,
    },
    /// The resumed search took another course: it has another seed, network, target, data or version.
    #[error("episode {episode} differs from the earlier run's: it was made with other settings, data or version")]
    Diverged {
        /// The first episode that differs.
        episode: usize,
    },
}

/// Reads a diary: one JSON record a line. A last line without its line break was cut off while it was written and is
/// left out.
///
/// # Errors
/// [`DiaryError::Syntax`]: the first line that is not a record, or not the next episode.
pub fn parse_diary(text: &str) -> Result<Vec<Record>, DiaryError> {
    let complete = text.rfind('\n').map_or("", |end| &text[..end]);
    let mut records: Vec<Record> = Vec::new();
    for (index, line) in complete.lines().enumerate() {
        let fail = |problem: String| DiaryError::Syntax { line: index + 1, problem };
        let record: Record = serde_json::from_str(line).map_err(|e| fail(e.to_string()))?;
        if record.episode != records.len() {
            return Err(fail(format!("episode {} stands where {} should", record.episode, records.len())));
        }
        records.push(record);
    }
    Ok(records)
}

/// `record` as one line of a diary, with its line break.
pub fn diary_line(record: &Record) -> String {
    let mut line = serde_json::to_string(record).expect("text and numbers always have a JSON form");
    line.push('\n');
    line
}

/// Follows a resumed search along the diary of the earlier run.
#[derive(Clone, Debug)]
pub struct Replay {
    earlier: Vec<Record>,
}

impl Replay {
    /// Along `earlier`, which may be empty.
    pub fn along(earlier: Vec<Record>) -> Self {
        Self { earlier }
    }

    /// Whether `record` is new and has to be written; `false` where the earlier run wrote it already.
    ///
    /// # Errors
    /// [`DiaryError::Diverged`] where the earlier run's record of this episode is another.
    pub fn is_new(&self, record: &Record) -> Result<bool, DiaryError> {
        match self.earlier.get(record.episode) {
            None => Ok(true),
            Some(earlier) if earlier == record => Ok(false),
            Some(_) => Err(DiaryError::Diverged { episode: record.episode }),
        }
    }
}
