//! What batch normalization computes channel by channel, over stretches of pixels.
//!
//! Numbers of a channel lie as far apart as there are channels, which may be few: so constants are repeated, as a tile, over
//! several pixels, and sums are kept for each place of the tile until a stretch is done.

use crate::operators::vectorized;
use bitesize_ir::op::Clamp;

/// Elements of a tile at least, where there are so few channels.
const TILE: usize = 128;

/// `values`, one for each channel, over several pixels.
pub(super) fn tile(values: impl ExactSizeIterator<Item = f32> + Clone) -> Vec<f32> {
    let pixels = TILE.div_ceil(values.len().max(1)).max(1);
    std::iter::repeat_n(values, pixels).flatten().collect()
}

/// How the activations of a tensor are made of what its layer computed: `clamp(scale[c] * z + shift[c])`.
#[derive(Clone, Debug)]
pub(super) struct Activation {
    scale: Vec<f32>,
    shift: Vec<f32>,
    clamp: Clamp,
}

impl Activation {
    /// By scale and shift of each channel.
    pub(super) fn new(affine: &[[f64; 2]], clamp: Clamp) -> Self {
        let of = |at: usize| tile(affine.iter().map(move |pair| pair[at] as f32));
        Self { scale: of(0), shift: of(1), clamp }
    }

    /// Writes the activations of `sums`, whole pixels, to `out`.
    #[inline(always)]
    pub(super) fn apply(&self, sums: &[f32], out: &mut [f32]) {
        let Self { scale, shift, clamp: Clamp { lo, hi } } = self;
        let parts = out.chunks_mut(scale.len()).zip(sums.chunks(scale.len()));
        for (out, sums) in parts {
            for (((out, z), scale), shift) in out.iter_mut().zip(sums).zip(scale).zip(shift) {
                *out = z.mul_add(*scale, *shift).max(*lo).min(*hi);
            }
        }
    }
}

/// Two sums of each channel.
#[derive(Debug, Default)]
pub(super) struct Sums {
    pub(super) first: Vec<f64>,
    pub(super) second: Vec<f64>,
    tiles: [Vec<f32>; 2],
}

impl Sums {
    /// Empty ones of `channels`.
    pub(super) fn clear(&mut self, channels: usize) {
        for sums in [&mut self.first, &mut self.second] {
            sums.clear();
            sums.resize(channels, 0.0);
        }
    }

    /// Adds those of another lane.
    pub(super) fn add_all(&mut self, other: &Self) {
        self.first.iter_mut().zip(&other.first).for_each(|(sum, part)| *sum += part);
        self.second.iter_mut().zip(&other.second).for_each(|(sum, part)| *sum += part);
    }

    /// Adds distances of `values` from `pivot`, a tile, and their squares.
    pub(super) fn add_moments(&mut self, values: &[f32], pivot: &[f32]) {
        self.add(
            pivot.len(),
            #[inline(always)]
            |first, second| {
                for values in values.chunks(pivot.len()) {
                    for (((value, pivot), first), second) in values.iter().zip(pivot).zip(&mut *first).zip(&mut *second)
                    {
                        let distance = value - pivot;
                        *first += distance;
                        *second = distance.mul_add(distance, *second);
                    }
                }
            },
        );
    }

    /// Sets `gradient`, by activations that `activation` made of `sums`, to 0 where the clamp held them, and adds what is left of it, and that
    /// times the distance of `sums` from `mean`, a tile.
    pub(super) fn add_gradient(&mut self, activation: &Activation, gradient: &mut [f32], sums: &[f32], mean: &[f32]) {
        let Activation { scale, shift, clamp: Clamp { lo, hi } } = activation;
        let length = mean.len();
        self.add(
            length,
            #[inline(always)]
            |first, second| {
                for (gradient, sums) in gradient.chunks_mut(length).zip(sums.chunks(length)) {
                    let constants = mean.iter().zip(scale).zip(shift);
                    let totals = first.iter_mut().zip(&mut *second);
                    for (((g, z), ((mean, scale), shift)), (first, second)) in
                        gradient.iter_mut().zip(sums).zip(constants).zip(totals)
                    {
                        let y = z.mul_add(*scale, *shift);
                        // As bits: a branch would keep the loop from becoming one of vectors.
                        let is_inside = u32::from((y > *lo) & (y < *hi));
                        *g = f32::from_bits(g.to_bits() & is_inside.wrapping_neg());
                        *first += *g;
                        *second = (z - mean).mul_add(*g, *second);
                    }
                }
            },
        );
    }

    /// `run` must be inlined, so that it is compiled for the vectors of the CPU too.
    #[inline(always)]
    fn add(&mut self, length: usize, run: impl FnOnce(&mut [f32], &mut [f32])) {
        let [one, two] = &mut self.tiles;
        for tile in [&mut *one, &mut *two] {
            tile.clear();
            tile.resize(length, 0.0);
        }
        vectorized(
            #[inline(always)]
            || run(one, two),
        );
        for (sums, tile) in [(&mut self.first, one), (&mut self.second, two)] {
            for pixel in tile.chunks_exact(sums.len()) {
                sums.iter_mut().zip(pixel).for_each(|(sum, part)| *sum += f64::from(*part));
            }
        }
    }
}

/// How the gradient by a layer's sums is made of that by what batch normalization gives: `by_gradient[c] * g + by_value[c] * z +
/// constant[c]`, all as tiles.
///
/// Over the m values of a channel with mean `mu` and `s = 1 / sqrt(variance + epsilon)`, of which both depend on each value (Ioffe and
/// Szegedy 2015, section 3):
/// `gamma * s * (g - sum(g) / m - (z - mu) * s^2 * sum(g * (z - mu)) / m)`.
#[derive(Debug, Default)]
pub(super) struct NormBackward {
    by_gradient: Vec<f32>,
    by_value: Vec<f32>,
    constant: Vec<f32>,
}

impl NormBackward {
    /// `moments` are mean and `s` of each channel, `sums` those of `g` and of `g * (z - mu)`, over `count` values each.
    pub(super) fn new(gamma: &[f32], moments: &[[f64; 2]], sums: &Sums, count: usize) -> Self {
        let one = 1.0 / count as f64;
        let of = |c: usize| {
            let [mean, s] = moments[c];
            let factor = f64::from(gamma[c]) * s;
            let slope = -factor * s * s * sums.second[c] * one;
            [factor, slope, -factor * sums.first[c] * one - slope * mean]
        };
        let all: Vec<[f64; 3]> = (0..gamma.len()).map(of).collect();
        let [by_gradient, by_value, constant] = [0, 1, 2].map(|at| tile(all.iter().map(move |three| three[at] as f32)));
        Self { by_gradient, by_value, constant }
    }

    /// Writes the gradient by `sums`, whole pixels, to `out`.
    pub(super) fn apply(&self, gradient: &[f32], sums: &[f32], out: &mut [f32]) {
        let Self { by_gradient, by_value, constant } = self;
        let length = by_gradient.len();
        vectorized(
            #[inline(always)]
            || {
                let parts = out.chunks_mut(length).zip(gradient.chunks(length)).zip(sums.chunks(length));
                for ((out, gradient), sums) in parts {
                    let constants = by_gradient.iter().zip(by_value).zip(constant);
                    for (((out, g), z), ((a, b), c)) in out.iter_mut().zip(gradient).zip(sums).zip(constants) {
                        *out = g.mul_add(*a, z.mul_add(*b, *c));
                    }
                }
            },
        );
    }
}
