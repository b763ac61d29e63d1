//! Brings any policy under its limits: HAQ's constraint loop (arXiv 1811.08886, `lib/env`), on real bytes.
//!
//! RAM first: a sweep from the last row to the first over the tensors alive at the planner's peak, activations only;
//! then FLASH: the same sweep over all rows, weights only. A visit cuts one level (8 to 4, 4 to 2), the budget is
//! checked again after each cut (and the peak found again), and the two are repeated until both hold.
//!
//! Where instructions are limited, single widths then bring them under their limit, what saves the most first, as long as
//! FLASH and RAM hold (`instructions.rs`). With most kernels wider operands take fewer, so this may widen.
//!
//! A cut can enlarge code, scratch or stack, so a sweep may find nothing left to cut and still be over. The policy
//! then becomes the fallback that [`crate::feasibility`] found.

use crate::draft::Draft;
use crate::instructions::quicken_most;
use crate::problem::Problem;
use crate::widths::Side;
use bitesize_ir::Policy;

/// Changes `policy` until it keeps all limits; `None` where it gets stuck.
pub fn enforce(problem: &Problem, policy: Policy) -> Option<Policy> {
    let mut draft = Draft::of(problem, problem.allowed_of(policy));
    while !draft.fits() {
        let keeps_bytes = enforce_ram(problem, &mut draft) && enforce_flash(&mut draft);
        if !(keeps_bytes && (draft.instructions_fit() || !draft.ram_fits() || quicken_most(problem, &mut draft))) {
            return None;
        }
    }
    Some(draft.into_policy())
}

/// As [`enforce`]; where it gets stuck the policy becomes `fallback`, which keeps all limits.
pub fn enforce_or(problem: &Problem, policy: Policy, fallback: &Policy) -> Policy {
    enforce(problem, policy).unwrap_or_else(|| fallback.clone())
}

/// Cuts activations until the RAM budget holds; whether it does.
fn enforce_ram(problem: &Problem, draft: &mut Draft) -> bool {
    while !draft.ram_fits() {
        let mut any = false;
        for row in (0..draft.policy().rows.len()).rev() {
            let alive = draft.peak().is_some_and(|step| problem.is_alive_at(row, step));
            if alive && draft.cut(row, Side::Activations) {
                any = true;
                if draft.ram_fits() {
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

/// Cuts weights until the FLASH budget holds; whether it does.
fn enforce_flash(draft: &mut Draft) -> bool {
    while !draft.flash_fits() {
        let mut any = false;
        for row in (0..draft.policy().rows.len()).rev() {
            if draft.cut(row, Side::Weights) {
                any = true;
                if draft.flash_fits() {
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
