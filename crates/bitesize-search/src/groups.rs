//! The best weight widths for given activation widths.
//!
//! Code that depends on the weights' width is shared only within a group: by layers of one kind and, where each combination of
//! widths has a kernel of its own, with the same input and output width. So what weights take is a sum over such groups, and
//! within a group one width is best: a second one adds code. A group's layers are counted as sums, so that a layer
//! changes its group, and a group's best width is found again, in a time that does not grow with the network.

use crate::problem::Problem;
use crate::widths::{Side, WidthSet, set_width};
use bitesize_ir::code::Code;
use bitesize_ir::memory::Widths;
use bitesize_ir::{BitWidth, Policy};
use std::collections::BTreeMap;

/// Sets of widths that a group's weights may have: as many as [`WidthSet::every`] gives.
const SETS: usize = 7;

/// Which weight widths are best; of equals, the wider.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Best {
    /// Those of least FLASH.
    LeastFlash,
    /// Those whose kernels need the least stack.
    LeastStack,
    /// The narrowest that are allowed.
    Narrowest,
}

/// What the weights of all layers take, and their kernels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct WeightUse {
    /// Bytes of packed weights.
    pub(crate) packed: u64,
    /// Bytes of the kernels that read them.
    pub(crate) code: u64,
    /// Stack of the deepest of these kernels.
    pub(crate) stack: u64,
}

/// The weights of one set of widths in a group.
#[derive(Clone, Copy, Debug, Default)]
struct OfSet {
    /// Rows that may have no width of the set.
    lacking: usize,
    /// Rows of each width, each row having its narrowest of the set.
    rows: [usize; 3],
    /// Their packed bytes.
    packed: [u64; 3],
}

/// Layers that share what code depends on their weights' width.
#[derive(Clone, Debug, Default)]
struct Group {
    of_sets: [OfSet; SETS],
    /// The best set for the layers now, and what it takes.
    best: (usize, WeightUse),
}

/// Layers with weights by the code that depends on their width, this left open.
pub(crate) struct WeightGroups<'p> {
    problem: &'p Problem<'p>,
    choice: Best,
    groups: BTreeMap<Code, Group>,
}

impl<'p> WeightGroups<'p> {
    /// The layers of `problem` at the activations of `widths`.
    pub(crate) fn of(problem: &'p Problem<'p>, widths: &Widths, choice: Best) -> Self {
        let mut groups = Self { problem, choice, groups: BTreeMap::new() };
        let weighted = || (0..problem.space().rows.len()).filter(|row| problem.space().rows[*row].weights);
        for row in weighted() {
            groups.count(row, problem.group_of(row, widths), true);
        }
        let keys: Vec<Code> = groups.groups.keys().copied().collect();
        keys.into_iter().for_each(|key| groups.renew(key));
        groups
    }

    /// Layer `row` is in group `after` instead of `before`.
    pub(crate) fn change(&mut self, row: usize, before: Code, after: Code) {
        if before != after {
            for (key, counted) in [(before, false), (after, true)] {
                self.count(row, key, counted);
                self.renew(key);
            }
        }
    }

    /// What the best widths take.
    pub(crate) fn weight_use(&self) -> WeightUse {
        self.groups.values().fold(WeightUse::default(), |sum, group| {
            let of_group = group.best.1;
            WeightUse {
                packed: sum.packed + of_group.packed,
                code: sum.code + of_group.code,
                stack: sum.stack.max(of_group.stack),
            }
        })
    }

    /// Gives every row of `policy`, whose activations are those of `widths`, the best width.
    pub(crate) fn complete(&self, policy: &mut Policy, widths: &Widths) {
        let sets: Vec<WidthSet> = WidthSet::every().collect();
        for row in (0..policy.rows.len()).filter(|row| self.problem.space().rows[*row].weights) {
            let (set, _) = self.groups[&self.problem.group_of(row, widths)].best;
            if let Some(bits) = self.problem.allowed(row, Side::Weights).narrowest_in(sets[set]) {
                set_width(policy, row, Side::Weights, bits);
            }
        }
    }

    /// Counts `row` in the sums of group `key`, or no longer.
    fn count(&mut self, row: usize, key: Code, counted: bool) {
        let change = |sum: &mut usize| *sum = if counted { *sum + 1 } else { *sum - 1 };
        let allowed = self.problem.allowed(row, Side::Weights);
        let group = self.groups.entry(key).or_default();
        for (set, of_set) in WidthSet::every().zip(&mut group.of_sets) {
            let Some(bits) = allowed.narrowest_in(set) else {
                change(&mut of_set.lacking);
                continue;
            };
            let (packed, sum) = (self.problem.packed_bytes(row, bits), &mut of_set.packed[bits as usize]);
            change(&mut of_set.rows[bits as usize]);
            *sum = if counted { *sum + packed } else { *sum - packed };
        }
    }

    /// Finds the best set of group `key` again.
    fn renew(&mut self, key: Code) {
        let Some(group) = self.groups.get_mut(&key) else { return };
        let whole = group.of_sets.iter().enumerate().filter(|(_, of_set)| of_set.lacking == 0);
        let uses = whole.map(|(set, of_set)| (set, self.problem.use_of(key, of_set)));
        let best = match self.choice {
            Best::LeastFlash => uses.min_by_key(|(_, taken)| taken.0.packed + taken.0.code),
            Best::LeastStack => uses.min_by_key(|(_, taken)| taken.1),
            // The set of all widths comes last: each row's narrowest of it is the narrowest that it may have.
            Best::Narrowest => uses.max_by_key(|(set, _)| *set),
        };
        group.best = best.map(|(set, (taken, _))| (set, taken)).unwrap_or_default();
    }
}

impl Problem<'_> {
    /// The group of `row`, which has weights, at the activations of `widths`.
    pub(crate) fn group_of(&self, row: usize, widths: &Widths) -> Code {
        let code = self.model().code_of_weights(self.space().rows[row].node, widths);
        code.expect("an operator with weights has code that depends on them")
    }

    /// What the rows of `of_set` take in group `key`; and the sum of their kernels' stacks.
    fn use_of(&self, key: Code, of_set: &OfSet) -> (WeightUse, u64) {
        let (mut taken, mut stacks) = (WeightUse::default(), 0);
        for bits in BitWidth::ALL.into_iter().filter(|bits| of_set.rows[*bits as usize] > 0) {
            let kernel = self.model().code(key.with_weights(bits));
            taken.packed += of_set.packed[bits as usize];
            taken.code += kernel.code_bytes;
            taken.stack = taken.stack.max(kernel.stack_bytes);
            stacks += kernel.stack_bytes;
        }
        (taken, stacks)
    }
}
