//! Places buffers with lifetimes into one arena.
//!
//! A plan is made by putting the buffers down in some order, each at the lowest offset that no buffer placed before
//! and alive with it covers. Some order gives the smallest arena of all (that of the offsets in a best plan), so
//! planning is a search for an order:
//!
//! 1. largest buffer first (so that no plan is larger than this greedy one's);
//! 2. other fixed orders: born at even steps, then alive for one step, then born at odd steps (in a chain of layers
//!    inputs and outputs then take turns at the two ends, scratch between them, and the bound is always reached);
//!    longest lived first; most neighbours in time first; by step, the largest first; the same from the last step back (tensors that
//!    grow as others die lie a little below these, so the last is lowest); and outwards from the step at
//!    which the most bytes are alive;
//! 3. a depth-first search for a plan of exactly the lower bound, outwards from the peak, each buffer at the ends of
//!    the gaps that it fits ([`TRIALS`] positions at most);
//! 4. from the best order so far, [`ROUNDS`] changes: a buffer at the arena's top changes places with one that it
//!    meets, or one that that meets, and the change stays unless the arena grows.
//!
//! 5. where some may overlap, searches as in 3. for plans of sizes between, [`TRIALS_APART`] positions each.
//!
//! It ends as soon as the arena is the largest sum of buffers alive together, below which no plan can be. Nothing in
//! it depends on anything but the buffers.
//!
//! Two buffers alive together lie apart: one ends before the other begins. Where one grows as the other dies it may
//! do with less ([`Apart`]); what is said here of covering is then said of the places that are forbidden.
//!
//! A buffer is held against those that it meets in time only, which [`Intervals`] finds, so that an order takes time by
//! the pairs that meet and not by all pairs. Nothing more is tried after [`VISITS`] such pairs: where hundreds of
//! buffers are alive together, an order has as many pairs as a small network's whole planning; where thousands are, the first
//! order is the last.

use super::intervals::Intervals;
use super::word::word;
use std::cmp::Reverse;

/// Positions tried by the depth-first search. It finds nearly all plans that there are within a tenth of this.
const TRIALS: usize = 10_000;

/// The same where buffers may overlap, for each size of arena that is tried.
const TRIALS_APART: usize = 500;

/// Sizes of arena tried between the bound and the smallest plan so far, where buffers may overlap.
const HALVINGS: usize = 6;

/// Changes of order tried where all else does not reach the lower bound; a quarter of it where buffers may overlap.
const ROUNDS: usize = 200;

/// Pairs of buffers that meet looked at before no other order is tried: DenseNet-121, whose blocks keep up
/// to 60 buffers alive together, needs half of it for all its [`ROUNDS`].
const VISITS: usize = 8_000_000;

/// Buffers are crowded where more than one in so many pairs of them meet.
const CROWDED: usize = 8;

/// A buffer that must not overlap any other alive at the same step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Buffer {
    /// Its size; the planner keeps offsets multiples of 4 when all sizes are.
    pub bytes: usize,
    /// First step at which it is alive.
    pub first: usize,
    /// Last step at which it is alive, inclusive.
    pub last: usize,
}

/// Two buffers that may overlap: where the first lies below the second, it begins at least `bytes` before it. Where it lies
/// above, it begins behind its end, as always.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Apart {
    /// Number of the first.
    pub below: usize,
    /// Number of the second.
    pub above: usize,
    /// At most the bytes of the first.
    pub bytes: usize,
}

/// Where one buffer lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placement {
    /// Bytes from the start of the arena.
    pub offset: usize,
}

/// A placement of every buffer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Bytes of the arena.
    pub arena_bytes: usize,
    /// No plan can be smaller: the largest sum of buffers alive together, or a bound that was given.
    pub lower_bound: usize,
    /// One for each buffer, in their order.
    pub placements: Vec<Placement>,
    /// What planning took: buffers put down, and of each the others that it was held against, over all orders tried.
    pub visits: usize,
    /// Whether the limit of visits ended planning with the arena above the lower bound: a smaller arena may be found by trying more.
    pub cut_short: bool,
}

/// Places `buffers` so that none that are alive together overlap.
pub fn plan(buffers: &[Buffer]) -> Plan {
    let lower_bound = alive_most(buffers);
    plan_apart(buffers, &[], lower_bound)
}

/// Places `buffers` so that none that are alive together overlap more than `apart` lets them. No plan is smaller than
/// `lower_bound`.
pub(super) fn plan_apart(buffers: &[Buffer], apart: &[Apart], lower_bound: usize) -> Plan {
    let planner = Planner::of(buffers, apart);
    let (best, visits) = planner.best(lower_bound, lower_bound);
    let placements = best.offsets.into_iter().map(|offset| Placement { offset }).collect();
    let cut_short = visits > VISITS && best.arena > lower_bound;
    Plan { arena_bytes: best.arena, lower_bound, placements, visits, cut_short }
}

/// Whether the arena of [`plan_apart`] is at most `capacity`, mostly in less time; and the visits that it took.
pub(super) fn fits_within(buffers: &[Buffer], apart: &[Apart], lower_bound: usize, capacity: usize) -> (bool, usize) {
    let planner = Planner::of(buffers, apart);
    if lower_bound > capacity {
        return (false, 0);
    }
    let (best, visits) = planner.best(lower_bound, capacity);
    (best.arena <= capacity, visits)
}

/// The largest sum of buffers alive together.
fn alive_most(buffers: &[Buffer]) -> usize {
    let steps = buffers.iter().map(|b| b.last + 1).max().unwrap_or(0);
    alive_bytes(buffers, steps).into_iter().max().unwrap_or(0)
}

/// Bytes alive at each of `steps` steps; every buffer's last step is among them.
pub(super) fn alive_bytes(buffers: &[Buffer], steps: usize) -> Vec<usize> {
    let (mut born, mut dead) = (vec![0; steps], vec![0; steps + 1]);
    for buffer in buffers {
        born[buffer.first] += buffer.bytes;
        dead[buffer.last + 1] += buffer.bytes;
    }
    let mut alive = 0;
    born.iter()
        .zip(dead)
        .map(|(born, dead)| {
            alive = alive + born - dead;
            alive
        })
        .collect()
}

/// The orders tried first.
#[derive(Clone, Copy)]
enum Order {
    Largest,
    BothEnds,
    LongestLived,
    MostNeighbours,
    FirstUse,
    LastUse,
    FromThePeak,
}

impl Order {
    const ALL: [Self; 7] = [
        Self::Largest,
        Self::BothEnds,
        Self::LongestLived,
        Self::MostNeighbours,
        Self::FirstUse,
        Self::LastUse,
        Self::FromThePeak,
    ];

    /// The buffers' numbers in this order; the larger, then the first, where it leaves a choice.
    fn of(self, buffers: &[Buffer], index: &Intervals, alive: &[usize]) -> Vec<usize> {
        let peak = (0..alive.len()).max_by_key(|&step| (alive[step], Reverse(step))).unwrap_or(0);
        let key = |i: usize| {
            let buffer = &buffers[i];
            match self {
                Self::Largest => 0,
                Self::BothEnds if buffer.first == buffer.last => 1,
                Self::BothEnds => 2 * (buffer.first % 2),
                Self::LongestLived => usize::MAX - (buffer.last - buffer.first),
                Self::MostNeighbours => usize::MAX - index.count_meeting(buffer.first, buffer.last),
                Self::FirstUse => buffer.first,
                Self::LastUse => usize::MAX - buffer.last,
                Self::FromThePeak => buffer.first.saturating_sub(peak).max(peak.saturating_sub(buffer.last)),
            }
        };
        let mut order: Vec<usize> = (0..buffers.len()).collect();
        order.sort_by_cached_key(|&i| (key(i), Reverse(buffers[i].bytes), i));
        order
    }
}

/// Buffers put down in an order.
struct Placed {
    order: Vec<usize>,
    arena: usize,
    /// One for each buffer, in the buffers' own order.
    offsets: Vec<usize>,
}

/// Buffers, and which of them meet in time.
struct Planner<'a> {
    buffers: &'a [Buffer],
    /// For each buffer those of which it may overlap: their number, how many bytes it has to begin before one that lies above, and
    /// how many one that lies below has to begin before it.
    apart: Vec<Vec<(usize, usize, usize)>>,
    index: Intervals,
    /// Whether buffers meet so many others that looking at all is quicker than finding those.
    is_crowded: bool,
    /// Bytes alive at each step.
    alive: Vec<usize>,
}

impl<'a> Planner<'a> {
    fn of(buffers: &'a [Buffer], pairs: &[Apart]) -> Self {
        let index = Intervals::of(buffers.iter().map(|buffer| (buffer.first, buffer.last)));
        let alive = alive_bytes(buffers, buffers.iter().map(|b| b.last + 1).max().unwrap_or(0));
        let mut apart = vec![Vec::new(); buffers.len()];
        for &Apart { below, above, bytes } in pairs {
            apart[below].push((above, bytes, buffers[above].bytes));
            apart[above].push((below, buffers[above].bytes, bytes));
        }
        let pairs: usize = buffers.iter().map(|buffer| index.count_meeting(buffer.first, buffer.last)).sum();
        let is_crowded = pairs > buffers.len() * buffers.len() / CROWDED;
        Self { buffers, apart, index, is_crowded, alive }
    }

    /// How many bytes buffer `i` has to begin before buffer `j` where it lies below, and `j` before `i` where that does.
    fn distances(&self, i: usize, j: usize) -> (usize, usize) {
        let of_pair = self.apart[i].iter().find(|(other, _, _)| *other == j);
        of_pair.map_or((self.buffers[i].bytes, self.buffers[j].bytes), |(_, before, behind)| (*before, *behind))
    }

    /// The first offset that buffer `i` may not have for buffer `j` at `offset`, which is above where it may lie below,
    /// and the first behind that it may have.
    fn forbidden(&self, i: usize, j: usize, offset: usize) -> (isize, usize) {
        let (before, behind) = self.distances(i, j);
        (offset as isize - before as isize, offset + behind)
    }

    /// The best plan found, or the first whose arena is at most `enough`, which is at least `lower_bound`; and the visits.
    fn best(&self, lower_bound: usize, enough: usize) -> (Placed, usize) {
        let mut visits = 0;
        let mut best: Option<Placed> = None;
        for order in Order::ALL {
            let placed = self.in_order(self.order(order), &mut visits);
            if best.as_ref().is_none_or(|best| placed.arena < best.arena) {
                best = Some(placed);
            }
            if visits > VISITS || best.as_ref().is_some_and(|best| best.arena <= enough) {
                break;
            }
        }
        let mut best = best.expect("there is at least one order");
        if best.arena > enough && visits <= VISITS {
            let may_overlap = !self.apart.iter().all(Vec::is_empty);
            let trials = if may_overlap { TRIALS_APART } else { TRIALS };
            match self.pack(lower_bound, trials, &mut visits) {
                Some(offsets) => best = Placed { arena: lower_bound, offsets, ..best },
                None => {
                    let rounds = if may_overlap { ROUNDS / 4 } else { ROUNDS };
                    self.improve(&mut best, rounds, enough, &mut visits);
                    if may_overlap {
                        self.narrow(&mut best, (lower_bound, enough), &mut visits);
                    }
                }
            }
        }
        (best, visits)
    }

    /// Looks for plans between the bound and `best`, halving what lies between: where buffers may overlap the bound is often below
    /// all plans, and an order far above the least.
    fn narrow(&self, best: &mut Placed, (lower_bound, enough): (usize, usize), visits: &mut usize) {
        let mut below = lower_bound;
        for _ in 0..HALVINGS {
            let capacity = word(below + (best.arena - below) / 2);
            if best.arena <= enough || capacity >= best.arena || capacity <= below || *visits > VISITS {
                return;
            }
            match self.pack(capacity, TRIALS_APART, visits) {
                Some(offsets) => {
                    let end = |i: usize| offsets[i] + self.buffers[i].bytes;
                    best.arena = (0..offsets.len()).map(end).max().unwrap_or(0);
                    best.offsets = offsets;
                }
                None => below = capacity,
            }
        }
    }

    fn order(&self, order: Order) -> Vec<usize> {
        order.of(self.buffers, &self.index, &self.alive)
    }

    /// The buffers alive together with buffer `i`, and itself.
    fn meeting(&self, i: usize) -> impl Iterator<Item = usize> + '_ {
        self.index.meeting(self.buffers[i].first, self.buffers[i].last)
    }

    /// Places buffers in `order`, each at the lowest offset that no buffer placed before and alive with it covers.
    fn in_order(&self, order: Vec<usize>, visits: &mut usize) -> Placed {
        if self.is_crowded && self.apart.iter().all(Vec::is_empty) {
            return self.in_order_crowded(order, visits);
        }
        let mut offsets = vec![0; self.buffers.len()];
        let mut places = vec![usize::MAX; self.buffers.len()];
        // The last offset below, place in the order (of empty buffers at one offset the first goes before), the first above.
        let mut met: Vec<(isize, usize, usize)> = Vec::new();
        let mut arena = 0;
        for (place, &i) in order.iter().enumerate() {
            met.clear();
            let placed = self.meeting(i).filter(|&j| places[j] != usize::MAX);
            met.extend(placed.map(|j| {
                let (below, above) = self.forbidden(i, j, offsets[j]);
                (below, places[j], above)
            }));
            met.sort_unstable();
            *visits += 1 + met.len();
            let bytes = self.buffers[i].bytes;
            let mut offset = 0;
            for &(below, _, above) in &met {
                if offset as isize <= below {
                    break;
                }
                offset = offset.max(above);
            }
            (offsets[i], places[i]) = (offset, place);
            arena = arena.max(offset + bytes);
        }
        Placed { order, arena, offsets }
    }

    /// As [`Self::in_order`], with the buffers placed so far kept by their offsets.
    fn in_order_crowded(&self, order: Vec<usize>, visits: &mut usize) -> Placed {
        let mut offsets = vec![0; self.buffers.len()];
        // Offset and buffer, ascending; of those at one offset the first placed goes before.
        let mut placed: Vec<(usize, Buffer)> = Vec::with_capacity(order.len());
        let mut arena = 0;
        for &i in &order {
            let buffer = self.buffers[i];
            let (mut offset, mut is_found, mut met) = (0, false, 0);
            for &(start, other) in &placed {
                if other.first > buffer.last || buffer.first > other.last {
                    continue;
                }
                met += 1;
                is_found |= offset + buffer.bytes <= start;
                if !is_found {
                    offset = offset.max(start + other.bytes);
                }
            }
            *visits += 1 + met;
            offsets[i] = offset;
            placed.insert(placed.partition_point(|(start, _)| *start <= offset), (offset, buffer));
            arena = arena.max(offset + buffer.bytes);
        }
        Placed { order, arena, offsets }
    }

    /// Offsets at which every buffer lies below `capacity`, where a bounded search finds them.
    fn pack(&self, capacity: usize, mut trials: usize, visits: &mut usize) -> Option<Vec<usize>> {
        let order = self.order(Order::FromThePeak);
        let places = inverse(&order);
        let mut offsets = vec![0; self.buffers.len()];
        let mut levels = vec![self.candidates(order[0], &places, &offsets, capacity, visits)];
        while let Some(level) = levels.last_mut() {
            let Some(offset) = level.next() else {
                levels.pop();
                continue;
            };
            if trials == 0 || *visits > VISITS {
                return None;
            }
            trials -= 1;
            offsets[order[levels.len() - 1]] = offset;
            match order.get(levels.len()) {
                Some(&next) => levels.push(self.candidates(next, &places, &offsets, capacity, visits)),
                None => return Some(offsets),
            }
        }
        None
    }

    /// The lowest and highest offset of buffer `i` in every gap below `capacity` that those before it by `places` leave, from
    /// the lowest.
    fn candidates(
        &self,
        i: usize,
        places: &[usize],
        offsets: &[usize],
        capacity: usize,
        visits: &mut usize,
    ) -> std::vec::IntoIter<usize> {
        let before = self.meeting(i).filter(|&j| places[j] < places[i]);
        let mut taken: Vec<(isize, usize)> = before.map(|j| self.forbidden(i, j, offsets[j])).collect();
        taken.sort_unstable();
        *visits += 1 + taken.len();
        let bytes = self.buffers[i].bytes;
        let mut candidates = Vec::new();
        let mut gap = 0;
        let most = capacity as isize - bytes as isize;
        for (below, above) in taken.into_iter().chain([(most, capacity)]) {
            let below = below.min(most);
            if gap as isize <= below {
                candidates.extend([gap, below as usize]);
            }
            gap = gap.max(above);
        }
        candidates.dedup();
        candidates.into_iter()
    }

    /// Changes the order of `best`, a pair of buffers at a time, while the arena is above `enough`.
    fn improve(&self, best: &mut Placed, rounds: usize, enough: usize, visits: &mut usize) {
        let mut chance = Chance { state: 0 };
        let mut places = inverse(&best.order);
        for _ in 0..rounds {
            if *visits > VISITS {
                return;
            }
            let at_top = |i: &usize| best.offsets[*i] + self.buffers[*i].bytes == best.arena;
            let top: Vec<usize> = (0..self.buffers.len()).filter(at_top).collect();
            let raised = chance.pick(&top);
            let mut other = raised;
            // Every other time a neighbour's neighbour: what stands in the way may itself have been pushed up.
            for _ in 0..1 + chance.below(2) {
                let mut neighbours: Vec<usize> = self.meeting(other).filter(|j| *j != other).collect();
                neighbours.sort_unstable();
                if neighbours.is_empty() {
                    break;
                }
                other = chance.pick(&neighbours);
            }
            let mut order = best.order.clone();
            order.swap(places[raised], places[other]);
            let placed = self.in_order(order, visits);
            if placed.arena <= best.arena {
                *best = placed;
                places.swap(raised, other);
            }
            if best.arena <= enough {
                return;
            }
        }
    }
}

/// The place of each number in `order`.
fn inverse(order: &[usize]) -> Vec<usize> {
    let mut places = vec![0; order.len()];
    for (place, &i) in order.iter().enumerate() {
        places[i] = place;
    }
    places
}

/// SplitMix64 (Steele, Lea and Flood 2014), always from the same seed: a plan must not depend on a crate's version.
struct Chance {
    state: u64,
}

impl Chance {
    fn below(&mut self, bound: usize) -> usize {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.state ^ (self.state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) % bound as u64) as usize
    }

    /// One of `choices`, of which there is at least one.
    fn pick(&mut self, choices: &[usize]) -> usize {
        choices[self.below(choices.len())]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The arena of the greedy order by size.
    fn by_size(buffers: &[Buffer]) -> usize {
        let planner = Planner::of(buffers, &[]);
        planner.in_order(planner.order(Order::Largest), &mut 0).arena
    }

    fn check(buffers: &[Buffer]) -> Plan {
        let plan = plan(buffers);
        assert_eq!(plan, super::plan(buffers), "the same buffers give the same plan");
        let end = |i: usize| plan.placements[i].offset + buffers[i].bytes;
        for i in 0..buffers.len() {
            assert!(end(i) <= plan.arena_bytes, "{i} lies in the arena");
            for j in 0..i {
                let apart = end(i) <= plan.placements[j].offset || end(j) <= plan.placements[i].offset;
                let meet = buffers[i].first <= buffers[j].last && buffers[j].first <= buffers[i].last;
                assert!(apart || !meet, "{i} and {j} overlap");
            }
        }
        let alive = |step| buffers.iter().filter(|b| (b.first..=b.last).contains(&step)).map(|b| b.bytes).sum();
        let bound: usize = (0..64).map(alive).max().expect("steps");
        let greedy = by_size(buffers);
        assert_eq!(plan.lower_bound, bound);
        assert!(bound <= plan.arena_bytes && plan.arena_bytes <= greedy, "{bound} {} {greedy}", plan.arena_bytes);
        assert!(!plan.cut_short, "{} visits", plan.visits);
        assert!(fits_within(buffers, &[], plan.lower_bound, plan.arena_bytes).0);
        assert!(plan.arena_bytes == 0 || !fits_within(buffers, &[], plan.lower_bound, plan.arena_bytes - 1).0);
        if buffers.iter().all(|b| b.bytes % 4 == 0) {
            assert!(plan.placements.iter().all(|p| p.offset % 4 == 0));
        }
        plan
    }

    /// `(bytes, first, last)` of each buffer, the arena, and that of the greedy order by size.
    #[test]
    fn plans() {
        type Case<'a> = (&'a str, &'a [(usize, usize, usize)], usize, usize);
        let cases: &[Case] = &[
            ("none", &[], 0, 0),
            ("one", &[(12, 0, 3)], 12, 12),
            ("a chain takes turns", &[(8, 0, 1), (8, 1, 2), (8, 2, 3), (8, 3, 4)], 16, 16),
            ("empty buffers take no room", &[(0, 0, 4), (8, 1, 2), (0, 2, 2)], 8, 8),
            ("nothing lies idle", &[(8, 0, 0), (12, 1, 1), (4, 0, 1), (12, 2, 2), (8, 1, 2)], 24, 24),
            (
                "greedy by size fails",
                &[(40, 0, 1), (32, 3, 4), (28, 1, 2), (24, 2, 3), (20, 2, 2), (12, 4, 5), (8, 0, 5)],
                80,
                100,
            ),
        ];
        for (name, buffers, arena, greedy) in cases {
            let buffers: Vec<Buffer> =
                buffers.iter().map(|&(bytes, first, last)| Buffer { bytes, first, last }).collect();
            assert_eq!(check(&buffers).arena_bytes, *arena, "{name}");
            assert_eq!(by_size(&buffers), *greedy, "{name}, by size");
        }
    }

    /// The smallest arena over all orders.
    fn best_of_all_orders(buffers: &[Buffer]) -> usize {
        fn extend(buffers: &[Buffer], order: &mut Vec<usize>, best: &mut usize) {
            if order.len() == buffers.len() {
                *best = (*best).min(Planner::of(buffers, &[]).in_order(order.clone(), &mut 0).arena);
            }
            for i in 0..buffers.len() {
                if !order.contains(&i) {
                    order.push(i);
                    extend(buffers, order, best);
                    order.pop();
                }
            }
        }
        let mut best = usize::MAX;
        extend(buffers, &mut Vec::new(), &mut best);
        best
    }

    /// Offsets of buffers put down in `order`, each held against all before it.
    fn held_against_all(buffers: &[Buffer], order: &[usize]) -> Vec<usize> {
        let mut offsets = vec![0; buffers.len()];
        let mut placed: Vec<usize> = Vec::new();
        for &i in order {
            let mut offset = 0;
            for &other in &placed {
                let meet = buffers[i].first <= buffers[other].last && buffers[other].first <= buffers[i].last;
                if meet && offset + buffers[i].bytes <= offsets[other] {
                    break;
                }
                if meet {
                    offset = offset.max(offsets[other] + buffers[other].bytes);
                }
            }
            offsets[i] = offset;
            placed.insert(placed.partition_point(|&p| offsets[p] <= offset), i);
        }
        offsets
    }

    fn buffers(count: std::ops::Range<usize>) -> impl Strategy<Value = Vec<Buffer>> {
        let buffer = (0..40usize, 0..12usize, 0..6usize).prop_map(|(words, first, length)| Buffer {
            bytes: 4 * words,
            first,
            last: first + length,
        });
        prop::collection::vec(buffer, count)
    }

    /// Half of them alive to the end, no two of one size: each order holds every buffer against half of all others.
    #[test]
    fn crowded_arenas_take_one_order() {
        let count = 8000;
        let buffer = |i: usize| {
            let last = if i.is_multiple_of(2) { count } else { i + 1 };
            Buffer { bytes: 4 * (1 + (i * 7919) % count), first: i, last }
        };
        let buffers: Vec<Buffer> = (0..count).map(buffer).collect();
        let found = plan(&buffers);
        assert!(found.visits > VISITS && found.visits <= count * count / 2, "{}", found.visits);
        assert!(found.arena_bytes > found.lower_bound && found.cut_short);
    }

    proptest! {
        #[test]
        fn plans_keep_buffers_apart_between_the_bounds(buffers in buffers(0..40)) {
            check(&buffers);
            let planner = Planner::of(&buffers, &[]);
            for order in Order::ALL {
                let placed = planner.in_order(planner.order(order), &mut 0);
                prop_assert_eq!(&placed.offsets, &held_against_all(&buffers, &placed.order));
                // Both ways, whichever is taken.
                let (mut sparse, mut crowded) = (0, 0);
                let one = Planner { is_crowded: false, ..Planner::of(&buffers, &[]) }.in_order(placed.order.clone(), &mut sparse);
                let other = planner.in_order_crowded(placed.order.clone(), &mut crowded);
                prop_assert_eq!((one.offsets, sparse), (other.offsets, crowded));
            }
        }

        #[test]
        fn few_buffers_lie_as_well_as_in_any_order(buffers in buffers(1..7)) {
            prop_assert_eq!(check(&buffers).arena_bytes, best_of_all_orders(&buffers));
        }
    }
}
