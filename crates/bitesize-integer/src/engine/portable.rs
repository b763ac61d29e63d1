//! Kernels that are plain loops, for any processor.

use super::conv::{Conv, Panel};
use super::depthwise::Depthwise;
use super::set::InstructionSet;

/// Sums of a panel or block, and products that a step adds to each: those of the portable layout.
const SUMS: usize = 8;
const PRODUCTS: usize = 2;

/// Computes `images` images of a layer. The (padded) images begin at the beginning of `input`.
pub(super) fn conv(layer: &Conv, input: &[u8], images: usize, output: &mut [u8]) {
    debug_assert_eq!(InstructionSet::Portable.layout().sums, SUMS);
    let rows = images * layer.pixels;
    for panel in &layer.panels {
        let mut row = 0;
        while row + 4 <= rows {
            conv_tile::<4>(layer, panel, input, output, row);
            row += 4;
        }
        while row < rows {
            conv_tile::<1>(layer, panel, input, output, row);
            row += 1;
        }
    }
}

fn conv_tile<const ROWS: usize>(layer: &Conv, panel: &Panel, input: &[u8], output: &mut [u8], row: usize) {
    let length = layer.steps * SUMS * PRODUCTS;
    let weights = &layer.weights.words[panel.weights..panel.weights + layer.segments.len() * length];
    let mut sums = [[0i32; SUMS]; ROWS];
    for (&segment, weights) in layer.segments.iter().zip(weights.chunks_exact(length)) {
        let codes: [&[u8]; ROWS] = std::array::from_fn(|r| {
            let start = layer.rows[row + r] as usize + panel.group + segment;
            &input[start..start + layer.steps * PRODUCTS]
        });
        for (step, weights) in weights.as_chunks::<{ SUMS * PRODUCTS }>().0.iter().enumerate() {
            for (sums, codes) in sums.iter_mut().zip(&codes) {
                add_products(sums, weights, [codes[step * PRODUCTS], codes[step * PRODUCTS + 1]].map(i16::from));
            }
        }
    }
    for (r, sums) in sums.iter().enumerate() {
        let to = &mut output[(row + r) * layer.out_c + panel.channel..][..panel.channels];
        for (i, (to, &sum)) in to.iter_mut().zip(sums).enumerate() {
            *to = layer.rescaling.code(panel.constants + i, sum);
        }
    }
}

/// Adds two products to each sum, from the same two codes.
fn add_products(sums: &mut [i32; SUMS], weights: &[i16; SUMS * PRODUCTS], codes: [i16; PRODUCTS]) {
    for (sum, pair) in sums.iter_mut().zip(weights.as_chunks::<PRODUCTS>().0) {
        *sum += i32::from(codes[0]) * i32::from(pair[0]) + i32::from(codes[1]) * i32::from(pair[1]);
    }
}

/// Computes one image of a layer; the padded image begins at the beginning of `input`.
pub(super) fn depthwise(layer: &Depthwise, input: &[u8], output: &mut [u8]) {
    let row_codes = layer.runs * layer.run;
    for (pair, to) in output.chunks_mut(layer.shape.rows * row_codes).enumerate() {
        let (first, second) = to.split_at_mut(row_codes);
        for run in 0..layer.runs {
            let from = &input[pair * layer.shape.rows * layer.row_step + run * layer.run_step..];
            for (index, at) in (0..layer.run).step_by(SUMS).enumerate() {
                let to = run * layer.run + at..run * layer.run + layer.run.min(at + SUMS);
                let block = index % layer.shape.period;
                depthwise_block(layer, &from[at..], (block, 0), &mut first[to.clone()]);
                if !second.is_empty() {
                    depthwise_block(layer, &from[at..], (block, 1), &mut second[to]);
                }
            }
        }
    }
}

/// The codes of one output row's block, whose windows begin at the beginning of `from`.
fn depthwise_block(layer: &Depthwise, from: &[u8], (block, row): (usize, usize), to: &mut [u8]) {
    const STEP: usize = SUMS * PRODUCTS;
    let length = layer.shape.steps * layer.shape.rows * STEP;
    let weights = layer.weights.words[block * length..(block + 1) * length].as_chunks::<STEP>().0;
    let mut sums = [0i32; SUMS];
    for (taps, weights) in layer.taps.chunks_exact(PRODUCTS).zip(weights.chunks_exact(layer.shape.rows)) {
        let (a, b) = (&from[taps[0]..taps[0] + SUMS], &from[taps[1]..taps[1] + SUMS]);
        for (i, (sum, pair)) in sums.iter_mut().zip(weights[row].as_chunks::<PRODUCTS>().0).enumerate() {
            *sum += i32::from(a[i]) * i32::from(pair[0]) + i32::from(b[i]) * i32::from(pair[1]);
        }
    }
    for (i, (to, &sum)) in to.iter_mut().zip(&sums).enumerate() {
        *to = layer.rescaling.code(block * SUMS + i, sum);
    }
}
