//! The exact optimum of an additive model: every width has a cost of its own, and the policy of the least sum that
//! keeps every limit is found, on the real bytes of FLASH (shared kernels included) and RAM (the planner's arena, scratch
//! and stack).
//!
//! Activation widths decide RAM, and which kernels weights can share; weight widths decide the rest. So activation
//! assignments are taken in the order of their cost, and for each the best weights are found by a knapsack. As soon as
//! the next assignment and the cheapest weights that any kernels would leave room for cost no less than what was found,
//! that is the optimum. If a bound on the work is met first, the gap is known.
//!
//! A general integer program would need a product of three widths for every possible kernel, and rows added one by one
//! for what the planner cannot place; here both are counted by the memory model itself, and the amount of work is
//! bounded by counts and not by a clock, so that the same problem always has the same answer.
//!
//! Where instructions are limited they are a further dimension of both: of a prefix of activations the least is known that it
//! and its completion take with any weights, and the knapsack counts those of each layer at its activations. Then assignments
//! come in the order of a bound of the whole sum (`prices.rs`). What a layer takes may depend on the order of rows, which is known of
//! whole policies only: bounds are of the order in which each takes the fewest, and what is found is counted in that of its plan.

mod activations;
mod knapsack;
mod prices;
mod weights;

use crate::bounds::{flash_lower_bound, least_weight_bytes};
use crate::costs::Costs;
use crate::problem::Problem;
use crate::widths::{Side, set_width};
use activations::{Assignment, Enumeration};
use bitesize_ir::Policy;
use weights::Counting;

/// Assignments of activation widths tried at most.
const ASSIGNMENTS: usize = 400;

/// What [`solve`] found.
#[derive(Clone, Debug, PartialEq)]
pub struct Solution {
    /// Policies that keep every limit, with their costs, best first: for each assignment of activations that was tried
    /// the best weights.
    pub policies: Vec<(f64, Policy)>,
    /// No policy costs less. Where it is the cost of the best, that is proved to be the optimum.
    pub bound: f64,
}

impl Solution {
    /// How far the best may be from the optimum; 0 where it is proved to be it, `None` where nothing was found.
    pub fn gap(&self) -> Option<f64> {
        self.policies.first().map(|(cost, _)| (cost - self.bound).max(0.0))
    }
}

/// A policy that keeps every limit of `problem`, of which only the number of assignments tried limits the search.
pub(crate) fn any_that_fits(problem: &Problem) -> Option<Policy> {
    let mut costs = Costs::new(problem.space().rows.len());
    for (row, side) in problem.slots() {
        problem.allowed(row, side).iter().for_each(|bits| costs.set(row, side, bits, 0.0));
    }
    solve(problem, &costs, 1).policies.into_iter().map(|(_, policy)| policy).next()
}

/// The policy of least cost under every limit of `problem`, and up to `count` - 1 others.
pub fn solve(problem: &Problem, costs: &Costs, count: usize) -> Solution {
    let (costs, taken) = costs.shifted_to_zero(problem);
    let mut found: Vec<(f64, Policy)> = Vec::new();
    let mut unproved = f64::INFINITY;
    let other_flash = flash_lower_bound(problem) - least_weight_bytes(problem);
    let packed = weights::packed_room(problem, other_flash);
    let weights_at_least = weights::least_cost(problem, &costs, packed);
    let mut enumeration = Enumeration::new(problem, &costs, weights_at_least, packed);
    let start = costs.widest(problem);
    for _ in 0..ASSIGNMENTS {
        let enough = if found.len() < count { f64::INFINITY } else { found[count - 1].0 };
        if enumeration.bound() + weights_at_least >= enough {
            break;
        }
        let Some(Assignment { cost, bound, rows }) = enumeration.next() else { break };
        let mut policy = start.clone();
        for (row, bits) in rows {
            set_width(&mut policy, row, Side::Activations, bits);
        }
        let best = |counting| weights::best(problem, &costs, &policy, enough - cost, counting);
        let mut best_weights = best(Counting::Fewest);
        // In the order of their plan these may take more: then those that keep the limit in any order do, and others may be better.
        if best_weights.as_ref().is_ok_and(|best| !problem.instructions_fit(&best.policy)) {
            unproved = unproved.min(bound + weights_at_least);
            best_weights = best(Counting::Most);
        }
        match best_weights {
            Ok(best) if problem.fits(&best.policy) => {
                if !best.proved {
                    unproved = unproved.min(bound + weights_at_least);
                }
                let place = found.partition_point(|(other, _)| *other <= cost + best.cost);
                found.insert(place, (cost + best.cost, best.policy));
            }
            Ok(_) | Err(true) => {}
            Err(false) => unproved = unproved.min(bound + weights_at_least),
        }
        found.truncate(count);
    }
    let open = (enumeration.bound() + weights_at_least).min(unproved);
    let bound = found.first().map_or(open, |(cost, _)| cost.min(open));
    let policies = found.into_iter().map(|(cost, policy)| (cost + taken, policy)).collect();
    Solution { policies, bound: bound + taken }
}
