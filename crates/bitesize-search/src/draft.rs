//! A policy under change, its bytes and instructions kept up to date: what cuts one width after another asks here whether
//! it fits yet.

use crate::problem::{Footprint, Problem};
use crate::widths::{Side, set_width, width};
use bitesize_ir::memory::{Account, Moment};
use bitesize_ir::target::holds;
use bitesize_ir::{BitWidth, NodeId, Policy};
use std::cell::Cell;

/// What asking about one node takes, in visits of the planner.
const NODE_VISITS: u64 = 8;

/// A policy of a problem, in the making.
pub(crate) struct Draft<'p> {
    problem: &'p Problem<'p>,
    policy: Policy,
    account: Account<'p>,
    weight_bytes: u64,
    /// In the order of rows in which each layer takes the most, where they are limited, else 0.
    instructions: u64,
    /// Widths that are not allowed.
    strays: usize,
    visits: Cell<u64>,
}

impl<'p> Draft<'p> {
    /// Beginning as `policy`.
    pub(crate) fn of(problem: &'p Problem<'p>, policy: Policy) -> Self {
        let stray = |(row, side): &(usize, Side)| {
            width(&policy, *row, *side).is_none_or(|bits| !problem.allowed(*row, *side).contains(bits))
        };
        let widths = problem.widths(&policy);
        let is_counted = problem.limits().instructions.is_some();
        Self {
            instructions: problem.model().instructions(&widths).filter(|_| is_counted).unwrap_or(0),
            account: Account::of(problem.model(), widths),
            weight_bytes: problem.weight_bytes(&policy),
            strays: problem.slots().filter(stray).count(),
            problem,
            policy,
            visits: Cell::new(0),
        }
    }

    /// The policy now.
    pub(crate) fn policy(&self) -> &Policy {
        &self.policy
    }

    /// The policy as it became.
    pub(crate) fn into_policy(self) -> Policy {
        self.policy
    }

    /// Gives `row` the width `bits` on `side`, which must be free.
    pub(crate) fn set(&mut self, row: usize, side: Side, bits: BitWidth) {
        let Some(before) = width(&self.policy, row, side) else { return };
        let allowed = self.problem.allowed(row, side);
        self.strays += usize::from(!allowed.contains(bits));
        self.strays -= usize::from(!allowed.contains(before));
        set_width(&mut self.policy, row, side, bits);
        let is_counted = self.problem.limits().instructions.is_some();
        let instructions = if is_counted { self.instructions_beside(row, side) } else { 0 };
        match side {
            Side::Weights => {
                self.weight_bytes += self.problem.packed_bytes(row, bits);
                self.weight_bytes -= self.problem.packed_bytes(row, before);
                self.account.set_weights(self.problem.space().rows[row].node, Some(bits));
            }
            Side::Activations => {
                self.problem.tensors_of(row).iter().for_each(|tensor| self.account.set_tensor(*tensor, bits));
            }
        }
        if is_counted {
            self.instructions += self.instructions_beside(row, side);
            self.instructions -= instructions;
        }
    }

    /// Of the nodes that the width of `row` on `side` touches.
    fn instructions_beside(&self, row: usize, side: Side) -> u64 {
        let of_node = |id: &NodeId| self.problem.model().instructions_of(*id, self.account.widths()).unwrap_or(0);
        match side {
            Side::Weights => of_node(&self.problem.space().rows[row].node),
            Side::Activations => self.problem.nodes_beside(row).iter().map(of_node).sum(),
        }
    }

    /// Instructions of an inference where they are limited, else 0: at most so many, whichever order of rows is taken.
    pub(crate) fn instructions(&self) -> u64 {
        self.instructions
    }

    /// As [`Problem::instructions_fit`].
    pub(crate) fn instructions_fit(&self) -> bool {
        let limit = self.problem.limits().instructions;
        holds(limit, self.instructions) || self.problem.model().instructions_fit(self.account.widths(), limit)
    }

    /// As [`Problem::cut`].
    pub(crate) fn cut(&mut self, row: usize, side: Side) -> bool {
        let narrower = self.problem.narrower(&self.policy, row, side);
        if let Some(bits) = narrower {
            self.set(row, side, bits);
        }
        narrower.is_some()
    }

    /// As [`Problem::fits`].
    pub(crate) fn fits(&self) -> bool {
        self.strays == 0 && self.flash_fits() && self.instructions_fit() && self.ram_fits()
    }

    /// As [`Problem::flash_fits`].
    pub(crate) fn flash_fits(&self) -> bool {
        let limits = self.problem.limits();
        holds(limits.weight_bytes, self.weight_bytes) && limits.budget.holds_flash(self.account.flash_bytes())
    }

    /// As [`Problem::ram_fits`].
    pub(crate) fn ram_fits(&self) -> bool {
        let (fits, visits) = self.account.ram_fits(self.problem.budget().ram_bytes);
        self.visit(visits as u64);
        fits
    }

    /// What [`Self::ram_fits`] and [`Self::pressing_moment`] have taken so far, in visits of the planner
    /// ([`bitesize_ir::memory::Plan::visits`]).
    pub(crate) fn visits(&self) -> u64 {
        self.visits.get()
    }

    fn visit(&self, visits: u64) {
        self.visits.set(self.visits.get() + visits);
    }

    /// Bytes of stack of the entry point and the deepest kernel.
    pub(crate) fn deepest_stack_bytes(&self) -> u64 {
        self.account.deepest_stack_bytes()
    }

    /// What it takes, the arena as small as any plan might be; instructions only where they are limited, and then as many as
    /// they are at most.
    pub(crate) fn least_footprint(&self) -> Footprint {
        Footprint {
            flash_bytes: self.account.flash_bytes(),
            ram_bytes: self.account.ram_lower_bound(self.account.deepest_stack_bytes()),
            weight_bytes: self.weight_bytes,
            instructions: self.instructions,
        }
    }

    /// Its bytes, as they are kept up to date.
    pub(crate) fn account(&self) -> &Account<'p> {
        &self.account
    }

    /// Whether the stack and what is alive at each moment of some timeline keep the RAM budget, wherever the planner places it.
    pub(crate) fn every_moment_fits(&self) -> bool {
        self.problem.budget().holds_ram(self.account.ram_lower_bound(self.account.deepest_stack_bytes()))
    }

    /// The moment of node `id` in timeline `timeline` at which the most is alive, where that and the stack do not.
    pub(crate) fn pressing_moment(&self, timeline: usize, id: NodeId) -> Option<Moment> {
        self.visit(NODE_VISITS);
        let (moment, bytes) = self.account.alive_bytes_during(timeline, id);
        let stack = self.problem.model().stack_bytes(timeline, self.account.deepest_stack_bytes());
        (!self.problem.budget().holds_ram(bytes as u64 + stack)).then_some(moment)
    }

    /// As [`Problem::peak`].
    pub(crate) fn peak(&self) -> Option<Moment> {
        self.account.peak()
    }
}
