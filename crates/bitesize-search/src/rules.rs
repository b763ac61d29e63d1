//! The rule-based bit cutting of 2019 (Rusci, Capotondi, Benini: "Memory-driven mixed low precision quantization",
//! arXiv 1905.13082), on the real memory model.
//!
//! Everything starts at 8 bits; a cut goes 8 to 4 to 2. Activations are cut first, then weights.
//!
//! *Activations.* Sweeps over the nodes, forward and backward in turn, until a pair of sweeps cuts nothing. At a
//! node, while the bytes alive there and the stack pass the RAM budget: pick the alive tensor with the most bits, of
//! these the largest in bytes, of these the output. A forward sweep may cut only the node's output, a backward sweep
//! only another; where the pick is on the wrong side, the sweep moves on.
//!
//! *Weights.* While FLASH passes its budget: of the rows above 2 bits whose share of the packed weight bytes is within
//! 0.05 of the largest share among them, cut the first.
//!
//! Where this departs from the paper, and why:
//!
//! - its RAM at a layer is the input and output of that layer. Here it is everything alive during the node by the
//!   planner's lifetimes: residuals that wait, scratch, and the stack, because those bytes are in the firmware too.
//!   "The other side" of a node is therefore not its one input but every other tensor alive there.
//! - its FLASH counts weights and their constants; here also kernel code, which a cut may enlarge, and which the
//!   loop therefore re-counts after each cut. The share stays one of weight bytes, as in the paper.
//! - narrower inputs may need scratch or a deeper stack, so the two phases repeat until both budgets hold; every
//!   round but the last cuts, so they end.
//! - where the cut gets stuck (mixed widths need many kernels, and in a small network their code outweighs what the
//!   weights save), it ends, and [`mod@crate::baselines`] and strategies take the policy that [`crate::feasibility`] found.

use crate::draft::Draft;
use crate::problem::Problem;
use crate::widths::{Side, width};
use bitesize_ir::memory::tensor_bytes;
use bitesize_ir::{BitWidth, NodeId, Policy, TensorId};

/// How far below the largest share of weight bytes a row still counts as large (the paper's margin).
const SHARE_MARGIN: f64 = 0.05;

/// The rule-based policy; `None` where the cut gets stuck above a budget.
pub fn cut_by_rules(problem: &Problem) -> Option<Policy> {
    let mut draft = Draft::of(problem, problem.uniform(BitWidth::B8));
    while !draft.fits() {
        if !(cut_activations(problem, &mut draft) && cut_weights(problem, &mut draft)) {
            return None;
        }
    }
    Some(draft.into_policy())
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Direction {
    Forward,
    Backward,
}

/// Cuts activations until the RAM budget holds; whether it does.
pub(crate) fn cut_activations(problem: &Problem, draft: &mut Draft) -> bool {
    let nodes = problem.network().nodes.len();
    loop {
        let mut any = false;
        // Where every node holds, both sweeps would pass all of them by.
        if !draft.every_node_fits() {
            for step in (0..nodes).map(NodeId) {
                any |= cut_at_node(problem, draft, step, Direction::Forward);
            }
            for step in (0..nodes).rev().map(NodeId) {
                any |= cut_at_node(problem, draft, step, Direction::Backward);
            }
        }
        if draft.ram_fits() {
            return true;
        }
        // Every node may hold by itself while the planner, which need not reach the lower bound, is still above.
        if !any && !cut_anywhere(problem, draft) {
            return false;
        }
    }
}

fn cut_at_node(problem: &Problem, draft: &mut Draft, step: NodeId, direction: Direction) -> bool {
    let output_row = problem.row_of(problem.network().node(step).output);
    let mut any = false;
    loop {
        if draft.node_fits(step) {
            return any;
        }
        let alive = problem.model().alive_at(step);
        let Some(row) = largest_cuttable(problem, draft.policy(), alive, output_row) else { return any };
        if (Some(row) == output_row) != (direction == Direction::Forward) {
            return any;
        }
        any |= draft.cut(row, Side::Activations);
    }
}

/// The row of the tensor with the most bits above 2, then the most bytes, then `preferred`, then the lowest id.
fn largest_cuttable(
    problem: &Problem,
    policy: &Policy,
    tensors: impl Iterator<Item = TensorId>,
    preferred: Option<usize>,
) -> Option<usize> {
    let mut best: Option<((BitWidth, usize, bool), usize)> = None;
    for tensor in tensors {
        let Some(row) = problem.row_of(tensor) else { continue };
        let (Some(bits), Some(_)) =
            (width(policy, row, Side::Activations), problem.narrower(policy, row, Side::Activations))
        else {
            continue;
        };
        let bytes = tensor_bytes(problem.network().shape(tensor), bits);
        let key = (bits, bytes, Some(row) == preferred);
        if best.as_ref().is_none_or(|(other, _)| key > *other) {
            best = Some((key, row));
        }
    }
    best.map(|(_, row)| row)
}

/// Cuts the largest tensor alive at the planner's peak or, where none is left there, of all; whether there was one.
fn cut_anywhere(problem: &Problem, draft: &mut Draft) -> bool {
    let at_peak = draft.peak().map(|step| problem.model().alive_at(step));
    let all = (0..problem.network().tensors.len()).map(TensorId);
    let row = largest_cuttable(problem, draft.policy(), at_peak.into_iter().flatten(), None)
        .or_else(|| largest_cuttable(problem, draft.policy(), all, None));
    row.is_some_and(|row| draft.cut(row, Side::Activations))
}

/// Cuts weights until the FLASH budget holds; whether it does.
fn cut_weights(problem: &Problem, draft: &mut Draft) -> bool {
    let bytes_of = |policy: &Policy, row: usize| {
        width(policy, row, Side::Weights).map_or(0, |bits| problem.packed_bytes(row, bits)) as f64
    };
    let mut bytes: Vec<f64> = (0..draft.policy().rows.len()).map(|row| bytes_of(draft.policy(), row)).collect();
    while !draft.flash_fits() {
        // Whole numbers below 2^53: the order of the sum does not matter.
        let total: f64 = bytes.iter().sum();
        let cuttable = |row: &usize| problem.narrower(draft.policy(), *row, Side::Weights).is_some();
        let rows = || (0..bytes.len()).filter(cuttable);
        let largest = rows().map(|row| bytes[row]).fold(0.0, f64::max);
        let Some(row) = rows().find(|row| bytes[*row] / total > largest / total - SHARE_MARGIN) else {
            return false;
        };
        draft.cut(row, Side::Weights);
        bytes[row] = bytes_of(draft.policy(), row);
    }
    true
}
