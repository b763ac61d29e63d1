//! A mean of what is learned over steps, which is steadier than what the last step left.

/// The mean of lists of numbers.
pub(crate) struct Average {
    /// How much of the mean a step keeps, below 1.
    kept: f32,
    lists: Vec<Vec<f32>>,
}

impl Average {
    /// Begins with `lists`.
    pub(crate) fn new(lists: &[&mut Vec<f32>], kept: f32) -> Self {
        Self { kept, lists: lists.iter().map(|list| (**list).clone()).collect() }
    }

    /// Takes `lists` as they are after `steps` steps.
    pub(crate) fn add(&mut self, lists: &[&mut Vec<f32>], steps: usize) {
        // At first it follows at once: a mean of few steps is not drawn to where they began.
        let kept = self.kept.min(steps as f32 / (steps as f32 + 9.0));
        for (mean, list) in self.lists.iter_mut().zip(lists) {
            mean.iter_mut().zip(list.iter()).for_each(|(mean, value)| *mean = kept * *mean + (1.0 - kept) * *value);
        }
    }

    /// Puts the mean in the place of `lists`, and those in its.
    pub(crate) fn swap(&mut self, lists: Vec<&mut Vec<f32>>) {
        lists.into_iter().zip(&mut self.lists).for_each(|(list, mean)| std::mem::swap(list, mean));
    }

    /// The mean, list by list.
    pub(crate) fn lists(&mut self) -> &mut Vec<Vec<f32>> {
        &mut self.lists
    }
}
