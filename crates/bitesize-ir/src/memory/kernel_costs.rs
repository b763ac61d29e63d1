//! Which code a network calls at given widths, and what it costs on a core.

use super::widths::Widths;
use crate::code::{Code, Implementation, KernelKey, Stage, StageKind};
use crate::network::Node;
use crate::op::KernelKind;
use crate::target::{CoreCosts, KernelCost};

/// The code that `node`, computed as `implementation` says, calls, as [`Code::of_calls`] says.
pub(super) fn node_code(
    node: &Node,
    index: usize,
    widths: &Widths,
    implementation: Implementation,
) -> impl Iterator<Item = Code> {
    let calls = move |kind| {
        let inputs = node.inputs.iter().map(|input| widths.tensors[input.0]);
        Code::of_calls(implementation, kind, inputs, widths.weights[index], widths.tensors[node.output.0])
    };
    node.op.kernel_kind().map(calls).into_iter().flatten()
}

/// Kernels: kinds x input x (none or second) x output.
const KERNELS: usize = KernelKind::ALL.len() * 3 * 4 * 3;

/// Number of values that [`dense_index`] can take: kernels, then stage kinds x (none or a width).
const DENSE: usize = KERNELS + StageKind::ALL.len() * 4;

fn dense_index(code: Code) -> usize {
    let or_none = |bits: Option<crate::BitWidth>| bits.map_or(0, |bits| bits.index() + 1);
    match code {
        Code::Kernel(KernelKey { kind, input, second, output }) => {
            ((kind as usize * 3 + input.index()) * 4 + or_none(second)) * 3 + output.index()
        }
        Code::Stage(Stage { kind, bits }) => KERNELS + kind as usize * 4 + or_none(bits),
    }
}

/// Every piece of code that a network can ask for.
fn all() -> impl Iterator<Item = Code> {
    KernelKey::all().into_iter().map(Code::Kernel).chain(Stage::all().into_iter().map(Code::Stage))
}

/// A core's costs of code by number instead of by name.
#[derive(Clone, Debug)]
pub(super) struct KernelTable {
    costs: Vec<Option<KernelCost>>,
}

impl KernelTable {
    pub(super) fn of(core: &CoreCosts) -> Self {
        let mut costs = vec![None; DENSE];
        for code in all() {
            costs[dense_index(code)] = core.code(code);
        }
        Self { costs }
    }

    /// What `code` costs. [`CoreCosts::from_toml`] has checked that all is there which layers of the core call.
    pub(super) fn cost(&self, code: Code) -> KernelCost {
        self.costs[dense_index(code)].unwrap_or_else(|| panic!("the core file has no `{}`", code.name()))
    }
}

/// How often each piece of code is called.
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
    /// One call of `code` more or, where `counted` is false, one less.
    pub(super) fn call(&mut self, code: Code, counted: bool) {
        let calls = &mut self.calls[dense_index(code)];
        *calls = if counted { *calls + 1 } else { *calls - 1 };
    }

    /// Bytes of all that is called.
    pub(super) fn code_bytes(&self, table: &KernelTable) -> u64 {
        self.called(table).map(|cost| cost.code_bytes).sum()
    }

    /// Stack of what needs the most; 0 where nothing is called.
    pub(super) fn deepest_stack(&self, table: &KernelTable) -> u64 {
        self.called(table).map(|cost| cost.stack_bytes).max().unwrap_or(0)
    }

    fn called<'t>(&'t self, table: &'t KernelTable) -> impl Iterator<Item = KernelCost> + 't {
        let costs = self.calls.iter().zip(&table.costs).filter(|(calls, _)| **calls > 0);
        costs.filter_map(|(_, cost)| *cost)
    }
}

/// A set of pieces of code.
#[derive(Clone, Debug, Default)]
pub(super) struct KernelSet {
    seen: [u64; DENSE.div_ceil(64)],
}

impl KernelSet {
    /// Adds `code`; whether it was not there before.
    pub(super) fn insert(&mut self, code: Code) -> bool {
        let index = dense_index(code);
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
    fn every_piece_of_code_has_a_number_of_its_own() {
        let codes: Vec<Code> = all().collect();
        let numbers: BTreeSet<usize> = codes.iter().map(|code| dense_index(*code)).collect();
        assert_eq!(numbers.len(), codes.len());
        assert!(numbers.last().is_some_and(|last| *last < DENSE));
        let mut set = KernelSet::default();
        assert!(codes.iter().all(|code| set.insert(*code)));
        assert!(!codes.iter().any(|code| set.insert(*code)));
    }
}
