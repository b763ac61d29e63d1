//! Sensitivities, then the optimum of their sum.
//!
//! Each width is changed alone, everything else as wide as it may be, and the loss measured by a probe. If losses added
//! up, the policy of the least sum under every limit would be the best there is, and [`crate::additive`] finds it with
//! a proof. They nearly do; so the best for several assignments of activations, and for sums that count large losses
//! less and more, are evaluated too.

use crate::additive::{Solution, solve};
use crate::costs::Costs;
use crate::outcome::StopReason;
use crate::sensitivity::{pressing, probed_costs};
use crate::session::{Halt, Session};
use bitesize_ir::Policy;

/// Policies of the plain sum that are evaluated.
const NEAREST: usize = 4;

/// Exponents of the costs in the sums that are tried, the plain sum first: below 1 many small losses weigh more than one
/// large one, above 1 less.
const EXPONENTS: [f64; 3] = [1.0, 0.7, 1.4];

/// Runs the strategy. `fallback` keeps every limit.
pub(crate) fn run(session: &mut Session, fallback: &Policy) -> Result<StopReason, Halt> {
    start(session, fallback)?;
    Ok(if session.left() == 0 { StopReason::Episodes } else { StopReason::Finished })
}

/// Probes, solves, evaluates the best few and proposes the best of each sum; the costs of the plain one.
pub(crate) fn start(session: &mut Session, fallback: &Policy) -> Result<Costs, Halt> {
    let problem = session.problem;
    let mut costs = probed_costs(session, &pressing(problem))?;
    let mut solution = solve(problem, &costs, NEAREST);
    if solution.policies.is_empty() {
        // Narrower activations may be what saves the code of a kernel.
        costs = probed_costs(session, &vec![true; problem.space().rows.len()])?;
        solution = solve(problem, &costs, NEAREST);
    }
    session.note = note(&solution);
    for exponent in EXPONENTS {
        let solution = match exponent {
            1.0 => solution.clone(),
            _ => solve(problem, &costs.map(|cost| cost.max(0.0).powf(exponent)), 1),
        };
        for (_, policy) in &solution.policies {
            session.try_new(policy)?;
        }
        if let Some((_, best)) = solution.policies.first() {
            session.propose(best);
        }
    }
    if session.episodes().is_empty() {
        session.try_new(fallback)?;
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
        _ => {
            "the model of measured losses found no policy that fits; the first is that of the feasibility check".into()
        }
    }
}
