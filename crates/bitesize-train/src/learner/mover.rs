//! The optimizer of one list of numbers.

use super::rates::Optimizer;
use crate::engine::{Adam, Sgd};

/// Moves a list of numbers along gradients.
#[derive(Clone, Debug)]
pub(super) enum Mover {
    Adam(Adam),
    Sgd(Sgd),
}

impl Mover {
    /// For `count` numbers.
    pub(super) fn new(by: Optimizer, count: usize) -> Self {
        match by {
            Optimizer::Adam => Self::Adam(Adam::new(count)),
            Optimizer::Sgd { momentum } => Self::Sgd(Sgd::new(count, momentum, 0.0)),
        }
    }

    /// One step at `rate`.
    pub(super) fn step(&mut self, rate: f32, values: &mut [f32], gradients: &[f32]) {
        match self {
            Self::Adam(adam) => adam.step(rate, values, gradients),
            Self::Sgd(sgd) => sgd.step(rate, values, gradients),
        }
    }

    /// What decides how the numbers move next, beside the number of steps.
    pub(super) fn moments(&mut self) -> Vec<&mut Vec<f32>> {
        match self {
            Self::Adam(adam) => adam.moments().into(),
            Self::Sgd(sgd) => vec![sgd.velocity()],
        }
    }

    /// Goes on as after `steps` steps.
    pub(super) fn set_steps(&mut self, steps: usize) {
        if let Self::Adam(adam) = self {
            adam.set_steps(steps);
        }
    }
}
