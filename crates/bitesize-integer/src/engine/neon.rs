//! Kernels of NEON with the dot product: `sdot` adds four products of signed bytes to each of 4 sums.
//!
//! Codes are unsigned: 128 is subtracted from each, and the biases hold 128 times the sum of a channel's levels
//! ([`super::set::Layout::less`]).
#![allow(unsafe_code, reason = "vector loads and stores through pointers, and the instruction that has no function")]

use super::conv::{Conv, Panel};
use super::depthwise::Depthwise;
use super::plain::Plain;
use super::rescaling::{Rescaling, VALUES};
use super::set::InstructionSet;
use std::arch::aarch64::*;
use std::arch::asm;

/// Sums of a register.
const SUMS: usize = 4;
/// Bytes of a register.
const BYTES: usize = 16;

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
    assert!(input.len() >= layer.reach(images, InstructionSet::NeonDot.layout()), "codes are missing");
    assert!(output.len() >= rows * layer.out_c && layer.rows.len() >= rows, "no room for the output");
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
    let mut starts = [input.as_ptr(); ROWS];
    for (start, &at) in starts.iter_mut().zip(&layer.rows[row..row + ROWS]) {
        *start = start.wrapping_add(at as usize + panel.group);
    }
    let length = layer.segments.len() * layer.steps * REGISTERS * BYTES;
    let weights = &layer.weights.bytes[panel.weights..panel.weights + length];
    let mut weights = weights.as_ptr();
    let mut sums = [[vdupq_n_s32(0); REGISTERS]; ROWS];
    for &segment in &layer.segments {
        for step in 0..layer.steps {
            let mut levels = [vdupq_n_s8(0); REGISTERS];
            for level in &mut levels {
                // SAFETY: the slice above holds a register for each segment, step and register, in this order.
                *level = unsafe { vld1q_s8(weights) };
                weights = weights.wrapping_add(BYTES);
            }
            for (start, sums) in starts.iter().zip(&mut sums) {
                let at = start.wrapping_add(segment + 4 * step).cast::<u32>();
                // SAFETY: row, group, segment and step together stay below `Conv::reach`, which `conv` compared
                // with the input's length.
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
    let constants = rescaling.of_register(at);
    assert!(constants.len() == SUMS * VALUES, "the constants are packed for other registers");
    // SAFETY: the slice has four times 4 values of 4 bytes.
    let load = |index: usize| unsafe { vld1q_s32(constants.as_ptr().add(SUMS * index)) };
    let acc = vaddq_s32(vshlq_s32(sums, vdupq_n_s32(i32::from(rescaling.left))), load(0));
    let m = load(1);
    let low = vmull_s32(vget_low_s32(acc), vget_low_s32(m));
    let high = vcombine_s32(vshrn_n_s64::<32>(low), vshrn_n_s64::<32>(vmull_high_s32(acc, m)));
    vshlq_s32(vaddq_s32(high, load(2)), vnegq_s32(load(3)))
}

/// Computes one image of a layer; the padded image begins at the beginning of `input`.
#[target_feature(enable = "neon,dotprod")]
pub(super) fn depthwise(layer: &Depthwise, input: &[u8], output: &mut [u8]) {
    assert!(input.len() >= layer.reach(), "codes are missing");
    let row_codes = layer.runs * layer.run;
    for (pair, to) in output.chunks_mut(layer.shape.rows * row_codes).enumerate() {
        let (first, second) = to.split_at_mut(row_codes);
        for run in 0..layer.runs {
            let from = &input[pair * layer.shape.rows * layer.row_step + run * layer.run_step..];
            for (index, at) in (0..layer.run).step_by(BYTES).enumerate() {
                let to = run * layer.run + at..run * layer.run + layer.run.min(at + BYTES);
                let block = index % layer.shape.period;
                if layer.shape.rows == 1 {
                    let [sums] = depthwise_block::<1>(layer, &from[at..], block);
                    store(sums, 4, &layer.rescaling, block * BYTES, &mut first[to]);
                } else {
                    let sums = depthwise_block::<2>(layer, &from[at..], block);
                    store(sums[0], 4, &layer.rescaling, block * BYTES, &mut first[to.clone()]);
                    if !second.is_empty() {
                        store(sums[1], 4, &layer.rescaling, block * BYTES, &mut second[to]);
                    }
                }
            }
        }
    }
}

/// 16 sums of each of `ROWS` output rows, whose windows begin at the beginning of `from`.
#[target_feature(enable = "neon,dotprod")]
fn depthwise_block<const ROWS: usize>(layer: &Depthwise, from: &[u8], block: usize) -> [[int32x4_t; 4]; ROWS] {
    let length = layer.shape.steps * ROWS * 4 * BYTES;
    let weights = &layer.weights.bytes[block * length..(block + 1) * length];
    let mut sums = [[vdupq_n_s32(0); 4]; ROWS];
    for (taps, weights) in layer.taps.chunks_exact(4).zip(weights.chunks_exact(ROWS * 4 * BYTES)) {
        // SAFETY: block, tap and 16 bytes together stay below `Depthwise::reach`, which `depthwise` compared with the
        // input's length.
        let load = |tap: usize| unsafe { vld1q_u8(from.as_ptr().wrapping_add(tap)) };
        let (a, b, c, d) = (load(taps[0]), load(taps[1]), load(taps[2]), load(taps[3]));
        let [ab, ab_high, cd, cd_high] = [vzip1q_u8(a, b), vzip2q_u8(a, b), vzip1q_u8(c, d), vzip2q_u8(c, d)];
        let [ab, ab_high, cd, cd_high] = [
            vreinterpretq_u16_u8(ab),
            vreinterpretq_u16_u8(ab_high),
            vreinterpretq_u16_u8(cd),
            vreinterpretq_u16_u8(cd_high),
        ];
        let codes =
            [vzip1q_u16(ab, cd), vzip2q_u16(ab, cd), vzip1q_u16(ab_high, cd_high), vzip2q_u16(ab_high, cd_high)];
        for (row, sums) in sums.iter_mut().enumerate() {
            for (register, (sum, codes)) in sums.iter_mut().zip(codes).enumerate() {
                let levels = weights.as_ptr().wrapping_add((row * 4 + register) * BYTES);
                // SAFETY: `weights` has four registers for each row.
                let levels = unsafe { vld1q_s8(levels) };
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
