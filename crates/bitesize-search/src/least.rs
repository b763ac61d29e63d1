//! The least FLASH, the least RAM, and what comes nearest to keeping all limits, as far as they are found.
//!
//! *Least FLASH.* For given activation widths the least is exact: kernels are shared only by layers of one kind with
//! the same input and output width, so FLASH is a sum over such groups, and within a group one weight width is best
//! (a second one adds code, and a wider one adds weights). What remains is to choose the activations: uniform 8, 4
//! and 2 bits and those of the rules are tried, and improved one width at a time. Beside what was reached stands the
//! lower bound of [`crate::bounds`].
//!
//! *Least RAM.* The same search over activation widths, each with the weight widths whose kernels need the least
//! stack.
//!
//! *Both.* From the activations of the rules, the uniform ones and those of the least RAM, each with the weights of
//! least FLASH: the least FLASH among those that keep all limits, or else one width at a time towards the least
//! excess.

use crate::bounds::{flash_lower_bound, ram_lower_bound};
use crate::problem::{Footprint, Problem};
use crate::rules::cut_activations;
use crate::widths::{Side, WidthSet, set_width, width};
use bitesize_ir::memory::kernel_keys;
use bitesize_ir::target::KernelKey;
use bitesize_ir::{BitWidth, Policy};
use std::collections::{BTreeMap, HashSet};

/// The least of one kind of memory over all policies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Least {
    /// What `policy` takes.
    pub bytes: u64,
    /// No policy takes less than this; where it equals `bytes`, `policy` is proved best.
    pub lower_bound: u64,
    /// The policy that takes `bytes`.
    pub policy: Policy,
}

/// `policy` with the weight widths of least FLASH for its activation widths (exact), the wider where it costs nothing.
pub fn with_weights_of_least_flash(problem: &Problem, policy: &Policy) -> Policy {
    with_best_weights(problem, policy, |key, packed| problem.model().kernel(key).code_bytes + packed)
}

/// `policy` with the weight widths whose kernels need the least stack, the wider where it costs nothing.
fn with_weights_of_least_stack(problem: &Problem, policy: &Policy) -> Policy {
    with_best_weights(problem, policy, |key, _| problem.model().kernel(key).stack_bytes)
}

/// `policy` with the narrowest weights that are allowed.
fn with_narrowest_weights(problem: &Problem, policy: &Policy) -> Policy {
    let mut policy = policy.clone();
    for (row, side) in problem.slots().filter(|(_, side)| *side == Side::Weights) {
        set_width(&mut policy, row, side, problem.allowed(row, side).narrowest());
    }
    policy
}

/// Gives the rows of each group (kernels of one kind, input and output width) the weight widths of least `cost`
/// together, which is told a kernel and the packed bytes of the weights that it reads.
fn with_best_weights(problem: &Problem, policy: &Policy, cost: impl Fn(KernelKey, u64) -> u64) -> Policy {
    let (widths, rows) = (problem.widths(policy), &problem.space().rows);
    let node = |row: usize| problem.network().node(rows[row].node);
    let mut groups: BTreeMap<KernelKey, Vec<usize>> = BTreeMap::new();
    for row in (0..rows.len()).filter(|row| rows[*row].weights) {
        for key in kernel_keys(node(row), rows[row].node.0, &widths) {
            groups.entry(KernelKey { second: None, ..key }).or_default().push(row);
        }
    }
    let mut policy = policy.clone();
    for (key, members) in groups {
        let best = WidthSet::every().filter_map(|set| {
            let chosen: Option<Vec<BitWidth>> =
                members.iter().map(|row| problem.allowed(*row, Side::Weights).narrowest_in(set)).collect();
            let chosen = chosen?;
            let total = set.iter().filter(|bits| chosen.contains(bits)).map(|bits| {
                let own = members.iter().zip(&chosen).filter(|(_, width)| **width == bits);
                let packed = own.map(|(row, _)| problem.packed_bytes(*row, bits)).sum();
                cost(KernelKey { second: Some(bits), ..key }, packed)
            });
            Some((total.sum::<u64>(), chosen))
        });
        if let Some((_, chosen)) = best.min_by_key(|(total, _)| *total) {
            for (row, bits) in members.into_iter().zip(chosen) {
                set_width(&mut policy, row, Side::Weights, bits);
            }
        }
    }
    policy
}

/// Activation widths to start from: those of the rules, then uniform 8, 4 and 2 bits; weights at 2 bits.
pub(crate) fn starts(problem: &Problem) -> Vec<Policy> {
    let mut by_rules = problem.uniform(BitWidth::B8);
    cut_activations(problem, &mut by_rules);
    let uniform = BitWidth::ALL.into_iter().rev().map(|bits| problem.uniform(bits));
    std::iter::once(by_rules).chain(uniform).collect()
}

/// Improves `start` one activation width at a time, `complete` choosing the weights, until no single change lowers
/// `cost` or it is at most `enough`.
fn descend<C: PartialOrd>(
    problem: &Problem,
    start: &Policy,
    complete: impl Fn(&Problem, &Policy) -> Policy,
    cost: impl Fn(&Policy) -> C,
    enough: C,
) -> (C, Policy) {
    let mut best = complete(problem, start);
    let mut lowest = cost(&best);
    let mut improved = true;
    while improved && lowest > enough {
        improved = false;
        for row in 0..best.rows.len() {
            for bits in problem.allowed(row, Side::Activations).iter() {
                if width(&best, row, Side::Activations).is_none_or(|now| now == bits) {
                    continue;
                }
                let mut candidate = best.clone();
                set_width(&mut candidate, row, Side::Activations, bits);
                let candidate = complete(problem, &candidate);
                let value = cost(&candidate);
                if value < lowest {
                    (lowest, best, improved) = (value, candidate, true);
                }
            }
        }
    }
    (lowest, best)
}

/// The best of [`descend`] from each of `starts`, the first where several are.
fn descend_from(
    problem: &Problem,
    starts: &[Policy],
    complete: impl Fn(&Problem, &Policy) -> Policy,
    cost: impl Fn(&Policy) -> u64,
    lower_bound: u64,
) -> Least {
    let mut best: Option<(u64, Policy)> = None;
    for start in starts {
        if best.as_ref().is_some_and(|(bytes, _)| *bytes <= lower_bound) {
            break;
        }
        let (bytes, policy) = descend(problem, start, &complete, &cost, lower_bound);
        if best.as_ref().is_none_or(|(other, _)| bytes < *other) {
            best = Some((bytes, policy));
        }
    }
    let (bytes, policy) = best.expect("there is always a uniform policy to start from");
    Least { bytes, lower_bound, policy }
}

/// The least FLASH, whatever the RAM.
pub(crate) fn least_flash(problem: &Problem) -> Least {
    let cost = |policy: &Policy| problem.model().flash_bytes(&problem.widths(policy));
    let bound = flash_lower_bound(problem);
    descend_from(problem, &starts(problem), with_weights_of_least_flash, cost, bound)
}

/// The least RAM, whatever the FLASH.
pub(crate) fn least_ram(problem: &Problem) -> Least {
    let cost = |policy: &Policy| problem.model().ram_bytes(&problem.widths(policy));
    let bound = ram_lower_bound(problem);
    let mut starts = starts(problem);
    starts.reverse();
    descend_from(problem, &starts, with_weights_of_least_stack, cost, bound)
}

/// Of `starts`, each with the weights of least FLASH, the one of least FLASH that keeps both budgets; and its bytes.
pub(crate) fn least_flash_that_fits(problem: &Problem, starts: &[Policy]) -> Option<(Policy, Footprint)> {
    let completed =
        |start| [with_weights_of_least_flash, with_narrowest_weights].map(|complete| complete(problem, start));
    starts
        .iter()
        .flat_map(completed)
        .map(|policy| (problem.footprint(&policy), policy))
        .filter(|(footprint, _)| problem.limits().hold(*footprint))
        .min_by_key(|(footprint, _)| footprint.flash_bytes)
        .map(|(footprint, policy)| (policy, footprint))
}

/// The policy of least FLASH among those that keep both budgets, or else the one that comes nearest; and its bytes.
pub(crate) fn nearest(problem: &Problem, of_least_ram: &Policy) -> (Policy, Footprint) {
    let mut starts = starts(problem);
    starts.push(of_least_ram.clone());
    if let Some(found) = least_flash_that_fits(problem, &starts) {
        return found;
    }
    let excess = |policy: &Policy| problem.limits().excess(problem.footprint(policy));
    let mut best: Option<(f64, Policy)> = None;
    for complete in [with_weights_of_least_flash, with_weights_of_least_stack, with_narrowest_weights] {
        let mut completed: Vec<Policy> = starts.iter().map(|start| complete(problem, start)).collect();
        // Tight budgets bring several starts to the same widths.
        let mut seen = HashSet::new();
        completed.retain(|policy| seen.insert(policy.clone()));
        for start in &completed {
            if best.as_ref().is_some_and(|(excess, _)| *excess == 0.0) {
                break;
            }
            let (value, policy) = descend(problem, start, complete, excess, 0.0);
            if best.as_ref().is_none_or(|(other, _)| value < *other) {
                best = Some((value, policy));
            }
        }
    }
    let (_, policy) = best.expect("there is always a uniform policy to start from");
    let footprint = problem.footprint(&policy);
    (policy, footprint)
}
