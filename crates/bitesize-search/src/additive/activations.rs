//! Activation widths in the order of their cost: a best-first search over the tensors in the order in which they are
//! born, with the exact cost of completing each prefix as its estimate.
//!
//! A step's live bytes depend on the tensors alive there only, so what a prefix costs to complete depends on the widths
//! of those that outlive it: a handful, over which completion costs are tabulated as they are asked for. So are, where
//! they are limited, the least instructions of completing it ([`crate::births`]).

use super::prices::{Prices, QUESTIONS};
use crate::births::{BirthInstructions, Life, frontier, lives};
use crate::bounds::least_stack_bytes;
use crate::costs::Costs;
use crate::problem::Problem;
use crate::widths::Side;
use bitesize_ir::target::holds;
use bitesize_ir::{BitWidth, NodeId};
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

/// Live bytes of one step.
#[derive(Clone, Default)]
struct Load {
    /// Of tensors whose width is not chosen.
    fixed: usize,
    /// Of chosen ones (numbered as in [`Enumeration::tensors`]) by width, with the scratch that their width asks for.
    chosen: Vec<(usize, [usize; 3])>,
}

/// Gives one assignment after the other, none cheaper than the one before.
pub(super) struct Enumeration<'p> {
    tensors: Vec<FreeTensor>,
    loads: Vec<Load>,
    /// Bytes that may be alive at a step; `None` for any number.
    limit: Option<u64>,
    /// Where instructions are limited.
    counted: Option<Counted<'p>>,
    /// What completing takes, by the number of tensors chosen and the widths of those that are still alive.
    table: HashMap<(usize, Vec<BitWidth>), Taken>,
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
        let limit = problem.budget().ram_bytes.map(|limit| limit.saturating_sub(least_stack_bytes(problem)));
        let counted = problem.limits().instructions.map(|limit| {
            let lives = tensors.iter().map(|tensor| tensor.life).collect();
            let mut births = BirthInstructions::of(problem, lives, &costs.widest(problem));
            let most = limit.checked_sub(births.fixed());
            let prices = Prices::of(problem, costs, limit.saturating_sub(births.base()), packed);
            most.map(|most| Counted { births, most, prices, weights_at_least })
        });
        let is_impossible = matches!(counted, Some(None));
        let (table, heap) = (HashMap::new(), BinaryHeap::new());
        let mut new = Self { tensors, loads, limit, counted: counted.flatten(), table, heap, looked_at: 0 };
        let before = new.tensors.first().map_or(new.loads.len(), |tensor| tensor.life.first);
        if !is_impossible && (0..before).all(|step| new.holds(step, &[])) {
            new.choose_prices();
            let priced = new.counted.as_mut().map_or(0.0, Counted::fixed);
            new.push(Taken { priced, ..Taken::NONE }, Vec::new());
        }
        new
    }

    /// Gives instructions and bytes prices, where instructions are limited and bounds are not too many steps.
    fn choose_prices(&mut self) {
        let Some(counted) = &self.counted else { return };
        let prices = counted.prices.clone();
        let is_possible = self.completion(&[]).cost.is_finite();
        if !is_possible || self.table.len() * QUESTIONS > ENTRIES_OF_PRICES {
            return;
        }
        let chosen = prices.chosen(|prices| {
            self.set_prices(prices.clone());
            let completion = self.completion(&[]).priced;
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
                if self.segment_holds(at, &widths) {
                    let taken = prefix.taken.with(self.taken_with(at, &widths, cost));
                    self.push(taken, widths);
                }
            }
        }
        None
    }

    /// No assignment still to come costs less, the least cost of weights not counted; infinite where there is none.
    pub(super) fn bound(&self) -> f64 {
        self.heap.peek().map_or(f64::INFINITY, |prefix| prefix.bound)
    }

    fn push(&mut self, taken: Taken, widths: Vec<BitWidth>) {
        let whole = taken.with(self.completion(&widths));
        let mut bound = whole.cost;
        if let Some(counted) = &self.counted {
            bound = bound.max(whole.priced - counted.prices.worth() - counted.weights_at_least);
            if whole.instructions > counted.most {
                return;
            }
        }
        if bound.is_finite() {
            self.heap.push(Prefix { bound, taken, widths });
        }
    }

    /// What the tensors after `widths` take at least.
    fn completion(&mut self, widths: &[BitWidth]) -> Taken {
        let at = widths.len();
        if at == self.tensors.len() {
            return Taken::NONE;
        }
        let key = frontier(|i| self.tensors[i].life, widths, self.tensors[at].life);
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
            if self.segment_holds(at, &longer) {
                let rest = self.completion(&longer);
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

    /// Whether the steps hold that are complete once tensor `at`, the last of `widths`, is chosen.
    fn segment_holds(&self, at: usize, widths: &[BitWidth]) -> bool {
        let end = self.tensors.get(at + 1).map_or(self.loads.len(), |next| next.life.first);
        (self.tensors[at].life.first..end).all(|step| self.holds(step, widths))
    }

    fn holds(&self, step: usize, widths: &[BitWidth]) -> bool {
        let Load { fixed, chosen } = &self.loads[step];
        let bytes = fixed + chosen.iter().map(|(i, bytes)| bytes[widths[*i] as usize]).sum::<usize>();
        holds(self.limit, bytes as u64)
    }
}

fn tensors(problem: &Problem, costs: &Costs) -> Vec<FreeTensor> {
    let options = |row: usize| costs.options(row, Side::Activations);
    let rows = problem.slots().filter(|(_, side)| *side == Side::Activations).map(|(row, _)| row);
    let lives = lives(problem, rows.filter(|row| options(*row).len() > 1));
    lives.into_iter().map(|life| FreeTensor { life, options: options(life.row) }).collect()
}

fn loads(problem: &Problem, costs: &Costs, tensors: &[FreeTensor]) -> Vec<Load> {
    let model = problem.model();
    let mut loads = vec![Load::default(); problem.network().nodes.len()];
    for (step, load) in loads.iter_mut().enumerate().map(|(i, load)| (NodeId(i), load)) {
        for id in model.alive_at(step) {
            let bytes = |bits| model.bytes_at(step, id, bits);
            match tensors.iter().position(|tensor| Some(tensor.life.row) == problem.row_of(id)) {
                None => load.fixed += bytes(costs.widest_of(problem, id)),
                Some(i) => {
                    let own = BitWidth::ALL.map(bytes);
                    match load.chosen.iter_mut().find(|(other, _)| *other == i) {
                        Some((_, sum)) => sum.iter_mut().zip(own).for_each(|(sum, own)| *sum += own),
                        None => load.chosen.push((i, own)),
                    }
                }
            }
        }
    }
    loads
}
