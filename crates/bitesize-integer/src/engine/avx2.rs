//! Kernels of AVX2: `vpmaddwd` adds two products of 16-bit values to make each of 8 sums. (`vpmaddubsw`, which takes
//! bytes, saturates at 16 bits, which two products of a code and a level can pass.)
#![allow(unsafe_code, reason = "vector loads and stores through pointers; each block says why it stays inside")]

use super::conv::{Conv, Panel};
use super::depthwise::Depthwise;
use super::places::Block;
use super::plain::Plain;
use super::rescaling::Rescaling;
use std::arch::x86_64::*;

/// Sums of a register.
const SUMS: usize = 8;
/// Codes that an instruction multiplies for each sum.
const PRODUCTS: usize = 2;
/// 16-bit values of a register.
const WORDS: usize = SUMS * PRODUCTS;

/// Computes `images` images of a layer. The (padded) images begin at the beginning of `input`; `words` is room for
/// as many 16-bit values.
#[target_feature(enable = "avx2")]
pub(super) fn conv(layer: &Conv, input: &[u8], images: usize, output: &mut [u8], words: &mut [i16]) {
    let rows = images * layer.pixels;
    let reach = layer.reach(images);
    let words = &mut words[..reach];
    words.iter_mut().zip(&input[..reach]).for_each(|(word, &code)| *word = i16::from(code));
    for panel in &layer.panels {
        match panel.registers {
            2 => conv_panel::<4, 2>(layer, panel, words, &mut output[..rows * layer.out_c]),
            _ => conv_panel::<6, 1>(layer, panel, words, &mut output[..rows * layer.out_c]),
        }
    }
}

/// All rows of a panel: `ROWS` at a time, then one by one.
#[target_feature(enable = "avx2")]
fn conv_panel<const ROWS: usize, const REGISTERS: usize>(
    layer: &Conv,
    panel: &Panel,
    input: &[i16],
    output: &mut [u8],
) {
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
#[target_feature(enable = "avx2")]
fn tile<const ROWS: usize, const REGISTERS: usize>(
    layer: &Conv,
    panel: &Panel,
    input: &[i16],
    output: &mut [u8],
    row: usize,
) {
    let starts = layer.windows.starts::<i16, ROWS, PRODUCTS>(input, row, panel.group);
    let (segments, steps) = (layer.windows.segments(), layer.windows.steps());
    let length = segments.len() * steps * REGISTERS * WORDS;
    let weights = layer.weights.words[panel.weights..panel.weights + length].as_chunks::<WORDS>().0;
    let weights = weights.as_chunks::<REGISTERS>().0;
    let mut sums = [[_mm256_setzero_si256(); REGISTERS]; ROWS];
    for (&segment, weights) in segments.iter().zip(weights.chunks_exact(steps)) {
        for (step, registers) in weights.iter().enumerate() {
            let mut levels = [_mm256_setzero_si256(); REGISTERS];
            for (level, words) in levels.iter_mut().zip(registers) {
                // SAFETY: the array has 16 values of 2 bytes.
                *level = unsafe { _mm256_loadu_si256(words.as_ptr().cast()) };
            }
            for (start, sums) in starts.pointers().iter().zip(&mut sums) {
                let at = start.wrapping_add(segment + PRODUCTS * step).cast::<i32>();
                // SAFETY: the invariant of `Starts`: `step` is one of its windows' steps, of `PRODUCTS` codes each.
                let codes = _mm256_set1_epi32(unsafe { at.read_unaligned() });
                for (sum, level) in sums.iter_mut().zip(levels) {
                    *sum = _mm256_add_epi32(*sum, _mm256_madd_epi16(codes, level));
                }
            }
        }
    }
    // Copied, so that the sums stay in registers while they are summed: the loops below index theirs in memory.
    let mut values = [[_mm256_setzero_si256(); REGISTERS]; ROWS];
    for (values, sums) in values.iter_mut().zip(&sums) {
        for (value, sum) in values.iter_mut().zip(sums) {
            *value = *sum;
        }
    }
    requantize(&mut values, &layer.rescaling, panel.constants);
    for (values, to) in values.into_iter().zip(output[row * layer.out_c..].chunks_mut(layer.out_c)) {
        store(values, &layer.rescaling, &mut to[panel.channel..panel.channel + panel.channels]);
    }
}

/// Sums to values before clamping, 32-bit values that may leave the code range on either side. The constants of the
/// first sum are number `at`.
#[target_feature(enable = "avx2")]
#[inline]
fn requantize<const ROWS: usize, const REGISTERS: usize>(
    sums: &mut [[__m256i; REGISTERS]; ROWS],
    rescaling: &Rescaling,
    at: usize,
) {
    let left = _mm_cvtsi32_si128(i32::from(rescaling.left));
    for register in 0..REGISTERS {
        let at = at + SUMS * register;
        if !rescaling.high_word {
            sums.iter_mut().for_each(|sums| sums[register] = one_by_one(sums[register], rescaling, at));
            continue;
        }
        // SAFETY: the array has 8 values of 4 bytes.
        let load = |values: &[i32; SUMS]| unsafe { _mm256_loadu_si256(values.as_ptr().cast()) };
        let [bias, even, offset, shift] = rescaling.register::<SUMS>(at).each_ref().map(load);
        let odd = _mm256_srli_epi64(even, 32);
        for sums in sums.iter_mut() {
            let acc = _mm256_add_epi32(_mm256_sll_epi32(sums[register], left), bias);
            let even = _mm256_mul_epi32(acc, even);
            let odd = _mm256_mul_epi32(_mm256_srli_epi64(acc, 32), odd);
            // The high word of each product, the even ones moved down to their places.
            let high = _mm256_blend_epi32(_mm256_srli_epi64(even, 32), odd, 0b1010_1010);
            sums[register] = _mm256_srav_epi32(_mm256_add_epi32(high, offset), shift);
        }
    }
}

/// The codes of sums for which the high word is not enough; AVX2 cannot shift 64-bit values arithmetically.
#[target_feature(enable = "avx2")]
fn one_by_one(sums: __m256i, rescaling: &Rescaling, at: usize) -> __m256i {
    let mut values = [0i32; SUMS];
    // SAFETY: the array has 8 values of 4 bytes.
    unsafe { _mm256_storeu_si256(values.as_mut_ptr().cast(), sums) };
    let mut codes = [0; SUMS];
    rescaling.codes(at, &values, &mut codes);
    let values = codes.map(i32::from);
    // SAFETY: as above.
    unsafe { _mm256_loadu_si256(values.as_ptr().cast()) }
}

/// Narrows the values of one row to codes and writes those that are channels.
#[target_feature(enable = "avx2")]
fn store<const REGISTERS: usize>(values: [__m256i; REGISTERS], rescaling: &Rescaling, to: &mut [u8]) {
    let codes = if REGISTERS == 2 {
        // Narrowing interleaves the two halves of its operands; so are the channels.
        let words = _mm256_packs_epi32(values[0], values[1]);
        _mm256_permute4x64_epi64(_mm256_packus_epi16(words, words), 0b1000)
    } else {
        let words = _mm256_packs_epi32(values[0], values[0]);
        let order = _mm256_setr_epi32(0, 4, 0, 4, 0, 4, 0, 4);
        _mm256_permutevar8x32_epi32(_mm256_packus_epi16(words, words), order)
    };
    let codes = _mm_max_epu8(_mm256_castsi256_si128(codes), _mm_set1_epi8(rescaling.range.lo as i8));
    let codes = _mm_min_epu8(codes, _mm_set1_epi8(rescaling.range.hi as i8));
    if let Some(to) = to.first_chunk_mut::<16>() {
        // SAFETY: the array has 16 bytes.
        unsafe { _mm_storeu_si128(to.as_mut_ptr().cast(), codes) };
    } else {
        let mut bytes = [0u8; 16];
        // SAFETY: the array has 16 bytes.
        unsafe { _mm_storeu_si128(bytes.as_mut_ptr().cast(), codes) };
        to.copy_from_slice(&bytes[..to.len()]);
    }
}

/// Computes one image of a layer; the padded image begins at the beginning of `input`.
#[target_feature(enable = "avx2")]
pub(super) fn depthwise(layer: &Depthwise, input: &[u8], output: &mut [u8]) {
    let row_codes = layer.runs * layer.run;
    for (pair, to) in output.chunks_mut(layer.shape.rows * row_codes).enumerate() {
        let (first, second) = to.split_at_mut(row_codes);
        for run in 0..layer.runs {
            let from = pair * layer.shape.rows * layer.row_step + run * layer.run_step;
            let mut block = 0;
            for at in (0..layer.run).step_by(2 * SUMS) {
                let end = layer.run.min(at + 2 * SUMS);
                let (at_output, end) = (run * layer.run + at, run * layer.run + end);
                if layer.shape.rows == 1 {
                    let [values] = depthwise_block::<1>(layer, layer.taps.block(input, from + at), block);
                    store(values, &layer.rescaling, &mut first[at_output..end]);
                } else {
                    let values = depthwise_block::<2>(layer, layer.taps.block(input, from + at), block);
                    store(values[0], &layer.rescaling, &mut first[at_output..end]);
                    if !second.is_empty() {
                        store(values[1], &layer.rescaling, &mut second[at_output..end]);
                    }
                }
                block = if block + 1 == layer.shape.period { 0 } else { block + 1 };
            }
        }
    }
}

/// 16 values of each of `ROWS` output rows, whose windows hold `from`.
#[target_feature(enable = "avx2")]
fn depthwise_block<const ROWS: usize>(layer: &Depthwise, from: Block<WORDS>, block: usize) -> [[__m256i; 2]; ROWS] {
    let length = layer.shape.steps * ROWS * 2 * WORDS;
    let weights = layer.weights.words[block * length..(block + 1) * length].as_chunks::<WORDS>().0;
    let weights = weights.as_chunks::<2>().0.as_chunks::<ROWS>().0;
    let mut sums = [[_mm256_setzero_si256(); 2]; ROWS];
    for (taps, weights) in from.taps().as_chunks::<PRODUCTS>().0.iter().zip(weights) {
        // SAFETY: the invariant of `Block`: the place is one of its taps.
        let load = |tap: usize| unsafe { _mm_loadu_si128(from.codes().wrapping_add(tap).cast()) };
        let (a, b) = (_mm256_cvtepu8_epi16(load(taps[0])), _mm256_cvtepu8_epi16(load(taps[1])));
        let codes = [_mm256_unpacklo_epi16(a, b), _mm256_unpackhi_epi16(a, b)];
        for (sums, registers) in sums.iter_mut().zip(weights) {
            for ((sum, codes), words) in sums.iter_mut().zip(codes).zip(registers) {
                // SAFETY: the array has 16 values of 2 bytes.
                let levels = unsafe { _mm256_loadu_si256(words.as_ptr().cast()) };
                *sum = _mm256_add_epi32(*sum, _mm256_madd_epi16(codes, levels));
            }
        }
    }
    requantize(&mut sums, &layer.rescaling, block * WORDS);
    sums
}

/// [`Plain::run`], compiled for these instructions.
#[target_feature(enable = "avx2")]
pub(super) fn plain<'a>(op: &Plain, input: impl Fn(usize) -> &'a [u8], output: &mut [u8], sums: &mut [i32]) {
    op.run(input, output, sums);
}
