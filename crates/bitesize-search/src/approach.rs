//! From a given policy towards one that keeps all limits, one width at a time, weights and activations alike.
//!
//! For where instructions are limited: what the weights of a layer take then depends on its own activations, so that they are no
//! sum over groups of layers, by which [`crate::descent`] finds the best weights at once.

use crate::draft::Draft;
use crate::effort::{Spending, Stopped};
use crate::problem::{Footprint, Problem};
use crate::widths::{Side, width};
use bitesize_ir::Policy;

/// Changes `start` until no single change brings it nearer, it keeps all limits, or the effort is spent; how far it is over
/// ([`crate::Limits::excess`]), and the policy.
pub(crate) fn approach(problem: &Problem, start: &Policy, spending: &Spending) -> Result<(f64, Policy), Stopped> {
    let mut draft = Draft::of(problem, start.clone());
    let mut lowest = excess_below(problem, &draft, f64::INFINITY, spending).unwrap_or(f64::INFINITY);
    let mut improved = true;
    while improved && lowest > 0.0 {
        improved = false;
        for (row, side) in problem.slots() {
            let nodes = match side {
                Side::Weights => 1,
                Side::Activations => problem.nodes_beside(row).len(),
            };
            for bits in problem.allowed(row, side).iter() {
                let Some(now) = width(draft.policy(), row, side).filter(|now| *now != bits) else { continue };
                if !spending.try_policy(nodes)? {
                    return Ok((lowest, draft.into_policy()));
                }
                draft.set(row, side, bits);
                match excess_below(problem, &draft, lowest, spending) {
                    Some(value) => (lowest, improved) = (value, true),
                    None => draft.set(row, side, now),
                }
            }
        }
    }
    Ok((lowest, draft.into_policy()))
}

/// How far `draft` is over; `None` where that is not below `below`. The planner is asked only where its answer counts.
fn excess_below(problem: &Problem, draft: &Draft, below: f64, spending: &Spending) -> Option<f64> {
    let limits = problem.limits();
    let least = draft.least_footprint();
    if limits.excess(least) >= below {
        return None;
    }
    let ram_bytes = match limits.budget.ram_bytes {
        None => least.ram_bytes,
        Some(_) => spending.ram_bytes(draft.account(), draft.deepest_stack_bytes()),
    };
    Some(limits.excess(Footprint { ram_bytes, ..least })).filter(|excess| *excess < below)
}
