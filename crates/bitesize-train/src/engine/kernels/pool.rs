//! Pools, and operators that move values: forward and backward.

use crate::operators::for_each_tap;
use bitesize_ir::shape::{Pads, Window, nhwc_indices};
use bitesize_ir::{Axis, Shape};

/// The shapes of a pool.
#[derive(Clone, Copy)]
pub(crate) struct Pool<'a> {
    pub(crate) window: &'a Window,
    pub(crate) input: Shape,
    pub(crate) output: Shape,
}

impl Pool<'_> {
    /// Sums of windows, each times the factor of its output pixel.
    pub(crate) fn average(&self, x: &[f32], factors: &[f32], out: &mut [f32]) {
        let c = self.input.c;
        out.fill(0.0);
        let images = x.chunks_exact(self.input.elements()).zip(out.chunks_exact_mut(self.output.elements()));
        for (x, out) in images {
            for_each_tap(self.input, self.output, self.window, |to, _, from| {
                for (sum, value) in out[to * c..][..c].iter_mut().zip(&x[from * c..][..c]) {
                    *sum += value;
                }
            });
            for (pixel, factor) in out.chunks_exact_mut(c).zip(factors) {
                pixel.iter_mut().for_each(|sum| *sum *= factor);
            }
        }
    }

    /// Adds each pixel's gradient, times its factor, to all pixels of its window.
    pub(crate) fn spread(&self, gradient: &[f32], factors: &[f32], sums: &mut [f32]) {
        let c = self.input.c;
        let images = sums.chunks_exact_mut(self.input.elements()).zip(gradient.chunks_exact(self.output.elements()));
        for (sums, gradient) in images {
            for_each_tap(self.input, self.output, self.window, |from, _, to| {
                for (sum, g) in sums[to * c..][..c].iter_mut().zip(&gradient[from * c..][..c]) {
                    *sum += g * factors[from];
                }
            });
        }
    }

    /// Adds each gradient to the first of the largest values of its window: `x` is what the pool read, `largest` what it
    /// made of it.
    pub(crate) fn largest_back(&self, x: &[f32], largest: &[f32], gradient: &[f32], sums: &mut [f32]) {
        let (c, size) = (self.input.c, self.output.elements());
        let mut taken = vec![false; size];
        for (image, x) in x.chunks_exact(self.input.elements()).enumerate() {
            let (largest, gradient) = (&largest[image * size..][..size], &gradient[image * size..][..size]);
            let sums = &mut sums[image * x.len()..][..x.len()];
            taken.fill(false);
            for_each_tap(self.input, self.output, self.window, |from, _, to| {
                for i in 0..c {
                    let (from, to) = (from * c + i, to * c + i);
                    if !taken[from] && x[to] == largest[from] {
                        taken[from] = true;
                        sums[to] += gradient[from];
                    }
                }
            });
        }
    }
}

/// Adds what lies inside the padding.
pub(crate) fn unpad(gradient: &[f32], input: Shape, output: Shape, pads: Pads, sums: &mut [f32]) {
    let row = input.w * input.c;
    let images = sums.chunks_exact_mut(input.elements()).zip(gradient.chunks_exact(output.elements()));
    for (sums, gradient) in images {
        for (y, sums) in sums.chunks_exact_mut(row).enumerate() {
            let start = ((y + pads.top) * output.w + pads.left) * output.c;
            sums.iter_mut().zip(&gradient[start..start + row]).for_each(|(sum, g)| *sum += g);
        }
    }
}

/// Adds each element where [`crate::operators::flatten`] took it from.
pub(crate) fn unflatten(gradient: &[f32], input: Shape, order: [Axis; 3], sums: &mut [f32]) {
    let from = nhwc_indices(input, order.into_iter());
    for (sums, gradient) in sums.chunks_exact_mut(from.len()).zip(gradient.chunks_exact(from.len())) {
        from.iter().zip(gradient).for_each(|(at, g)| sums[*at] += g);
    }
}
