//! Activation widths in the order of their cost: a best-first search over the tensors in the order in which they are
//! born, with the exact cost of completing each prefix as its estimate.
//!
//! The bytes alive at a moment are a sum over the tensors alive there, so what a prefix costs to complete depends, for each moment
//! of which some tensors are chosen and some are not, on the sum of those that are: completion costs are tabulated by these sums as
//! they are asked for; a moment that holds whatever follows counts like any other such. Where instructions are limited, it also
//! depends on the widths of those that outlive the prefix ([`crate::births`]).
//!
//! A network may be computed in several orders (timelines), and RAM is that of the order that takes the least: a prefix is given up once no
//! timeline can hold all of its moments.

use super::prices::{Prices, QUESTIONS};
use crate::births::{BirthInstructions, Life, frontier, lives};
use crate::bounds::least_deepest_stack_bytes;
use crate::costs::Costs;
use crate::problem::Problem;
use crate::widths::Side;
use bitesize_ir::BitWidth;
use bitesize_ir::memory::Moment;
use bitesize_ir::target::holds;
use std::cmp::Ordering;
use std::collections::{BinaryHeap, HashMap};

/// Entries of the table of completion costs at most; beyond it completing counts as free, which is still a bound.
const TABLE: usize = 100_000;

/// Prices are not sought where the bounds that this takes have more entries together.
const ENTRIES_OF_PRICES: usize = 2_000_000;

/// Prefixes looked at at most.
const PREFIXES: usize = 200_000;

/// A row whose activation width is chosen.
struct FreeTensor {
    life: Life,
    /// Widths with their costs, the widest first.
    options: Vec<(BitWidth, f64)>,
}

/// Live bytes of one moment.
struct Load {
    timeline: u32,
    /// Of tensors whose width is not chosen.
    fixed: usize,
    /// Of chosen ones (numbered as in [`Enumeration::tensors`], ascending) by width, with the scratch that their width asks for.
    chosen: Vec<(usize, [usize; 3])>,
}

impl Load {
    /// With the tensors that are chosen.
    fn so_far(&self, widths: &[BitWidth]) -> usize {
        let chosen = self.chosen.iter().take_while(|(i, _)| *i < widths.len());
        self.fixed + chosen.map(|(i, bytes)| bytes[widths[*i] as usize]).sum::<usize>()
    }

    /// What tensors from number `at` on add, each at the width that `pick` takes.
    fn to_come(&self, at: usize, pick: impl Fn(&[usize; 3]) -> usize) -> usize {
        self.chosen.iter().filter(|(i, _)| *i >= at).map(|(_, bytes)| pick(bytes)).sum()
    }
}

/// A moment of which some tensors are chosen and some are not.
struct Open {
    load: usize,
    /// What those that are not add at least and at most.
    least: usize,
    most: usize,
}

/// What completing a prefix depends on.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Key {
    at: usize,
    /// The timelines whose moments hold so far, and may still.
    timelines: u32,
    /// Bytes at the open moments that may come to hold too much; `usize::MAX` at others.
    sums: Vec<usize>,
    /// Where instructions are limited, widths on which those of nodes still to come depend.
    widths: Vec<BitWidth>,
}

/// Gives one assignment after the other, none cheaper than the one before.
pub(super) struct Enumeration<'p> {
    tensors: Vec<FreeTensor>,
    loads: Vec<Load>,
    /// By the number of the last tensor chosen, the moments all of whose tensors are then chosen.
    complete: Vec<Vec<usize>>,
    /// By the number of tensors chosen, the moments of which some are.
    open: Vec<Vec<Open>>,
    /// Bytes that may be alive at a step; `None` for any number.
    limit: Option<u64>,
    /// Where instructions are limited.
    counted: Option<Counted<'p>>,
    table: HashMap<Key, Taken>,
    heap: BinaryHeap<Prefix>,
    looked_at: usize,
}

/// Widths of activations.
pub(super) struct Assignment {
    pub(super) cost: f64,
    pub(super) bound: f64,
    pub(super) rows: Vec<(usize, BitWidth)>,
}

/// By what instructions are counted.
struct Counted<'p> {
    births: BirthInstructions<'p>,
    /// How many may be known with the tensors.
    most: u64,
    prices: Prices<'p>,
    /// The least cost of weights, whatever the activations: it is counted beside bounds.
    weights_at_least: f64,
}

impl Counted<'_> {
    /// The cost with all prices of what depends on no tensor.
    fn fixed(&mut self) -> f64 {
        let prices = &self.prices;
        self.births.fixed_by(|id, widths| prices.of_node(id, widths))
    }
}

/// What completing a prefix takes at least, or what a prefix takes itself.
#[derive(Clone, Copy)]
struct Taken {
    cost: f64,
    /// Of what is known, with the weights that take the least; 0 where they are not limited.
    instructions: u64,
    /// The cost, with that of the weights and all prices; 0 where instructions are not limited.
    priced: f64,
}

impl Taken {
    /// Nothing.
    const NONE: Self = Self { cost: 0.0, instructions: 0, priced: 0.0 };
    /// It cannot be completed.
    const IMPOSSIBLE: Self = Self { cost: f64::INFINITY, instructions: u64::MAX, priced: f64::INFINITY };

    fn with(self, other: Self) -> Self {
        Self {
            cost: self.cost + other.cost,
            instructions: self.instructions.saturating_add(other.instructions),
            priced: self.priced + other.priced,
        }
    }

    /// The lesser of each.
    fn least(self, other: Self) -> Self {
        Self {
            cost: self.cost.min(other.cost),
            instructions: self.instructions.min(other.instructions),
            priced: self.priced.min(other.priced),
        }
    }
}

/// The widths of the first tensors.
struct Prefix {
    /// No completion costs less.
    bound: f64,
    taken: Taken,
    /// The timelines whose moments hold so far.
    timelines: u32,
    widths: Vec<BitWidth>,
}

impl Ord for Prefix {
    /// The heap's greatest is that of the least bound, of these the longest, of these the widest.
    fn cmp(&self, other: &Self) -> Ordering {
        let by_length = self.widths.len().cmp(&other.widths.len());
        other.bound.total_cmp(&self.bound).then(by_length).then_with(|| self.widths.cmp(&other.widths))
    }
}

impl PartialOrd for Prefix {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Prefix {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Prefix {}

impl<'p> Enumeration<'p> {
    /// Of assignments whose weights cost `weights_at_least` or more, and for which there are `packed` bytes at most (`None`
    /// for any number).
    pub(super) fn new(problem: &'p Problem<'p>, costs: &Costs, weights_at_least: f64, packed: Option<u64>) -> Self {
        let tensors = tensors(problem, costs);
        let loads = loads(problem, costs, &tensors);
        let (complete, open) = order(&loads, tensors.len());
        let limit = problem.budget().ram_bytes;
        let counted = problem.limits().instructions.map(|limit| {
            let lives = tensors.iter().map(|tensor| tensor.life).collect();
            let mut births = BirthInstructions::of(problem, lives, &costs.widest(problem));
            let most = limit.checked_sub(births.fixed());
            let prices = Prices::of(problem, costs, limit.saturating_sub(births.base()), packed);
            most.map(|most| Counted { births, most, prices, weights_at_least })
        });
        let is_impossible = matches!(counted, Some(None));
        let (table, heap) = (HashMap::new(), BinaryHeap::new());
        let mut new =
            Self { tensors, loads, complete, open, limit, counted: counted.flatten(), table, heap, looked_at: 0 };
        let nothing_chosen = new.loads.iter().filter(|load| load.chosen.is_empty());
        let too_much = nothing_chosen.filter(|load| !holds(new.limit, load.fixed as u64));
        let timelines = too_much.fold((1 << problem.model().timelines()) - 1, |all, load| all & !(1 << load.timeline));
        if !is_impossible && timelines != 0 {
            new.choose_prices(timelines);
            let priced = new.counted.as_mut().map_or(0.0, Counted::fixed);
            new.push(Taken { priced, ..Taken::NONE }, timelines, Vec::new());
        }
        new
    }

    /// Gives instructions and bytes prices, where instructions are limited and bounds are not too many steps.
    fn choose_prices(&mut self, timelines: u32) {
        let Some(counted) = &self.counted else { return };
        let prices = counted.prices.clone();
        let is_possible = self.completion(timelines, &[]).cost.is_finite();
        if !is_possible || self.table.len() * QUESTIONS > ENTRIES_OF_PRICES {
            return;
        }
        let chosen = prices.chosen(|prices| {
            self.set_prices(prices.clone());
            let completion = self.completion(timelines, &[]).priced;
            self.counted.as_mut().map_or(0.0, |counted| completion + counted.fixed() - prices.worth())
        });
        self.set_prices(chosen);
    }

    fn set_prices(&mut self, prices: Prices<'p>) {
        self.table.clear();
        if let Some(counted) = &mut self.counted {
            counted.prices = prices;
        }
    }

    /// The next assignment (row and width), with its cost and the bound of [`Self::bound`] that it had; `None` where there is
    /// none, or none was found in time.
    pub(super) fn next(&mut self) -> Option<Assignment> {
        while let Some(prefix) = self.heap.pop() {
            let at = prefix.widths.len();
            if at == self.tensors.len() {
                let rows = self.tensors.iter().map(|tensor| tensor.life.row);
                let rows = rows.zip(prefix.widths).collect();
                return Some(Assignment { cost: prefix.taken.cost, bound: prefix.bound, rows });
            }
            self.looked_at += 1;
            if self.looked_at > PREFIXES {
                self.heap.push(prefix);
                return None;
            }
            for (bits, cost) in self.tensors[at].options.clone() {
                let mut widths = prefix.widths.clone();
                widths.push(bits);
                let timelines = self.holding(prefix.timelines, &widths);
                if timelines != 0 {
                    let taken = prefix.taken.with(self.taken_with(at, &widths, cost));
                    self.push(taken, timelines, widths);
                }
            }
        }
        None
    }

    /// No assignment still to come costs less, the least cost of weights not counted; infinite where there is none.
    pub(super) fn bound(&self) -> f64 {
        self.heap.peek().map_or(f64::INFINITY, |prefix| prefix.bound)
    }

    fn push(&mut self, taken: Taken, timelines: u32, widths: Vec<BitWidth>) {
        let whole = taken.with(self.completion(timelines, &widths));
        let mut bound = whole.cost;
        if let Some(counted) = &self.counted {
            bound = bound.max(whole.priced - counted.prices.worth() - counted.weights_at_least);
            if whole.instructions > counted.most {
                return;
            }
        }
        if bound.is_finite() {
            self.heap.push(Prefix { bound, taken, timelines, widths });
        }
    }

    /// What the tensors after `widths` take at least.
    fn completion(&mut self, timelines: u32, widths: &[BitWidth]) -> Taken {
        let at = widths.len();
        if at == self.tensors.len() {
            return Taken::NONE;
        }
        let key = self.key(timelines, widths);
        if key.timelines == 0 {
            return Taken::IMPOSSIBLE;
        }
        if let Some(known) = self.table.get(&key) {
            return *known;
        }
        if self.table.len() >= TABLE {
            return Taken::NONE;
        }
        let mut least = Taken::IMPOSSIBLE;
        for (bits, cost) in self.tensors[at].options.clone() {
            let mut longer = widths.to_vec();
            longer.push(bits);
            let holding = self.holding(key.timelines, &longer);
            if holding != 0 {
                let rest = self.completion(holding, &longer);
                least = least.least(rest.with(self.taken_with(at, &longer, cost)));
            }
        }
        self.table.insert(key, least);
        least
    }

    /// What is known with tensor `at`, the last of `widths`, whose own width costs `cost`.
    fn taken_with(&mut self, at: usize, widths: &[BitWidth], cost: f64) -> Taken {
        let Some(Counted { births, prices, .. }) = &mut self.counted else { return Taken { cost, ..Taken::NONE } };
        let instructions = births.known_with(at, widths);
        let priced = cost + births.known_by(at, widths, |id, widths| prices.of_node(id, widths));
        Taken { cost, instructions, priced }
    }

    /// Of `timelines` those that hold at the moments that are complete with the last of `widths`.
    fn holding(&self, timelines: u32, widths: &[BitWidth]) -> u32 {
        let loads = self.complete[widths.len() - 1].iter().map(|load| &self.loads[*load]);
        let too_much = |load: &&Load| !holds(self.limit, load.so_far(widths) as u64);
        loads.filter(too_much).fold(timelines, |timelines, load| timelines & !(1 << load.timeline))
    }

    fn key(&self, timelines: u32, widths: &[BitWidth]) -> Key {
        let at = widths.len();
        let mut key = Key { at, timelines, sums: Vec::new(), widths: Vec::new() };
        if self.counted.is_some() {
            key.widths = frontier(|i| self.tensors[i].life, widths, self.tensors[at].life);
        }
        let Some(limit) = self.limit else { return key };
        for open in &self.open[at] {
            let load = &self.loads[open.load];
            let bit = 1 << load.timeline;
            let sum = if key.timelines & bit == 0 { usize::MAX } else { load.so_far(widths) };
            if sum != usize::MAX && (sum + open.least) as u64 > limit {
                key.timelines &= !bit;
            }
            let is_slack = sum == usize::MAX || (sum + open.most) as u64 <= limit;
            key.sums.push(if is_slack { usize::MAX } else { sum });
        }
        for (open, sum) in self.open[at].iter().zip(&mut key.sums) {
            // What became known of its timeline later counts as well.
            if key.timelines & (1 << self.loads[open.load].timeline) == 0 {
                *sum = usize::MAX;
            }
        }
        key
    }
}

/// By tensors chosen, the moments that are complete with the last, and those that are open.
fn order(loads: &[Load], tensors: usize) -> (Vec<Vec<usize>>, Vec<Vec<Open>>) {
    let mut complete = vec![Vec::new(); tensors];
    let mut open: Vec<Vec<Open>> = (0..tensors).map(|_| Vec::new()).collect();
    for (number, load) in loads.iter().enumerate() {
        let (Some((first, _)), Some((last, _))) = (load.chosen.first(), load.chosen.last()) else { continue };
        complete[*last].push(number);
        for (at, open) in open.iter_mut().enumerate().take(last + 1).skip(first + 1) {
            let least = load.to_come(at, |bytes| bytes.iter().copied().min().unwrap_or(0));
            let most = load.to_come(at, |bytes| bytes.iter().copied().max().unwrap_or(0));
            open.push(Open { load: number, least, most });
        }
    }
    (complete, open)
}

fn tensors(problem: &Problem, costs: &Costs) -> Vec<FreeTensor> {
    let options = |row: usize| costs.options(row, Side::Activations);
    let rows = problem.slots().filter(|(_, side)| *side == Side::Activations).map(|(row, _)| row);
    let lives = lives(problem, rows.filter(|row| options(*row).len() > 1));
    lives.into_iter().map(|life| FreeTensor { life, options: options(life.row) }).collect()
}

fn loads(problem: &Problem, costs: &Costs, tensors: &[FreeTensor]) -> Vec<Load> {
    let model = problem.model();
    let mut life_of_row = vec![None; problem.space().rows.len()];
    tensors.iter().enumerate().for_each(|(i, tensor)| life_of_row[tensor.life.row] = Some(i));
    let mut loads = Vec::new();
    let deepest = least_deepest_stack_bytes(problem);
    for timeline in 0..model.timelines() {
        let stack = model.stack_bytes(timeline, deepest) as usize;
        for at in 0..model.moments(timeline) {
            let moment = Moment { timeline, at };
            let fixed = model.fixed_bytes_at(moment) + stack;
            let mut load = Load { timeline: timeline as u32, fixed, chosen: Vec::new() };
            for id in model.alive_at(moment) {
                let bytes = |bits| model.bytes_at(moment, id, bits);
                match problem.row_of(id).and_then(|row| life_of_row[row]) {
                    None => load.fixed += bytes(costs.widest_of(problem, id)),
                    Some(i) => {
                        let own = BitWidth::ALL.map(bytes);
                        match load.chosen.iter_mut().find(|(other, _)| *other == i) {
                            Some((_, sum)) => sum.iter_mut().zip(own).for_each(|(sum, own)| *sum += own),
                            None if own != [0; 3] => load.chosen.push((i, own)),
                            None => {}
                        }
                    }
                }
            }
            load.chosen.sort_unstable();
            loads.push(load);
        }
    }
    loads
}
