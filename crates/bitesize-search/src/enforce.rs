//! Brings any policy under both budgets: HAQ's constraint loop (arXiv 1811.08886, `lib/env`), on real bytes.
//!
//! RAM first: a sweep from the last row to the first over the tensors alive at the planner's peak, activations only;
//! then FLASH: the same sweep over all rows, weights only. A visit cuts one level (8 to 4, 4 to 2), the budget is
//! checked again after each cut (and the peak found again), and the two are repeated until both hold.
//!
//! A cut can enlarge code, scratch or stack, so a sweep may find nothing left to cut and still be over. The policy
//! then becomes the fallback that [`crate::feasibility`] found.

use crate::problem::Problem;
use crate::widths::Side;
use bitesize_ir::Policy;

/// Cuts `policy` until it keeps all limits; `None` where it gets stuck.
pub fn enforce(problem: &Problem, policy: Policy) -> Option<Policy> {
    let mut policy = problem.allowed_of(policy);
    while !problem.fits(&policy) {
        if !(enforce_ram(problem, &mut policy) && enforce_flash(problem, &mut policy)) {
            return None;
        }
    }
    Some(policy)
}

/// As [`enforce`]; where it gets stuck the policy becomes `fallback`, which keeps all limits.
pub fn enforce_or(problem: &Problem, policy: Policy, fallback: &Policy) -> Policy {
    enforce(problem, policy).unwrap_or_else(|| fallback.clone())
}

/// Cuts activations until the RAM budget holds; whether it does.
fn enforce_ram(problem: &Problem, policy: &mut Policy) -> bool {
    while !problem.ram_fits(policy) {
        let mut any = false;
        let mut peak = problem.peak(policy);
        for row in (0..policy.rows.len()).rev() {
            let alive = peak.is_some_and(|step| problem.rows_alive_at(step).any(|other| other == row));
            if alive && problem.cut(policy, row, Side::Activations) {
                any = true;
                if problem.ram_fits(policy) {
                    return true;
                }
                peak = problem.peak(policy);
            }
        }
        if !any {
            return false;
        }
    }
    true
}

/// Cuts weights until the FLASH budget holds; whether it does.
fn enforce_flash(problem: &Problem, policy: &mut Policy) -> bool {
    while !problem.flash_fits(policy) {
        let mut any = false;
        for row in (0..policy.rows.len()).rev() {
            if problem.cut(policy, row, Side::Weights) {
                any = true;
                if problem.flash_fits(policy) {
                    return true;
                }
            }
        }
        if !any {
            return false;
        }
    }
    true
}
