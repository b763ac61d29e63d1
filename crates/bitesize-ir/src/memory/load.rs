//! Bytes alive at each step, under changes of whole lifetimes.

/// Bytes by step: a tree whose node `i` lies over nodes `2i` and `2i + 1`; the leaves are the steps and come last.
#[derive(Clone, Debug)]
pub(super) struct Load {
    steps: usize,
    /// What is alive during all steps of a node and was not given to its children. Sums wrap, as changes may be below 0.
    whole: Vec<usize>,
    /// The most that is alive at one of its steps, what lies above it left out.
    most: Vec<usize>,
}

impl Load {
    /// Nothing at each of `steps` steps.
    pub(super) fn new(steps: usize) -> Self {
        let nodes = 2 * steps.next_power_of_two();
        Self { steps, whole: vec![0; nodes], most: vec![0; nodes] }
    }

    /// During each of `first..=last`, which are among the steps, `after` bytes are alive in place of `before`.
    pub(super) fn change(&mut self, (first, last): (usize, usize), before: usize, after: usize) {
        let (by, leaves) = (after.wrapping_sub(before), self.whole.len() / 2);
        let (mut left, mut right) = (leaves + first, leaves + last + 1);
        while left < right {
            if left % 2 == 1 {
                self.add(left, by);
                left += 1;
            }
            if right % 2 == 1 {
                right -= 1;
                self.add(right, by);
            }
            (left, right) = (left / 2, right / 2);
        }
        self.renew_above(leaves + first);
        self.renew_above(leaves + last);
    }

    fn add(&mut self, node: usize, by: usize) {
        self.whole[node] = self.whole[node].wrapping_add(by);
        self.most[node] = self.most[node].wrapping_add(by);
    }

    fn renew_above(&mut self, mut node: usize) {
        while node > 1 {
            node /= 2;
            self.most[node] = self.most[2 * node].max(self.most[2 * node + 1]).wrapping_add(self.whole[node]);
        }
    }

    /// Bytes alive at `step`.
    pub(super) fn at(&self, step: usize) -> usize {
        let (mut node, mut bytes) = (self.whole.len() / 2 + step, 0usize);
        while node > 0 {
            bytes = bytes.wrapping_add(self.whole[node]);
            node /= 2;
        }
        bytes
    }

    /// The most that is alive at a step; 0 where there is none.
    pub(super) fn most(&self) -> usize {
        self.most[1]
    }

    /// The first of the steps at which the most is alive; `None` where there is no step.
    pub(super) fn peak(&self) -> Option<usize> {
        let leaves = self.whole.len() / 2;
        let mut node = 1;
        while node < leaves {
            node *= 2;
            node += usize::from(self.most[node] < self.most[node + 1]);
        }
        (self.steps > 0).then(|| node - leaves)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_list_says_the_same(
            steps in 1..40usize,
            changes in prop::collection::vec((0..40usize, 0..40usize, 0..9usize), 0..40),
        ) {
            let (mut load, mut list) = (Load::new(steps), vec![0; steps]);
            for (a, b, bytes) in changes {
                let (first, last) = ((a % steps).min(b % steps), (a % steps).max(b % steps));
                // Each lifetime grows, then shrinks by a part of it.
                load.change((first, last), 0, bytes);
                load.change((first, last), bytes, bytes / 2);
                list[first..=last].iter_mut().for_each(|sum| *sum += bytes / 2);
                let most = list.iter().copied().max().unwrap_or(0);
                prop_assert_eq!(load.most(), most);
                prop_assert_eq!(load.peak(), list.iter().position(|sum| *sum == most));
                let one_by_one: Vec<usize> = (0..steps).map(|step| load.at(step)).collect();
                prop_assert_eq!(&one_by_one, &list);
            }
        }
    }

    #[test]
    fn no_steps() {
        assert_eq!((Load::new(0).most(), Load::new(0).peak()), (0, None));
    }
}
