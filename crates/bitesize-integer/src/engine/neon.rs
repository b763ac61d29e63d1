//! Kernels of NEON with the dot product: `sdot` adds four products of signed bytes to each of 4 sums.
//!
//! Codes are unsigned: 128 is subtracted from each, and the biases hold 128 times the sum of a channel's levels
//! ([`super::set::Layout::less`]).
#![allow(unsafe_code, reason = "vector loads and stores through pointers, and the instruction that has no function")]

use super::conv::{Conv, Panel};
use super::depthwise::Depthwise;
use super::places::Block;
use super::plain::Plain;
use super::rescaling::Rescaling;
use std::arch::aarch64::*;
use std::arch::asm;

/// Sums of a register.
const SUMS: usize = 4;
/// Codes that an instruction multiplies for each sum.
const PRODUCTS: usize = 4;
/// Bytes of a register.
const BYTES: usize = SUMS * PRODUCTS;

/// Adds to each sum four products of signed bytes.
#[target_feature(enable = "neon,dotprod")]
#[inline]
fn dot(sums: int32x4_t, codes: int8x16_t, levels: int8x16_t) -> int32x4_t {
    let result: int32x4_t;
    // SAFETY: the instruction reads and writes registers only, and the function asks for the feature that has it.
    unsafe {
        asm!(
            "sdot {sums:v}.4s, {codes:v}.16b, {levels:v}.16b",
            sums = inout(vreg) sums => result, codes = in(vreg) codes, levels = in(vreg) levels,
            options(pure, nomem, nostack, preserves_flags)
        );
    }
    result
}

/// Codes less 128.
#[target_feature(enable = "neon,dotprod")]
#[inline]
fn signed(codes: uint8x16_t) -> int8x16_t {
    vreinterpretq_s8_u8(veorq_u8(codes, vdupq_n_u8(128)))
}

/// Computes `images` images of a layer. The (padded) images begin at the beginning of `input`.
#[target_feature(enable = "neon,dotprod")]
pub(super) fn conv(layer: &Conv, input: &[u8], images: usize, output: &mut [u8]) {
    let rows = images * layer.pixels;
    for panel in &layer.panels {
        match panel.registers {
            4 => conv_panel::<4, 4>(layer, panel, input, &mut output[..rows * layer.out_c]),
            2 => conv_panel::<8, 2>(layer, panel, input, &mut output[..rows * layer.out_c]),
            _ => conv_panel::<8, 1>(layer, panel, input, &mut output[..rows * layer.out_c]),
        }
    }
}

/// All rows of a panel: `ROWS` at a time, then one by one.
#[target_feature(enable = "neon,dotprod")]
fn conv_panel<const ROWS: usize, const REGISTERS: usize>(layer: &Conv, panel: &Panel, input: &[u8], output: &mut [u8]) {
    let rows = output.len() / layer.out_c;
    let mut row = 0;
    while row + ROWS <= rows {
        tile::<ROWS, REGISTERS>(layer, panel, input, output, row);
        row += ROWS;
    }
    while row < rows {
        tile::<1, REGISTERS>(layer, panel, input, output, row);
        row += 1;
    }
}

/// `ROWS` output pixels from `row` on, the channels of one panel.
#[target_feature(enable = "neon,dotprod")]
fn tile<const ROWS: usize, const REGISTERS: usize>(
    layer: &Conv,
    panel: &Panel,
    input: &[u8],
    output: &mut [u8],
    row: usize,
) {
    let starts = layer.windows.starts::<u8, ROWS, PRODUCTS>(input, row, panel.group);
    let (segments, steps) = (layer.windows.segments(), layer.windows.steps());
    let length = segments.len() * steps * REGISTERS * BYTES;
    let weights = layer.weights.bytes[panel.weights..panel.weights + length].as_chunks::<BYTES>().0;
    let weights = weights.as_chunks::<REGISTERS>().0;
    let mut sums = [[vdupq_n_s32(0); REGISTERS]; ROWS];
    for (&segment, weights) in segments.iter().zip(weights.chunks_exact(steps)) {
        for (step, registers) in weights.iter().enumerate() {
            let mut levels = [vdupq_n_s8(0); REGISTERS];
            for (level, bytes) in levels.iter_mut().zip(registers) {
                // SAFETY: the array has 16 bytes.
                *level = unsafe { vld1q_s8(bytes.as_ptr()) };
            }
            for (start, sums) in starts.pointers().iter().zip(&mut sums) {
                let at = start.wrapping_add(segment + PRODUCTS * step).cast::<u32>();
                // SAFETY: the invariant of `Starts`: `step` is one of its windows' steps, of `PRODUCTS` codes each.
                let codes = vdupq_n_u32(unsafe { at.read_unaligned() });
                let codes = signed(vreinterpretq_u8_u32(codes));
                for (sum, level) in sums.iter_mut().zip(levels) {
                    *sum = dot(*sum, codes, level);
                }
            }
        }
    }
    for (sums, to) in sums.into_iter().zip(output[row * layer.out_c..].chunks_mut(layer.out_c)) {
        let to = &mut to[panel.channel..panel.channel + panel.channels];
        let mut all = [vdupq_n_s32(0); 4];
        all[..REGISTERS].copy_from_slice(&sums);
        store(all, REGISTERS, &layer.rescaling, panel.constants, to);
    }
}

/// Codes of the sums in the first `registers`, whose constants begin at number `at`, as many as `to` takes.
#[target_feature(enable = "neon,dotprod")]
fn store(sums: [int32x4_t; 4], registers: usize, rescaling: &Rescaling, at: usize, to: &mut [u8]) {
    let mut values = sums;
    for (register, value) in values.iter_mut().take(registers).enumerate() {
        *value = requantize(*value, rescaling, at + SUMS * register);
    }
    let low = vcombine_s16(vqmovn_s32(values[0]), vqmovn_s32(values[1]));
    let high = vcombine_s16(vqmovn_s32(values[2]), vqmovn_s32(values[3]));
    let codes = vcombine_u8(vqmovun_s16(low), vqmovun_s16(high));
    let codes = vminq_u8(vmaxq_u8(codes, vdupq_n_u8(rescaling.range.lo)), vdupq_n_u8(rescaling.range.hi));
    if let Some(to) = to.first_chunk_mut::<BYTES>() {
        // SAFETY: the array has 16 bytes.
        unsafe { vst1q_u8(to.as_mut_ptr(), codes) };
    } else {
        let mut bytes = [0u8; BYTES];
        // SAFETY: the array has 16 bytes.
        unsafe { vst1q_u8(bytes.as_mut_ptr(), codes) };
        to.copy_from_slice(&bytes[..to.len()]);
    }
}

/// Values before clamping, which may leave the code range on either side.
#[target_feature(enable = "neon,dotprod")]
#[inline]
fn requantize(sums: int32x4_t, rescaling: &Rescaling, at: usize) -> int32x4_t {
    if !rescaling.high_word {
        let (mut values, mut codes) = ([0i32; SUMS], [0u8; SUMS]);
        // SAFETY: the array has 4 values of 4 bytes.
        unsafe { vst1q_s32(values.as_mut_ptr(), sums) };
        rescaling.codes(at, &values, &mut codes);
        let values = codes.map(i32::from);
        // SAFETY: as above.
        return unsafe { vld1q_s32(values.as_ptr()) };
    }
    // SAFETY: the array has 4 values of 4 bytes.
    let load = |values: &[i32; SUMS]| unsafe { vld1q_s32(values.as_ptr()) };
    let [bias, m, offset, shift] = rescaling.register::<SUMS>(at).each_ref().map(load);
    let acc = vaddq_s32(vshlq_s32(sums, vdupq_n_s32(i32::from(rescaling.left))), bias);
    let low = vmull_s32(vget_low_s32(acc), vget_low_s32(m));
    let high = vcombine_s32(vshrn_n_s64::<32>(low), vshrn_n_s64::<32>(vmull_high_s32(acc, m)));
    vshlq_s32(vaddq_s32(high, offset), vnegq_s32(shift))
}

/// Computes one image of a layer; the padded image begins at the beginning of `input`.
#[target_feature(enable = "neon,dotprod")]
pub(super) fn depthwise(layer: &Depthwise, input: &[u8], output: &mut [u8]) {
    let row_codes = layer.runs * layer.run;
    for (pair, to) in output.chunks_mut(layer.shape.rows * row_codes).enumerate() {
        let (first, second) = to.split_at_mut(row_codes);
        for run in 0..layer.runs {
            let from = pair * layer.shape.rows * layer.row_step + run * layer.run_step;
            for (index, at) in (0..layer.run).step_by(BYTES).enumerate() {
                let to = run * layer.run + at..run * layer.run + layer.run.min(at + BYTES);
                let block = index % layer.shape.period;
                if layer.shape.rows == 1 {
                    let [sums] = depthwise_block::<1>(layer, layer.taps.block(input, from + at), block);
                    store(sums, 4, &layer.rescaling, block * BYTES, &mut first[to]);
                } else {
                    let sums = depthwise_block::<2>(layer, layer.taps.block(input, from + at), block);
                    store(sums[0], 4, &layer.rescaling, block * BYTES, &mut first[to.clone()]);
                    if !second.is_empty() {
                        store(sums[1], 4, &layer.rescaling, block * BYTES, &mut second[to]);
                    }
                }
            }
        }
    }
}

/// 16 sums of each of `ROWS` output rows, whose windows hold `from`.
#[target_feature(enable = "neon,dotprod")]
fn depthwise_block<const ROWS: usize>(layer: &Depthwise, from: Block<BYTES>, block: usize) -> [[int32x4_t; 4]; ROWS] {
    let length = layer.shape.steps * ROWS * 4 * BYTES;
    let weights = layer.weights.bytes[block * length..(block + 1) * length].as_chunks::<BYTES>().0;
    let weights = weights.as_chunks::<4>().0.as_chunks::<ROWS>().0;
    let mut sums = [[vdupq_n_s32(0); 4]; ROWS];
    for (taps, weights) in from.taps().as_chunks::<PRODUCTS>().0.iter().zip(weights) {
        // SAFETY: the invariant of `Block`: the place is one of its taps.
        let load = |tap: usize| unsafe { vld1q_u8(from.codes().wrapping_add(tap)) };
        let [a, b, c, d] = taps.map(load);
        let [ab, ab_high, cd, cd_high] = [vzip1q_u8(a, b), vzip2q_u8(a, b), vzip1q_u8(c, d), vzip2q_u8(c, d)];
        let [ab, ab_high, cd, cd_high] = [
            vreinterpretq_u16_u8(ab),
            vreinterpretq_u16_u8(ab_high),
            vreinterpretq_u16_u8(cd),
            vreinterpretq_u16_u8(cd_high),
        ];
        let codes =
            [vzip1q_u16(ab, cd), vzip2q_u16(ab, cd), vzip1q_u16(ab_high, cd_high), vzip2q_u16(ab_high, cd_high)];
        for (sums, registers) in sums.iter_mut().zip(weights) {
            for ((sum, codes), bytes) in sums.iter_mut().zip(codes).zip(registers) {
                // SAFETY: the array has 16 bytes.
                let levels = unsafe { vld1q_s8(bytes.as_ptr()) };
                *sum = dot(*sum, signed(vreinterpretq_u8_u16(codes)), levels);
            }
        }
    }
    sums
}

/// [`Plain::run`], compiled for these instructions.
#[target_feature(enable = "neon,dotprod")]
pub(super) fn plain<'a>(op: &Plain, input: impl Fn(usize) -> &'a [u8], output: &mut [u8], sums: &mut [i32]) {
    op.run(input, output, sums);
}
