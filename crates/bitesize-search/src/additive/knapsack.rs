//! The knapsack: of each item one choice, the least cost within bytes and, where they are limited, instructions.
//!
//! Group by group, and for each set of widths that a group might use, partial choices are extended item by item; those
//! that another beats in bytes, instructions and loss are dropped, and so are those that cannot become better than a known
//! solution by the bound that a price per byte and one per instruction give.

use crate::widths::WidthSet;
use bitesize_ir::BitWidth;
use bitesize_ir::target::holds;
use std::collections::BTreeMap;

/// Partial choices kept at most; beyond it those of the highest cost are dropped, and nothing is proved.
const LABELS: usize = 40_000;

/// Bisections for the price of an instruction.
const BISECTIONS: usize = 30;

/// A width that an item may have.
#[derive(Clone, Copy)]
pub(super) struct Choice {
    pub(super) bits: BitWidth,
    /// Packed bytes.
    pub(super) packed: u64,
    /// Where they are limited, else 0.
    pub(super) instructions: u64,
    pub(super) cost: f64,
}

/// One layer's widths.
pub(super) struct Item {
    pub(super) row: usize,
    /// The widest first.
    pub(super) options: Vec<Choice>,
}

/// Layers that share kernels, and the code of the kernel of each width.
pub(super) struct KernelGroup {
    pub(super) items: Vec<Item>,
    pub(super) code: [u64; 3],
}

/// Widths for the layers so far.
#[derive(Clone, Copy)]
struct Label {
    packed: u64,
    code: u64,
    instructions: u64,
    cost: f64,
    /// Index into the list of choices; 0 is the empty choice.
    trace: u32,
}

/// What there is room for, `None` for any number.
#[derive(Clone, Copy)]
pub(super) struct Room {
    /// Bytes for weights and their kernels.
    pub(super) flash: Option<u64>,
    /// Bytes for weights.
    pub(super) packed: Option<u64>,
    /// Instructions of the layers with weights.
    pub(super) instructions: Option<u64>,
}

impl Room {
    /// What kernels of `code` bytes leave for weights.
    pub(super) fn of_packed(self, code: u64) -> Option<u64> {
        let left = self.flash.map(|flash| flash.saturating_sub(code));
        self.packed.into_iter().chain(left).min()
    }

    fn holds_bytes(self, packed: u64, code: u64) -> bool {
        holds(self.packed, packed) && holds(self.flash, packed + code)
    }

    /// Without a limit of instructions that the most that `groups` can take keeps.
    fn tightened(self, groups: &[KernelGroup]) -> Self {
        let most = |item: &Item| item.options.iter().map(|choice| choice.instructions).max().unwrap_or(0);
        let instructions = self.instructions.filter(|limit| items(groups).map(most).sum::<u64>() > *limit);
        Self { instructions, ..self }
    }
}

/// What a byte and an instruction cost.
#[derive(Clone, Copy)]
struct Prices {
    byte: f64,
    instruction: f64,
}

/// Rows with the widths of their weights.
pub(super) type RowWidths = Vec<(usize, BitWidth)>;

/// The choice of least cost below `enough` that `room` holds, and whether nothing was dropped unseen.
pub(super) fn search(groups: &[KernelGroup], room: Room, enough: f64) -> (Option<(f64, RowWidths)>, bool) {
    let room = room.tightened(groups);
    let (prices, known) = prices(groups, room);
    let enough = enough.min(known.map_or(f64::INFINITY, |cost| cost * (1.0 + 1e-9) + 1e-12));
    let mut rest = Rest::of(groups, prices);
    let mut labels = vec![Label { packed: 0, code: 0, instructions: 0, cost: 0.0, trace: 0 }];
    let mut choices: Vec<(u32, usize, BitWidth)> = vec![(0, usize::MAX, BitWidth::B8)];
    let mut proved = true;
    for group in groups {
        let mut group_rest = rest;
        let mut all = Vec::new();
        for set in WidthSet::every() {
            group_rest = rest;
            let code: u64 = set.iter().map(|bits| group.code[bits as usize]).sum();
            let mut own: Vec<Label> = labels.iter().map(|label| Label { code: label.code + code, ..*label }).collect();
            for item in &group.items {
                group_rest.take(item, prices);
                let mut next = Vec::with_capacity(own.len() * 2);
                for label in &own {
                    let left = room.of_packed(label.code);
                    for choice in item.options.iter().filter(|choice| set.contains(choice.bits)) {
                        let (packed, cost) = (label.packed + choice.packed, label.cost + choice.cost);
                        let instructions = label.instructions + choice.instructions;
                        // Where there is room for any number, a byte and an instruction have no price.
                        let worth = left.map_or(0.0, |left| prices.byte * left.saturating_sub(packed) as f64)
                            + room
                                .instructions
                                .map_or(0.0, |left| prices.instruction * left.saturating_sub(instructions) as f64);
                        let bound = cost + group_rest.cost - worth;
                        if holds(left, packed + group_rest.packed)
                            && holds(room.instructions, instructions + group_rest.instructions)
                            && bound < enough
                            && cost < enough
                        {
                            choices.push((label.trace, item.row, choice.bits));
                            let trace = (choices.len() - 1) as u32;
                            next.push(Label { packed, code: label.code, instructions, cost, trace });
                        }
                    }
                }
                proved &= thin_out(&mut next, room);
                own = next;
            }
            all.extend(own);
        }
        proved &= thin_out(&mut all, room);
        (labels, rest) = (all, group_rest);
    }
    let holds_all =
        |label: &Label| room.holds_bytes(label.packed, label.code) && holds(room.instructions, label.instructions);
    let best = labels.into_iter().filter(holds_all).min_by(|a, b| a.cost.total_cmp(&b.cost));
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

/// What the items that are still to come take at least.
#[derive(Clone, Copy)]
struct Rest {
    /// With the prices of their bytes and instructions.
    cost: f64,
    packed: u64,
    instructions: u64,
}

impl Rest {
    fn of(groups: &[KernelGroup], prices: Prices) -> Self {
        let cost = items(groups).map(|item| priced(item, prices).1).sum();
        let [packed, instructions] = [|choice: &Choice| choice.packed, |choice: &Choice| choice.instructions]
            .map(|measure| items(groups).map(|item| least(item, measure)).sum());
        Self { cost, packed, instructions }
    }

    /// `item` is no longer to come.
    fn take(&mut self, item: &Item, prices: Prices) {
        self.cost -= priced(item, prices).1;
        self.packed -= least(item, |choice| choice.packed);
        self.instructions -= least(item, |choice| choice.instructions);
    }
}

fn least(item: &Item, measure: fn(&Choice) -> u64) -> u64 {
    item.options.iter().map(measure).min().unwrap_or(0)
}

fn items(groups: &[KernelGroup]) -> impl Iterator<Item = &Item> {
    groups.iter().flat_map(|group| &group.items)
}

/// The best choice of `item` at `prices`, and its cost with the price of its bytes and instructions.
fn priced(item: &Item, prices: Prices) -> (Choice, f64) {
    let nothing = Choice { bits: BitWidth::B8, packed: 0, instructions: 0, cost: f64::INFINITY };
    let mut best = (nothing, f64::INFINITY);
    for choice in &item.options {
        let total = choice.cost + prices.byte * choice.packed as f64 + prices.instruction * choice.instructions as f64;
        if total < best.1 {
            best = (*choice, total);
        }
    }
    best
}

/// What is bought at some prices.
struct Bought {
    holds_bytes: bool,
    holds_instructions: bool,
    cost: f64,
}

fn bought(groups: &[KernelGroup], room: Room, prices: Prices) -> Bought {
    let (mut packed, mut instructions, mut cost, mut code) = (0, 0, 0.0, 0);
    for group in groups {
        let mut used = [false; 3];
        for item in &group.items {
            let (choice, _) = priced(item, prices);
            packed += choice.packed;
            instructions += choice.instructions;
            cost += choice.cost;
            used[choice.bits as usize] = true;
        }
        code += group.code.iter().zip(used).filter(|(_, used)| *used).map(|(code, _)| code).sum::<u64>();
    }
    Bought {
        holds_bytes: room.holds_bytes(packed, code),
        holds_instructions: holds(room.instructions, instructions),
        cost,
    }
}

/// Prices at which about what there is room for is bought, and the cost of a choice that fits, if one was met.
fn prices(groups: &[KernelGroup], room: Room) -> (Prices, Option<f64>) {
    let mut known = None;
    let mut at = |instruction: f64| {
        let byte = price_of_byte(groups, room, instruction, &mut known);
        (byte, bought(groups, room, Prices { byte, instruction }).holds_instructions)
    };
    let (byte, holds) = at(0.0);
    let (mut low, mut best) = (0.0, Prices { byte, instruction: 0.0 });
    if !holds {
        let mut high = 1e-18;
        while high < 1e6 && !at(high).1 {
            (low, high) = (high, 8.0 * high);
        }
        best = Prices { byte: at(high).0, instruction: high };
        for _ in 0..BISECTIONS {
            let middle = 0.5 * (low + best.instruction);
            match at(middle) {
                (byte, true) => best = Prices { byte, instruction: middle },
                (_, false) => low = middle,
            }
        }
    }
    (best, known)
}

/// The price of a byte where an instruction costs `instruction`; the cost of choices that fit are noted in `known`.
fn price_of_byte(groups: &[KernelGroup], room: Room, instruction: f64, known: &mut Option<f64>) -> f64 {
    let mut at = |byte: f64| {
        let bought = bought(groups, room, Prices { byte, instruction });
        if bought.holds_bytes && bought.holds_instructions {
            *known = Some(known.map_or(bought.cost, |known| known.min(bought.cost)));
        }
        bought.holds_bytes
    };
    if at(0.0) {
        return 0.0;
    }
    let (mut low, mut high) = (0.0, 1e-12);
    while high < 1e12 && !at(high) {
        (low, high) = (high, 4.0 * high);
    }
    for _ in 0..60 {
        let middle = 0.5 * (low + high);
        if at(middle) {
            high = middle;
        } else {
            low = middle;
        }
    }
    high
}

/// Drops what another label beats; whether all others were kept.
fn thin_out(labels: &mut Vec<Label>, room: Room) -> bool {
    if room.instructions.is_some() {
        thin_out_by_instructions(labels);
    } else {
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
    }
    if labels.len() <= LABELS {
        return true;
    }
    labels.sort_by(|a, b| a.cost.total_cmp(&b.cost));
    labels.truncate(LABELS);
    false
}

/// As [`thin_out`], where fewer instructions count too.
fn thin_out_by_instructions(labels: &mut Vec<Label>) {
    let key = |label: &Label| (label.packed, label.code, label.instructions);
    labels.sort_by(|a, b| key(a).cmp(&key(b)).then(a.cost.total_cmp(&b.cost)));
    // For each amount of code the costs that no fewer instructions beat, by instructions: falling.
    let mut least: BTreeMap<u64, BTreeMap<u64, f64>> = BTreeMap::new();
    labels.retain(|label| {
        let beats = |front: &BTreeMap<u64, f64>| {
            front.range(..=label.instructions).next_back().is_some_and(|(_, cost)| *cost <= label.cost)
        };
        let beaten = least.range(..=label.code).any(|(_, front)| beats(front));
        if !beaten {
            let front = least.entry(label.code).or_default();
            while let Some((more, _)) =
                front.range(label.instructions..).next().filter(|(_, cost)| **cost >= label.cost)
            {
                let more = *more;
                front.remove(&more);
            }
            front.insert(label.instructions, label.cost);
        }
        !beaten
    });
}
