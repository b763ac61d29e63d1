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
//! - a node at which nothing is left to cut, and whose bytes pass the budget all the same, is swept again only after a
//!   cut elsewhere has made the stack smaller.
//! - where instructions are limited too, a third phase brings them under their limit by single widths, what saves the most
//!   first, and keeps FLASH and RAM (`instructions.rs`).
//! - where the cut gets stuck (mixed widths need many kernels, and in a small network their code outweighs what the
//!   weights save), it ends, and [`mod@crate::baselines`] and strategies take the policy that [`crate::feasibility`] found.

use crate::cuttable::Cuttable;
use crate::draft::Draft;
use crate::instructions::quicken_most;
use crate::problem::Problem;
use crate::widths::{Side, width};
use bitesize_ir::memory::Moment;
use bitesize_ir::{BitWidth, NodeId, Policy};

/// How far below the largest share of weight bytes a row still counts as large (the paper's margin).
const SHARE_MARGIN: f64 = 0.05;

/// What planning may take ([`Draft::visits`]) before the cut counts as stuck: seconds, where thousands of tensors are alive
/// together and no plan reaches the lower bound. Networks of hundreds of layers take less than a hundredth.
const VISITS: u64 = 300_000_000;

/// The rule-based policy; `None` where the cut gets stuck above a budget.
pub fn cut_by_rules(problem: &Problem) -> Option<Policy> {
    let mut draft = Draft::of(problem, problem.uniform(BitWidth::B8));
    while !draft.fits() {
        let keeps_bytes = cut_activations(problem, &mut draft, VISITS) && cut_weights(problem, &mut draft);
        if !(keeps_bytes && (draft.instructions_fit() || !draft.ram_fits() || quicken_most(problem, &mut draft))) {
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

/// Cuts activations until the RAM budget holds; whether it does. Where the planner takes more than `visits`
/// ([`Draft::visits`]), it ends without.
pub(crate) fn cut_activations(problem: &Problem, draft: &mut Draft, visits: u64) -> bool {
    let nodes = problem.network().nodes.len();
    let mut cuttable = Cuttable::of(problem, draft.policy());
    loop {
        let mut any = false;
        // Where every node holds, both sweeps would pass all of them by.
        if let Some(Moment { timeline, .. }) = draft.peak().filter(|_| !draft.every_moment_fits()) {
            for step in (0..nodes).map(NodeId) {
                any |= cut_at_node(problem, draft, &mut cuttable, (timeline, step), Direction::Forward);
            }
            for step in (0..nodes).rev().map(NodeId) {
                any |= cut_at_node(problem, draft, &mut cuttable, (timeline, step), Direction::Backward);
            }
        }
        if draft.ram_fits() {
            return true;
        }
        if any {
            continue;
        }
        // Every node may hold by itself while the planner, which need not reach the lower bound, is still above. Where one
        // does not, nothing alive there can be cut: its bytes stay, and only less stack or another timeline can help.
        let (is_stuck, stack) = (!draft.every_moment_fits(), draft.deepest_stack_bytes());
        loop {
            if draft.visits() > visits || !cut_anywhere(draft, &mut cuttable) {
                return false;
            }
            if !is_stuck || draft.deepest_stack_bytes() < stack || draft.every_moment_fits() {
                break;
            }
        }
    }
}

fn cut_at_node(
    problem: &Problem,
    draft: &mut Draft,
    cuttable: &mut Cuttable,
    (timeline, step): (usize, NodeId),
    direction: Direction,
) -> bool {
    let output_row = problem.row_of(problem.network().node(step).output);
    let mut any = false;
    loop {
        let Some(moment) = draft.pressing_moment(timeline, step) else { return any };
        let Some(largest) = cuttable.largest_at(moment, draft.policy()) else { return any };
        let output_row = output_row.filter(|row| cuttable.is_as_large(*row, moment, largest, draft.policy()));
        if output_row.is_some() != (direction == Direction::Forward) {
            return any;
        }
        any |= cut(draft, cuttable, output_row.unwrap_or(largest.row));
    }
}

/// Cuts the largest tensor alive at the planner's peak or, where none is left there, of all; whether there was one.
fn cut_anywhere(draft: &mut Draft, cuttable: &mut Cuttable) -> bool {
    let at_peak = draft.peak().and_then(|moment| cuttable.largest_at(moment, draft.policy()));
    let largest = at_peak.or_else(|| cuttable.largest(draft.policy()));
    largest.is_some_and(|largest| cut(draft, cuttable, largest.row))
}

fn cut(draft: &mut Draft, cuttable: &mut Cuttable, row: usize) -> bool {
    let is_cut = draft.cut(row, Side::Activations);
    cuttable.changed(row, draft.policy());
    is_cut
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::common::{Builder, chain, costs_of_large_kernels, network_of, residual, space};
    use bitesize_ir::shape::Shape;
    use bitesize_ir::target::Budget;
    use bitesize_ir::{Network, TensorId};
    use proptest::prelude::*;

    /// The row of the tensor with the most bits that can be cut, then the most bytes, then `preferred`, then the lowest id, by looking
    /// at all of `tensors` with the timeline whose places count.
    fn largest(
        problem: &Problem,
        policy: &Policy,
        (timeline, tensors): (usize, impl Iterator<Item = TensorId>),
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
            let bytes = problem.model().place_bytes(timeline, tensor, bits);
            let key = (bits, bytes, Some(row) == preferred);
            if best.as_ref().is_none_or(|(other, _)| key > *other) {
                best = Some((key, row));
            }
        }
        best.map(|(_, row)| row)
    }

    /// The same cut, everything looked at anew each time.
    fn plain(problem: &Problem, draft: &mut Draft) -> bool {
        let nodes = problem.network().nodes.len();
        let alive_at = |moment: Moment| {
            let has_rows = |tensor: &TensorId| problem.model().tensor_bytes_at(moment, *tensor, BitWidth::B8) > 0;
            (moment.timeline, problem.model().alive_at(moment).filter(has_rows).collect::<Vec<_>>().into_iter())
        };
        let at_node = |draft: &mut Draft, timeline: usize, step: NodeId, forward: bool| {
            let mut any = false;
            let output_row = problem.row_of(problem.network().node(step).output);
            while let Some(moment) = draft.pressing_moment(timeline, step) {
                match largest(problem, draft.policy(), alive_at(moment), output_row) {
                    Some(row) if (Some(row) == output_row) == forward => any |= draft.cut(row, Side::Activations),
                    _ => break,
                }
            }
            any
        };
        while !draft.ram_fits() {
            let mut any = false;
            if let Some(Moment { timeline, .. }) = draft.peak().filter(|_| !draft.every_moment_fits()) {
                (0..nodes).for_each(|step| any |= at_node(draft, timeline, NodeId(step), true));
                (0..nodes).rev().for_each(|step| any |= at_node(draft, timeline, NodeId(step), false));
            }
            if any {
                continue;
            }
            let all = (0, (0..problem.network().tensors.len()).map(TensorId));
            let at_peak = draft.peak().and_then(|peak| largest(problem, draft.policy(), alive_at(peak), None));
            let row = at_peak.or_else(|| largest(problem, draft.policy(), all, None));
            if !row.is_some_and(|row| draft.cut(row, Side::Activations)) {
                return false;
            }
        }
        true
    }

    fn check(network: &Network, factor: u64, ram: u64) {
        let (space, core) = (space(network), costs_of_large_kernels(factor));
        let free = Problem::new(network, &space, &core, Budget::UNLIMITED);
        let full = free.footprint(&free.uniform(BitWidth::B8));
        let problem = &free.with_budget(Budget::of(u64::MAX, full.ram_bytes * ram / 1000));
        let draft = || Draft::of(problem, problem.uniform(BitWidth::B8));
        let (mut expected, mut found) = (draft(), draft());
        let fits = plain(problem, &mut expected);
        assert_eq!(cut_activations(problem, &mut found, VISITS), fits);
        assert_eq!(found.policy(), expected.policy());
    }

    /// Pools of one input that are added up in a tree: as many as there are pools are alive together, fixed at 8 bits.
    fn tree(pools: usize) -> Network {
        let mut net = Builder::new(Shape::new(4, 4, 1));
        let mut level: Vec<TensorId> = (0..pools).map(|_| net.max_pool(TensorId(0))).collect();
        while level.len() > 1 {
            level = level.chunks(2).map(|pair| if let [a, b] = *pair { net.add(a, b) } else { pair[0] }).collect();
        }
        net.finish(level[0], 3)
    }

    #[test]
    fn it_cuts_what_looking_at_all_cuts() {
        for ram in [1000, 700, 400, 250, 10] {
            check(&residual(2), 3, ram);
            check(&chain(4), 1, ram);
            check(&tree(13), 1, ram);
        }
    }

    /// 4,000 tensors alive together that no cut makes smaller, and as many that can be cut: minutes where each cut looked at
    /// all nodes, and each node at all that is alive.
    #[test]
    fn a_node_that_stays_above_is_not_swept_for_each_cut() {
        let network = tree(4000);
        let (space, core) = (space(&network), costs_of_large_kernels(1));
        let problem = &Problem::new(&network, &space, &core, Budget::of(u64::MAX, 8 << 10));
        let mut draft = Draft::of(problem, problem.uniform(BitWidth::B8));
        assert!(!cut_activations(problem, &mut draft, VISITS));
        let narrowest = |row| problem.narrower(draft.policy(), row, Side::Activations).is_none();
        assert!((0..draft.policy().rows.len()).all(narrowest));
        let nodes = network.nodes.len() as u64;
        assert!(draft.visits() < 100 * nodes, "{} visits for {nodes} nodes", draft.visits());
    }

    #[test]
    fn planning_above_its_limit_ends_the_cut() {
        let network = residual(3);
        let (space, core) = (space(&network), costs_of_large_kernels(1));
        let free = Problem::new(&network, &space, &core, Budget::UNLIMITED);
        let full = free.footprint(&free.uniform(BitWidth::B8));
        let problem = &free.with_budget(Budget::of(u64::MAX, full.ram_bytes / 10));
        let mut draft = Draft::of(problem, problem.uniform(BitWidth::B8));
        assert!(!cut_activations(problem, &mut draft, 0));
        let narrower = |row| problem.narrower(draft.policy(), row, Side::Activations).is_some();
        assert!((0..draft.policy().rows.len()).any(narrower), "it ended early");
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]
        #[test]
        fn it_cuts_what_looking_at_all_cuts_on_any_network(
            layers in prop::collection::vec((0..6usize, 1..4usize, 0..8usize), 1..10),
            factor in 0..20u64,
            ram in 50..1000u64,
        ) {
            check(&network_of(&layers), factor, ram);
        }
    }
}
