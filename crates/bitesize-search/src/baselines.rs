//! The policies that every search is compared with.

use crate::feasibility::Fitting;
use crate::problem::{Footprint, Problem};
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
    pub footprint: Footprint,
    /// Whether it keeps both budgets.
    pub fits: bool,
}

/// Uniform 8, 4 and 2 bits (weights and activations alike, or what is allowed instead), and the rule-based cut or, where that
/// gets stuck, the policy of `fitting`.
pub fn baselines(problem: &Problem, fitting: &Fitting) -> Vec<Baseline> {
    let uniform = |name, bits| (name, problem.uniform(bits));
    [
        uniform("uniform-8", BitWidth::B8),
        uniform("uniform-4", BitWidth::B4),
        uniform("uniform-2", BitWidth::B2),
        ("rules", cut_by_rules(problem).unwrap_or_else(|| fitting.policy().clone())),
    ]
    .map(|(name, policy)| {
        let footprint = problem.footprint(&policy);
        Baseline { name, policy, footprint, fits: problem.limits().hold(footprint) }
    })
    .into()
}
