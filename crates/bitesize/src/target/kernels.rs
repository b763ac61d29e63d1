//! Which kernels a run is computed by, where the user leaves it open.

use super::platform::{Kernels, Platform};
use crate::input::Model;
use crate::observe::Monitor;
use bitesize_ir::Policy;
use bitesize_ir::target::CoreCosts;
use bitesize_search::problem::Problem;
use bitesize_search::{Constraints, Fitting};

/// `core` with each choice of kernels that it leaves, the fast ones first.
pub(super) fn ways(core: &CoreCosts) -> impl Iterator<Item = CoreCosts> {
    let small = core.has_rows().then(|| core.with_rows(false));
    std::iter::once(core.clone()).chain(small)
}

/// `platform` with the fast kernels where the widths `policy` keep its budget with them, or where it is `None` some of those that
/// `constraints` leave do; otherwise with the small ones, which need the least.
///
/// # Errors
/// Constraints or widths that do not suit the network; [`Interrupted`](crate::observe::Interrupted).
pub fn settled(
    platform: Platform,
    model: &Model,
    constraints: &Constraints,
    policy: Option<&Policy>,
    monitor: &Monitor,
) -> anyhow::Result<Platform> {
    if !platform.core.has_rows() {
        return Ok(platform);
    }
    let problem = Problem::new(&model.network, &model.space, &platform.core, platform.budget());
    let problem = problem.constrained(constraints)?;
    let fits = match policy {
        Some(policy) => problem.fits(policy),
        None => monitor.ask(|effort| Fitting::of(&problem, effort))?.is_some(),
    };
    if fits {
        return Ok(platform);
    }
    monitor.note("no widths fit with the fast kernels: the run takes the small ones (--kernels says otherwise)");
    platform.with_kernels(Kernels::Small)
}
