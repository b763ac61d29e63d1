//! Whether a run's layers take turns, where the user leaves it open.

use super::platform::Platform;
use crate::input::Model;
use crate::observe::Monitor;
use bitesize_ir::memory::Scheduling;
use bitesize_ir::{BitWidth, Policy};
use bitesize_search::problem::Problem;
use bitesize_search::{Constraints, Fitting};

/// `platform` with rolling chains where they are worth the FLASH that they take, otherwise layer by layer in place.
///
/// Where the widths `policy` are given, there are chains unless those fit in place only. Where it is `None`: there are where uniform 8
/// bits fits with them; there are none where it fits in place only, or where the RAM that it takes in place keeps the budget,
/// so that only FLASH is short; else there are, unless some widths that `constraints` leave fit in place and none with chains.
/// A network without chains is left as it is, and so is a platform on which there are to be none.
///
/// # Errors
/// Constraints that do not suit the network or the core; [`Interrupted`](crate::observe::Interrupted).
pub fn settled_schedule(
    platform: Platform,
    model: &Model,
    constraints: &Constraints,
    policy: Option<&Policy>,
    monitor: &Monitor,
) -> anyhow::Result<Platform> {
    let rolling =
        Problem::new(&model.network, &model.space, &platform.core, platform.budget()).constrained(constraints)?;
    if !rolling.model().has_chains() {
        return Ok(platform);
    }
    let input = platform.name.input;
    let in_place = rolling.on(&platform.core.with_schedule(Scheduling::InPlace, input), platform.budget());
    let widest = rolling.uniform(BitWidth::B8);
    let some_fit = |problem: &Problem| monitor.ask(|effort| Fitting::of(problem, effort)).map(|found| found.is_some());
    let why = match policy {
        Some(policy) if rolling.fits(policy) || !in_place.fits(policy) => return Ok(platform),
        Some(_) => "the widths fit without rolling chains only",
        None if rolling.fits(&widest) => return Ok(platform),
        None if in_place.fits(&widest) => "8 bits fit without rolling chains only",
        None if in_place.ram_fits(&widest) => {
            "8 bits keep the RAM without rolling chains, whose FLASH wider numbers get"
        }
        None if some_fit(&rolling)? || !some_fit(&in_place)? => return Ok(platform),
        None => "no widths were found that fit with rolling chains",
    };
    let more = rolling.footprint(policy.unwrap_or(&widest)).flash_bytes
        - in_place.footprint(policy.unwrap_or(&widest)).flash_bytes;
    monitor
        .note(format_args!("layers are computed one after the other, in place: {why} (chains take {more} B of FLASH)"));
    Ok(platform.with_schedule(Scheduling::InPlace, input))
}
