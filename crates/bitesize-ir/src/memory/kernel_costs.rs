//! Which kernels a network calls at given widths, and what they cost on a core.

use super::widths::Widths;
use crate::network::Node;
use crate::op::KernelKind;
use crate::target::{CoreCosts, KernelCost, KernelKey};

/// The kernels that `node` calls, as [`KernelKey::of_calls`] says.
pub fn kernel_keys(node: &Node, index: usize, widths: &Widths) -> Vec<KernelKey> {
    node_kernels(node, index, widths).collect()
}

/// [`kernel_keys`] without a list: the search counts kernels for thousands of policies.
pub(super) fn node_kernels(node: &Node, index: usize, widths: &Widths) -> impl Iterator<Item = KernelKey> {
    let calls = |kind| {
        let inputs = node.inputs.iter().map(|input| widths.tensors[input.0]);
        KernelKey::of_calls(kind, inputs, widths.weights[index], widths.tensors[node.output.0])
    };
    node.op.kernel_kind().map(calls).into_iter().flatten()
}

/// Number of values that [`dense_index`] can take: kinds x input x (none or second) x output.
const DENSE: usize = KernelKind::ALL.len() * 3 * 4 * 3;

fn dense_index(key: KernelKey) -> usize {
    let second = key.second.map_or(0, |bits| bits.index() + 1);
    ((key.kind as usize * 3 + key.input.index()) * 4 + second) * 3 + key.output.index()
}

/// A core's kernel costs by number instead of by name.
#[derive(Clone, Debug)]
pub(super) struct KernelTable {
    costs: Vec<Option<KernelCost>>,
}

impl KernelTable {
    pub(super) fn of(core: &CoreCosts) -> Self {
        let mut costs = vec![None; DENSE];
        for key in KernelKey::all() {
            costs[dense_index(key)] = core.kernels.get(&key.name()).copied();
        }
        Self { costs }
    }

    /// The cost of a kernel. [`CoreCosts::from_toml`] has checked that all are there.
    pub(super) fn cost(&self, key: KernelKey) -> KernelCost {
        self.costs[dense_index(key)].unwrap_or_else(|| panic!("the core file has no kernel `{}`", key.name()))
    }
}

/// How often each kernel is called.
#[derive(Clone, Debug)]
pub(super) struct KernelTally {
    calls: Vec<u32>,
}

impl Default for KernelTally {
    fn default() -> Self {
        Self { calls: vec![0; DENSE] }
    }
}

impl KernelTally {
    /// One call of `key` more or, where `counted` is false, one less.
    pub(super) fn call(&mut self, key: KernelKey, counted: bool) {
        let calls = &mut self.calls[dense_index(key)];
        *calls = if counted { *calls + 1 } else { *calls - 1 };
    }

    /// Code of the kernels that are called.
    pub(super) fn code_bytes(&self, table: &KernelTable) -> u64 {
        self.called(table).map(|cost| cost.code_bytes).sum()
    }

    /// Stack of the one that needs the most; 0 where none is called.
    pub(super) fn deepest_stack(&self, table: &KernelTable) -> u64 {
        self.called(table).map(|cost| cost.stack_bytes).max().unwrap_or(0)
    }

    fn called<'t>(&'t self, table: &'t KernelTable) -> impl Iterator<Item = KernelCost> + 't {
        let costs = self.calls.iter().zip(&table.costs).filter(|(calls, _)| **calls > 0);
        costs.filter_map(|(_, cost)| *cost)
    }
}

/// A set of kernels.
#[derive(Clone, Debug, Default)]
pub(super) struct KernelSet {
    seen: [u64; DENSE.div_ceil(64)],
}

impl KernelSet {
    /// Adds `key`; whether it was not there before.
    pub(super) fn insert(&mut self, key: KernelKey) -> bool {
        let index = dense_index(key);
        let bit = 1 << (index % 64);
        let new = self.seen[index / 64] & bit == 0;
        self.seen[index / 64] |= bit;
        new
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_kernel_has_a_number_of_its_own() {
        let keys = KernelKey::all();
        let numbers: BTreeSet<usize> = keys.iter().map(|key| dense_index(*key)).collect();
        assert_eq!(numbers.len(), keys.len());
        assert!(numbers.last().is_some_and(|last| *last < DENSE));
        let mut set = KernelSet::default();
        assert!(keys.iter().all(|key| set.insert(*key)));
        assert!(!keys.iter().any(|key| set.insert(*key)));
    }
}
