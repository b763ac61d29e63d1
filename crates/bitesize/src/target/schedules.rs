//! Whether a run's layers take turns, where the user leaves it open.

use super::platform::Platform;
use crate::input::Model;
use crate::observe::Monitor;
use bitesize_ir::memory::Scheduling;
use bitesize_ir::target::holds;
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
        Some(_) => "the widths fit without them only",
        None if rolling.fits(&widest) => return Ok(platform),
        None if in_place.fits(&widest) => "8 bits fit without them only",
        None if in_place.ram_fits(&widest) => "8 bits keep the RAM without them, whose FLASH wider numbers get",
        None if some_fit(&rolling)? || !some_fit(&in_place)? => return Ok(platform),
        None => "no widths were found that fit with them",
    };
    let more = what_chains_take(&rolling, &in_place, policy.unwrap_or(&widest));
    monitor.note(format_args!(
        "layers are computed one after the other, without rolling chains: {why} (chains take {more} more)"
    ));
    Ok(platform.with_schedule(Scheduling::InPlace, input))
}

/// What of the limits `policy` passes by more `rolling` than `in_place`: that is why it is left out; where it passes none, FLASH.
fn what_chains_take(rolling: &Problem, in_place: &Problem, policy: &Policy) -> String {
    let limits = rolling.limits();
    let [with, without] = [rolling, in_place].map(|problem| problem.footprint(policy));
    let mut more = Vec::new();
    let mut tell = |taken: u64, other: u64, limit: Option<u64>, is_flash: bool, unit: &str| {
        if taken > other && (is_flash || !holds(limit, taken)) {
            more.push((is_flash && holds(limit, taken), format!("{} {unit}", taken - other)));
        }
    };
    tell(with.flash_bytes, without.flash_bytes, limits.budget.flash_bytes, true, "B of FLASH");
    tell(with.ram_bytes, without.ram_bytes, limits.budget.ram_bytes, false, "B of RAM");
    tell(with.instructions, without.instructions, limits.instructions, false, "instructions");
    // FLASH that is there is no reason where something else is.
    let has_reason = more.iter().any(|(is_there, _)| !is_there);
    let told = more.into_iter().filter(|(is_there, _)| !(has_reason && *is_there)).map(|(_, text)| text);
    told.collect::<Vec<String>>().join(" and ")
}
