//! Kernels that are plain loops over arrays of a fixed length, which compilers turn into the vector instructions that
//! every processor of the target has.

use super::conv::{Conv, Panel};
use super::depthwise::Depthwise;

/// Sums of a panel or block: those of the portable layout.
pub(super) const SUMS: usize = 16;

/// Computes `images` images of a layer. The (padded) images begin at the beginning of `input`.
pub(super) fn conv(layer: &Conv, input: &[u8], images: usize, output: &mut [u8]) {
    let pixels = output.chunks_exact_mut(layer.out_c).zip(layer.windows.rows());
    for (to, &start) in pixels.take(images * layer.pixels) {
        for panel in &layer.panels {
            let sums = sums_of(layer, panel, &input[start as usize + panel.group..]);
            layer.rescaling.codes(panel.constants, &sums, &mut to[panel.channel..][..panel.channels]);
        }
    }
}

/// The sums of a panel for the pixel whose window begins at the beginning of `input`.
fn sums_of(layer: &Conv, panel: &Panel, input: &[u8]) -> [i32; SUMS] {
    let (segments, steps) = (layer.windows.segments(), layer.windows.steps());
    let length = steps * SUMS;
    let weights = &layer.weights.words[panel.weights..panel.weights + segments.len() * length];
    let mut sums = [0i32; SUMS];
    for (&segment, weights) in segments.iter().zip(weights.chunks_exact(length)) {
        let (codes, last_codes) = input[segment..segment + steps].as_chunks::<TOGETHER>();
        let (weights, last_weights) = weights.as_chunks::<{ TOGETHER * SUMS }>();
        for (codes, weights) in codes.iter().zip(weights) {
            add_products(&mut sums, codes, weights);
        }
        for (&code, weights) in last_codes.iter().zip(last_weights.as_chunks::<SUMS>().0) {
            add_product(&mut sums, code, weights);
        }
    }
    sums
}

/// Steps of one call.
const TOGETHER: usize = 4;

// Never inlined, and one loop: with the loop over steps in sight, compilers vectorize along the steps, where the weights
// of a sum lie far apart, instead of along the sums.
#[inline(never)]
fn add_products(sums: &mut [i32; SUMS], codes: &[u8; TOGETHER], weights: &[i16; TOGETHER * SUMS]) {
    let [a, b, c, d] = codes.map(i32::from);
    let (first, second) = weights.split_at(2 * SUMS);
    let ((wa, wb), (wc, wd)) = (first.split_at(SUMS), second.split_at(SUMS));
    for (i, sum) in sums.iter_mut().enumerate() {
        *sum += a * i32::from(wa[i]) + b * i32::from(wb[i]) + c * i32::from(wc[i]) + d * i32::from(wd[i]);
    }
}

#[inline]
fn add_product(sums: &mut [i32; SUMS], code: u8, weights: &[i16; SUMS]) {
    for (sum, &weight) in sums.iter_mut().zip(weights) {
        *sum += i32::from(code) * i32::from(weight);
    }
}

/// Computes one image of a layer; the padded image begins at the beginning of `input`.
pub(super) fn depthwise(layer: &Depthwise, input: &[u8], output: &mut [u8]) {
    for (y, to) in output.chunks_exact_mut(layer.runs * layer.run).enumerate() {
        for (run, to) in to.chunks_exact_mut(layer.run).enumerate() {
            let from = y * layer.row_step + run * layer.run_step;
            for (block, to) in to.chunks_mut(SUMS).enumerate() {
                depthwise_block(layer, &input[from + block * SUMS..], block % layer.shape.period, to);
            }
        }
    }
}

/// The codes of a block, whose windows begin at the beginning of `from`.
fn depthwise_block(layer: &Depthwise, from: &[u8], block: usize, to: &mut [u8]) {
    let length = layer.shape.steps * SUMS;
    let weights = layer.weights.words[block * length..(block + 1) * length].as_chunks::<SUMS>().0;
    let mut sums = [0i32; SUMS];
    for (&tap, weights) in layer.taps.places().iter().zip(weights) {
        let codes = &from[tap..tap + SUMS];
        for ((sum, &code), &weight) in sums.iter_mut().zip(codes).zip(weights) {
            *sum += i32::from(code) * i32::from(weight);
        }
    }
    layer.rescaling.codes(block * SUMS, &sums, to);
}
