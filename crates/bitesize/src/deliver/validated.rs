//! Figures on the validation data, of everything that is told of at once. They are taken once all is chosen, and nothing is
//! chosen by them.

use super::candidate::Candidate;
use super::contest::Winner;
use super::measured::{CandidateFigures, Figures, figures};
use super::opened::Opened;
use super::sweep::Swept;
use super::tuned::Tuned;
use crate::input::Dataset;
use bitesize_search::to_compact;

/// What the validation data say.
pub struct Validated {
    /// Of the float network, and first of the finalists `measured`.
    pub figures: Figures,
    /// Indices of the finalists that were measured.
    pub measured: Vec<usize>,
    /// Of what is delivered, where it is none of the finalists any more.
    pub learned: Option<CandidateFigures>,
}

impl Validated {
    /// The figures of what is delivered for `winner`.
    pub fn of_delivered(&self, winner: &Winner) -> Option<&CandidateFigures> {
        self.learned.as_ref().or_else(|| self.of_finalist(winner, winner.best))
    }

    /// The figures of the finalist `index` of `winner`, where it or one of the same widths was measured.
    pub fn of_finalist(&self, winner: &Winner, index: usize) -> Option<&CandidateFigures> {
        let same = |i: &usize| winner.finalists[*i].policy == winner.finalists[index].policy;
        self.measured.iter().position(same).map(|at| &self.figures.integer[at])
    }
}

/// Figures on `val` of the float network, of what is delivered, of the finalists as they were rounded and of what
/// `swept` found, which takes its own.
///
/// # Errors
/// Data that cannot be read; [`Interrupted`](crate::observe::Interrupted).
pub fn validate(
    val: &Dataset,
    opened: &Opened,
    winner: &Winner,
    tuned: &Tuned,
    swept: Option<&mut Swept>,
) -> anyhow::Result<Validated> {
    opened.monitor.checkpoint()?;
    let mut measured: Vec<usize> = Vec::new();
    for (i, finalist) in winner.finalists.iter().enumerate() {
        let wanted = finalist.candidate.is_some() && (i == winner.best || i > 0);
        let new = measured.iter().all(|m| winner.finalists[*m].policy != finalist.policy);
        if wanted && new {
            measured.push(i);
        }
    }
    let mut candidates: Vec<&Candidate> =
        measured.iter().filter_map(|i| winner.finalists[*i].candidate.as_ref()).collect();
    let networks: &[Candidate] = swept.as_ref().map_or(&[], |swept| &swept.networks);
    let is_new = |other: &&Candidate| candidates.iter().all(|known| known.model.policy != other.model.policy);
    let new: Vec<&Candidate> = networks.iter().filter(is_new).collect();
    candidates.extend(new);
    let is_learned = tuned.is_learned();
    candidates.extend(is_learned.then_some(&tuned.candidate));
    let inputs = opened.inputs;
    let mut figures = figures(val, (&inputs.model.network, inputs.objective), &candidates, opened.monitor)?;
    let learned = if is_learned { figures.integer.pop() } else { None };
    let policies = candidates.iter().map(|candidate| to_compact(&candidate.model.policy));
    let measured_of = figures.integer.iter().map(|found| found.measured.clone());
    let by_policy = policies.zip(measured_of).filter_map(|(policy, found)| Some((policy, found?))).collect();
    if let Some(swept) = swept {
        swept.set_measured(&by_policy);
    }
    Ok(Validated { figures, measured, learned })
}
