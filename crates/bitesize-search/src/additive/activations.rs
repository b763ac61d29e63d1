//! Activation widths in the order of their cost: a best-first search over the tensors in the order in which they are
//! born, with the exact cost of completing each prefix as its estimate.
//!
//! A step's live bytes depend on the tensors alive there only, so what a prefix costs to complete depends on the widths
//! of those that outlive it: a handful, over which completion costs are tabulated as they are asked for. So are, where
//! they are limited, the least instructions of completing it ([`crate::births`]).

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
    /// Where instructions are limited, what they are counted by, and how many the chosen tensors may take.
    instructions: Option<(BirthInstructions<'p>, u64)>,
    /// What completing takes, by the number of tensors chosen and the widths of those that are still alive.
    table: HashMap<(usize, Vec<BitWidth>), Completion>,
    heap: BinaryHeap<Prefix>,
    looked_at: usize,
}

/// The least that completing a prefix takes.
#[derive(Clone, Copy)]
struct Completion {
    cost: f64,
    /// Where they are limited, else 0.
    instructions: u64,
}

impl Completion {
    /// Nothing.
    const NONE: Self = Self { cost: 0.0, instructions: 0 };
    /// It cannot be completed.
    const IMPOSSIBLE: Self = Self { cost: f64::INFINITY, instructions: u64::MAX };
}

/// The widths of the first tensors.
struct Prefix {
    /// No completion costs less.
    bound: f64,
    cost: f64,
    /// Of what is known with these tensors, with the weights that take the least; 0 where they are not limited.
    instructions: u64,
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
    pub(super) fn new(problem: &'p Problem<'p>, costs: &Costs) -> Self {
        let tensors = tensors(problem, costs);
        let loads = loads(problem, costs, &tensors);
        let limit = problem.budget().ram_bytes.map(|limit| limit.saturating_sub(least_stack_bytes(problem)));
        let instructions = problem.limits().instructions.map(|limit| {
            let lives = tensors.iter().map(|tensor| tensor.life).collect();
            let births = BirthInstructions::of(problem, lives, &costs.widest(problem));
            let left = limit.checked_sub(births.fixed());
            (births, left)
        });
        let is_impossible = matches!(instructions, Some((_, None)));
        let instructions = instructions.and_then(|(births, left)| Some((births, left?)));
        let (table, heap) = (HashMap::new(), BinaryHeap::new());
        let mut new = Self { tensors, loads, limit, instructions, table, heap, looked_at: 0 };
        let before = new.tensors.first().map_or(new.loads.len(), |tensor| tensor.life.first);
        if !is_impossible && (0..before).all(|step| new.holds(step, &[])) {
            new.push(0.0, 0, Vec::new());
        }
        new
    }

    /// The next assignment (row and width), with its cost; `None` where there is none, or none was found in time.
    pub(super) fn next(&mut self) -> Option<(f64, Vec<(usize, BitWidth)>)> {
        while let Some(prefix) = self.heap.pop() {
            let at = prefix.widths.len();
            if at == self.tensors.len() {
                let rows = self.tensors.iter().map(|tensor| tensor.life.row);
                return Some((prefix.cost, rows.zip(prefix.widths).collect()));
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
                    let instructions = prefix.instructions + self.instructions_with(at, &widths);
                    self.push(prefix.cost + cost, instructions, widths);
                }
            }
        }
        None
    }

    /// No assignment still to come costs less; infinite where there is none.
    pub(super) fn bound(&self) -> f64 {
        self.heap.peek().map_or(f64::INFINITY, |prefix| prefix.bound)
    }

    fn push(&mut self, cost: f64, instructions: u64, widths: Vec<BitWidth>) {
        let completion = self.completion(&widths);
        let bound = cost + completion.cost;
        let most = self.instructions.as_ref().map(|(_, most)| *most);
        if bound.is_finite() && holds(most, instructions.saturating_add(completion.instructions)) {
            self.heap.push(Prefix { bound, cost, instructions, widths });
        }
    }

    /// The least that the tensors after `widths` cost, and the fewest instructions that are known with them.
    fn completion(&mut self, widths: &[BitWidth]) -> Completion {
        let at = widths.len();
        if at == self.tensors.len() {
            return Completion::NONE;
        }
        let key = frontier(|i| self.tensors[i].life, widths, self.tensors[at].life);
        if let Some(known) = self.table.get(&key) {
            return *known;
        }
        if self.table.len() >= TABLE {
            return Completion::NONE;
        }
        let mut least = Completion::IMPOSSIBLE;
        for (bits, cost) in self.tensors[at].options.clone() {
            let mut longer = widths.to_vec();
            longer.push(bits);
            if self.segment_holds(at, &longer) {
                let rest = self.completion(&longer);
                let instructions = rest.instructions.saturating_add(self.instructions_with(at, &longer));
                least.cost = least.cost.min(cost + rest.cost);
                least.instructions = least.instructions.min(instructions);
            }
        }
        self.table.insert(key, least);
        least
    }

    /// Instructions that are known with tensor `at`, the last of `widths`; 0 where they are not limited.
    fn instructions_with(&mut self, at: usize, widths: &[BitWidth]) -> u64 {
        self.instructions.as_mut().map_or(0, |(births, _)| births.known_with(at, widths))
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
