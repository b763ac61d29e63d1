//! How the values of channels are spread, in two halves of the samples.

use super::seen::Seen;
use super::ties::Ties;
use crate::forward::{self, Event};
use crate::{Progress, Samples, TrainError};
use bitesize_ir::{ActivationQuant, Network};

/// Parts of a channel's range in which values are counted.
const BINS: usize = 64;

/// Bytes that the counts of all lanes may take together.
const COUNTS_BYTES: usize = 256 << 20;

/// Channels of a tensor that are counted together: those of one class, or one that cannot be scaled.
#[derive(Clone, Debug)]
pub(super) struct Slot {
    pub(super) class: Option<usize>,
    pub(super) channels: Vec<usize>,
    /// Least and greatest value.
    pub(super) least: f64,
    pub(super) greatest: f64,
}

/// The values of one tensor.
#[derive(Clone, Debug)]
pub(super) struct Spread {
    pub(super) slots: Vec<Slot>,
    slot_of: Vec<u32>,
    /// `[half][slot][bin]`: how many, and their sum.
    bins: Vec<(f64, f64)>,
}

/// Which samples.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// Those of even number.
    Even,
    /// Those of odd number.
    Odd,
    All,
}

/// Where the values of a slot lie.
pub(super) struct Points {
    /// The mean of the values of each bin that has some.
    values: Vec<f64>,
    /// How many they are.
    counts: Vec<f64>,
    /// The width of a bin.
    width: f64,
    count: f64,
}

/// Adding and subtracting it rounds to a whole number, without a library call.
pub(super) const WHOLE: f64 = 1.5 * (1u64 << 52) as f64;

/// Sums are kept in so many parts, so that the compiler can use vector registers.
const PARTS: usize = 4;

impl Points {
    /// The mean squared error of the values when they are divided by `factor`, encoded, decoded and multiplied back.
    pub(super) fn error(&self, factor: f64, quant: &ActivationQuant) -> f64 {
        let (zero, last) = (f64::from(quant.zero), f64::from(quant.bits.max_code()));
        let step = quant.scale * factor;
        let inverse = 1.0 / step;
        // Where a bin holds several steps, values lie anywhere between two codes.
        let (lo, hi) = (-step * zero, step * (last - zero));
        let sum = if step < self.width {
            let between = step * step / 12.0;
            self.sum(
                #[inline(always)]
                |x| {
                    let e = x - x.max(lo).min(hi);
                    e * e + between
                },
            )
        } else {
            self.sum(
                #[inline(always)]
                |x| {
                    let code = ((x * inverse + zero + WHOLE) - WHOLE).max(0.0).min(last);
                    let e = x - step * (code - zero);
                    e * e
                },
            )
        };
        sum / self.count.max(1.0)
    }

    #[inline(always)]
    fn sum(&self, error: impl Fn(f64) -> f64) -> f64 {
        let mut parts = [0.0; PARTS];
        let (values, counts) = (self.values.chunks_exact(PARTS), self.counts.chunks_exact(PARTS));
        let rest = values.remainder().iter().zip(counts.remainder());
        let rest: f64 = rest.map(|(x, n)| n * error(*x)).sum();
        for (x, n) in values.zip(counts) {
            for part in 0..PARTS {
                parts[part] += n[part] * error(x[part]);
            }
        }
        parts.iter().sum::<f64>() + rest
    }
}

impl Spread {
    fn new(ties: &[Option<usize>], seen: &Seen) -> Self {
        let mut slots: Vec<Slot> = Vec::new();
        let mut of_class = std::collections::HashMap::new();
        let mut slot_of = Vec::with_capacity(ties.len());
        for (c, class) in ties.iter().enumerate() {
            let (least, greatest) = (f64::from(seen.least[c]), f64::from(seen.greatest[c]));
            let next = slots.len();
            let slot = class.map_or(next, |class| *of_class.entry(class).or_insert(next));
            if slot == next {
                slots.push(Slot { class: *class, channels: Vec::new(), least, greatest });
            }
            let found = &mut slots[slot];
            found.channels.push(c);
            found.least = found.least.min(least);
            found.greatest = found.greatest.max(greatest);
            slot_of.push(slot as u32);
        }
        Self { bins: vec![(0.0, 0.0); 2 * slots.len() * BINS], slots, slot_of }
    }

    fn add(&mut self, values: &[f32], half: usize) {
        let channels = self.slot_of.len();
        let per_unit = |slot: &Slot| {
            let extent = slot.greatest - slot.least;
            (slot.least as f32, if extent > 0.0 { (BINS as f64 / extent) as f32 } else { 0.0 })
        };
        let ranges: Vec<(f32, f32)> = self.slots.iter().map(per_unit).collect();
        let bins = &mut self.bins[half * self.slots.len() * BINS..][..self.slots.len() * BINS];
        for pixel in values.chunks_exact(channels) {
            for (value, slot) in pixel.iter().zip(&self.slot_of) {
                let slot = *slot as usize;
                let (least, per_unit) = ranges[slot];
                let bin = (((value - least) * per_unit) as usize).min(BINS - 1);
                let bin = &mut bins[slot * BINS + bin];
                bin.0 += 1.0;
                bin.1 += f64::from(*value);
            }
        }
    }

    fn merge(&mut self, other: &Self) {
        for (bin, part) in self.bins.iter_mut().zip(&other.bins) {
            bin.0 += part.0;
            bin.1 += part.1;
        }
    }

    /// The values of `slot`.
    pub(super) fn points(&self, slot: usize, part: Part) -> Points {
        let of_half = |half: usize| &self.bins[(half * self.slots.len() + slot) * BINS..][..BINS];
        let halves = of_half(0).iter().zip(of_half(1));
        let sum = |(even, odd): (&(f64, f64), &(f64, f64))| match part {
            Part::Even => *even,
            Part::Odd => *odd,
            Part::All => (even.0 + odd.0, even.1 + odd.1),
        };
        let (counts, values): (Vec<f64>, Vec<f64>) =
            halves.map(sum).filter(|bin| bin.0 > 0.0).map(|(n, x)| (n, x / n)).unzip();
        let Slot { least, greatest, .. } = &self.slots[slot];
        Points { width: (greatest - least) / BINS as f64, count: counts.iter().sum(), values, counts }
    }

    /// Runs the float network on `samples` and counts the values of the tensors that `asked` names.
    pub(super) fn of(
        network: &Network,
        samples: &Samples<'_>,
        (ties, seen, asked): (&Ties, &[Seen], &[bool]),
        progress: Progress<'_>,
    ) -> Result<Vec<Option<Self>>, TrainError> {
        let start: Vec<Option<Self>> =
            (0..seen.len()).map(|t| asked[t].then(|| Self::new(&ties.class[t], &seen[t]))).collect();
        let bytes: usize = start.iter().flatten().map(|spread| size_of_val(&spread.bins[..])).sum();
        let lanes = (COUNTS_BYTES / bytes.max(1)).clamp(1, 8);
        let lanes = forward::fold_chunks(network, samples.len(), vec![start; lanes], progress, |lane, range| {
            let values = samples.range(range.clone()).to_real(network);
            forward::run(network, values, range.len(), &mut |event| {
                if let Event::Tensor { id, values } = event
                    && let Some(spread) = &mut lane[id.0]
                {
                    let images = values.chunks_exact(network.shape(id).elements());
                    range.clone().zip(images).for_each(|(sample, image)| spread.add(image, sample % 2));
                }
            });
        })?;
        Ok(forward::merged_where_asked(lanes, Self::merge))
    }
}
