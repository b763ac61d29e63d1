//! Depthwise convolutions over padded images, some channels at a time: their weights, or the sums of their weights'
//! gradients, stay in registers while a whole image goes by.

use super::padded::{fill, padded, sized, tap_offsets, window_start};
use crate::operators::vectorized;
use bitesize_ir::Shape;
use bitesize_ir::shape::{Pads, Window};

/// Channels at a time.
const LANES: usize = 8;

type Lanes = [f32; LANES];

/// A depthwise convolution: the window, the input's shape without padding and the output's.
#[derive(Clone, Copy)]
pub(crate) struct Depthwise<'a> {
    pub(crate) window: &'a Window,
    pub(crate) input: Shape,
    pub(crate) output: Shape,
}

#[inline(always)]
fn lanes(values: &[f32], at: usize) -> Lanes {
    values[at..at + LANES].try_into().expect("the slice has this length")
}

/// Where blocks of channels begin; the last may overlap the one before.
fn blocks(channels: usize) -> impl Iterator<Item = usize> {
    let last = channels.saturating_sub(LANES);
    (0..channels.div_ceil(LANES)).map(move |block| (block * LANES).min(last))
}

/// Calls `$run` with the taps as an array where their number is a usual one and there are channels for whole blocks.
macro_rules! with_taps {
    ($offsets:expr, $channels:expr, |$taps:ident| $fast:expr, $slow:expr) => {
        match $offsets.len() {
            9 if $channels >= LANES => {
                let $taps: [usize; 9] = $offsets[..].try_into().expect("it has this length");
                $fast
            }
            25 if $channels >= LANES => {
                let $taps: [usize; 25] = $offsets[..].try_into().expect("it has this length");
                $fast
            }
            _ => $slow,
        }
    };
}

impl Depthwise<'_> {
    fn outer(&self) -> Shape {
        padded(self.input, self.window.pads)
    }

    /// `out = sum(weight * x)` of padded images `x`; weights `[taps][c]`.
    pub(crate) fn forward(&self, x: &[f32], weights: &[f32], out: &mut [f32]) {
        let outer = self.outer();
        let offsets = tap_offsets(self.window, outer);
        let images = x.chunks_exact(outer.elements()).zip(out.chunks_exact_mut(self.output.elements()));
        vectorized(
            #[inline(always)]
            || {
                for (x, out) in images {
                    with_taps!(offsets, outer.c, |taps| self.forward_blocks(x, weights, taps, out), {
                        self.forward_slowly(x, weights, &offsets, out)
                    });
                }
            },
        );
    }

    #[inline(always)]
    fn forward_blocks<const TAPS: usize>(&self, x: &[f32], weights: &[f32], taps: [usize; TAPS], out: &mut [f32]) {
        let (outer, c) = (self.outer(), self.input.c);
        for first in blocks(c) {
            let weights: [Lanes; TAPS] = std::array::from_fn(|tap| lanes(weights, tap * c + first));
            for oy in 0..self.output.h {
                let start = window_start(self.window, outer, oy, 0) + first;
                let line = &mut out[oy * self.output.w * c..][..self.output.w * c];
                for (ox, pixel) in line.chunks_exact_mut(c).enumerate() {
                    let x = &x[start + ox * self.window.stride[1] * c..];
                    let mut sum = [0.0; LANES];
                    for tap in 0..TAPS {
                        let x = lanes(x, taps[tap]);
                        for lane in 0..LANES {
                            sum[lane] = x[lane].mul_add(weights[tap][lane], sum[lane]);
                        }
                    }
                    pixel[first..first + LANES].copy_from_slice(&sum);
                }
            }
        }
    }

    #[inline(always)]
    fn forward_slowly(&self, x: &[f32], weights: &[f32], taps: &[usize], out: &mut [f32]) {
        out.fill(0.0);
        let c = self.input.c;
        self.for_each_pixel(|to, start| {
            let pixel = &mut out[to..to + c];
            for (tap, weights) in taps.iter().zip(weights.chunks_exact(c)) {
                for ((sum, x), weight) in pixel.iter_mut().zip(&x[start + tap..][..c]).zip(weights) {
                    *sum = x.mul_add(*weight, *sum);
                }
            }
        });
    }

    /// Calls `visit` with where each output pixel and its window begin.
    #[inline(always)]
    fn for_each_pixel(&self, mut visit: impl FnMut(usize, usize)) {
        let outer = self.outer();
        for oy in 0..self.output.h {
            for ox in 0..self.output.w {
                visit((oy * self.output.w + ox) * outer.c, window_start(self.window, outer, oy, ox));
            }
        }
    }

    /// Adds `factor * sum(gradient * x)` over the pixels of padded images `x` to `sums` (`[taps][c]`).
    pub(crate) fn add_weight_gradient(&self, (x, factor): (&[f32], f32), gradient: &[f32], sums: &mut [f32]) {
        let (outer, c) = (self.outer(), self.input.c);
        let offsets = tap_offsets(self.window, outer);
        let images = x.chunks_exact(outer.elements()).zip(gradient.chunks_exact(self.output.elements()));
        let mut of_image = vec![0.0; sums.len()];
        vectorized(
            #[inline(always)]
            || {
                for (x, gradient) in images {
                    with_taps!(offsets, c, |taps| self.weight_gradient(x, gradient, taps, &mut of_image), {
                        of_image.fill(0.0);
                        self.for_each_pixel(|to, start| {
                            let pixel = &gradient[to..to + c];
                            for (tap, sums) in offsets.iter().zip(of_image.chunks_exact_mut(c)) {
                                for ((sum, x), g) in sums.iter_mut().zip(&x[start + tap..][..c]).zip(pixel) {
                                    *sum = x.mul_add(*g, *sum);
                                }
                            }
                        });
                    });
                    sums.iter_mut().zip(&of_image).for_each(|(sum, part)| *sum = part.mul_add(factor, *sum));
                }
            },
        );
    }

    #[inline(always)]
    fn weight_gradient<const TAPS: usize>(&self, x: &[f32], gradient: &[f32], taps: [usize; TAPS], sums: &mut [f32]) {
        let (outer, c) = (self.outer(), self.input.c);
        for first in blocks(c) {
            let mut sum = [[0.0; LANES]; TAPS];
            for oy in 0..self.output.h {
                let start = window_start(self.window, outer, oy, 0) + first;
                let line = &gradient[oy * self.output.w * c..][..self.output.w * c];
                for (ox, pixel) in line.chunks_exact(c).enumerate() {
                    let x = &x[start + ox * self.window.stride[1] * c..];
                    let g = lanes(pixel, first);
                    for tap in 0..TAPS {
                        let x = lanes(x, taps[tap]);
                        for lane in 0..LANES {
                            sum[tap][lane] = x[lane].mul_add(g[lane], sum[tap][lane]);
                        }
                    }
                }
            }
            for (tap, sum) in sum.iter().enumerate() {
                sums[tap * c + first..][..LANES].copy_from_slice(sum);
            }
        }
    }

    /// Whether the input's gradient is a convolution of the output's with the window turned round.
    pub(crate) fn turned(&self) -> Option<Window> {
        let Window { kernel, stride, dilation, pads } = *self.window;
        let reach = [(kernel[0] - 1) * dilation[0], (kernel[1] - 1) * dilation[1]];
        let fits = stride == [1, 1] && pads.top.max(pads.bottom) <= reach[0] && pads.left.max(pads.right) <= reach[1];
        let pads = || Pads {
            top: reach[0] - pads.top,
            left: reach[1] - pads.left,
            bottom: reach[0] - pads.bottom,
            right: reach[1] - pads.right,
        };
        fits.then(|| Window { kernel, stride, dilation, pads: pads() })
    }

    /// [`Self::forward`] of images without padding, with the taps of `weights` in reverse order.
    pub(crate) fn forward_turned(&self, images: &[f32], weights: &[f32], scratch: &mut Vec<f32>, out: &mut [f32]) {
        let count = images.len() / self.input.elements();
        let scratch = sized(scratch, count * self.outer().elements());
        fill(self.input, self.window.pads, scratch, |start, row| {
            row.copy_from_slice(&images[start..start + row.len()]);
        });
        let turned: Vec<f32> = weights.chunks_exact(self.input.c).rev().flatten().copied().collect();
        self.forward(scratch, &turned, out);
    }

    /// Adds `gradient * weight` to the padded images that the windows read.
    pub(crate) fn scatter(&self, gradient: &[f32], weights: &[f32], outer: &mut [f32]) {
        let (shape, c) = (self.outer(), self.input.c);
        let offsets = tap_offsets(self.window, shape);
        let images = outer.chunks_exact_mut(shape.elements()).zip(gradient.chunks_exact(self.output.elements()));
        vectorized(
            #[inline(always)]
            || {
                for (outer, gradient) in images {
                    with_taps!(offsets, c, |taps| self.scatter_blocks(gradient, weights, taps, outer), {
                        self.for_each_pixel(|to, start| {
                            let pixel = &gradient[to..to + c];
                            for (tap, weights) in offsets.iter().zip(weights.chunks_exact(c)) {
                                let target = &mut outer[start + tap..][..c];
                                for ((sum, g), weight) in target.iter_mut().zip(pixel).zip(weights) {
                                    *sum = g.mul_add(*weight, *sum);
                                }
                            }
                        })
                    });
                }
            },
        );
    }

    #[inline(always)]
    fn scatter_blocks<const TAPS: usize>(
        &self,
        gradient: &[f32],
        weights: &[f32],
        taps: [usize; TAPS],
        outer: &mut [f32],
    ) {
        let (shape, c) = (self.outer(), self.input.c);
        let mut done = 0;
        for first in blocks(c) {
            // Where the last block overlaps the one before, what that has added is not added again.
            let is_new: Lanes = std::array::from_fn(|lane| if first + lane < done { 0.0 } else { 1.0 });
            done = first + LANES;
            let weights: [Lanes; TAPS] = std::array::from_fn(|tap| {
                let weights = lanes(weights, tap * c + first);
                std::array::from_fn(|lane| weights[lane] * is_new[lane])
            });
            for oy in 0..self.output.h {
                let start = window_start(self.window, shape, oy, 0) + first;
                let line = &gradient[oy * self.output.w * c..][..self.output.w * c];
                for (ox, pixel) in line.chunks_exact(c).enumerate() {
                    let target = &mut outer[start + ox * self.window.stride[1] * c..];
                    let g = lanes(pixel, first);
                    for tap in 0..TAPS {
                        let target = &mut target[taps[tap]..taps[tap] + LANES];
                        for lane in 0..LANES {
                            target[lane] = g[lane].mul_add(weights[tap][lane], target[lane]);
                        }
                    }
                }
            }
        }
    }
}
