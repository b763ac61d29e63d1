//! The default: evaluations go where they help most.
//!
//! `exact` comes first. Its model is of single changes at wide widths; how changes add up at narrow ones is measured
//! next: single steps from the best policy, whose optimum within a step of it is evaluated and becomes the new centre
//! where it is better, and again, as long as that helps and at most half of the evaluations are spent. `evolution`
//! gets the rest, from what `exact` evaluated and the best so far: the neighbours of one policy would keep it there.

use crate::additive::solve;
use crate::evolution;
use crate::exact;
use crate::problem::{Problem, Side, width};
use crate::search::{Halt, Session, StopReason};
use crate::sensitivity::{Reach, measure};
use bitesize_ir::Policy;
use std::collections::HashSet;

/// Policies evaluated for each round of measuring.
const CANDIDATES: usize = 4;

/// The share of single steps among the children.
const STEPS: f64 = 0.5;

/// Runs the strategy. `fallback` keeps every limit.
pub(crate) fn run(session: &mut Session, fallback: &Policy) -> Result<StopReason, Halt> {
    let mut seen = HashSet::new();
    let costs = exact::start(session, fallback, &mut seen)?;
    let first = session.leaders().to_vec();
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
        if session.out_of_patience(0) {
            return Ok(StopReason::Patience);
        }
    }
    session.propose_best();
    let start = first.iter().chain(session.leaders().iter().filter(|leader| !first.contains(leader)));
    // The first costs, from wide surroundings: those of the rounds are differences of near policies, mostly chance where
    // little is lost, and lead slack bytes astray.
    evolution::breed(session, fallback, &costs, start.cloned().collect(), &mut seen, STEPS)
}

/// Rows whose activations are narrower than they may be in `centre`, or press.
fn cut(problem: &Problem, centre: &Policy) -> Vec<bool> {
    let mut cut = crate::sensitivity::pressing(problem);
    for (row, side) in problem.slots().filter(|(_, side)| *side == Side::Activations) {
        cut[row] |= width(centre, row, side) < Some(problem.allowed(row, side).widest());
    }
    cut
}
