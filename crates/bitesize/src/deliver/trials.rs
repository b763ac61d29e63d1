//! Finalists of a search compared by what an epoch of training makes of them, where the run asks for that.

use super::candidate::Candidate;
use super::finetuned::Lesson;
use super::held_out::HeldOut;
use super::opened::Opened;
use crate::run::Journal;
use crate::run::names::TRIALS;
use anyhow::Context as _;
use bitesize_ir::Policy;
use bitesize_ir::shown::ShownPath as _;
use bitesize_search::to_compact;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Trains policies for an epoch, each once.
pub struct Trials<'a> {
    lesson: Lesson<'a>,
    journal: Journal,
    known: BTreeMap<String, f64>,
}

/// A line of the journal.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    policy: String,
    /// `None` for infinity, which JSON has no number for.
    loss: Option<f64>,
}

impl<'a> Trials<'a> {
    /// Goes on where an earlier run was cut off; `made_from` is the hash of what the choice depends on. `None` where the run of `opened` does not ask
    /// for trials.
    ///
    /// # Errors
    /// A journal of other inputs or that was altered; no training data.
    pub(super) fn of(opened: Opened<'a>, held_out: &'a HeldOut, made_from: &str) -> anyhow::Result<Option<Self>> {
        let Some(asked) = opened.config.search.as_ref().and_then(|search| search.trial.as_ref()) else {
            return Ok(None);
        };
        let (journal, lines) = Journal::open(opened.folder, TRIALS, made_from)?;
        let mut known = BTreeMap::new();
        for line in lines {
            let line: Line = serde_json::from_str(&line).with_context(|| {
                format!("`{}` cannot be gone on with: a line is no trial", opened.folder.join(TRIALS).shown())
            })?;
            known.insert(line.policy, line.loss.unwrap_or(f64::INFINITY));
        }
        Ok(Some(Self { lesson: Lesson::of(opened, held_out, asked)?, journal, known }))
    }

    /// How many policies were trained.
    pub(super) fn count(&self) -> usize {
        self.known.len()
    }

    /// The loss on the held-out samples of `candidate`, which has the widths `policy`, after an epoch of training: against labels where there are some,
    /// else from float.
    ///
    /// # Errors
    /// Samples that cannot be read, a journal that cannot be written; [`Interrupted`](crate::observe::Interrupted).
    pub(super) fn loss(&mut self, policy: &Policy, candidate: &Candidate) -> anyhow::Result<f64> {
        let policy = to_compact(policy);
        if let Some(known) = self.known.get(&policy) {
            return Ok(*known);
        }
        let loss = self.lesson.loss_after(candidate)?;
        let line = Line { policy: policy.clone(), loss: Some(loss).filter(|loss| loss.is_finite()) };
        self.journal.add(&serde_json::to_string(&line)?)?;
        self.known.insert(policy, loss);
        Ok(loss)
    }
}
