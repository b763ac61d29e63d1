//! Convolutions and fully connected layers as matrix products, the windows of padded images gathered in rows where they
//! are more than one pixel.

use super::padded::{padded, sized, window_start};
use bitesize_ir::Shape;
use bitesize_ir::shape::Window;
use faer::linalg::matmul::matmul;
use faer::{Accum, MatMut, MatRef, Par};

/// A convolution: the window, the groups, and both shapes without padding.
#[derive(Clone, Copy)]
pub(crate) struct Dense<'a> {
    pub(crate) window: &'a Window,
    pub(crate) groups: usize,
    pub(crate) input: Shape,
    pub(crate) output: Shape,
}

/// Columns `group` of `groups` of a row-major matrix.
fn columns(values: &[f32], width: usize, group: usize, groups: usize) -> MatRef<'_, f32> {
    let each = width / groups;
    MatRef::from_row_major_slice(values, values.len() / width, width).subcols(group * each, each)
}

fn columns_mut(values: &mut [f32], width: usize, group: usize, groups: usize) -> MatMut<'_, f32> {
    let each = width / groups;
    let rows = values.len() / width;
    MatMut::from_row_major_slice_mut(values, rows, width).subcols_mut(group * each, each)
}

/// Rows of a matrix of weights that belong to `group`.
fn part(values: &[f32], group: usize, groups: usize) -> &[f32] {
    let each = values.len() / groups;
    &values[group * each..(group + 1) * each]
}

impl Dense<'_> {
    /// Whether a pixel of the output reads the pixel at its own place and no other: images are then the rows.
    pub(crate) fn is_plain(&self) -> bool {
        self.window.is_pointwise() && self.groups == 1
    }

    /// Weights of one output channel.
    fn length(&self) -> usize {
        self.window.area() * self.input.c / self.groups
    }

    /// `out = rows * weights'`. `x` are images, padded where they are not plain; weights `[out_c][kh][kw][in_c / groups]`.
    pub(crate) fn forward(&self, x: &[f32], weights: &[f32], rows: &mut Vec<f32>, out: &mut [f32]) {
        let (length, out_c) = (self.length(), self.output.c);
        for group in 0..self.groups {
            let rows = self.rows(x, group, rows);
            let rows = MatRef::from_row_major_slice(rows, rows.len() / length, length);
            let weights = part(weights, group, self.groups);
            let weights = MatRef::from_row_major_slice(weights, out_c / self.groups, length);
            let out = columns_mut(out, out_c, group, self.groups);
            matmul(out, Accum::Replace, rows, weights.transpose(), 1.0, Par::Seq);
        }
    }

    /// Adds `factor * gradient' * rows` to the weights' gradient.
    pub(crate) fn add_weight_gradient(
        &self,
        (x, factor): (&[f32], f32),
        gradient: &[f32],
        rows: &mut Vec<f32>,
        sums: &mut [f32],
    ) {
        let (length, out_c) = (self.length(), self.output.c);
        let each = out_c / self.groups;
        for (group, sums) in sums.chunks_exact_mut(each * length).enumerate() {
            let rows = self.rows(x, group, rows);
            let rows = MatRef::from_row_major_slice(rows, rows.len() / length, length);
            let gradient = columns(gradient, out_c, group, self.groups);
            let sums = MatMut::from_row_major_slice_mut(sums, each, length);
            matmul(sums, Accum::Add, gradient.transpose(), rows, factor, Par::Seq);
        }
    }

    /// The gradient by the input of a plain layer: `out = gradient * weights`, or added where `adds`.
    pub(crate) fn plain_input_gradient(&self, gradient: &[f32], weights: &[f32], out: &mut [f32], adds: bool) {
        let (in_c, out_c) = (self.input.c, self.output.c);
        let weights = MatRef::from_row_major_slice(weights, out_c, in_c);
        let accum = if adds { Accum::Add } else { Accum::Replace };
        let out = columns_mut(out, in_c, 0, 1);
        matmul(out, accum, columns(gradient, out_c, 0, 1), weights, 1.0, Par::Seq);
    }

    /// Adds the gradient by the input to padded images.
    pub(crate) fn scatter(&self, gradient: &[f32], weights: &[f32], rows: &mut Vec<f32>, outer: &mut [f32]) {
        let (length, out_c) = (self.length(), self.output.c);
        for group in 0..self.groups {
            let gradient = columns(gradient, out_c, group, self.groups);
            let weights = part(weights, group, self.groups);
            let weights = MatRef::from_row_major_slice(weights, out_c / self.groups, length);
            let rows = sized(rows, gradient.nrows() * length);
            matmul(columns_mut(rows, length, 0, 1), Accum::Replace, gradient, weights, 1.0, Par::Seq);
            self.for_each_segment(outer.len(), group, |segment, at, len| {
                let from = &rows[segment * len..][..len];
                outer[at..at + len].iter_mut().zip(from).for_each(|(sum, value)| *sum += value);
            });
        }
    }

    /// The windows of padded images, one a row: the images themselves where they are plain.
    fn rows<'a>(&self, x: &'a [f32], group: usize, rows: &'a mut Vec<f32>) -> &'a [f32] {
        if self.is_plain() {
            return x;
        }
        let images = x.len() / padded(self.input, self.window.pads).elements();
        let rows = sized(rows, images * self.output.pixels() * self.length());
        self.for_each_segment(x.len(), group, |n, at, len| {
            rows[n * len..][..len].copy_from_slice(&x[at..at + len]);
        });
        rows
    }

    /// Calls `visit(n, start, len)` for each stretch of the padded images of `total` elements that lies together in a row
    /// of windows, in order.
    #[inline(always)]
    fn for_each_segment(&self, total: usize, group: usize, mut visit: impl FnMut(usize, usize, usize)) {
        let outer = padded(self.input, self.window.pads);
        let [kh, kw] = self.window.kernel;
        let [down, across] = self.window.dilation;
        let channels = self.input.c / self.groups;
        let joined = self.groups == 1 && across == 1;
        let (stretches, len) = if joined { (1, kw * channels) } else { (kw, channels) };
        let mut n = 0;
        for image in 0..total / outer.elements() {
            for oy in 0..self.output.h {
                for ox in 0..self.output.w {
                    let start = image * outer.elements() + window_start(self.window, outer, oy, ox) + group * channels;
                    for ky in 0..kh {
                        for kx in 0..stretches {
                            visit(n, start + (ky * down * outer.w + kx * across) * outer.c, len);
                            n += 1;
                        }
                    }
                }
            }
        }
    }
}
