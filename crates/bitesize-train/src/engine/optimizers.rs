//! How parameters move along their gradients.

use crate::operators::vectorized;
use rayon::prelude::*;

/// Parameters that are worth a thread's while.
const PART: usize = 1 << 14;

/// Stochastic gradient descent with momentum, of one list of parameters:
/// `velocity = momentum * velocity + gradient + decay * value; value -= rate * velocity`.
#[derive(Clone, Debug, PartialEq)]
pub struct Sgd {
    momentum: f32,
    decay: f32,
    velocity: Vec<f32>,
}

impl Sgd {
    /// For `count` parameters. `momentum` lies in 0 to 1; `decay` is how strongly values are drawn to 0.
    pub fn new(count: usize, momentum: f32, decay: f32) -> Self {
        Self { momentum, decay, velocity: vec![0.0; count] }
    }

    /// What decides how the parameters move next.
    pub(crate) fn velocity(&mut self) -> &mut Vec<f32> {
        &mut self.velocity
    }

    /// One step at `rate`.
    ///
    /// # Panics
    /// Where the lists differ in length from the parameters.
    pub fn step(&mut self, rate: f32, values: &mut [f32], gradients: &[f32]) {
        assert!(values.len() == self.velocity.len() && gradients.len() == values.len(), "each value has a gradient");
        let (momentum, decay) = (self.momentum, self.decay);
        let parts = values.par_chunks_mut(PART).zip(gradients.par_chunks(PART)).zip(self.velocity.par_chunks_mut(PART));
        parts.for_each(|((values, gradients), velocity)| {
            vectorized(
                #[inline(always)]
                || {
                    for ((value, gradient), velocity) in values.iter_mut().zip(gradients).zip(velocity) {
                        *velocity = momentum * *velocity + gradient + decay * *value;
                        *value -= rate * *velocity;
                    }
                },
            );
        });
    }
}

/// Adam (Kingma and Ba), of one list of parameters, with the usual decays of 0.9 and 0.999.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Adam {
    steps: i32,
    means: Vec<f32>,
    squares: Vec<f32>,
}

impl Adam {
    /// For `count` parameters.
    pub fn new(count: usize) -> Self {
        Self { steps: 0, means: vec![0.0; count], squares: vec![0.0; count] }
    }

    /// What decides how the parameters move next, beside the number of steps.
    pub(crate) fn moments(&mut self) -> [&mut Vec<f32>; 2] {
        [&mut self.means, &mut self.squares]
    }

    /// Goes on as after `steps` steps.
    pub(crate) fn set_steps(&mut self, steps: usize) {
        self.steps = i32::try_from(steps).unwrap_or(i32::MAX);
    }

    /// One step at `rate`.
    ///
    /// # Panics
    /// Where the lists differ in length from the parameters.
    pub fn step(&mut self, rate: f32, values: &mut [f32], gradients: &[f32]) {
        const DECAYS: [f32; 2] = [0.9, 0.999];
        const LEAST: f32 = 1e-8;
        assert!(values.len() == self.means.len() && gradients.len() == values.len(), "each value has a gradient");
        self.steps = self.steps.saturating_add(1);
        let [first, second] = DECAYS.map(|decay| 1.0 - decay.powi(self.steps));
        let (rate, root) = (rate / first, second.sqrt());
        let parts = values.par_chunks_mut(PART).zip(gradients.par_chunks(PART));
        let parts = parts.zip(self.means.par_chunks_mut(PART).zip(self.squares.par_chunks_mut(PART)));
        parts.for_each(|((values, gradients), (means, squares))| {
            vectorized(
                #[inline(always)]
                || {
                    let moments = means.iter_mut().zip(squares);
                    for ((value, gradient), (mean, square)) in values.iter_mut().zip(gradients).zip(moments) {
                        *mean = DECAYS[0] * *mean + (1.0 - DECAYS[0]) * gradient;
                        *square = DECAYS[1] * *square + (1.0 - DECAYS[1]) * gradient * gradient;
                        *value -= rate * *mean / (square.sqrt() / root + LEAST);
                    }
                },
            );
        });
    }
}

/// A rate that falls from `highest` to 0 along half a cosine: at step `step` of `steps`.
pub fn cosine_rate(highest: f32, step: usize, steps: usize) -> f32 {
    let progress = step as f32 / steps.max(1) as f32;
    highest * 0.5 * (1.0 + (std::f32::consts::PI * progress.min(1.0)).cos())
}

/// What rates are multiplied by in step `step` of `all`: it rises to 1 over the share `warm_up` of the steps and falls along half a
/// cosine.
pub(crate) fn warmed_cosine(warm_up: f64, step: usize, all: usize) -> f32 {
    let warm = (warm_up.clamp(0.0, 1.0) * all as f64) as usize;
    if step < warm { (step + 1) as f32 / warm as f32 } else { cosine_rate(1.0, step - warm, all - warm) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sgd_gathers_velocity() {
        let (mut sgd, mut values) = (Sgd::new(2, 0.5, 0.0), [1.0, 2.0]);
        sgd.step(0.1, &mut values, &[1.0, -2.0]);
        assert_eq!(values, [0.9, 2.2]);
        sgd.step(0.1, &mut values, &[1.0, 0.0]);
        assert_eq!(values, [0.9 - 0.1 * 1.5, 2.2 + 0.1]);
        let mut decayed = [4.0];
        Sgd::new(1, 0.0, 0.5).step(0.1, &mut decayed, &[0.0]);
        assert_eq!(decayed, [3.8]);
    }

    #[test]
    fn adam_moves_by_the_rate_at_first_and_finds_a_minimum() {
        let (mut adam, mut values) = (Adam::new(2), [1.0, -3.0]);
        adam.step(0.1, &mut values, &[5.0, -0.01]);
        assert!((values[0] - 0.9).abs() < 1e-5 && (values[1] + 2.9).abs() < 1e-5, "{values:?}");
        for step in 0..500 {
            let gradients = values.map(|value| 2.0 * (value - 0.5));
            adam.step(cosine_rate(0.1, step, 500), &mut values, &gradients);
        }
        assert!(values.iter().all(|value| (value - 0.5).abs() < 1e-3), "{values:?}");
    }

    #[test]
    fn the_rate_falls_to_zero() {
        assert_eq!(cosine_rate(2.0, 0, 10), 2.0);
        assert!((cosine_rate(2.0, 5, 10) - 1.0).abs() < 1e-6);
        assert_eq!(cosine_rate(2.0, 10, 10), 0.0);
    }
}
