//! The largest tensor that may become narrower, of those alive at a moment or of all, in time that does not grow with how many are
//! alive. Large is what takes a large place: of a tensor that a chain keeps some rows of, these.

use crate::problem::Problem;
use crate::widths::{Side, width};
use bitesize_ir::memory::Moment;
use bitesize_ir::{BitWidth, Policy, TensorId};
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// What makes one tensor larger than another: its bits, then its bytes; of equals the first counts.
type Key = (BitWidth, usize, Reverse<TensorId>);

/// Tensors whose rows may have a narrower width, under cuts of rows.
///
/// In each timeline each lies in the heaps of the nodes of a tree over the moments that together are those at which it is alive. A
/// heap's top that was cut since is dropped when it is met, so that a tensor is looked at once for each width that it has had.
pub(crate) struct Cuttable<'p> {
    problem: &'p Problem<'p>,
    /// One tree for each timeline: its node `i` lies over nodes `2i` and `2i + 1`; the leaves are the moments and come last.
    alive: Vec<Vec<BinaryHeap<Key>>>,
    all: BinaryHeap<Key>,
}

/// The largest of some tensors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Largest {
    pub(crate) bits: BitWidth,
    pub(crate) bytes: usize,
    /// The row whose width it has.
    pub(crate) row: usize,
}

impl<'p> Cuttable<'p> {
    /// Of the widths of `policy`.
    pub(crate) fn of(problem: &'p Problem<'p>, policy: &Policy) -> Self {
        let model = problem.model();
        let tree = |timeline| vec![BinaryHeap::new(); 2 * model.moments(timeline).next_power_of_two()];
        let alive = (0..model.timelines()).map(tree).collect();
        let mut cuttable = Self { problem, alive, all: BinaryHeap::new() };
        (0..policy.rows.len()).for_each(|row| cuttable.changed(row, policy));
        cuttable
    }

    /// `row` has another width in `policy` than before.
    pub(crate) fn changed(&mut self, row: usize, policy: &Policy) {
        let Some(bits) = cuttable_width(self.problem, policy, row) else { return };
        let model = self.problem.model();
        for tensor in self.problem.tensors_of(row) {
            self.all.push((bits, model.place_bytes(0, *tensor, bits), Reverse(*tensor)));
            for (timeline, alive) in self.alive.iter_mut().enumerate() {
                let key = (bits, model.place_bytes(timeline, *tensor, bits), Reverse(*tensor));
                let leaves = alive.len() / 2;
                for (first, last) in model.alive_during(timeline, *tensor) {
                    let (mut left, mut right) = (leaves + first, leaves + last + 1);
                    while left < right {
                        if left % 2 == 1 {
                            alive[left].push(key);
                            left += 1;
                        }
                        if right % 2 == 1 {
                            right -= 1;
                            alive[right].push(key);
                        }
                        (left, right) = (left / 2, right / 2);
                    }
                }
            }
        }
    }

    /// The largest of those alive at `moment`.
    pub(crate) fn largest_at(&mut self, moment: Moment, policy: &Policy) -> Option<Largest> {
        let alive = &mut self.alive[moment.timeline];
        let mut node = alive.len() / 2 + moment.at;
        let mut largest = None;
        while node > 0 {
            largest = largest.max(top(self.problem, policy, &mut alive[node]));
            node /= 2;
        }
        largest.map(|key| self.named(key))
    }

    /// The largest of all.
    pub(crate) fn largest(&mut self, policy: &Policy) -> Option<Largest> {
        top(self.problem, policy, &mut self.all).map(|key| self.named(key))
    }

    /// Whether a tensor of `row` that is alive at `moment` is as large as `largest`.
    pub(crate) fn is_as_large(&self, row: usize, moment: Moment, largest: Largest, policy: &Policy) -> bool {
        let model = self.problem.model();
        let is_as_large = |tensor: &TensorId| {
            model.place_bytes(moment.timeline, *tensor, largest.bits) == largest.bytes
                && model.tensor_bytes_at(moment, *tensor, largest.bits) > 0
        };
        cuttable_width(self.problem, policy, row) == Some(largest.bits)
            && self.problem.tensors_of(row).iter().any(is_as_large)
    }

    fn named(&self, (bits, bytes, Reverse(tensor)): Key) -> Largest {
        let row = self.problem.row_of(tensor).expect("a tensor without a row has no width to cut");
        Largest { bits, bytes, row }
    }
}

/// The width of `row`, where it may have a narrower one.
fn cuttable_width(problem: &Problem, policy: &Policy, row: usize) -> Option<BitWidth> {
    problem.narrower(policy, row, Side::Activations).and(width(policy, row, Side::Activations))
}

/// The top of `heap` that has the width which `policy` gives it.
fn top(problem: &Problem, policy: &Policy, heap: &mut BinaryHeap<Key>) -> Option<Key> {
    while let Some(key) = heap.peek() {
        let (bits, _, Reverse(tensor)) = *key;
        let now = problem.row_of(tensor).and_then(|row| cuttable_width(problem, policy, row));
        if now == Some(bits) {
            return Some(*key);
        }
        heap.pop();
    }
    None
}
