//! Sensitivities, then the optimum of their sum.
//!
//! Each width is changed alone, everything else as wide as it may be, and the loss measured by a probe. If losses added
//! up, the policy of the least sum under every limit would be the best there is, and [`crate::additive`] finds it with
//! a proof. They nearly do; so the best for several assignments of activations, and for sums that count large losses
//! less and more, are evaluated too.

use crate::additive::{Costs, Solution, solve};
use crate::search::{Halt, Session, StopReason};
use crate::sensitivity::{Reach, measure, pressing};
use bitesize_ir::{BitWidth, Policy};
use std::collections::HashSet;

/// Policies evaluated for each of the sums.
const CANDIDATES: usize = 4;

/// Exponents of the costs in the sums that are tried, the plain sum first: below 1 many small losses weigh more than one
/// large one, above 1 less.
const EXPONENTS: [f64; 3] = [1.0, 0.7, 1.4];

/// Runs the strategy. `fallback` keeps every limit.
pub(crate) fn run(session: &mut Session, fallback: &Policy) -> Result<StopReason, Halt> {
    let mut seen = HashSet::new();
    start(session, fallback, &mut seen)?;
    Ok(if session.left() == 0 { StopReason::Episodes } else { StopReason::Finished })
}

/// Measures, solves and evaluates the best few; the costs.
pub(crate) fn start(session: &mut Session, fallback: &Policy, seen: &mut HashSet<Policy>) -> Result<Costs, Halt> {
    let problem = session.problem;
    let widest = problem.uniform(BitWidth::B8);
    let mut costs = measure(session, &widest, Reach::All, &pressing(problem))?;
    let mut solution = solve(problem, &costs, CANDIDATES);
    if solution.policies.is_empty() {
        // Narrower activations may be what saves the code of a kernel.
        costs = measure(session, &widest, Reach::All, &vec![true; problem.space().rows.len()])?;
        solution = solve(problem, &costs, CANDIDATES);
    }
    session.note = note(&solution);
    for exponent in EXPONENTS {
        let solution = match exponent {
            1.0 => solution.clone(),
            _ => solve(problem, &costs.map(|cost| cost.max(0.0).powf(exponent)), 1),
        };
        for (place, (_, policy)) in solution.policies.iter().enumerate() {
            if session.try_new(seen, policy)?.is_some() && place == 0 {
                session.propose(policy);
            }
        }
    }
    if session.best().is_none() {
        session.try_new(seen, fallback)?;
    }
    Ok(costs)
}

fn note(solution: &Solution) -> String {
    match (solution.policies.first(), solution.gap()) {
        (Some((cost, _)), Some(gap)) if gap <= 1e-9 * (1.0 + cost.abs()) => {
            format!("the first policy is proved to be the optimum of the sum of measured losses, {cost:.5} nats")
        }
        (Some((cost, _)), Some(gap)) => {
            format!(
                "the sum of measured losses of the first policy is {cost:.5} nats, at most {gap:.5} above the optimum"
            )
        }
        _ => "the model found no policy that fits; the answer is the one that the feasibility check found".into(),
    }
}
