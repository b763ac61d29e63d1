//! Activation widths in the order of their cost: a best-first search over the tensors in the order in which they are
//! born, with the exact cost of completing each prefix as its estimate.
//!
//! A step's live bytes depend on the tensors alive there only, so what a prefix costs to complete depends on the widths
//! of those that outlive it: a handful, over which completion costs are tabulated as they are asked for.

use crate::bounds::least_stack_bytes;
use crate::costs::Costs;
use crate::problem::Problem;
use crate::widths::Side;
use bitesize_ir::target::holds;
use bitesize_ir::{BitWidth, NodeId, TensorId};
use std::cmp::Ordering;
use std::collections::{BinaryHeap, HashMap};

/// Entries of the table of completion costs at most; beyond it completing counts as free, which is still a bound.
const TABLE: usize = 100_000;

/// Prefixes looked at at most.
const PREFIXES: usize = 200_000;

/// A row whose activation width is chosen.
struct FreeTensor {
    row: usize,
    first: usize,
    last: usize,
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
pub(super) struct Enumeration {
    tensors: Vec<FreeTensor>,
    loads: Vec<Load>,
    /// Bytes that may be alive at a step; `None` for any number.
    limit: Option<u64>,
    /// Completion costs by the number of tensors chosen and the widths of those that are still alive.
    table: HashMap<(usize, Vec<BitWidth>), f64>,
    heap: BinaryHeap<Prefix>,
    looked_at: usize,
}

/// The widths of the first tensors.
struct Prefix {
    /// No completion costs less.
    bound: f64,
    cost: f64,
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

impl Enumeration {
    pub(super) fn new(problem: &Problem, costs: &Costs) -> Self {
        let tensors = tensors(problem, costs);
        let loads = loads(problem, costs, &tensors);
        let limit = problem.budget().ram_bytes.map(|limit| limit.saturating_sub(least_stack_bytes(problem)));
        let mut new = Self { tensors, loads, limit, table: HashMap::new(), heap: BinaryHeap::new(), looked_at: 0 };
        let before = new.tensors.first().map_or(new.loads.len(), |tensor| tensor.first);
        if (0..before).all(|step| new.holds(step, &[])) {
            new.push(0.0, Vec::new());
        }
        new
    }

    /// The next assignment (row and width), with its cost; `None` where there is none, or none was found in time.
    pub(super) fn next(&mut self) -> Option<(f64, Vec<(usize, BitWidth)>)> {
        while let Some(prefix) = self.heap.pop() {
            let at = prefix.widths.len();
            if at == self.tensors.len() {
                let rows = self.tensors.iter().map(|tensor| tensor.row);
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
                    self.push(prefix.cost + cost, widths);
                }
            }
        }
        None
    }

    /// No assignment still to come costs less; infinite where there is none.
    pub(super) fn bound(&self) -> f64 {
        self.heap.peek().map_or(f64::INFINITY, |prefix| prefix.bound)
    }

    fn push(&mut self, cost: f64, widths: Vec<BitWidth>) {
        let bound = cost + self.completion(&widths);
        if bound.is_finite() {
            self.heap.push(Prefix { bound, cost, widths });
        }
    }

    /// The least that the tensors after `widths` cost.
    fn completion(&mut self, widths: &[BitWidth]) -> f64 {
        let at = widths.len();
        if at == self.tensors.len() {
            return 0.0;
        }
        let alive = (0..at).filter(|i| self.tensors[*i].last >= self.tensors[at].first);
        let key = (at, alive.map(|i| widths[i]).collect::<Vec<_>>());
        if let Some(cost) = self.table.get(&key) {
            return *cost;
        }
        if self.table.len() >= TABLE {
            return 0.0;
        }
        let mut least = f64::INFINITY;
        for (bits, cost) in self.tensors[at].options.clone() {
            let mut longer = widths.to_vec();
            longer.push(bits);
            if self.segment_holds(at, &longer) {
                least = least.min(cost + self.completion(&longer));
            }
        }
        self.table.insert(key, least);
        least
    }

    /// Whether the steps hold that are complete once tensor `at`, the last of `widths`, is chosen.
    fn segment_holds(&self, at: usize, widths: &[BitWidth]) -> bool {
        let end = self.tensors.get(at + 1).map_or(self.loads.len(), |next| next.first);
        (self.tensors[at].first..end).all(|step| self.holds(step, widths))
    }

    fn holds(&self, step: usize, widths: &[BitWidth]) -> bool {
        let Load { fixed, chosen } = &self.loads[step];
        let bytes = fixed + chosen.iter().map(|(i, bytes)| bytes[widths[*i] as usize]).sum::<usize>();
        holds(self.limit, bytes as u64)
    }
}

fn tensors(problem: &Problem, costs: &Costs) -> Vec<FreeTensor> {
    let mut tensors: Vec<FreeTensor> = Vec::new();
    for (row, side) in problem.slots().filter(|(_, side)| *side == Side::Activations) {
        let options = costs.options(row, side);
        if options.len() > 1 {
            tensors.push(FreeTensor { row, first: usize::MAX, last: 0, options });
        }
    }
    for id in (0..problem.network().tensors.len()).map(TensorId) {
        let (first, last) = problem.model().lifetime(id);
        if let Some(tensor) = tensors.iter_mut().find(|tensor| Some(tensor.row) == problem.row_of(id)) {
            (tensor.first, tensor.last) = (tensor.first.min(first), tensor.last.max(last));
        }
    }
    tensors.sort_by_key(|tensor| (tensor.first, tensor.row));
    tensors
}

fn loads(problem: &Problem, costs: &Costs, tensors: &[FreeTensor]) -> Vec<Load> {
    let model = problem.model();
    let mut loads = vec![Load::default(); problem.network().nodes.len()];
    for (step, load) in loads.iter_mut().enumerate().map(|(i, load)| (NodeId(i), load)) {
        for id in model.alive_at(step) {
            let bytes = |bits| model.bytes_at(step, id, bits);
            match tensors.iter().position(|tensor| Some(tensor.row) == problem.row_of(id)) {
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
