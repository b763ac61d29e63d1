//! Costs of widths, corrected by evaluations.
//!
//! Probes change one width of a network that is as wide as it may be; among policies that fit, widths meet each other. What
//! the sum of costs misses in policies that were evaluated is laid on their widths by ridge regression: one unknown for each
//! width of each slot, and one for all. Policies of large losses tell less, since what the sum misses grows with the loss.

use crate::costs::Costs;
use crate::problem::Problem;
use crate::score::Score;
use crate::widths::{Side, width};
use bitesize_ir::{BitWidth, Policy};

/// A width that was seen so often is believed by half.
const RIDGE: f64 = 3.0;

/// A policy that was evaluated.
struct Observation {
    /// What its corrected costs and the common part miss of its loss, in nats.
    missed: f64,
    /// How much it counts, in 0..=1.
    weight: f64,
}

/// Costs that learn from evaluations.
pub struct Surrogate<'a> {
    problem: &'a Problem<'a>,
    measured: Costs,
    costs: Costs,
    observations: Vec<Observation>,
    /// For each width of each slot, by [`place`], the observations that have it.
    holders: Vec<Vec<usize>>,
    common: f64,
    /// The loss up to which policies count in full: of the first.
    full: Option<f64>,
}

/// Where the widths of a slot stand in [`Surrogate::holders`].
fn place(row: usize, side: Side, bits: BitWidth) -> usize {
    (row * 2 + side as usize) * 3 + bits as usize
}

impl<'a> Surrogate<'a> {
    /// Costs as `measured`, nothing learned yet.
    pub fn new(problem: &'a Problem<'a>, measured: Costs) -> Self {
        let places = problem.space().rows.len() * 6;
        Self {
            problem,
            costs: measured.clone(),
            measured,
            observations: Vec::new(),
            holders: vec![Vec::new(); places],
            common: 0.0,
            full: None,
        }
    }

    /// The costs as corrected so far; infinite where nothing was measured.
    pub fn costs(&self) -> &Costs {
        &self.costs
    }

    /// Takes in that `policy` has `loss`. Nothing is learned from one that cannot be made integer-only, and what widths
    /// without a measured cost do is laid on the others.
    pub fn learn(&mut self, policy: &Policy, loss: f64) {
        if loss >= Score::WORTHLESS.loss {
            return;
        }
        let full = *self.full.get_or_insert(loss.max(f64::MIN_POSITIVE));
        let mut missed = loss - self.common;
        for (row, side) in self.problem.slots() {
            let Some(bits) = width(policy, row, side) else { continue };
            let cost = self.costs.get(row, side, bits);
            if cost.is_finite() {
                missed -= cost;
                self.holders[place(row, side, bits)].push(self.observations.len());
            }
        }
        self.observations.push(Observation { missed, weight: (full / loss.max(full)).powi(2) });
        self.sweep();
    }

    /// One sweep of coordinate descent over all unknowns. They change little with each policy, so one is enough.
    fn sweep(&mut self) {
        let everywhere: Vec<usize> = (0..self.observations.len()).collect();
        self.common += self.settle(&everywhere, self.common, 0.0);
        for (row, side) in self.problem.slots() {
            for bits in BitWidth::ALL {
                let measured = self.measured.get(row, side, bits);
                let holders = std::mem::take(&mut self.holders[place(row, side, bits)]);
                if measured.is_finite() {
                    let cost = self.costs.get(row, side, bits);
                    let change = self.settle(&holders, cost - measured, RIDGE);
                    self.costs.set(row, side, bits, cost + change);
                }
                self.holders[place(row, side, bits)] = holders;
            }
        }
    }

    /// By how much an unknown that `holders` have in common is to change from `now` for the least of their weighted squared
    /// misses and its own square times `ridge`; their misses are brought up to date.
    fn settle(&mut self, holders: &[usize], now: f64, ridge: f64) -> f64 {
        let of = |i: &usize| &self.observations[*i];
        let weight: f64 = holders.iter().map(|i| of(i).weight).sum();
        let missed: f64 = holders.iter().map(|i| of(i).weight * of(i).missed).sum();
        if weight <= 0.0 {
            return 0.0;
        }
        let change = (missed - ridge * now) / (weight + ridge);
        holders.iter().for_each(|i| self.observations[*i].missed -= change);
        change
    }
}
