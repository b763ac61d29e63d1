//! The least FLASH, the least RAM, and what comes nearest to keeping all limits, as far as they are found.
//!
//! *Least FLASH.* For given activation widths the least is exact: code that depends on the weights' width is shared only
//! within groups of layers (`groups.rs`), so FLASH is a sum over such groups, and within a group one weight width is best (a
//! second one adds code, and a wider one adds weights). What remains is to choose the activations: uniform 8, 4 and 2 bits
//! and those of the rules are tried, and improved one width at a time. Beside what was reached stands the lower bound of
//! [`crate::bounds`].
//!
//! *Least RAM.* The same search over activation widths, each with the weight widths whose kernels need the least
//! stack.
//!
//! *Both.* From the activations of the rules, the uniform ones and those of the least RAM, each with the weights of
//! least FLASH: the least FLASH among those that keep all limits, or else one width at a time towards the least
//! excess.
//!
//! Where instructions are limited, each of these is also brought under that limit, and what comes nearest by bytes alone is
//! changed one width at a time, weights too, towards the least excess of all. Small networks are solved exactly before it is
//! said that nothing was found.

use crate::additive::any_that_fits;
use crate::approach::approach;
use crate::bounds::{flash_lower_bound, ram_lower_bound};
use crate::descent::{completed, descend};
use crate::draft::Draft;
use crate::effort::{Effort, Spending, Stopped};
use crate::groups::Best;
use crate::instructions::{LeastInstructions, quicken_most};
use crate::problem::{Footprint, Problem};
use crate::rules::cut_activations;
use bitesize_ir::{BitWidth, Policy};
use std::collections::HashSet;

/// Networks of so few widths are solved exactly where instructions are limited and no policy was found.
const FEW: usize = 16;

/// The least of one kind of memory over all policies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Least {
    /// What `policy` takes.
    pub bytes: u64,
    /// No policy takes less than this; where it equals `bytes`, `policy` is proved best.
    pub lower_bound: u64,
    /// The policy that takes `bytes`.
    pub policy: Policy,
    /// The number of policies tried after which the search met the limit of its effort; `None` where it ended by itself.
    pub limit_reached: Option<u64>,
}

/// `policy` with the weight widths of least FLASH for its activation widths (exact), the wider where it costs nothing.
pub fn with_weights_of_least_flash(problem: &Problem, policy: &Policy) -> Policy {
    completed(problem, policy, Best::LeastFlash)
}

/// Activation widths to start from: those of the rules, which take at most half of what is left of `spending`, then uniform 8, 4
/// and 2 bits; weights at 2 bits.
pub(crate) fn starts(problem: &Problem, spending: &Spending) -> Vec<Policy> {
    let mut by_rules = Draft::of(problem, problem.uniform(BitWidth::B8));
    let most = spending.left() / 2;
    cut_activations(problem, &mut by_rules, most);
    spending.spend(by_rules.visits());
    if by_rules.visits() > most {
        spending.meet_limit();
    }
    let uniform = BitWidth::ALL.into_iter().rev().map(|bits| problem.uniform(bits));
    std::iter::once(by_rules.into_policy()).chain(uniform).collect()
}

/// The best of [`descend`] from each of `starts`, the first where several are.
fn descend_from(
    problem: &Problem,
    starts: &[Policy],
    choice: Best,
    cost: impl Fn(Footprint) -> u64,
    lower_bound: u64,
    spending: &Spending,
) -> Result<Least, Stopped> {
    let mut best: Option<(u64, Policy)> = None;
    for start in starts {
        if best.as_ref().is_some_and(|(bytes, _)| *bytes <= lower_bound) {
            break;
        }
        let (bytes, policy) = descend(problem, start, choice, (&cost, lower_bound), spending)?;
        if best.as_ref().is_none_or(|(other, _)| bytes < *other) {
            best = Some((bytes, policy));
        }
    }
    let (bytes, policy) = best.expect("there is always a uniform policy to start from");
    Ok(Least { bytes, lower_bound, policy, limit_reached: spending.ended_after().filter(|_| bytes > lower_bound) })
}

/// The least FLASH, whatever the RAM.
///
/// # Errors
/// [`Stopped`].
pub fn least_flash(problem: &Problem, effort: &Effort) -> Result<Least, Stopped> {
    let bound = flash_lower_bound(problem);
    let cost = |footprint: Footprint| footprint.flash_bytes;
    let spending = effort.begin();
    descend_from(problem, &starts(problem, &spending), Best::LeastFlash, cost, bound, &spending)
}

/// The least RAM, whatever the FLASH.
///
/// # Errors
/// [`Stopped`].
pub fn least_ram(problem: &Problem, effort: &Effort) -> Result<Least, Stopped> {
    let bound = ram_lower_bound(problem);
    let spending = effort.begin();
    let mut starts = starts(problem, &spending);
    starts.reverse();
    let cost = |footprint: Footprint| footprint.ram_bytes;
    descend_from(problem, &starts, Best::LeastStack, cost, bound, &spending)
}

/// Of `starts`, each with the weights of least FLASH, the one of least FLASH that keeps both budgets; and its bytes.
pub(crate) fn least_flash_that_fits(problem: &Problem, starts: &[Policy]) -> Option<(Policy, Footprint)> {
    let completed = |start| [Best::LeastFlash, Best::Narrowest].map(|choice| completed(problem, start, choice));
    let mut best: Option<(u64, Policy)> = None;
    let quick = quick(problem, starts);
    for policy in starts.iter().flat_map(completed).chain(quick) {
        let flash = problem.model().flash_bytes(&problem.widths(&policy));
        if best.as_ref().is_none_or(|(least, _)| flash < *least) && problem.fits(&policy) {
            best = Some((flash, policy));
        }
    }
    best.map(|(_, policy)| (problem.footprint(&policy), policy)).map(|(footprint, policy)| (policy, footprint))
}

/// Where instructions are limited: `starts` and the policy of the fewest instructions, each with the weights of least FLASH
/// and with those of the fewest instructions, brought under the limit where that can be.
fn quick(problem: &Problem, starts: &[Policy]) -> Vec<Policy> {
    if problem.limits().instructions.is_none() {
        return Vec::new();
    }
    let least = LeastInstructions::of(problem).map(|least| least.policy);
    let of_start =
        |start: &Policy| [completed(problem, start, Best::LeastFlash), problem.with_least_instructions(start)];
    let quickened = |policy: Policy| {
        let mut draft = Draft::of(problem, policy);
        quicken_most(problem, &mut draft);
        draft.into_policy()
    };
    starts.iter().chain(&least).flat_map(of_start).map(quickened).collect()
}

/// From what comes nearest by bytes alone and from `starts` to what comes nearest by all limits, where instructions are
/// limited.
fn nearest_of_all(
    problem: &Problem,
    by_bytes: Policy,
    starts: &[Policy],
    spending: &Spending,
) -> Result<(f64, Policy), Stopped> {
    let mut best = approach(problem, &by_bytes, spending)?;
    let mut seen = HashSet::from([by_bytes]);
    let completed = |start| [Best::LeastFlash, Best::Narrowest].map(|choice| completed(problem, start, choice));
    for start in quick(problem, starts).into_iter().chain(starts.iter().flat_map(completed)) {
        if best.0 > 0.0 && seen.insert(start.clone()) {
            let found = approach(problem, &start, spending)?;
            if found.0 < best.0 {
                best = found;
            }
        }
    }
    if best.0 > 0.0
        && problem.space().choices() <= FEW
        && let Some(policy) = any_that_fits(problem)
    {
        best = (0.0, policy);
    }
    Ok(best)
}

/// What comes nearest to keeping all limits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Nearest {
    pub(crate) policy: Policy,
    pub(crate) footprint: Footprint,
    /// As [`Least::limit_reached`]; `None` where it keeps them all.
    pub(crate) limit_reached: Option<u64>,
}

/// The policy of least FLASH among those that keep both budgets, or else the one that comes nearest.
pub(crate) fn nearest(problem: &Problem, of_least_ram: &Policy, effort: &Effort) -> Result<Nearest, Stopped> {
    let spending = effort.begin();
    let mut starts = starts(problem, &spending);
    starts.push(of_least_ram.clone());
    if let Some((policy, footprint)) = least_flash_that_fits(problem, &starts) {
        return Ok(Nearest { policy, footprint, limit_reached: None });
    }
    let excess = |footprint: Footprint| problem.limits().excess(footprint);
    let mut best: Option<(f64, Policy)> = None;
    for choice in [Best::LeastFlash, Best::LeastStack, Best::Narrowest] {
        let mut completed: Vec<Policy> = starts.iter().map(|start| completed(problem, start, choice)).collect();
        // Tight budgets bring several starts to the same widths.
        let mut seen = HashSet::new();
        completed.retain(|policy| seen.insert(policy.clone()));
        for start in &completed {
            if best.as_ref().is_some_and(|(excess, _)| *excess == 0.0) {
                break;
            }
            let (value, policy) = descend(problem, start, choice, (excess, 0.0), &spending)?;
            if best.as_ref().is_none_or(|(other, _)| value < *other) {
                best = Some((value, policy));
            }
        }
    }
    let mut best = best.expect("there is always a uniform policy to start from");
    if problem.limits().instructions.is_some() {
        best = nearest_of_all(problem, best.1, &starts, &spending)?;
    }
    let (excess, policy) = best;
    let footprint = problem.footprint(&policy);
    let limit_reached = spending.ended_after().filter(|_| excess > 0.0);
    Ok(Nearest { policy, footprint, limit_reached })
}
