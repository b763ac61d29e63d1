//! The operators on real values, NHWC, several images at once. Padding is always zero: quantized values come centred.

use bitesize_ir::op::{AveragePool, Clamp, Op};
use bitesize_ir::shape::{Axis, Pads, Shape, Window, nhwc_indices};
use faer::{Accum, MatMut, MatRef, Par};
use std::ops::Range;

/// Rows gathered at once for a convolution that is not a plain matrix product, in elements: of whole images, ...
const GATHER_ELEMENTS: usize = 1 << 18;

/// ... or of a part of one image, where its rows take more than this.
const PART_ELEMENTS: usize = 1 << 22;

/// Runs loops compiled for the widest vectors that the CPU has. Additions keep their order: results do not change.
#[inline(always)]
pub(crate) fn vectorized<R>(loops: impl FnOnce() -> R) -> R {
    pulp::Arch::new().dispatch(loops)
}

/// One tensor of several images.
#[derive(Clone, Copy)]
pub(crate) struct Image<'a> {
    /// Of one image.
    pub(crate) shape: Shape,
    /// Number of images.
    pub(crate) count: usize,
    /// `count * shape.elements()`.
    pub(crate) values: &'a [f32],
}

/// The linear part of a layer with weights, as a matrix product or a depthwise sum.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Linear<'a> {
    /// Convolutions and fully connected layers: `[out_c][kh][kw][in_c / groups]`.
    Dense {
        /// Geometry.
        window: &'a Window,
        /// Groups.
        groups: usize,
    },
    /// Depthwise: `[kh][kw][c]`.
    Depthwise {
        /// Geometry.
        window: &'a Window,
    },
}

/// The window of a fully connected layer seen as a convolution.
const POINT: Window =
    Window { kernel: [1, 1], stride: [1, 1], dilation: [1, 1], pads: Pads { top: 0, left: 0, bottom: 0, right: 0 } };

impl<'a> Linear<'a> {
    /// The linear part of `op`, `None` where it has no weights.
    pub(crate) fn of(op: &'a Op) -> Option<Self> {
        match op {
            Op::Conv2d(op) => Some(Self::Dense { window: &op.window, groups: op.groups }),
            Op::FullyConnected(_) => Some(Self::Dense { window: &POINT, groups: 1 }),
            Op::DepthwiseConv2d(op) => Some(Self::Depthwise { window: &op.window }),
            _ => None,
        }
    }

    /// `bias[c] + sum(weight * input)` for each output pixel and channel.
    pub(crate) fn sums(self, input: &Image<'_>, output: Shape, weights: &[f32], bias: &[f32]) -> Vec<f32> {
        let mut sums = Vec::with_capacity(input.count * output.elements());
        for _ in 0..input.count * output.pixels() {
            sums.extend_from_slice(bias);
        }
        match self {
            Self::Depthwise { window } => add_depthwise(input, output, window, weights, &mut sums),
            Self::Dense { groups, .. } => {
                let out_c = bias.len();
                let (per_group, length) = (out_c / groups, weights.len() / out_c);
                self.for_each_rows(input, output, |group, rows, pixels| {
                    let count = pixels.len();
                    let target = &mut sums[pixels.start * out_c..pixels.end * out_c];
                    let target = MatMut::from_row_major_slice_mut(target, count, out_c);
                    let weights = &weights[group * per_group * length..(group + 1) * per_group * length];
                    let weights = MatRef::from_row_major_slice(weights, per_group, length).transpose();
                    let rows = MatRef::from_row_major_slice(rows, count, length);
                    let target = target.subcols_mut(group * per_group, per_group);
                    faer::linalg::matmul::matmul(target, Accum::Add, rows, weights, 1.0, Par::Seq);
                });
            }
        }
        sums
    }

    /// For a dense layer: calls `visit(group, rows, pixels)` with the matrix whose rows are the inputs of one output
    /// pixel of one group (`kh * kw * in_c / groups` long, zeros in the padding), a few images or a part of one at a time.
    /// `pixels` are output pixels, those of one image after those of the other.
    pub(crate) fn for_each_rows(
        self,
        input: &Image<'_>,
        output: Shape,
        mut visit: impl FnMut(usize, &[f32], Range<usize>),
    ) {
        let Self::Dense { window, groups } = self else { return };
        let pixels = output.pixels();
        if window.is_pointwise() && groups == 1 {
            return visit(0, input.values, 0..input.count * pixels);
        }
        let channels = input.shape.c / groups;
        let row = window.area() * channels;
        let step = if row * pixels <= PART_ELEMENTS {
            (GATHER_ELEMENTS / (row * pixels)).clamp(1, input.count.max(1)) * pixels
        } else {
            (PART_ELEMENTS / row).max(1)
        };
        let mut rows = Vec::new();
        let mut start = 0;
        while start < input.count * pixels {
            // A part never reaches from one image into the next.
            let most = if step < pixels { start / pixels * pixels + pixels } else { input.count * pixels };
            let range = start..(start + step).min(most);
            for group in 0..groups {
                let channels = group * channels..(group + 1) * channels;
                gather_rows(input, output, window, channels, range.clone(), &mut rows);
                visit(group, &rows, range.clone());
            }
            start = range.end;
        }
    }
}

/// Fills `rows` with the windows of the output pixels `pixels` over some input channels, zeros in the padding.
fn gather_rows(
    input: &Image<'_>,
    output: Shape,
    window: &Window,
    channels: Range<usize>,
    pixels: Range<usize>,
    rows: &mut Vec<f32>,
) {
    let Shape { h, w, c } = input.shape;
    let [kh, kw] = window.kernel;
    let span = channels.len();
    rows.clear();
    rows.resize(pixels.len() * kh * kw * span, 0.0);
    for (pixel, row) in pixels.zip(rows.chunks_exact_mut(kh * kw * span)) {
        let (image, pixel) = (pixel / output.pixels(), pixel % output.pixels());
        let image = &input.values[image * input.shape.elements()..][..input.shape.elements()];
        let (oy, ox) = (pixel / output.w, pixel % output.w);
        for ky in 0..kh {
            let Some(y) = window.source(0, oy, ky, h) else { continue };
            for kx in 0..kw {
                let Some(x) = window.source(1, ox, kx, w) else { continue };
                let from = (y * w + x) * c + channels.start;
                let to = (ky * kw + kx) * span;
                row[to..to + span].copy_from_slice(&image[from..from + span]);
            }
        }
    }
}

/// Calls `visit(output pixel, tap, input pixel)` for every tap that lies inside the image, output pixels in order.
#[inline(always)]
pub(crate) fn for_each_tap(input: Shape, output: Shape, window: &Window, mut visit: impl FnMut(usize, usize, usize)) {
    for oy in 0..output.h {
        for ox in 0..output.w {
            let to = oy * output.w + ox;
            for_each_tap_at([oy, ox], input, window, |tap, from| visit(to, tap, from));
        }
    }
}

/// Calls `visit(tap, input pixel)` for every tap of the output pixel `at` (y, x) that lies inside the image.
#[inline(always)]
pub(crate) fn for_each_tap_at(at: [usize; 2], input: Shape, window: &Window, mut visit: impl FnMut(usize, usize)) {
    let [kh, kw] = window.kernel;
    for ky in 0..kh {
        let Some(y) = window.source(0, at[0], ky, input.h) else { continue };
        for kx in 0..kw {
            let Some(x) = window.source(1, at[1], kx, input.w) else { continue };
            visit(ky * kw + kx, y * input.w + x);
        }
    }
}

fn add_depthwise(input: &Image<'_>, output: Shape, window: &Window, weights: &[f32], sums: &mut [f32]) {
    let c = input.shape.c;
    let images = input.values.chunks_exact(input.shape.elements());
    for (image, sums) in images.zip(sums.chunks_exact_mut(output.elements())) {
        vectorized(
            #[inline(always)]
            || {
                for_each_tap(
                    input.shape,
                    output,
                    window,
                    #[inline(always)]
                    |to, tap, from| {
                        let weights = &weights[tap * c..][..c];
                        let values = &image[from * c..][..c];
                        for ((sum, value), weight) in sums[to * c..][..c].iter_mut().zip(values).zip(weights) {
                            *sum += value * weight;
                        }
                    },
                );
            },
        );
    }
}

/// Applies `op`, without its clamp unless it is nothing else.
pub(crate) fn apply(op: &Op, inputs: &[Image<'_>], output: Shape) -> Vec<f32> {
    let input = &inputs[0];
    match op {
        Op::Conv2d(_) | Op::DepthwiseConv2d(_) | Op::FullyConnected(_) => {
            let parameters = op.parameters().expect("these operators have weights");
            let linear = Linear::of(op).expect("these operators have weights");
            linear.sums(input, output, parameters.weights, parameters.bias)
        }
        Op::Add(_) => input.values.iter().zip(inputs[1].values).map(|(a, b)| a + b).collect(),
        Op::Concat => concat(inputs, |x| x),
        Op::MaxPool(window) => max_pool(input.values, input.shape, output, window, f32::NEG_INFINITY),
        Op::AveragePool(pool) => average_pool(input, output, pool),
        Op::Clamp(_) => input.values.to_vec(),
        Op::Pad(pads) => pad(input.values, input.shape, output, *pads, 0.0),
        Op::Flatten(order) => flatten(input.values, input.shape, *order),
        Op::ChannelAffine(op) => {
            let c = input.shape.c;
            let affine = |pixel: &[f32]| -> Vec<f32> { (0..c).map(|i| pixel[i] * op.scale[i] + op.shift[i]).collect() };
            input.values.chunks_exact(c).flat_map(affine).collect()
        }
    }
}

/// Clamps in place.
pub(crate) fn clamp(values: &mut [f32], clamp: Clamp) {
    if !clamp.is_none() {
        vectorized(
            #[inline(always)]
            || values.iter_mut().for_each(|value| *value = clamp.apply(*value)),
        );
    }
}

/// Joins tensors along the channels, each value mapped.
pub(crate) fn concat(inputs: &[Image<'_>], map: impl Fn(f32) -> f32) -> Vec<f32> {
    let pixels = inputs[0].count * inputs[0].shape.pixels();
    let mut out = Vec::with_capacity(inputs.iter().map(|i| i.values.len()).sum());
    for pixel in 0..pixels {
        for input in inputs {
            let c = input.shape.c;
            out.extend(input.values[pixel * c..(pixel + 1) * c].iter().map(|x| map(*x)));
        }
    }
    out
}

/// The largest value of each window; `lowest` where a window lies wholly in the padding.
pub(crate) fn max_pool<T: Copy + PartialOrd>(
    values: &[T],
    input: Shape,
    output: Shape,
    window: &Window,
    lowest: T,
) -> Vec<T> {
    let c = input.c;
    let mut out = vec![lowest; values.len() / input.elements() * output.elements()];
    for (image, out) in values.chunks_exact(input.elements()).zip(out.chunks_exact_mut(output.elements())) {
        for_each_tap(input, output, window, |to, _, from| {
            for (max, value) in out[to * c..][..c].iter_mut().zip(&image[from * c..][..c]) {
                if *value > *max {
                    *max = *value;
                }
            }
        });
    }
    out
}

/// The sum of each window, and how many pixels of the image it covers (one for each output pixel).
pub(crate) fn window_sums(input: &Image<'_>, output: Shape, window: &Window) -> (Vec<f32>, Vec<usize>) {
    let c = input.shape.c;
    let mut sums = vec![0.0; input.count * output.elements()];
    let mut counts = vec![0; output.pixels()];
    for_each_tap(input.shape, output, window, |to, _, _| counts[to] += 1);
    let images = input.values.chunks_exact(input.shape.elements());
    for (image, sums) in images.zip(sums.chunks_exact_mut(output.elements())) {
        for_each_tap(input.shape, output, window, |to, _, from| {
            for (sum, value) in sums[to * c..][..c].iter_mut().zip(&image[from * c..][..c]) {
                *sum += value;
            }
        });
    }
    (sums, counts)
}

fn average_pool(input: &Image<'_>, output: Shape, pool: &AveragePool) -> Vec<f32> {
    let (mut sums, counts) = window_sums(input, output, &pool.window);
    for image in sums.chunks_exact_mut(output.elements()) {
        for (pixel, count) in image.chunks_exact_mut(output.c).zip(&counts) {
            let divisor = pool.window.divisor(pool.count_include_pad, *count) as f32;
            pixel.iter_mut().for_each(|value| *value /= divisor);
        }
    }
    sums
}

/// The values of each image as one vector, the axes in `order`.
pub(crate) fn flatten<T: Copy>(values: &[T], input: Shape, order: [Axis; 3]) -> Vec<T> {
    let from = nhwc_indices(input, order.into_iter());
    values.chunks_exact(from.len()).flat_map(|image| from.iter().map(|at| image[*at])).collect()
}

/// `fill` round each image.
pub(crate) fn pad<T: Copy>(values: &[T], input: Shape, output: Shape, pads: Pads, fill: T) -> Vec<T> {
    let row = input.w * input.c;
    let mut out = vec![fill; values.len() / input.elements() * output.elements()];
    for (image, out) in values.chunks_exact(input.elements()).zip(out.chunks_exact_mut(output.elements())) {
        for (y, from) in image.chunks_exact(row).enumerate() {
            let start = ((y + pads.top) * output.w + pads.left) * output.c;
            out[start..start + row].copy_from_slice(from);
        }
    }
    out
}
