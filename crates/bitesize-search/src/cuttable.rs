//! The largest tensor that may become narrower, of those alive at a step or of all, in time that does not grow with how many are
//! alive.

use crate::problem::Problem;
use crate::widths::{Side, width};
use bitesize_ir::memory::tensor_bytes;
use bitesize_ir::{BitWidth, NodeId, Policy, TensorId};
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// What makes one tensor larger than another: its bits, then its bytes; of equals the first counts.
type Key = (BitWidth, usize, Reverse<TensorId>);

/// Tensors whose rows may have a narrower width, under cuts of rows.
///
/// Each lies in the heaps of the nodes of a tree over the steps that together are its lifetime. A heap's top that was cut since is
/// dropped when it is met, so that a tensor is looked at once for each width that it has had.
pub(crate) struct Cuttable<'p> {
    problem: &'p Problem<'p>,
    /// Node `i` of the tree lies over nodes `2i` and `2i + 1`; the leaves are the steps and come last.
    alive: Vec<BinaryHeap<Key>>,
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
        let nodes = 2 * problem.network().nodes.len().next_power_of_two();
        let mut cuttable = Self { problem, alive: vec![BinaryHeap::new(); nodes], all: BinaryHeap::new() };
        (0..policy.rows.len()).for_each(|row| cuttable.changed(row, policy));
        cuttable
    }

    /// `row` has another width in `policy` than before.
    pub(crate) fn changed(&mut self, row: usize, policy: &Policy) {
        let Some(bits) = cuttable_width(self.problem, policy, row) else { return };
        for tensor in self.problem.tensors_of(row) {
            let key = (bits, self.bytes(*tensor, bits), Reverse(*tensor));
            self.all.push(key);
            let (first, last) = self.problem.model().lifetime(*tensor);
            let leaves = self.alive.len() / 2;
            let (mut left, mut right) = (leaves + first, leaves + last + 1);
            while left < right {
                if left % 2 == 1 {
                    self.alive[left].push(key);
                    left += 1;
                }
                if right % 2 == 1 {
                    right -= 1;
                    self.alive[right].push(key);
                }
                (left, right) = (left / 2, right / 2);
            }
        }
    }

    /// The largest of those alive during node `step`.
    pub(crate) fn largest_at(&mut self, step: NodeId, policy: &Policy) -> Option<Largest> {
        let mut node = self.alive.len() / 2 + step.0;
        let mut largest = None;
        while node > 0 {
            largest = largest.max(top(self.problem, policy, &mut self.alive[node]));
            node /= 2;
        }
        largest.map(|key| self.named(key))
    }

    /// The largest of all.
    pub(crate) fn largest(&mut self, policy: &Policy) -> Option<Largest> {
        top(self.problem, policy, &mut self.all).map(|key| self.named(key))
    }

    /// Whether a tensor of `row` that is alive during node `step` is as large as `largest`.
    pub(crate) fn is_as_large(&self, row: usize, step: NodeId, largest: Largest, policy: &Policy) -> bool {
        let is_alive = |tensor: TensorId| {
            let (first, last) = self.problem.model().lifetime(tensor);
            (first..=last).contains(&step.0)
        };
        cuttable_width(self.problem, policy, row) == Some(largest.bits)
            && self
                .problem
                .tensors_of(row)
                .iter()
                .any(|tensor| self.bytes(*tensor, largest.bits) == largest.bytes && is_alive(*tensor))
    }

    fn bytes(&self, tensor: TensorId, bits: BitWidth) -> usize {
        tensor_bytes(self.problem.network().shape(tensor), bits)
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
