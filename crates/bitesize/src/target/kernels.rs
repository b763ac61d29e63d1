//! Which kernels a run is computed by, where the user leaves it open.

use super::platform::{Kernels, Platform};
use crate::input::Model;
use crate::observe::Monitor;
use bitesize_ir::target::{Budget, CoreCosts, Target};
use bitesize_ir::{BitWidth, Policy};
use bitesize_search::problem::Problem;
use bitesize_search::{Constraints, Fitting};
use bitesize_verify::boards;

/// `core` with each choice of kernels that it leaves, the fast ones first.
fn ways(core: &CoreCosts) -> impl Iterator<Item = CoreCosts> {
    let small = core.has_rows().then(|| core.with_rows(false));
    std::iter::once(core.clone()).chain(small)
}

/// `problem` on `target`, with each choice of kernels that there is; none where the core is not known, or where instructions are
/// limited and none were measured on it.
pub(super) fn problems_on<'p>(problem: &Problem<'p>, target: &Target) -> Vec<Problem<'p>> {
    let cores = boards::core(&target.core).into_iter().flat_map(|core| ways(&core).collect::<Vec<_>>());
    let on = cores.map(|core| problem.on(&core, target.budget()));
    on.filter(|on| problem.limits().instructions.is_none() || on.counts_instructions()).collect()
}

/// The fast kernels may take one part in so many of either budget more than the small ones where widths have to give way for
/// it. Measured on the networks and budgets of docs/results.md: where it is less, what is delivered is within 0.1 points of accuracy
/// of what the small kernels leave room for, or above; where it is more (7 to 8 %), up to 2 points below.
const SHARE: u64 = 16;

/// `platform` with the fast kernels where they cost no accuracy to speak of, otherwise with the small ones, which leave more room
/// for wider numbers.
///
/// The fast ones are taken where the widths `policy` fit with them. Where it is `None`: where uniform 8 bits fits with them; and
/// where it fits with neither, if some widths that `constraints` leave fit with them and what they take more than the small ones
/// at 8 bits is at most 1/16 of each budget. Where instructions are limited, also where no such widths fit with the small ones.
///
/// # Errors
/// Constraints or widths that do not suit the network or the core; [`Interrupted`](crate::observe::Interrupted).
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
    let problem =
        Problem::new(&model.network, &model.space, &platform.core, platform.budget()).constrained(constraints)?;
    let small = problem.on(&platform.core.with_rows(false), platform.budget());
    if let Some(policy) = policy {
        if problem.fits(policy) || !small.fits(policy) {
            return Ok(platform);
        }
        monitor.note("the widths fit with the small kernels only: the package has those (--kernels says otherwise)");
        return platform.with_kernels(Kernels::Small);
    }
    let widest = problem.uniform(BitWidth::B8);
    if problem.fits(&widest) {
        return Ok(platform);
    }
    let [fast_bytes, small_bytes] = [&problem, &small].map(|problem| problem.footprint(&widest));
    let is_little = |limit: Option<u64>, fast: u64, small: u64| {
        limit.is_none_or(|limit| fast.saturating_sub(small).saturating_mul(SHARE) <= limit)
    };
    let Budget { flash_bytes, ram_bytes } = platform.budget();
    let costs_little = is_little(flash_bytes, fast_bytes.flash_bytes, small_bytes.flash_bytes)
        && is_little(ram_bytes, fast_bytes.ram_bytes, small_bytes.ram_bytes);
    let some_fit = |problem: &Problem| monitor.ask(|effort| Fitting::of(problem, effort)).map(|found| found.is_some());
    if costs_little && !small.fits(&widest) && some_fit(&problem)? {
        return Ok(platform);
    }
    // Small kernels take several times the instructions.
    if constraints.instructions.is_some() && !some_fit(&small)? {
        return Ok(platform);
    }
    monitor.note(format_args!(
        "the run takes the small kernels: the fast ones take {} B more of FLASH and {} B more of RAM at 8 bits, which wider \
         numbers get (--kernels fast says otherwise)",
        fast_bytes.flash_bytes.saturating_sub(small_bytes.flash_bytes),
        fast_bytes.ram_bytes.saturating_sub(small_bytes.ram_bytes)
    ));
    platform.with_kernels(Kernels::Small)
}
