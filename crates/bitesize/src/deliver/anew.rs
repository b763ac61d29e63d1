//! A search or a training anew in a folder that may hold an earlier one.

use super::delivered::refuse_edited_policy;
use super::opened::Opened;
use super::{Calibrated, Chosen};
use crate::files;
use crate::run::names::{PARETO_POINTS, PROBES, TRIALS};
use crate::run::{Stage, journal};

/// Puts the settings of a new search into their place. What an earlier one delivered stands, marked as outdated, until this
/// one has led to something. Probes stay where they depend on nothing that has changed.
///
/// # Errors
/// Files of other inputs, that were altered, or that a user has edited and that would be lost.
pub fn begin(opened: &Opened) -> anyhow::Result<()> {
    refuse_edited_policy(opened)?;
    opened.refuse_other_inputs(Stage::Calibrated, &Calibrated::made_from(opened)?)?;
    opened.folder.refuse_altered(&[Stage::Calibrated, Stage::Prepared])?;
    // What cannot go at the end is told now.
    let mut end = opened.folder.begin()?;
    RESULTS.iter().for_each(|stage| end.forget(*stage));
    end.refuse_to_lose_edits()?;
    let probes = files::read(&opened.folder.join(PROBES)).unwrap_or_default();
    let probes_hold =
        journal::parse(&String::from_utf8_lossy(&probes), &Chosen::probes_made_from(opened)?.hash()).is_ok();
    let mut commit = opened.folder.begin()?;
    commit.forget(Stage::Chosen);
    commit.forget(Stage::Tuned);
    commit.forget(Stage::Finetuned);
    commit.outdate(&RESULTS);
    commit.discard_journal(PARETO_POINTS);
    commit.discard_journal(TRIALS);
    if !probes_hold {
        commit.discard_journal(PROBES);
    }
    opened.put(&mut commit)?;
    commit.finish()
}

/// Puts the settings of a training into their place, of what the run of `opened` has chosen. What it has delivered stands, marked as
/// outdated, until training has led to something.
///
/// # Errors
/// As [`begin`]; a run that has chosen nothing.
pub fn begin_training(opened: &Opened) -> anyhow::Result<()> {
    refuse_edited_policy(opened)?;
    opened.folder.refuse_altered(&[Stage::Calibrated, Stage::Prepared, Stage::Tuned])?;
    let mut end = opened.folder.begin()?;
    TUNED.iter().for_each(|stage| end.forget(*stage));
    end.refuse_to_lose_edits()?;
    let mut commit = opened.folder.begin()?;
    commit.forget(Stage::Finetuned);
    commit.outdate(&TUNED);
    opened.put(&mut commit)?;
    commit.finish()
}

/// The stages that training leads to.
const TUNED: [Stage; 3] = [Stage::Delivered, Stage::Emitted, Stage::Reported];

/// The stages that a search leads to.
const RESULTS: [Stage; 4] = [Stage::Delivered, Stage::Emitted, Stage::Swept, Stage::Reported];
