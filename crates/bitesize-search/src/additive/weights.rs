//! The best weight widths for given activations: a knapsack whose items share the code that they call.
//!
//! Layers whose code by weight width is the same are a group (those of one kind and, where each combination of widths has a
//! kernel of its own, with the same input and output width): each width used in a group costs one piece of
//! code. Group by group, and for each set of widths that a group might use, partial choices are extended layer by layer; those
//! that another beats in bytes and loss are dropped, and so are those that cannot become better than a known solution by the
//! bound that a price per byte gives.

use crate::costs::Costs;
use crate::problem::Problem;
use crate::widths::{Side, WidthSet, set_width};
use bitesize_ir::code::Code;
use bitesize_ir::memory::Widths;
use bitesize_ir::target::holds;
use bitesize_ir::{BitWidth, NodeId, Policy};
use std::collections::{BTreeMap, BTreeSet};

/// Partial choices kept at most; beyond it those of the highest cost are dropped, and nothing is proved.
const LABELS: usize = 40_000;

/// One layer's widths.
struct Item {
    row: usize,
    /// Width, packed bytes, cost; the widest first.
    options: Vec<(BitWidth, u64, f64)>,
}

/// Layers that share kernels, and the code of the kernel of each width.
struct KernelGroup {
    items: Vec<Item>,
    code: [u64; 3],
}

/// Widths for the layers so far.
#[derive(Clone, Copy)]
struct Label {
    packed: u64,
    code: u64,
    cost: f64,
    /// Index into the list of choices; 0 is the empty choice.
    trace: u32,
}

/// What bytes there are, `None` for any number.
#[derive(Clone, Copy)]
struct Room {
    /// For weights and their kernels.
    flash: Option<u64>,
    /// For weights.
    packed: Option<u64>,
}

impl Room {
    /// What kernels of `code` bytes leave for weights.
    fn of_packed(self, code: u64) -> Option<u64> {
        let left = self.flash.map(|flash| flash.saturating_sub(code));
        self.packed.into_iter().chain(left).min()
    }

    fn holds(self, packed: u64, code: u64) -> bool {
        holds(self.packed, packed) && holds(self.flash, packed + code)
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
pub(super) fn best(problem: &Problem, costs: &Costs, policy: &Policy, enough: f64) -> Result<BestWeights, bool> {
    let mut widths = problem.widths(policy);
    let Some(groups) = groups(problem, costs, &widths) else { return Err(true) };
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
    let (found, proved) = search(&groups, Room { flash, packed: limits.weight_bytes }, enough);
    let Some((cost, choice)) = found else { return Err(proved) };
    let mut policy = policy.clone();
    for (row, bits) in choice {
        set_width(&mut policy, row, Side::Weights, bits);
    }
    Ok(BestWeights { cost, policy, proved })
}

/// The least cost of weights for which `other_flash` bytes leave room, their kernels not counted: no policy has less.
pub(super) fn least_cost(problem: &Problem, costs: &Costs, other_flash: u64) -> f64 {
    let items = rows(problem).map(|row| item(problem, costs, row, |_| true));
    let group = KernelGroup { items: items.collect(), code: [0; 3] };
    let limits = problem.limits();
    let room = Room { flash: limits.budget.flash_bytes, packed: limits.weight_bytes }.of_packed(other_flash);
    match search(&[group], Room { flash: None, packed: room }, f64::INFINITY) {
        (Some((cost, _)), true) => cost,
        _ => 0.0,
    }
}

fn rows<'p>(problem: &'p Problem) -> impl Iterator<Item = usize> + 'p {
    problem.slots().filter(|(_, side)| *side == Side::Weights).map(|(row, _)| row)
}

fn item(problem: &Problem, costs: &Costs, row: usize, keeps: impl Fn(BitWidth) -> bool) -> Item {
    let options = costs.options(row, Side::Weights).into_iter().filter(|(bits, _)| keeps(*bits));
    Item { row, options: options.map(|(bits, cost)| (bits, problem.packed_bytes(row, bits), cost)).collect() }
}

/// The code of `row` that depends on the width of its weights, this left open.
fn code_of(problem: &Problem, row: usize, widths: &Widths) -> Option<Code> {
    problem.model().code_of_weights(problem.space().rows[row].node, widths)
}

/// `None` where the arena at these widths leaves too little for the stack of a layer's every kernel.
fn groups(problem: &Problem, costs: &Costs, widths: &Widths) -> Option<Vec<KernelGroup>> {
    let beside_kernels = problem.model().ram(widths).arena + problem.model().base_stack_bytes();
    let stack_fits = |code| problem.budget().holds_ram(beside_kernels + problem.model().code(code).stack_bytes);
    let weights_left_open = Widths { tensors: widths.tensors.clone(), weights: vec![None; widths.weights.len()] };
    let nodes = (0..widths.weights.len()).map(NodeId);
    if !nodes.flat_map(|id| problem.model().code_of(id, &weights_left_open)).all(stack_fits) {
        return None;
    }
    let mut groups: BTreeMap<Code, KernelGroup> = BTreeMap::new();
    for row in rows(problem) {
        let key = code_of(problem, row, widths)?;
        let item = item(problem, costs, row, |bits| stack_fits(key.with_weights(bits)));
        if item.options.is_empty() {
            return None;
        }
        let code = BitWidth::ALL.map(|bits| problem.model().code(key.with_weights(bits)).code_bytes);
        groups.entry(key).or_insert(KernelGroup { items: Vec::new(), code }).items.push(item);
    }
    Some(groups.into_values().collect())
}

/// Rows with the widths of their weights.
type RowWidths = Vec<(usize, BitWidth)>;

/// The choice of least cost below `enough` that `room` holds, and whether nothing was dropped unseen.
fn search(groups: &[KernelGroup], room: Room, enough: f64) -> (Option<(f64, RowWidths)>, bool) {
    let (price, known) = price(groups, room);
    let enough = enough.min(known.map_or(f64::INFINITY, |cost| cost * (1.0 + 1e-9) + 1e-12));
    let mut rest: f64 = items(groups).map(|item| priced(item, price).2).sum();
    let mut rest_packed: u64 = items(groups).map(|item| item.options.iter().map(|o| o.1).min().unwrap_or(0)).sum();
    let mut labels = vec![Label { packed: 0, code: 0, cost: 0.0, trace: 0 }];
    let mut choices: Vec<(u32, usize, BitWidth)> = vec![(0, usize::MAX, BitWidth::B8)];
    let mut proved = true;
    for group in groups {
        let (mut group_rest, mut group_packed) = (rest, rest_packed);
        let mut all = Vec::new();
        for set in WidthSet::every() {
            (group_rest, group_packed) = (rest, rest_packed);
            let code: u64 = set.iter().map(|bits| group.code[bits as usize]).sum();
            let mut own: Vec<Label> = labels.iter().map(|label| Label { code: label.code + code, ..*label }).collect();
            for item in &group.items {
                group_rest -= priced(item, price).2;
                group_packed -= item.options.iter().map(|o| o.1).min().unwrap_or(0);
                let mut next = Vec::with_capacity(own.len() * 2);
                for label in &own {
                    for (bits, packed, cost) in item.options.iter().filter(|o| set.contains(o.0)) {
                        let (packed, cost) = (label.packed + packed, label.cost + cost);
                        let left = room.of_packed(label.code);
                        // Where there is room for any number, a byte has no price.
                        let worth = left.map_or(0.0, |left| price * left.saturating_sub(packed) as f64);
                        let bound = cost + group_rest - worth;
                        if holds(left, packed + group_packed) && bound < enough && cost < enough {
                            choices.push((label.trace, item.row, *bits));
                            next.push(Label { packed, cost, trace: (choices.len() - 1) as u32, ..*label });
                        }
                    }
                }
                proved &= thin_out(&mut next);
                own = next;
            }
            all.extend(own);
        }
        proved &= thin_out(&mut all);
        (labels, rest, rest_packed) = (all, group_rest, group_packed);
    }
    let best = labels.into_iter().filter(|l| room.holds(l.packed, l.code)).min_by(|a, b| a.cost.total_cmp(&b.cost));
    let traced = best.map(|label| {
        let (mut choice, mut at) = (RowWidths::new(), label.trace);
        while at != 0 {
            let (before, row, bits) = choices[at as usize];
            choice.push((row, bits));
            at = before;
        }
        (label.cost, choice)
    });
    (traced, proved)
}

fn items(groups: &[KernelGroup]) -> impl Iterator<Item = &Item> {
    groups.iter().flat_map(|group| &group.items)
}

/// The best option at a price per byte, and its cost with the price of its bytes.
fn priced(item: &Item, price: f64) -> (BitWidth, u64, f64) {
    let mut best = (BitWidth::B8, 0, f64::INFINITY);
    for (bits, packed, cost) in &item.options {
        let total = cost + price * *packed as f64;
        if total < best.2 {
            best = (*bits, *packed, total);
        }
    }
    best
}

/// A price per byte at which about what there is room for is bought, and the cost of a choice that fits, if one was
/// met.
fn price(groups: &[KernelGroup], room: Room) -> (f64, Option<f64>) {
    let at = |price: f64| {
        let (mut packed, mut cost, mut code) = (0, 0.0, 0);
        for group in groups {
            let mut used = [false; 3];
            for item in &group.items {
                let (bits, bytes, total) = priced(item, price);
                packed += bytes;
                cost += total - price * bytes as f64;
                used[bits as usize] = true;
            }
            code += group.code.iter().zip(used).filter(|(_, used)| *used).map(|(code, _)| code).sum::<u64>();
        }
        (room.holds(packed, code), cost)
    };
    if let (true, cost) = at(0.0) {
        return (0.0, Some(cost));
    }
    let (mut low, mut high, mut known) = (0.0, 1e-12, None);
    while high < 1e12 && !at(high).0 {
        (low, high) = (high, 4.0 * high);
    }
    for _ in 0..60 {
        let middle = 0.5 * (low + high);
        match at(middle) {
            (true, cost) => (high, known) = (middle, Some(known.map_or(cost, |known: f64| known.min(cost)))),
            (false, _) => low = middle,
        }
    }
    (high, known)
}

/// Drops what another label beats; whether all others were kept.
fn thin_out(labels: &mut Vec<Label>) -> bool {
    labels.sort_by(|a, b| a.packed.cmp(&b.packed).then(a.code.cmp(&b.code)).then(a.cost.total_cmp(&b.cost)));
    // The least cost so far for each amount of code: there are few amounts.
    let mut least: BTreeMap<u64, f64> = BTreeMap::new();
    labels.retain(|label| {
        let beaten = least.range(..=label.code).any(|(_, cost)| *cost <= label.cost);
        if !beaten {
            least.insert(label.code, label.cost);
        }
        !beaten
    });
    if labels.len() <= LABELS {
        return true;
    }
    labels.sort_by(|a, b| a.cost.total_cmp(&b.cost));
    labels.truncate(LABELS);
    false
}
