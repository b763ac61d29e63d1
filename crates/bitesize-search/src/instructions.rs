//! Instructions of an inference: whether they keep their limit, the least that any policy takes, and fewer of them one
//! width at a time.
//!
//! *The least.* For given activations the weights are independent of each other: each takes the width that is the
//! cheapest for its layer. Activations are chosen in the order of their births ([`crate::births`]); what the rest takes
//! depends on those still alive alone, so the least over all is found by tabulating it, and is exact. Where so many tensors are
//! alive together that the table meets its limit, what it leaves out counts as nothing: still a bound.
//!
//! *Orders of rows.* In which order a policy's plan computes the network, and whether a layer takes turns in it, is known of whole
//! policies only. So each layer counts in the way in which it takes the fewest, which bounds all plans; what a policy takes is
//! that of its plan, and proved to be the least where it is the bound.

use crate::births::{BirthInstructions, Life, frontier, lives};
use crate::draft::Draft;
use crate::problem::Problem;
use crate::widths::{Side, set_width, width};
use bitesize_ir::{BitWidth, Policy};
use std::collections::HashMap;

/// Entries of the table of completions at most.
const TABLE: usize = 100_000;

/// The least instructions of an inference over all policies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeastInstructions {
    /// What `policy` takes.
    pub instructions: u64,
    /// No policy takes less than this; where it equals `instructions`, `policy` is proved best.
    pub lower_bound: u64,
    /// The policy that takes them, with the narrowest weights that do.
    pub policy: Policy,
}

impl LeastInstructions {
    /// Whatever FLASH and RAM; `None` where the core's file says nothing of instructions.
    pub fn of(problem: &Problem) -> Option<Self> {
        if !problem.counts_instructions() {
            return None;
        }
        let widest = problem.uniform(BitWidth::B8);
        let mut completions = Completions::of(problem, &widest);
        let lower_bound = completions.births.fixed() + completions.least(&[]);
        let chosen = completions.chosen();
        let mut tabulated = widest;
        for (life, bits) in completions.lives.iter().zip(chosen) {
            set_width(&mut tabulated, life.row, Side::Activations, bits);
        }
        let uniform = BitWidth::ALL.map(|bits| problem.uniform(bits));
        let policies = std::iter::once(tabulated).chain(uniform).map(|start| problem.with_least_instructions(&start));
        let count = |policy: Policy| (problem.footprint(&policy).instructions, policy);
        let (instructions, policy) = policies.map(count).min_by_key(|(instructions, _)| *instructions)?;
        Some(Self { instructions, lower_bound, policy })
    }
}

/// No policy takes fewer instructions; 0 where the core's file says nothing of them.
pub(crate) fn instructions_lower_bound(problem: &Problem) -> u64 {
    if !problem.counts_instructions() {
        return 0;
    }
    let mut completions = Completions::of(problem, &problem.uniform(BitWidth::B8));
    completions.births.fixed() + completions.least(&[])
}

/// The least that the rest takes once the first widths are chosen.
struct Completions<'p> {
    problem: &'p Problem<'p>,
    lives: Vec<Life>,
    births: BirthInstructions<'p>,
    table: HashMap<(usize, Vec<BitWidth>), u64>,
}

impl<'p> Completions<'p> {
    fn of(problem: &'p Problem<'p>, start: &Policy) -> Self {
        let rows = problem.slots().filter(|(_, side)| *side == Side::Activations).map(|(row, _)| row);
        let lives = lives(problem, rows);
        let births = BirthInstructions::of(problem, lives.clone(), start);
        Self { problem, lives, births, table: HashMap::new() }
    }

    fn least(&mut self, chosen: &[BitWidth]) -> u64 {
        let Some(next) = self.lives.get(chosen.len()).copied() else { return 0 };
        let key = (chosen.len(), frontier(|i| self.lives[i], chosen, next));
        if let Some(known) = self.table.get(&key) {
            return *known;
        }
        if self.table.len() >= TABLE {
            return 0;
        }
        let least = self.options(chosen).map_or(0, |(least, _)| least);
        self.table.insert(key, least);
        least
    }

    /// The best width of the next, of equals the narrowest, and what it and the rest take; `None` where none is next.
    fn options(&mut self, chosen: &[BitWidth]) -> Option<(u64, BitWidth)> {
        let at = chosen.len();
        let row = self.lives.get(at)?.row;
        let mut longer = chosen.to_vec();
        let mut best: Option<(u64, BitWidth)> = None;
        for bits in self.problem.allowed(row, Side::Activations).iter() {
            longer.push(bits);
            let taken = self.births.known_with(at, &longer) + self.least(&longer);
            longer.pop();
            if best.is_none_or(|(least, _)| taken < least) {
                best = Some((taken, bits));
            }
        }
        best
    }

    /// The best widths of all.
    fn chosen(&mut self) -> Vec<BitWidth> {
        let mut chosen = Vec::with_capacity(self.lives.len());
        while let Some((_, bits)) = self.options(&chosen) {
            chosen.push(bits);
        }
        chosen
    }
}

/// Changes single widths of `draft`, the least `rank` first, until its instructions keep their limit; whether they do. A
/// change that takes no fewer of them, or that passes FLASH or RAM, is passed over. `rank` gets row, side, the width
/// now, the width then, and how many instructions are saved; an infinite one is passed over too.
///
/// Widths may become wider: with kernels that unpack what they read, narrower operands take more instructions.
pub(crate) fn quicken(
    problem: &Problem,
    draft: &mut Draft,
    rank: impl Fn(usize, Side, [BitWidth; 2], u64) -> f64,
) -> bool {
    while !draft.instructions_fit() {
        let before = draft.instructions();
        let mut changes: Vec<(f64, usize, Side, [BitWidth; 2])> = Vec::new();
        for (row, side) in problem.slots() {
            let Some(now) = width(draft.policy(), row, side) else { continue };
            for then in problem.allowed(row, side).iter().filter(|then| *then != now) {
                draft.set(row, side, then);
                let after = draft.instructions();
                draft.set(row, side, now);
                if after < before {
                    changes.push((rank(row, side, [now, then], before - after), row, side, [now, then]));
                }
            }
        }
        changes.retain(|(rank, ..)| rank.is_finite());
        changes.sort_by(|a, b| a.0.total_cmp(&b.0));
        let kept = changes.into_iter().find(|(_, row, side, [now, then])| {
            draft.set(*row, *side, *then);
            let keeps = draft.flash_fits() && draft.ram_fits();
            if !keeps {
                draft.set(*row, *side, *now);
            }
            keeps
        });
        if kept.is_none() {
            return false;
        }
    }
    true
}

/// As [`quicken`], what saves the most first.
pub(crate) fn quicken_most(problem: &Problem, draft: &mut Draft) -> bool {
    quicken(problem, draft, |_, _, _, saved| -(saved as f64))
}

impl Problem<'_> {
    /// Whether the core's file says what instructions the network takes.
    pub fn counts_instructions(&self) -> bool {
        self.model().counts_instructions()
    }

    /// Whether `policy` keeps the limit of instructions.
    pub fn instructions_fit(&self, policy: &Policy) -> bool {
        let limit = self.limits().instructions;
        limit.is_none() || self.model().instructions_fit(&self.widths(policy), limit)
    }

    /// `policy` with the weights that take the fewest instructions for its activations, of equals the narrowest.
    pub(crate) fn with_least_instructions(&self, policy: &Policy) -> Policy {
        let (mut widths, mut policy) = (self.widths(policy), policy.clone());
        for (row, of_row) in self.space().rows.iter().enumerate().filter(|(_, of_row)| of_row.weights) {
            self.least_instructions_of(of_row.node, &mut widths);
            widths.weights[of_row.node.0].into_iter().for_each(|bits| set_width(&mut policy, row, Side::Weights, bits));
        }
        policy
    }
}
