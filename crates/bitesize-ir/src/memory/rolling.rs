//! The timelines in which layers take turns: the chains that take the least without too many more instructions.

use super::rows::{InputRows, Rolled, Schedule};
use super::timeline::Timeline;

/// In the timelines that roll, layers alone where they see less than one part in so many of the least peak at 8 bits:
/// the less, the fewer instructions; the more, the less RAM where a policy has cut what is at that peak.
const SHARES: [usize; 2] = [1, 4];

/// Rolling chains may take so many times the instructions of layers computed at once.
const MOST_RISE: f64 = 1.03;

/// The part of the instructions that chains may take more by their estimate, at first: it may be too high.
const FIRST_ALLOWANCE: f64 = 0.04;

/// Where chains that keep it take too many, it is lowered by what they take too many, and by this at least.
const LESS: f64 = 0.002;

/// Prices of all of a network's instructions that are tried, in its layers at the peak.
const PRICES: [f64; 4] = [0.0, 1.0, 10.0, 100.0];

/// Which part of a network's instructions it takes that layers take turns.
pub(super) struct Rises<'a> {
    /// Of each node, how much more it takes in turns than at once, the moves of rows left out.
    pub(super) of_nodes: Vec<f64>,
    /// Of a byte of a row that moves.
    pub(super) moved_byte: f64,
    /// How many times the instructions of layers computed at once a timeline takes.
    pub(super) of_timeline: &'a dyn Fn(&Timeline) -> f64,
}

/// Schedules that roll, with the input as an image or, from the first chain on, pushed.
pub(super) struct Rolling {
    /// Those that keep the instructions; with each how far it looks, the less the simpler.
    pub(super) schedules: Vec<(usize, Schedule)>,
    /// The one that would take the least if instructions were not limited.
    pub(super) unlimited: Schedule,
}

/// Of the network that `rolled` partitions, its input coming as `input` says; `timeline` is that of a schedule.
pub(super) fn rolling(
    rolled: &Rolled,
    input: InputRows,
    rises: &Rises,
    timeline: impl Fn(Schedule) -> Timeline,
) -> Rolling {
    let rise = |schedule: &Schedule| (rises.of_timeline)(&timeline(schedule.clone()));
    let needs = rolled.needs(input);
    let mut found = Rolling { schedules: Vec::new(), unlimited: rolled.least_peak(&needs, f64::MAX).1 };
    let mut allowance = FIRST_ALLOWANCE;
    let peak = loop {
        let (peak, schedule) = rolled.least_peak(&needs, allowance);
        let excess = rise(&schedule) - MOST_RISE;
        if excess <= 0.0 {
            found.schedules.push((0, schedule));
            break peak;
        }
        allowance -= excess.max(LESS);
        if allowance < 0.0 {
            return found;
        }
    };
    for (number, share) in SHARES.into_iter().enumerate().skip(1) {
        let of_price = |price: f64| rolled.looking_further(&needs, peak, share, price * rises.of_nodes.len() as f64);
        let quick = PRICES.into_iter().map(of_price).find(|schedule| rise(schedule) <= MOST_RISE);
        found.schedules.extend(quick.map(|schedule| (number, schedule)));
    }
    found
}
