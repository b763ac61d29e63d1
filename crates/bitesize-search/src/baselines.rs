//! The policies that every search is compared with.

use crate::feasibility::fitting_policy;
use crate::problem::{Memory, Problem};
use crate::rules::cut_by_rules;
use bitesize_ir::{BitWidth, Policy};

/// A policy that needs no search.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Baseline {
    /// `uniform-8`, `uniform-4`, `uniform-2` or `rules`.
    pub name: &'static str,
    /// The widths.
    pub policy: Policy,
    /// Its bytes.
    pub memory: Memory,
    /// Whether it keeps both budgets.
    pub fits: bool,
}

/// Uniform 8, 4 and 2 bits (weights and activations alike, or what is allowed instead), and what [`by_rules`] gives where it gives something.
pub fn baselines(problem: &Problem) -> Vec<Baseline> {
    let uniform = |name, bits| (name, Some(problem.uniform(bits)));
    [
        uniform("uniform-8", BitWidth::B8),
        uniform("uniform-4", BitWidth::B4),
        uniform("uniform-2", BitWidth::B2),
        ("rules", by_rules(problem)),
    ]
    .into_iter()
    .filter_map(|(name, policy)| policy.map(|policy| (name, policy)))
    .map(|(name, policy)| {
        let memory = problem.memory(&policy);
        Baseline { name, policy, memory, fits: problem.limits().hold(memory) }
    })
    .collect()
}

/// The rule-based cut or, where that gets stuck, the policy that [`fitting_policy`] finds; `None` where neither keeps every
/// limit.
pub fn by_rules(problem: &Problem) -> Option<Policy> {
    cut_by_rules(problem).or_else(|| fitting_policy(problem))
}
