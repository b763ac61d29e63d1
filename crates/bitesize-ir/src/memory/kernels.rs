//! Which kernels a network calls at given widths, and what they cost on a core.

use super::Widths;
use crate::grid::BitWidth;
use crate::network::Node;
use crate::op::KernelKind;
use crate::target::{CoreCosts, KernelCost, KernelKey};

/// The kernels that `node` calls, in the order of its inputs (a concatenation calls one for each input, every other
/// operator one in all).
pub fn kernel_keys(node: &Node, index: usize, widths: &Widths) -> Vec<KernelKey> {
    let mut keys = Vec::new();
    visit_kernel_keys(node, index, widths, |key| keys.push(key));
    keys
}

/// [`kernel_keys`] without a list: the search counts kernels for thousands of policies.
pub(super) fn visit_kernel_keys(node: &Node, index: usize, widths: &Widths, mut visit: impl FnMut(KernelKey)) {
    let Some(kind) = node.op.kernel_kind() else { return };
    let bits = |i: usize| widths.tensors[node.inputs[i].0];
    let output = widths.tensors[node.output.0];
    match kind {
        KernelKind::Concat => {
            for i in 0..node.inputs.len() {
                visit(KernelKey { kind, input: bits(i), second: None, output });
            }
        }
        KernelKind::Add => visit(KernelKey { kind, input: bits(0), second: Some(bits(1)), output }),
        KernelKind::Conv2d | KernelKind::DepthwiseConv2d | KernelKind::FullyConnected => {
            visit(KernelKey { kind, input: bits(0), second: widths.weights[index], output });
        }
        KernelKind::MaxPool | KernelKind::AveragePool | KernelKind::Clamp | KernelKind::Pad => {
            visit(KernelKey { kind, input: bits(0), second: None, output });
        }
    }
}

/// Number of values that [`dense_index`] can take: kinds x input x (none or second) x output.
const DENSE: usize = KernelKind::ALL.len() * 3 * 4 * 3;

fn dense_index(key: KernelKey) -> usize {
    let width = |bits: BitWidth| bits as usize;
    let second = key.second.map_or(0, |bits| width(bits) + 1);
    ((key.kind as usize * 3 + width(key.input)) * 4 + second) * 3 + width(key.output)
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
