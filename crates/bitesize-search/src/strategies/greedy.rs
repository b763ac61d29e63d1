//! Cuts what costs the least measured loss for each byte that it saves, RAM first, until every limit holds; where
//! instructions are limited, what costs the least for each of these comes last.

use crate::costs::Costs;
use crate::draft::Draft;
use crate::instructions::quicken;
use crate::outcome::StopReason;
use crate::problem::Problem;
use crate::sensitivity::{pressing, probed_costs};
use crate::session::{Halt, Session};
use crate::widths::{Side, width};
use bitesize_ir::{BitWidth, Policy, TensorId};

/// Runs the strategy. `fallback` keeps every limit.
pub(crate) fn run(session: &mut Session, fallback: &Policy) -> Result<StopReason, Halt> {
    let problem = session.problem;
    let costs = probed_costs(session, &pressing(problem))?;
    let policy = cut_greedily(problem, &costs, problem.uniform(BitWidth::B8)).unwrap_or_else(|| fallback.clone());
    session.episode(&policy)?;
    Ok(StopReason::Finished)
}

/// `None` where it gets stuck.
pub(crate) fn cut_greedily(problem: &Problem, costs: &Costs, policy: Policy) -> Option<Policy> {
    let mut draft = Draft::of(problem, policy);
    while !draft.fits() {
        let side = if draft.ram_fits() { Side::Weights } else { Side::Activations };
        if side == Side::Weights && draft.flash_fits() {
            let price = |row, side, [now, then]: [BitWidth; 2], saved: u64| {
                (costs.get(row, side, then) - costs.get(row, side, now)) / saved as f64
            };
            // It keeps FLASH and RAM.
            return quicken(problem, &mut draft, price).then(|| draft.into_policy());
        }
        let peak = draft.peak();
        let saved = |row: usize, from: BitWidth, to: BitWidth| match side {
            Side::Weights => problem.packed_bytes(row, from) - problem.packed_bytes(row, to),
            Side::Activations => {
                let bytes = |bits| {
                    let at =
                        |tensor: &TensorId| peak.map_or(0, |at| problem.model().tensor_bytes_at(at, *tensor, bits));
                    problem.tensors_of(row).iter().map(at).sum::<usize>() as u64
                };
                bytes(from) - bytes(to)
            }
        };
        let alive = |row: usize| peak.is_some_and(|moment| problem.is_alive_at(row, moment));
        let mut best: Option<(f64, usize, BitWidth)> = None;
        for (row, _) in problem.slots().filter(|(row, s)| *s == side && (side == Side::Weights || alive(*row))) {
            let Some(now) = width(draft.policy(), row, side) else { continue };
            for to in problem.allowed(row, side).iter().filter(|to| *to < now) {
                let cost = costs.get(row, side, to) - costs.get(row, side, now);
                let price = cost / saved(row, now, to).max(1) as f64;
                if cost.is_finite() && best.is_none_or(|(other, ..)| price < other) {
                    best = Some((price, row, to));
                }
            }
        }
        let (_, row, to) = best?;
        draft.set(row, side, to);
    }
    Some(draft.into_policy())
}
