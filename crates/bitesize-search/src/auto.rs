//! The default: evaluations go where they help most.
//!
//! `exact` comes first. Its model is of single changes at wide widths; how changes add up at narrow ones is measured
//! next: single steps from the best policy, whose optimum within a step of it is evaluated and becomes the new centre
//! where it is better, and again, as long as that helps and at most half of the evaluations are spent. `evolution`
//! gets the rest.

use crate::additive::{Costs, solve};
use crate::evolution;
use crate::exact;
use crate::problem::{Problem, Side, width};
use crate::search::{Halt, Session, StopReason};
use crate::sensitivity::{Reach, measure};
use bitesize_ir::{BitWidth, Policy};
use std::collections::HashSet;

/// Policies evaluated for each round of measuring.
const CANDIDATES: usize = 4;

/// Runs the strategy. `fallback` keeps every limit.
pub(crate) fn run(session: &mut Session, fallback: &Policy) -> Result<StopReason, Halt> {
    let mut seen = HashSet::new();
    let mut costs = exact::start(session, fallback, &mut seen)?;
    let mut before = f64::NEG_INFINITY;
    while let Some((centre, reward)) = session.best().map(|(policy, reward)| (policy.clone(), reward)) {
        if reward <= before || 2 * session.left() < session.settings.episodes {
            break;
        }
        before = reward;
        let round = measure(session, &centre, Reach::OneLevel, &cut(session.problem, &centre))?;
        for (_, policy) in solve(session.problem, &round, CANDIDATES).policies {
            session.try_new(&mut seen, &policy)?;
        }
        costs = mixed(session.problem, &costs, &round);
        if session.out_of_patience(0) {
            return Ok(StopReason::Patience);
        }
    }
    evolution::breed(session, fallback, &costs, &mut seen)
}

/// Rows whose activations are narrower than they may be in `centre`, or press.
fn cut(problem: &Problem, centre: &Policy) -> Vec<bool> {
    let mut cut = crate::sensitivity::pressing(problem);
    for (row, side) in problem.slots().filter(|(_, side)| *side == Side::Activations) {
        cut[row] |= width(centre, row, side) < Some(problem.allowed(row, side).widest());
    }
    cut
}

/// The differences that `round` measured where it did, those of `costs` elsewhere.
fn mixed(problem: &Problem, costs: &Costs, round: &Costs) -> Costs {
    let mut mixed = costs.clone();
    for (row, side) in problem.slots() {
        let widths = || BitWidth::ALL.into_iter().filter(|bits| round.get(row, side, *bits).is_finite());
        let Some(anchor) = widths().find(|bits| round.get(row, side, *bits) == 0.0) else { continue };
        let level = costs.get(row, side, anchor);
        for bits in widths().filter(|_| level.is_finite()) {
            mixed.set(row, side, bits, level + round.get(row, side, bits));
        }
    }
    mixed
}
