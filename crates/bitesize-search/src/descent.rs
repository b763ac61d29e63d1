//! From given activation widths to ones of less cost, one width at a time, the weights following.
//!
//! A change is counted from what it changes ([`Account`], [`WeightGroups`]). The planner is asked only where the bytes
//! that are alive leave it open whether the cost becomes less, so a policy that is not better mostly costs no plan.
//! Instructions count for nothing here: for them there is [`crate::approach`].

use crate::effort::{Spending, Stopped};
use crate::groups::{Best, WeightGroups};
use crate::problem::{Footprint, Problem};
use crate::widths::{Side, set_width, width};
use bitesize_ir::memory::Account;
use bitesize_ir::{BitWidth, Policy, TensorId};

/// Sweeps over the rows, each from the first to the last, after which every other one goes backwards: where a row may only change after
/// the next one has, sweeps forward change one row each. Trained networks and chains of equal layers end within fewer.
const FORWARD_SWEEPS: usize = 8;

/// Activation widths under change, the weights always the best for them.
struct Descent<'p> {
    problem: &'p Problem<'p>,
    /// Weights are those of the start: `groups` knows them.
    policy: Policy,
    /// Without weights.
    account: Account<'p>,
    groups: WeightGroups<'p>,
}

impl<'p> Descent<'p> {
    fn from(problem: &'p Problem<'p>, start: &Policy, choice: Best) -> Self {
        let mut widths = problem.widths(start);
        let groups = WeightGroups::of(problem, &widths, choice);
        widths.weights.fill(None);
        Self { problem, policy: start.clone(), account: Account::of(problem.model(), widths), groups }
    }

    /// Gives the output of `row` the width `bits`.
    fn set(&mut self, row: usize, bits: BitWidth) {
        set_width(&mut self.policy, row, Side::Activations, bits);
        for tensor in self.problem.tensors_of(row) {
            let weighted = self.problem.weighted_beside(*tensor);
            let group = |account: &Account, row: &usize| (*row, self.problem.group_of(*row, account.widths()));
            let before: Vec<_> = weighted.iter().map(|row| group(&self.account, row)).collect();
            self.account.set_tensor(*tensor, bits);
            for (row, before) in before {
                self.groups.change(row, before, self.problem.group_of(row, self.account.widths()));
            }
        }
    }

    /// How many nodes [`Self::set`] looks at.
    fn touched(&self, row: usize) -> usize {
        let model = self.problem.model();
        let of_tensor = |tensor: &TensorId| model.touching(*tensor) + self.problem.weighted_beside(*tensor).len();
        self.problem.tensors_of(row).iter().map(of_tensor).sum()
    }

    /// Its bytes, the arena as small as any plan might be. Instructions are not counted.
    fn least_footprint(&self) -> Footprint {
        let weights = self.groups.weight_use();
        Footprint {
            flash_bytes: self.account.flash_bytes() + weights.packed + weights.code,
            ram_bytes: self.account.ram_lower_bound(self.deepest_stack_bytes()),
            weight_bytes: weights.packed,
            instructions: 0,
        }
    }

    /// Bytes of stack of the entry point and the deepest kernel.
    fn deepest_stack_bytes(&self) -> u64 {
        let of_weights = self.problem.model().base_stack_bytes() + self.groups.weight_use().stack;
        self.account.deepest_stack_bytes().max(of_weights)
    }

    /// The cost, which depends on the bytes and is never less for more of them; `None` where it is not below `below`.
    fn cost_below<C: PartialOrd>(
        &self,
        cost: impl Fn(Footprint) -> C,
        below: Option<&C>,
        spending: &Spending,
    ) -> Option<C> {
        let least = self.least_footprint();
        let is_less = |cost: &C| below.is_none_or(|below| cost < below);
        let at_least = cost(least);
        if !is_less(&at_least) {
            return None;
        }
        if cost(Footprint { ram_bytes: u64::MAX, ..least }) == at_least {
            return Some(at_least);
        }
        let ram_bytes = spending.ram_bytes(&self.account, self.deepest_stack_bytes());
        Some(cost(Footprint { ram_bytes, ..least })).filter(is_less)
    }

    /// The policy with its weights.
    fn completed(mut self) -> Policy {
        self.groups.complete(&mut self.policy, self.account.widths());
        self.policy
    }
}

/// `start` with the weights that are the best for its activations.
pub(crate) fn completed(problem: &Problem, start: &Policy, choice: Best) -> Policy {
    let widths = problem.widths(start);
    let mut policy = start.clone();
    WeightGroups::of(problem, &widths, choice).complete(&mut policy, &widths);
    policy
}

/// Improves `start` one activation width at a time, `choice` choosing the weights, until no single change lowers
/// `cost` (which is never less for more bytes), it is at most `enough`, or the effort is spent; the least cost and its policy.
pub(crate) fn descend<C: PartialOrd>(
    problem: &Problem,
    start: &Policy,
    choice: Best,
    (cost, enough): (impl Fn(Footprint) -> C, C),
    spending: &Spending,
) -> Result<(C, Policy), Stopped> {
    let mut descent = Descent::from(problem, start, choice);
    let mut lowest = descent.cost_below(&cost, None, spending).expect("nothing is asked of the first");
    let rows = descent.policy.rows.len();
    let mut improved = true;
    for sweep in 0.. {
        if !improved || lowest <= enough {
            break;
        }
        improved = false;
        let is_backward = sweep >= FORWARD_SWEEPS && sweep % 2 == 0;
        for step in 0..rows {
            let row = if is_backward { rows - 1 - step } else { step };
            let nodes = descent.touched(row);
            for bits in problem.allowed(row, Side::Activations).iter() {
                let Some(now) = width(&descent.policy, row, Side::Activations).filter(|now| *now != bits) else {
                    continue;
                };
                if !spending.try_policy(nodes)? {
                    return Ok((lowest, descent.completed()));
                }
                descent.set(row, bits);
                match descent.cost_below(&cost, Some(&lowest), spending) {
                    Some(value) => (lowest, improved) = (value, true),
                    None => descent.set(row, now),
                }
            }
        }
    }
    Ok((lowest, descent.completed()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::common::{chain, costs_of_large_kernels, network_of, residual, space};
    use crate::effort::Effort;
    use bitesize_ir::Network;
    use bitesize_ir::target::Budget;
    use proptest::prelude::*;

    /// The same search, everything counted anew for each policy.
    fn plain<C: PartialOrd>(
        problem: &Problem,
        start: &Policy,
        choice: Best,
        cost: impl Fn(Footprint) -> C,
        enough: C,
    ) -> (C, Policy) {
        let mut best = completed(problem, start, choice);
        let mut lowest = cost(problem.footprint(&best));
        let mut improved = true;
        let mut sweep = 0;
        while improved && lowest > enough {
            improved = false;
            let mut rows: Vec<usize> = (0..best.rows.len()).collect();
            if sweep >= FORWARD_SWEEPS && sweep % 2 == 0 {
                rows.reverse();
            }
            sweep += 1;
            for row in rows {
                for bits in problem.allowed(row, Side::Activations).iter() {
                    if width(&best, row, Side::Activations).is_none_or(|now| now == bits) {
                        continue;
                    }
                    let mut candidate = best.clone();
                    set_width(&mut candidate, row, Side::Activations, bits);
                    let candidate = completed(problem, &candidate, choice);
                    let value = cost(problem.footprint(&candidate));
                    if value < lowest {
                        (lowest, best, improved) = (value, candidate, true);
                    }
                }
            }
        }
        (lowest, best)
    }

    fn check(network: &Network, factor: u64, flash: u64, ram: u64) {
        let (space, core) = (space(network), costs_of_large_kernels(factor));
        let free = Problem::new(network, &space, &core, Budget::UNLIMITED);
        let full = free.footprint(&free.uniform(BitWidth::B8));
        let budget = Budget::of(full.flash_bytes * flash / 1000, full.ram_bytes * ram / 1000);
        let problem = &free.with_budget(budget);
        let effort = Effort::unwatched();
        let spending = &effort.begin();
        for (choice, start) in [Best::LeastFlash, Best::LeastStack, Best::Narrowest]
            .into_iter()
            .flat_map(|choice| BitWidth::ALL.map(|bits| (choice, problem.uniform(bits))))
        {
            let flash_bytes = |footprint: Footprint| footprint.flash_bytes;
            let ram_bytes = |footprint: Footprint| footprint.ram_bytes;
            let excess = |footprint: Footprint| problem.limits().excess(footprint);
            let found = descend(problem, &start, choice, (flash_bytes, 0), spending);
            assert_eq!(found, Ok(plain(problem, &start, choice, flash_bytes, 0)));
            let found = descend(problem, &start, choice, (ram_bytes, 0), spending);
            assert_eq!(found, Ok(plain(problem, &start, choice, ram_bytes, 0)));
            let found = descend(problem, &start, choice, (excess, 0.0), spending);
            assert_eq!(found, Ok(plain(problem, &start, choice, excess, 0.0)));
        }
    }

    #[test]
    fn it_ends_where_counting_anew_ends() {
        check(&residual(2), 3, 500, 400);
        check(&chain(3), 1, 400, 300);
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]
        #[test]
        fn it_ends_where_counting_anew_ends_on_any_network(
            layers in prop::collection::vec((0..6usize, 1..4usize, 0..8usize), 1..8),
            factor in 0..20u64,
            flash in 200..1000u64,
            ram in 150..1000u64,
        ) {
            check(&network_of(&layers), factor, flash, ram);
        }
    }
}
