//! The best weight widths for given activations: a knapsack whose items share the code that they call.
//!
//! Layers whose code by weight width is the same are a group (those of one kind and, where each combination of widths has a
//! kernel of its own, with the same input and output width): each width used in a group costs one piece of
//! code ([`super::knapsack`]).

use super::knapsack::{Choice, Item, KernelGroup, Room, search};
use crate::costs::Costs;
use crate::problem::Problem;
use crate::widths::{Side, set_width};
use bitesize_ir::code::Code;
use bitesize_ir::memory::Widths;
use bitesize_ir::target::holds;
use bitesize_ir::{BitWidth, NodeId, Policy};
use std::collections::{BTreeMap, BTreeSet};

/// In which order of rows layers count their instructions, where it makes a difference: that of a policy's plan lies between.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Counting {
    /// In which each takes the fewest: no policy that keeps the limit is left out.
    Fewest,
    /// In which each takes the most: every policy that is found keeps the limit.
    Most,
}

impl Counting {
    fn of_node(self, problem: &Problem, id: NodeId, widths: &Widths) -> u64 {
        let model = problem.model();
        let count = match self {
            Self::Fewest => model.fewest_instructions_of(id, widths),
            Self::Most => model.instructions_of(id, widths),
        };
        count.unwrap_or(0)
    }

    fn total(self, problem: &Problem, widths: &Widths) -> u64 {
        let model = problem.model();
        let count = match self {
            Self::Fewest => model.fewest_instructions(widths),
            Self::Most => model.instructions(widths),
        };
        count.unwrap_or(0)
    }
}

/// The best weights for the activations of a policy.
pub(super) struct BestWeights {
    pub(super) cost: f64,
    pub(super) policy: Policy,
    /// Whether nothing was dropped unseen.
    pub(super) proved: bool,
}

/// The best weights for the activations of `policy`, if their cost is below `enough`; and whether that is certain.
pub(super) fn best(
    problem: &Problem,
    costs: &Costs,
    policy: &Policy,
    enough: f64,
    counting: Counting,
) -> Result<BestWeights, bool> {
    let mut widths = problem.widths(policy);
    let Some(groups) = groups(problem, costs, &widths, counting) else { return Err(true) };
    for row in problem.space().rows.iter().filter(|row| row.weights) {
        widths.weights[row.node.0] = Some(BitWidth::B2);
    }
    let codes: BTreeSet<Code> = rows(problem).filter_map(|row| code_of(problem, row, &widths)).collect();
    let kernels: u64 = codes.iter().map(|code| problem.model().code(code.with_weights(BitWidth::B2)).code_bytes).sum();
    let packed: u64 =
        problem.space().rows.iter().enumerate().map(|(row, _)| problem.packed_bytes(row, BitWidth::B2)).sum();
    let fixed = problem.model().flash_bytes(&widths) - kernels - packed;
    let limits = problem.limits();
    if !limits.budget.holds_flash(fixed) {
        return Err(true);
    }
    let flash = limits.budget.flash_bytes.map(|limit| limit - fixed);
    let instructions =
        match limits.instructions.map(|limit| limit.checked_sub(beside_weights(problem, &widths, counting))) {
            Some(None) => return Err(true),
            left => left.flatten(),
        };
    let (found, proved) = search(&groups, Room { flash, packed: limits.weight_bytes, instructions }, enough);
    let Some((cost, choice)) = found else { return Err(proved) };
    let mut policy = policy.clone();
    for (row, bits) in choice {
        set_width(&mut policy, row, Side::Weights, bits);
    }
    Ok(BestWeights { cost, policy, proved })
}

/// Bytes that weights may take where everything else in FLASH takes `other_flash`; `None` for any number.
pub(super) fn packed_room(problem: &Problem, other_flash: u64) -> Option<u64> {
    let limits = problem.limits();
    let room = Room { flash: limits.budget.flash_bytes, packed: limits.weight_bytes, instructions: None };
    room.of_packed(other_flash)
}

/// The least cost of weights of at most `packed` bytes, their kernels not counted: no policy has less.
pub(super) fn least_cost(problem: &Problem, costs: &Costs, packed: Option<u64>) -> f64 {
    let is_counted = problem.limits().instructions.is_some();
    let (beside, of_rows) = if is_counted { least_instructions(problem) } else { (0, Vec::new()) };
    let of_row = |row: usize, bits: BitWidth| of_rows.get(row).map_or(0, |counts: &[u64; 3]| counts[bits as usize]);
    let items = rows(problem).map(|row| item(problem, costs, row, |_| true, |bits| of_row(row, bits)));
    let group = KernelGroup { items: items.collect(), code: [0; 3] };
    let instructions = problem.limits().instructions.map(|limit| limit.saturating_sub(beside));
    match search(&[group], Room { flash: None, packed, instructions }, f64::INFINITY) {
        (Some((cost, _)), true) => cost,
        _ => 0.0,
    }
}

fn rows<'p>(problem: &'p Problem) -> impl Iterator<Item = usize> + 'p {
    problem.slots().filter(|(_, side)| *side == Side::Weights).map(|(row, _)| row)
}

fn item(
    problem: &Problem,
    costs: &Costs,
    row: usize,
    keeps: impl Fn(BitWidth) -> bool,
    instructions: impl Fn(BitWidth) -> u64,
) -> Item {
    let choice = |(bits, cost)| {
        let (packed, instructions) = (problem.packed_bytes(row, bits), instructions(bits));
        Choice { bits, packed, instructions, cost }
    };
    let options = costs.options(row, Side::Weights).into_iter().filter(|(bits, _)| keeps(*bits));
    Item { row, options: options.map(choice).collect() }
}

/// Instructions at `widths` of what has no weights whose width is chosen.
fn beside_weights(problem: &Problem, widths: &Widths, counting: Counting) -> u64 {
    let nodes = (0..widths.weights.len()).map(NodeId).filter(|id| problem.row_of_weights(*id).is_some());
    counting.total(problem, widths) - nodes.map(|id| counting.of_node(problem, id, widths)).sum::<u64>()
}

/// The fewest instructions of what has no weights whose width is chosen, and for each row those at each width of its weights,
/// whatever the activations.
fn least_instructions(problem: &Problem) -> (u64, Vec<[u64; 3]>) {
    let mut widths = problem.widths(&problem.uniform(BitWidth::B8));
    let mut beside = problem.base_instructions(&widths);
    let mut of_rows = vec![[0; 3]; problem.space().rows.len()];
    for id in (0..widths.weights.len()).map(NodeId) {
        match problem.row_of_weights(id) {
            None => beside += least_over_activations(problem, id, &mut widths),
            Some(row) => {
                for bits in problem.allowed(row, Side::Weights).iter() {
                    widths.weights[id.0] = Some(bits);
                    of_rows[row][bits as usize] = least_over_activations(problem, id, &mut widths);
                }
            }
        }
    }
    (beside, of_rows)
}

/// The fewest instructions of node `id`, whatever the widths of its tensors; 0, which is no more, for one of many inputs.
fn least_over_activations(problem: &Problem, id: NodeId, widths: &mut Widths) -> u64 {
    let node = problem.network().node(id);
    let (inputs, output) = (node.inputs.as_slice(), node.output);
    let [first, others @ ..] = inputs else { return 0 };
    if others.len() > 1 {
        return 0;
    }
    let second = others.first().copied().filter(|second| second != first);
    let mut least = u64::MAX;
    for of_first in problem.allowed_of_tensor(*first).iter() {
        for of_second in problem.allowed_of_tensor(second.unwrap_or(*first)).iter() {
            for of_output in problem.allowed_of_tensor(output).iter() {
                widths.tensors[first.0] = of_first;
                second.into_iter().for_each(|second| widths.tensors[second.0] = of_second);
                widths.tensors[output.0] = of_output;
                least = least.min(Counting::Fewest.of_node(problem, id, widths));
            }
        }
    }
    least
}

/// The code of `row` that depends on the width of its weights, this left open.
fn code_of(problem: &Problem, row: usize, widths: &Widths) -> Option<Code> {
    problem.model().code_of_weights(problem.space().rows[row].node, widths)
}

/// `None` where the arena at these widths leaves too little for the stack of a layer's every kernel.
fn groups(problem: &Problem, costs: &Costs, widths: &Widths, counting: Counting) -> Option<Vec<KernelGroup>> {
    let model = problem.model();
    let deepest = match problem.budget().ram_bytes {
        Some(limit) => Some(model.deepest_stack_within(widths, limit)?),
        None => None,
    };
    let stack_fits = |code| holds(deepest, model.base_stack_bytes() + model.code(code).stack_bytes);
    let weights_left_open = Widths { tensors: widths.tensors.clone(), weights: vec![None; widths.weights.len()] };
    let nodes = (0..widths.weights.len()).map(NodeId);
    if !nodes.flat_map(|id| problem.model().code_of(id, &weights_left_open)).all(stack_fits) {
        return None;
    }
    let mut groups: BTreeMap<Code, KernelGroup> = BTreeMap::new();
    let is_counted = problem.limits().instructions.is_some();
    let mut counted = weights_left_open;
    for row in rows(problem) {
        let key = code_of(problem, row, widths)?;
        let node = problem.space().rows[row].node;
        let instructions = BitWidth::ALL.map(|bits| {
            counted.weights[node.0] = Some(bits);
            if is_counted { counting.of_node(problem, node, &counted) } else { 0 }
        });
        let keeps = |bits: BitWidth| stack_fits(key.with_weights(bits));
        let item = item(problem, costs, row, keeps, |bits| instructions[bits as usize]);
        if item.options.is_empty() {
            return None;
        }
        let code = BitWidth::ALL.map(|bits| problem.model().code(key.with_weights(bits)).code_bytes);
        groups.entry(key).or_insert(KernelGroup { items: Vec::new(), code }).items.push(item);
    }
    Some(groups.into_values().collect())
}
