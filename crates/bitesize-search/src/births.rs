//! Activations in the order in which their tensors are born, and what each adds to an inference once it is chosen.
//!
//! A node's instructions depend on the widths of what it reads and writes, so they are known with the last of these that
//! is chosen, and all others are still alive then: they reach until the node at least. What is told here is a bound: in the
//! order of rows in which each takes the fewest.

use crate::problem::Problem;
use crate::widths::Side;
use bitesize_ir::memory::Widths;
use bitesize_ir::{BitWidth, NodeId, Policy, TensorId};

/// A row whose activation width is chosen, and from which node to which one a tensor of that width is alive, inclusive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Life {
    pub(crate) row: usize,
    pub(crate) first: usize,
    pub(crate) last: usize,
}

/// The lives of `rows` in the order of their births.
pub(crate) fn lives(problem: &Problem, rows: impl Iterator<Item = usize>) -> Vec<Life> {
    let mut lives: Vec<Life> = rows.map(|row| Life { row, first: usize::MAX, last: 0 }).collect();
    for life in &mut lives {
        for tensor in problem.tensors_of(life.row) {
            let (first, last) = problem.model().lifetime(*tensor);
            (life.first, life.last) = (life.first.min(first), life.last.max(last));
        }
    }
    lives.sort_by_key(|life| (life.first, life.row));
    lives
}

/// The least instructions over the weight widths, of nodes that are known once a tensor is chosen.
pub(crate) struct BirthInstructions<'p> {
    problem: &'p Problem<'p>,
    lives: Vec<Life>,
    /// For each life the nodes that are known with it.
    known: Vec<Vec<NodeId>>,
    /// For each life the lives on which these nodes depend, it among them.
    read: Vec<Vec<usize>>,
    /// The nodes that depend on no life.
    fixed: Vec<NodeId>,
    /// Of every inference.
    base: u64,
    /// Working copy.
    widths: Widths,
}

impl<'p> BirthInstructions<'p> {
    /// Of `lives`, all other activations as in `start`.
    pub(crate) fn of(problem: &'p Problem<'p>, lives: Vec<Life>, start: &Policy) -> Self {
        let mut life_of_row = vec![None; problem.space().rows.len()];
        lives.iter().enumerate().for_each(|(i, life)| life_of_row[life.row] = Some(i));
        let widths = problem.widths(start);
        let (mut known, mut read) = (vec![Vec::new(); lives.len()], vec![Vec::new(); lives.len()]);
        let (mut fixed, base) = (Vec::new(), problem.base_instructions(&widths));
        for (id, node) in problem.network().iter() {
            let life = |tensor: &TensorId| problem.row_of(*tensor).and_then(|row| life_of_row[row]);
            let touched: Vec<usize> = node.inputs.iter().chain([&node.output]).filter_map(life).collect();
            match touched.iter().max() {
                Some(last) => {
                    known[*last].push(id);
                    let read: &mut Vec<usize> = &mut read[*last];
                    read.extend(touched);
                    read.sort_unstable();
                    read.dedup();
                }
                None => fixed.push(id),
            }
        }
        Self { problem, lives, known, read, fixed, base, widths }
    }

    /// Instructions of every inference, whatever its layers.
    pub(crate) fn base(&self) -> u64 {
        self.base
    }

    /// What depends on no life.
    pub(crate) fn fixed(&mut self) -> u64 {
        let (problem, widths) = (self.problem, &mut self.widths);
        self.base + self.fixed.iter().map(|id| problem.least_instructions_of(*id, widths)).sum::<u64>()
    }

    /// The sum that `of_node` gives for the nodes that depend on no life.
    pub(crate) fn fixed_by(&mut self, of_node: impl Fn(NodeId, &mut Widths) -> f64) -> f64 {
        self.fixed.iter().map(|id| of_node(*id, &mut self.widths)).sum()
    }

    /// Instructions that are known with life `at`, the last of `chosen`.
    pub(crate) fn known_with(&mut self, at: usize, chosen: &[BitWidth]) -> u64 {
        self.set(at, chosen);
        let (problem, widths) = (self.problem, &mut self.widths);
        self.known[at].iter().map(|id| problem.least_instructions_of(*id, widths)).sum()
    }

    /// The sum that `of_node` gives for the nodes that are known with life `at`, the last of `chosen`.
    pub(crate) fn known_by(
        &mut self,
        at: usize,
        chosen: &[BitWidth],
        of_node: impl Fn(NodeId, &mut Widths) -> f64,
    ) -> f64 {
        self.set(at, chosen);
        self.known[at].iter().map(|id| of_node(*id, &mut self.widths)).sum()
    }

    /// Gives the working copy the widths that the nodes read which are known with life `at`.
    fn set(&mut self, at: usize, chosen: &[BitWidth]) {
        for life in &self.read[at] {
            for tensor in self.problem.tensors_of(self.lives[*life].row) {
                self.widths.tensors[tensor.0] = chosen[*life];
            }
        }
    }
}

/// What the nodes that are known later may depend on: the widths of those still alive when the next is born.
pub(crate) fn frontier(lives: impl Fn(usize) -> Life, chosen: &[BitWidth], next: Life) -> Vec<BitWidth> {
    let alive = (0..chosen.len()).filter(|i| lives(*i).last >= next.first);
    alive.map(|i| chosen[i]).collect()
}

impl Problem<'_> {
    /// Instructions that every inference takes at least, whatever its layers, counted at any `widths`.
    pub(crate) fn base_instructions(&self, widths: &Widths) -> u64 {
        let of_nodes =
            (0..self.network().nodes.len()).filter_map(|id| self.model().fewest_instructions_of(NodeId(id), widths));
        self.model().fewest_instructions(widths).unwrap_or(0) - of_nodes.sum::<u64>()
    }

    /// The least instructions of node `id` at the tensors of `widths`, over the widths that its weights may have; which
    /// `widths` has then, of equals the narrowest.
    pub(crate) fn least_instructions_of(&self, id: NodeId, widths: &mut Widths) -> u64 {
        let count = |widths: &Widths| self.model().fewest_instructions_of(id, widths).unwrap_or(0);
        let Some(row) = self.row_of_weights(id) else { return count(widths) };
        let mut least: Option<(u64, BitWidth)> = None;
        for bits in self.allowed(row, Side::Weights).iter() {
            widths.weights[id.0] = Some(bits);
            let own = count(widths);
            if least.is_none_or(|(other, _)| own < other) {
                least = Some((own, bits));
            }
        }
        let (instructions, bits) = least.unwrap_or((count(widths), BitWidth::B8));
        widths.weights[id.0] = Some(bits);
        instructions
    }
}
