//! Lifetimes, asked who is alive when, in time that follows the answer and not the number of lifetimes.

/// First and last steps, both inclusive, in the order of their first.
#[derive(Clone, Debug)]
pub(super) struct Intervals {
    /// `(first, number)` of each, ascending.
    by_first: Vec<(usize, usize)>,
    /// Last steps, ascending.
    lasts: Vec<usize>,
    /// A tree over `by_first`: node `i` has the latest last step of nodes `2i` and `2i + 1`; the leaves come last.
    latest: Vec<Option<usize>>,
}

impl Intervals {
    /// Of `(first, last)` by number.
    pub(super) fn of(intervals: impl ExactSizeIterator<Item = (usize, usize)> + Clone) -> Self {
        let mut by_first: Vec<(usize, usize)> = intervals.clone().map(|(first, _)| first).zip(0..).collect();
        by_first.sort_unstable();
        let by_number: Vec<usize> = intervals.map(|(_, last)| last).collect();
        let leaves = by_first.len().next_power_of_two();
        let mut latest = vec![None; 2 * leaves];
        for (leaf, (_, number)) in latest[leaves..].iter_mut().zip(&by_first) {
            *leaf = Some(by_number[*number]);
        }
        for i in (1..leaves).rev() {
            latest[i] = latest[2 * i].max(latest[2 * i + 1]);
        }
        let mut lasts = by_number;
        lasts.sort_unstable();
        Self { by_first, lasts, latest }
    }

    /// Numbers of those that are alive at `step`, in the order of their first steps.
    pub(super) fn alive_at(&self, step: usize) -> impl Iterator<Item = usize> + '_ {
        let born = self.born_until(step);
        let mut next = 0;
        std::iter::from_fn(move || {
            let place = self.next_alive(next, step).filter(|place| *place < born)?;
            next = place + 1;
            Some(self.by_first[place].1)
        })
    }

    /// Numbers of those that are alive at some step of `first..=last`.
    pub(super) fn meeting(&self, first: usize, last: usize) -> impl Iterator<Item = usize> + '_ {
        let born_meanwhile = self.born_until(first)..self.born_until(last);
        self.alive_at(first).chain(self.by_first[born_meanwhile].iter().map(|(_, number)| *number))
    }

    /// How many [`Self::meeting`] gives.
    pub(super) fn count_meeting(&self, first: usize, last: usize) -> usize {
        self.born_until(last) - self.lasts.partition_point(|other| *other < first)
    }

    /// How many have their first step at most at `step`.
    fn born_until(&self, step: usize) -> usize {
        self.by_first.partition_point(|(first, _)| *first <= step)
    }

    /// The first place of `by_first`, from `from` on, whose last step is at least `step`.
    fn next_alive(&self, from: usize, step: usize) -> Option<usize> {
        let leaves = self.latest.len() / 2;
        if from >= leaves {
            return None;
        }
        let alive = |node: usize| self.latest[node].is_some_and(|latest| latest >= step);
        let mut node = leaves + from;
        while !alive(node) {
            // Up while it is a right child, then to its right neighbour; past the last of a level there is none.
            node += 1;
            node >>= node.trailing_zeros();
            if node == 1 {
                return None;
            }
        }
        while node < leaves {
            node *= 2;
            node += usize::from(!alive(node));
        }
        Some(node - leaves)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn answers_are_those_of_looking_at_all(
            intervals in prop::collection::vec((0..20usize, 0..9usize), 0..40),
            first in 0..25usize,
            length in 0..9usize,
        ) {
            let intervals: Vec<(usize, usize)> = intervals.into_iter().map(|(f, l)| (f, f + l)).collect();
            let index = Intervals::of(intervals.iter().copied());
            let last = first + length;
            let meets = |(f, l): (usize, usize)| f <= last && first <= l;
            let expected: Vec<usize> = (0..intervals.len()).filter(|i| meets(intervals[*i])).collect();
            let mut found: Vec<usize> = index.meeting(first, last).collect();
            found.sort_unstable();
            prop_assert_eq!(&found, &expected);
            prop_assert_eq!(index.count_meeting(first, last), expected.len());
            let alive: Vec<usize> = index.alive_at(first).collect();
            let mut expected: Vec<usize> =
                (0..intervals.len()).filter(|i| intervals[*i].0 <= first && first <= intervals[*i].1).collect();
            expected.sort_by_key(|i| (intervals[*i].0, *i));
            prop_assert_eq!(alive, expected);
        }
    }
}
