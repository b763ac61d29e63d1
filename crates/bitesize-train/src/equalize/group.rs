//! The factors of one group of tensors.

use super::readers::{Reader, Weights};
use super::seen::Seen;
use super::spread::{Part, Points, Spread};
use super::ties::Ties;
use crate::equalization::{PER_OCTAVE, of_place};
use bitesize_ir::op::Clamp;
use bitesize_ir::{ActivationQuant, BitWidth, Network, TensorId};

/// What is known of a network when factors are chosen.
pub(super) struct Known<'a> {
    pub(super) network: &'a Network,
    pub(super) ties: &'a Ties,
    pub(super) seen: &'a [Seen],
    pub(super) spreads: &'a [Option<Spread>],
    pub(super) weights: &'a Weights,
    /// For each class the sum of the shares that readers have in its channels ...
    pub(super) importance: &'a [f64],
    /// ... and of those whose rounding depends on it.
    pub(super) dense: &'a [f64],
}

/// One group.
pub(super) struct Group<'a> {
    known: &'a Known<'a>,
    /// Those whose encodings are looked for, by tensor id.
    tensors: Vec<TensorId>,
    classes: Vec<Class>,
    /// For each tensor, for each slot, the place of its class in [`Self::classes`].
    places: Vec<Vec<Option<usize>>>,
    /// For each tensor, for each slot, how much an error counts.
    importance: Vec<Vec<f64>>,
    pub(super) readers: Vec<&'a Reader>,
}

/// Channels of one factor.
#[derive(Clone, Debug)]
struct Class {
    id: usize,
    /// The largest magnitude, 0 where all values are 0.
    reach: f64,
    /// The least factor that no clamp notices, 0 where there is none. Where it is 1 or more, the factor is 1.
    least: f64,
    /// The root of what dense readers make of a unit, squared; 0 where there is none.
    weight: f64,
    /// Tensor (by place) and slot.
    slots: Vec<(usize, usize)>,
}

impl Class {
    fn stays(&self) -> bool {
        self.least >= 1.0 || self.reach <= 0.0
    }
}

/// Rounds in which encodings and factors are fitted to one another.
const ROUNDS: usize = 2;

/// Ranges tried for each bound.
const SHARES: usize = 24;

/// Factors tried for each class, as shares of the one with which nothing is cut off.
const FACTORS: usize = 32;

impl<'a> Group<'a> {
    /// Of `tensors`, which are tied, `read` says which have an encoding that counts.
    pub(super) fn of(known: &'a Known<'a>, tensors: &[TensorId], read: &[bool]) -> Self {
        let Known { network, ties, seen, .. } = *known;
        let mut ids: Vec<usize> = tensors.iter().flat_map(|t| ties.class[t.0].iter().flatten().copied()).collect();
        ids.sort_unstable();
        ids.dedup();
        let place_of = |class: usize| ids.binary_search(&class).expect("the class is one of the group's");
        let mut classes: Vec<Class> = ids
            .iter()
            .map(|id| Class { id: *id, reach: 0.0, least: 0.0, weight: known.dense[*id].sqrt(), slots: Vec::new() })
            .collect();
        for t in tensors {
            let clamp = network.producer(*t).map_or(Clamp::NONE, |node| network.node(node).op.clamp());
            for (c, class) in ties.class[t.0].iter().enumerate() {
                let Some(class) = class else { continue };
                let class = &mut classes[place_of(*class)];
                class.reach = class.reach.max(seen[t.0].reach(c));
                class.least = class.least.max(least_factor(clamp, &seen[t.0], c));
            }
        }
        let tensors: Vec<TensorId> = tensors.iter().copied().filter(|t| read[t.0]).collect();
        let mut places = Vec::with_capacity(tensors.len());
        let mut importance = Vec::with_capacity(tensors.len());
        for (at, t) in tensors.iter().enumerate() {
            let spread = known.spreads[t.0].as_ref().expect("the tensors that are read have spreads");
            let of_slot = |slot: &super::spread::Slot| slot.class.map(place_of);
            let of_tensor: Vec<Option<usize>> = spread.slots.iter().map(of_slot).collect();
            for (slot, place) in of_tensor.iter().enumerate() {
                if let Some(place) = place {
                    classes[*place].slots.push((at, slot));
                }
            }
            let counts = |slot: &super::spread::Slot| match slot.class {
                Some(class) => known.importance[class],
                None => slot.channels.iter().map(|c| known.weights.shares[t.0][*c]).sum(),
            };
            let mut of_slots: Vec<f64> = spread.slots.iter().map(counts).collect();
            if of_slots.iter().all(|x| *x == 0.0) {
                // No layer reads it: every channel counts alike, by what it carries.
                let square =
                    |slot: &super::spread::Slot| slot.channels.iter().map(|c| seen[t.0].square[*c]).sum::<f64>();
                let alike = |slot| Some(square(slot)).filter(|x| *x > 0.0).map_or(0.0, |x| 1.0 / x);
                of_slots = spread.slots.iter().map(alike).collect();
            }
            places.push(of_tensor);
            importance.push(of_slots);
        }
        let readers = known.weights.readers.iter().filter(|reader| tensors.contains(&reader.input)).collect();
        Self { known, tensors, classes, places, importance, readers }
    }

    pub(super) fn tensors(&self) -> &[TensorId] {
        &self.tensors
    }

    /// The factor of each channel of `tensor`.
    pub(super) fn of_channels(&self, factors: &[f64], tensor: TensorId) -> Vec<f64> {
        let of = |class: &Option<usize>| {
            let place = class.and_then(|id| self.classes.binary_search_by_key(&id, |class| class.id).ok());
            place.map_or(1.0, |place| factors[place])
        };
        self.known.ties.class[tensor.0].iter().map(of).collect()
    }

    /// Factors that change nothing.
    pub(super) fn unscaled(&self) -> Vec<f64> {
        vec![1.0; self.classes.len()]
    }

    /// Whether some channel may be scaled at all.
    pub(super) fn is_free(&self) -> bool {
        self.classes.iter().any(|class| !class.stays())
            && self.tensors.iter().any(|t| self.known.network.shape(*t).c > 1)
    }

    /// Values of all tensors' slots.
    pub(super) fn points(&self, part: Part) -> Vec<Vec<Points>> {
        let of_tensor = |t: &TensorId| {
            let spread = self.known.spreads[t.0].as_ref().expect("the tensors that are read have spreads");
            (0..spread.slots.len()).map(|slot| spread.points(slot, part)).collect()
        };
        self.tensors.iter().map(of_tensor).collect()
    }

    fn factor(&self, factors: &[f64], at: usize, slot: usize) -> f64 {
        self.places[at][slot].map_or(1.0, |place| factors[place])
    }

    /// What encoding tensor `at` adds to the outputs of its readers, as a sum of shares of their energy.
    pub(super) fn noise_of(&self, at: usize, factors: &[f64], quant: &ActivationQuant, points: &[Vec<Points>]) -> f64 {
        let of_slot = |(slot, points): (usize, &Points)| {
            self.importance[at][slot] * points.error(self.factor(factors, at, slot), quant)
        };
        points[at].iter().enumerate().map(of_slot).sum()
    }

    /// What rounding adds to the outputs of the readers.
    pub(super) fn rounding_noise(&self, factors: &[f64], bits: BitWidth) -> f64 {
        let of_reader = |reader: &&Reader| {
            let channels = self.of_channels(factors, reader.input);
            reader.noise(|c| channels[c], &self.known.seen[reader.input.0].square, bits)
        };
        self.readers.iter().map(of_reader).sum()
    }

    /// The encoding of least error of tensor `at`.
    pub(super) fn encoding(
        &self,
        at: usize,
        factors: &[f64],
        bits: BitWidth,
        points: &[Vec<Points>],
    ) -> ActivationQuant {
        let t = self.tensors[at];
        let spread = self.known.spreads[t.0].as_ref().expect("the tensors that are read have spreads");
        let (mut lo, mut hi) = (0f64, 0f64);
        for (slot, found) in spread.slots.iter().enumerate() {
            let factor = self.factor(factors, at, slot);
            lo = lo.min(found.least / factor);
            hi = hi.max(found.greatest / factor);
        }
        let error = |(lo, hi)| self.noise_of(at, factors, &ActivationQuant::from_range(lo, hi, bits), points);
        let (lo, hi) = crate::calibrate::narrowed((lo, hi), SHARES, error);
        ActivationQuant::from_range(lo, hi, bits)
    }

    /// Factors with which each class has the range that it would have by itself at `bits`.
    pub(super) fn fitted(&self, bits: BitWidth, points: &[Vec<Points>]) -> Vec<f64> {
        let mut factors = self.in_unit(|class| class.reach);
        for _ in 0..ROUNDS {
            let quants: Vec<ActivationQuant> =
                (0..self.tensors.len()).map(|at| self.encoding(at, &factors, bits, points)).collect();
            for (place, class) in self.classes.iter().enumerate().filter(|(_, class)| !class.stays()) {
                let widest =
                    class.slots.iter().map(|(at, slot)| self.uncut(&quants[*at], *at, *slot)).fold(0.0, f64::max);
                if !(widest > 0.0 && widest.is_finite()) {
                    continue;
                }
                let error = |factor: f64| -> f64 {
                    let of_slot = |(at, slot): &(usize, usize)| {
                        self.importance[*at][*slot] * points[*at][*slot].error(factor, &quants[*at])
                    };
                    class.slots.iter().map(of_slot).sum()
                };
                let mut best = (widest, error(widest));
                for i in 1..FACTORS {
                    let factor = widest * i as f64 / FACTORS as f64;
                    let error = error(factor);
                    if error < best.1 {
                        best = (factor, error);
                    }
                }
                factors[place] = best.0.max(class.least);
            }
        }
        factors
    }

    /// The factor with which the values of a slot just reach an end of the encoding's range.
    fn uncut(&self, quant: &ActivationQuant, at: usize, slot: usize) -> f64 {
        let spread = self.known.spreads[self.tensors[at].0].as_ref().expect("the tensors that are read have spreads");
        let found = &spread.slots[slot];
        let reach =
            |value: f64, end: f64| if value != 0.0 && value.signum() == end.signum() { value / end } else { 0.0 };
        reach(found.greatest.max(0.0), quant.dequantize(quant.bits.max_code()))
            .max(reach(found.least.min(0.0), quant.dequantize(0)))
    }

    /// Factors between those that suit the activations (`share` 1) and those with which each class weighs the same in its readers
    /// (`share` 0). A class whose readers' rounding does not depend on it gets the former.
    pub(super) fn between(&self, fitted: &[f64], share: f64) -> Vec<f64> {
        let by_weight = self.in_unit(|class| if class.weight > 0.0 { 1.0 / class.weight } else { 0.0 });
        let blend = |(place, class): (usize, &Class)| {
            if class.stays() {
                return 1.0;
            }
            let factor = if class.weight > 0.0 {
                fitted[place].powf(share) * by_weight[place].powf(1.0 - share)
            } else {
                fitted[place]
            };
            on_grid(factor.max(class.least), class.least)
        };
        self.classes.iter().enumerate().map(blend).collect()
    }

    /// Factors proportional to `wish`, and 1 in the middle of those that stay as they are, or else of all. Where the wish is
    /// 0 the factor is 1.
    fn in_unit(&self, wish: impl Fn(&Class) -> f64) -> Vec<f64> {
        let wishes: Vec<f64> = self.classes.iter().map(wish).collect();
        let stays = self.classes.iter().zip(&wishes).filter(|(class, _)| class.least >= 1.0);
        let mut given: Vec<f64> = stays.map(|(_, wish)| *wish).filter(|wish| *wish > 0.0).collect();
        if given.is_empty() {
            let free = self.classes.iter().zip(&wishes).filter(|(class, _)| !class.stays());
            given = free.map(|(_, wish)| *wish).filter(|wish| *wish > 0.0).collect();
        }
        if given.is_empty() {
            return vec![1.0; wishes.len()];
        }
        let middle = given.len() / 2;
        let unit = *given.select_nth_unstable_by(middle, f64::total_cmp).1;
        let factor = |(class, wish): (&Class, &f64)| {
            if class.stays() || *wish <= 0.0 { 1.0 } else { (wish / unit).max(class.least) }
        };
        self.classes.iter().zip(&wishes).map(factor).collect()
    }
}

/// The nearest factor of the grid, or the next above where that is less than `least`.
fn on_grid(factor: f64, least: f64) -> f64 {
    let place = factor.log2() * f64::from(PER_OCTAVE);
    let nearest = of_place(place.round() as i32);
    if nearest < least { of_place(place.ceil() as i32) } else { nearest }
}

/// The least factor with which channel `c` of a clamped tensor stays within the bounds; 1 where it does not even as it is.
fn least_factor(clamp: Clamp, seen: &Seen, c: usize) -> f64 {
    let of_bound = |bound: f32, reached: f32| match bound {
        bound if bound.is_infinite() || bound == 0.0 => 0.0,
        bound => f64::from(reached) / f64::from(bound),
    };
    // A bound on the other side of 0 is at work for every value.
    if clamp.lo > 0.0 || clamp.hi < 0.0 {
        return 1.0;
    }
    of_bound(clamp.lo, seen.least[c]).max(of_bound(clamp.hi, seen.greatest[c]))
}
