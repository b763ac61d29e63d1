//! What each width costs, in nats, where losses are taken to add up.

use crate::problem::Problem;
use crate::widths::{Side, set_width, width};
use bitesize_ir::{BitWidth, Policy, TensorId};

/// What each width costs. Infinite where it is not allowed or not considered.
#[derive(Clone, Debug, PartialEq)]
pub struct Costs {
    /// For each row those of weights and of activations, by [`BitWidth`].
    rows: Vec<[[f64; 3]; 2]>,
}

impl Costs {
    /// All infinite, for `rows` rows.
    pub fn new(rows: usize) -> Self {
        Self { rows: vec![[[f64::INFINITY; 3]; 2]; rows] }
    }

    /// What `bits` costs on `side` of `row`.
    pub fn get(&self, row: usize, side: Side, bits: BitWidth) -> f64 {
        self.rows[row][side as usize][bits as usize]
    }

    /// Sets what `bits` costs on `side` of `row`.
    pub fn set(&mut self, row: usize, side: Side, bits: BitWidth, cost: f64) {
        self.rows[row][side as usize][bits as usize] = cost;
    }

    /// The sum over the widths of `policy`.
    pub fn total(&self, problem: &Problem, policy: &Policy) -> f64 {
        let cost = |(row, side)| width(policy, row, side).map_or(0.0, |bits| self.get(row, side, bits));
        problem.slots().map(cost).sum()
    }

    /// Each finite cost changed by `change`.
    pub fn map(&self, mut change: impl FnMut(f64) -> f64) -> Self {
        let mut of = |costs: &[[f64; 3]; 2]| costs.map(|side| side.map(|c| if c.is_finite() { change(c) } else { c }));
        Self { rows: self.rows.iter().map(&mut of).collect() }
    }

    /// The widths that have a finite cost, the widest first.
    pub(crate) fn options(&self, row: usize, side: Side) -> Vec<(BitWidth, f64)> {
        let all = BitWidth::ALL.into_iter().rev().map(|bits| (bits, self.get(row, side, bits)));
        all.filter(|(_, cost)| cost.is_finite()).collect()
    }

    /// The widest considered width everywhere.
    pub(crate) fn widest(&self, problem: &Problem) -> Policy {
        let mut policy = problem.uniform(BitWidth::B8);
        for (row, side) in problem.slots() {
            if let Some((bits, _)) = self.options(row, side).first() {
                set_width(&mut policy, row, side, *bits);
            }
        }
        policy
    }

    /// Of `tensor` alone.
    pub(crate) fn widest_of(&self, problem: &Problem, tensor: TensorId) -> BitWidth {
        let options = problem.row_of(tensor).map(|row| self.options(row, Side::Activations));
        options.and_then(|options| options.first().map(|(bits, _)| *bits)).unwrap_or(BitWidth::B8)
    }

    /// The same with each slot's least cost taken from its costs, and what was taken in all.
    pub(crate) fn shifted_to_zero(&self, problem: &Problem) -> (Self, f64) {
        let (mut shifted, mut taken) = (self.clone(), 0.0);
        for (row, side) in problem.slots() {
            let least = self.options(row, side).iter().map(|(_, cost)| *cost).fold(f64::INFINITY, f64::min);
            if least.is_finite() {
                taken += least;
                for (bits, cost) in self.options(row, side) {
                    shifted.set(row, side, bits, cost - least);
                }
            }
        }
        (shifted, taken)
    }
}
