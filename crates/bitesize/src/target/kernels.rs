//! Which kernels a run is computed by, where the user leaves it open.

use super::platform::{Kernels, Platform};
use super::ways;
use crate::input::Model;
use crate::observe::{Interrupted, Monitor};
use bitesize_ir::target::Budget;
use bitesize_ir::{BitWidth, Policy};
use bitesize_search::problem::Problem;
use bitesize_search::{Constraints, Fitting};

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
/// What fits in one of the schedules that `platform` leaves fits.
///
/// # Errors
/// Constraints or widths that do not suit the network or the core; [`Interrupted`].
pub fn settled_kernels(
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
    let in_ways = |core| -> Vec<Problem> {
        let ways = ways::problems(&problem, ways::schedules(core), platform.budget());
        ways.into_iter().map(|(_, problem)| problem).collect()
    };
    let (fast, small) = (in_ways(&platform.core), in_ways(&platform.core.with_rows(false)));
    let fits = |ways: &[Problem], policy: &Policy| ways.iter().any(|problem| problem.fits(policy));
    if let Some(policy) = policy {
        if fits(&fast, policy) || !fits(&small, policy) {
            return Ok(platform);
        }
        monitor.note("the widths fit with the small kernels only: the package has those (--kernels says otherwise)");
        return platform.with_kernels(Kernels::Small);
    }
    let widest = problem.uniform(BitWidth::B8);
    if fits(&fast, &widest) {
        return Ok(platform);
    }
    let [fast_bytes, small_bytes] = [&fast[0], &small[0]].map(|problem| problem.footprint(&widest));
    let is_little = |limit: Option<u64>, fast: u64, small: u64| {
        limit.is_none_or(|limit| fast.saturating_sub(small).saturating_mul(SHARE) <= limit)
    };
    let Budget { flash_bytes, ram_bytes } = platform.budget();
    let costs_little = is_little(flash_bytes, fast_bytes.flash_bytes, small_bytes.flash_bytes)
        && is_little(ram_bytes, fast_bytes.ram_bytes, small_bytes.ram_bytes);
    if costs_little && !fits(&small, &widest) && some_fit(&fast, monitor)? {
        return Ok(platform);
    }
    // Small kernels take several times the instructions.
    if constraints.instructions.is_some() && !some_fit(&small, monitor)? {
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

/// Whether some policy fits in one of `ways`.
fn some_fit(ways: &[Problem], monitor: &Monitor) -> Result<bool, Interrupted> {
    for problem in ways {
        if monitor.ask(|effort| Fitting::of(problem, effort))?.is_some() {
            return Ok(true);
        }
    }
    Ok(false)
}
