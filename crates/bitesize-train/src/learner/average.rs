//! A mean of what is learned over steps, which is steadier than what the last step left.

use super::Learner;

/// The mean of every list that a learner learns.
pub(crate) struct Average {
    /// How much of the mean a step keeps, below 1.
    kept: f32,
    lists: Vec<Vec<f32>>,
}

impl Average {
    /// Begins with what `learner` begins with.
    pub(crate) fn new(learner: &mut Learner, kept: f32) -> Self {
        Self { kept, lists: learner.learned().into_iter().map(|list| list.clone()).collect() }
    }

    /// Takes what `learner` has after `steps` steps.
    pub(crate) fn add(&mut self, learner: &mut Learner, steps: usize) {
        // At first it follows at once: a mean of few steps is not drawn to where they began.
        let kept = self.kept.min(steps as f32 / (steps as f32 + 9.0));
        for (mean, list) in self.lists.iter_mut().zip(learner.learned()) {
            mean.iter_mut().zip(list).for_each(|(mean, value)| *mean = kept * *mean + (1.0 - kept) * *value);
        }
    }

    /// Puts the mean in the place of what was learned, and that in its.
    pub(crate) fn swap(&mut self, learner: &mut Learner) {
        learner.learned().into_iter().zip(&mut self.lists).for_each(|(list, mean)| std::mem::swap(list, mean));
    }

    /// The mean, list by list.
    pub(crate) fn lists(&mut self) -> &mut Vec<Vec<f32>> {
        &mut self.lists
    }
}
