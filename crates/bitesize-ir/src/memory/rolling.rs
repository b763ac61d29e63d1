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

/// Timelines that roll.
pub(super) struct Rolling {
    /// Those that keep the instructions, the less they look further the earlier.
    pub(super) timelines: Vec<Timeline>,
    /// Those that would take the least if instructions were not limited.
    pub(super) unlimited: Vec<Timeline>,
}

/// Of the network that `rolled` partitions, its input coming as `input` says; `timeline` is that of a schedule.
pub(super) fn rolling(
    rolled: &Rolled,
    input: InputRows,
    rises: &Rises,
    timeline: impl Fn(Schedule) -> Timeline,
) -> Rolling {
    // All of a pushed input may as well be kept, and roll as an image does.
    let ways: &[InputRows] = match input {
        InputRows::Image => &[InputRows::Image],
        InputRows::Pushed => &[InputRows::Image, InputRows::Pushed],
    };
    let timeline = |mut schedule: Schedule| {
        schedule.take_input(input);
        timeline(schedule)
    };
    let is_quick = |timeline: &Timeline| (rises.of_timeline)(timeline) <= MOST_RISE;
    let mut found: Vec<(usize, Timeline)> = Vec::new();
    let mut unlimited = Vec::new();
    for way in ways {
        let needs = rolled.needs(*way);
        unlimited.push(timeline(rolled.least_peak(&needs, f64::MAX).1));
        let mut allowance = FIRST_ALLOWANCE;
        let least = loop {
            let (peak, schedule) = rolled.least_peak(&needs, allowance);
            let own = timeline(schedule);
            let excess = (rises.of_timeline)(&own) - MOST_RISE;
            if excess <= 0.0 {
                break Some((peak, own));
            }
            allowance -= excess.max(LESS);
            if allowance < 0.0 {
                break None;
            }
        };
        let Some((peak, least)) = least else { continue };
        found.push((0, least));
        for (number, share) in SHARES.into_iter().enumerate().skip(1) {
            let of_price =
                |price: f64| timeline(rolled.looking_further(&needs, peak, share, price * rises.of_nodes.len() as f64));
            found.extend(PRICES.into_iter().map(of_price).find(is_quick).map(|own| (number, own)));
        }
    }
    // The less a schedule looks further, the simpler it is.
    found.sort_by_key(|(number, _)| *number);
    Rolling { timelines: found.into_iter().map(|(_, timeline)| timeline).collect(), unlimited }
}
