//! Kernels of AVX-512 with VNNI: `vpdpbusd` adds four products of an unsigned and a signed byte to each of 16 sums.
#![allow(unsafe_code, reason = "vector loads and stores through pointers; each block says why it stays inside")]

use super::aligned::LINE;
use super::conv::{Conv, Panel};
use super::depthwise::Depthwise;
use super::places::Block;
use super::plain::Plain;
use super::rescaling::Rescaling;
use std::arch::x86_64::*;

/// Codes that an instruction multiplies for each sum.
const PRODUCTS: usize = 4;

/// Computes `images` images of a layer. The (padded) images begin at the beginning of `input`.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
pub(super) fn conv(layer: &Conv, input: &[u8], images: usize, output: &mut [u8]) {
    let rows = images * layer.pixels;
    for panel in &layer.panels {
        match panel.registers {
            4 => conv_panel::<6, 4>(layer, panel, input, &mut output[..rows * layer.out_c]),
            2 => conv_panel::<12, 2>(layer, panel, input, &mut output[..rows * layer.out_c]),
            _ => conv_panel::<12, 1>(layer, panel, input, &mut output[..rows * layer.out_c]),
        }
    }
}

/// All rows of a panel: `ROWS` at a time, then what is left.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
fn conv_panel<const ROWS: usize, const REGISTERS: usize>(layer: &Conv, panel: &Panel, input: &[u8], output: &mut [u8]) {
    let rows = output.len() / layer.out_c;
    let mut row = 0;
    while row + ROWS <= rows {
        tile::<ROWS, REGISTERS>(layer, panel, input, output, row);
        row += ROWS;
    }
    while row + 4 <= rows {
        tile::<4, REGISTERS>(layer, panel, input, output, row);
        row += 4;
    }
    while row + 2 <= rows {
        tile::<2, REGISTERS>(layer, panel, input, output, row);
        row += 2;
    }
    if row < rows {
        tile::<1, REGISTERS>(layer, panel, input, output, row);
    }
}

/// `ROWS` output pixels from `row` on, the channels of one panel.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
fn tile<const ROWS: usize, const REGISTERS: usize>(
    layer: &Conv,
    panel: &Panel,
    input: &[u8],
    output: &mut [u8],
    row: usize,
) {
    let starts = layer.windows.starts::<u8, ROWS, PRODUCTS>(input, row, panel.group);
    let (segments, steps) = (layer.windows.segments(), layer.windows.steps());
    let length = segments.len() * steps * REGISTERS * LINE;
    let weights = layer.weights.bytes[panel.weights..panel.weights + length].as_chunks::<LINE>().0;
    let weights = weights.as_chunks::<REGISTERS>().0;
    let mut sums = [[_mm512_setzero_si512(); REGISTERS]; ROWS];
    for (&segment, weights) in segments.iter().zip(weights.chunks_exact(steps)) {
        for (step, lines) in weights.iter().enumerate() {
            let mut levels = [_mm512_setzero_si512(); REGISTERS];
            for (level, line) in levels.iter_mut().zip(lines) {
                // SAFETY: the array has 64 bytes.
                *level = unsafe { _mm512_loadu_si512(line.as_ptr().cast()) };
            }
            for (start, sums) in starts.pointers().iter().zip(&mut sums) {
                let at = start.wrapping_add(segment + PRODUCTS * step).cast::<i32>();
                // SAFETY: the invariant of `Starts`: `step` is one of its windows' steps, of `PRODUCTS` codes each.
                let codes = _mm512_set1_epi32(unsafe { at.read_unaligned() });
                for (sum, level) in sums.iter_mut().zip(levels) {
                    *sum = _mm512_dpbusd_epi32(*sum, codes, level);
                }
            }
        }
    }
    // Copied, so that the sums stay in registers while they are summed: the loops below index theirs in memory.
    let mut values = [[_mm512_setzero_si512(); REGISTERS]; ROWS];
    for (values, sums) in values.iter_mut().zip(&sums) {
        for (value, sum) in values.iter_mut().zip(sums) {
            *value = *sum;
        }
    }
    if layer.rescaling.high_word {
        requantize::<ROWS, REGISTERS, true>(&mut values, &layer.rescaling, panel.constants);
    } else {
        requantize::<ROWS, REGISTERS, false>(&mut values, &layer.rescaling, panel.constants);
    }
    for (values, to) in values.into_iter().zip(output[row * layer.out_c..].chunks_mut(layer.out_c)) {
        store(values, &layer.rescaling, &mut to[panel.channel..panel.channel + panel.channels]);
    }
}

/// Sums to values before clamping, 32-bit values that may leave the code range on either side. The constants of the
/// first sum are number `at`.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
#[inline]
fn requantize<const ROWS: usize, const REGISTERS: usize, const HIGH_WORD: bool>(
    sums: &mut [[__m512i; REGISTERS]; ROWS],
    rescaling: &Rescaling,
    at: usize,
) {
    let left = _mm_cvtsi32_si128(i32::from(rescaling.left));
    for register in 0..REGISTERS {
        let constants = Constants::load(rescaling, at + 16 * register);
        for sums in sums.iter_mut() {
            let acc = _mm512_add_epi32(_mm512_sll_epi32(sums[register], left), constants.bias);
            let even = _mm512_mul_epi32(acc, constants.even);
            let odd = _mm512_mul_epi32(_mm512_srli_epi64(acc, 32), constants.odd);
            sums[register] = if HIGH_WORD {
                // The high word of each product, the even ones moved down to their places.
                let high = _mm512_mask_shuffle_epi32::<0xf5>(odd, 0x5555, even);
                _mm512_srav_epi32(_mm512_add_epi32(high, constants.offset), constants.shift)
            } else {
                constants.whole_products([even, odd], rescaling)
            };
        }
    }
}

/// Narrows the values of one row to codes and writes those that are channels.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
fn store<const REGISTERS: usize>(values: [__m512i; REGISTERS], rescaling: &Rescaling, to: &mut [u8]) {
    let codes = match REGISTERS {
        4 => narrow([values[0], values[1], values[2], values[3]], rescaling),
        2 => {
            let words = _mm512_packs_epi32(values[0], values[1]);
            let words = _mm512_max_epi16(words, _mm512_set1_epi16(i16::from(rescaling.range.lo)));
            let codes = _mm256_min_epu8(_mm512_cvtusepi16_epi8(words), _mm256_set1_epi8(rescaling.range.hi as i8));
            _mm512_castsi256_si512(codes)
        }
        _ => {
            let values = _mm512_max_epi32(values[0], _mm512_set1_epi32(i32::from(rescaling.range.lo)));
            let codes = _mm_min_epu8(_mm512_cvtusepi32_epi8(values), _mm_set1_epi8(rescaling.range.hi as i8));
            _mm512_castsi128_si512(codes)
        }
    };
    store_codes(codes, to);
}

/// Writes the first codes, as many as `to` takes, 64 at most.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
fn store_codes(codes: __m512i, to: &mut [u8]) {
    if to.len() >= LINE {
        // SAFETY: the slice has 64 bytes.
        unsafe { _mm512_storeu_si512(to.as_mut_ptr().cast(), codes) };
    } else {
        // SAFETY: the mask has as many bits as the slice bytes, and only those bytes are written.
        unsafe { _mm512_mask_storeu_epi8(to.as_mut_ptr().cast(), (1 << to.len()) - 1, codes) };
    }
}

/// 64 values in the order of [`super::set::Layout::channels`] to 64 codes in their natural order.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
fn narrow(values: [__m512i; 4], rescaling: &Rescaling) -> __m512i {
    let low = _mm512_packs_epi32(values[0], values[1]);
    let codes = _mm512_packus_epi16(low, _mm512_packs_epi32(values[2], values[3]));
    let codes = _mm512_max_epu8(codes, _mm512_set1_epi8(rescaling.range.lo as i8));
    _mm512_min_epu8(codes, _mm512_set1_epi8(rescaling.range.hi as i8))
}

/// The requantization constants of 16 sums.
struct Constants {
    bias: __m512i,
    even: __m512i,
    odd: __m512i,
    offset: __m512i,
    shift: __m512i,
}

impl Constants {
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
    #[inline]
    fn load(rescaling: &Rescaling, at: usize) -> Self {
        // SAFETY: the array has 16 values of 4 bytes.
        let load = |values: &[i32; 16]| unsafe { _mm512_loadu_si512(values.as_ptr().cast()) };
        let [bias, even, offset, shift] = rescaling.register::<16>(at);
        let even = load(even);
        Self { bias: load(bias), even, odd: _mm512_srli_epi64(even, 32), offset: load(offset), shift: load(shift) }
    }

    /// Products of the even and the odd sums, rounded and shifted in 64 bits.
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
    fn whole_products(&self, [even, odd]: [__m512i; 2], rescaling: &Rescaling) -> __m512i {
        let shifts = [_mm512_and_si512(self.shift, _mm512_set1_epi64(0xffff_ffff)), _mm512_srli_epi64(self.shift, 32)];
        let [even, odd] = [(even, shifts[0]), (odd, shifts[1])].map(|(product, shift)| {
            let one = _mm512_set1_epi64(1);
            let half = _mm512_sllv_epi64(one, _mm512_sub_epi64(shift, one));
            let value = _mm512_srav_epi64(_mm512_add_epi64(product, half), shift);
            let value = _mm512_add_epi64(value, _mm512_set1_epi64(i64::from(rescaling.range.zero)));
            _mm512_min_epi64(_mm512_max_epi64(value, _mm512_setzero_si512()), _mm512_set1_epi64(255))
        });
        _mm512_or_si512(even, _mm512_slli_epi64(odd, 32))
    }
}

/// Computes one image of a layer; the padded image begins at the beginning of `input`.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
pub(super) fn depthwise(layer: &Depthwise, input: &[u8], output: &mut [u8]) {
    let row_codes = layer.runs * layer.run;
    for (pair, to) in output.chunks_mut(layer.shape.rows * row_codes).enumerate() {
        let (first, second) = to.split_at_mut(row_codes);
        for run in 0..layer.runs {
            let from = pair * layer.shape.rows * layer.row_step + run * layer.run_step;
            let mut block = 0;
            for at in (0..layer.run).step_by(LINE) {
                let end = layer.run.min(at + LINE);
                let (at_output, end) = (run * layer.run + at, run * layer.run + end);
                if layer.shape.rows == 1 {
                    let [codes] = depthwise_block::<1>(layer, layer.taps.block(input, from + at), block);
                    store_codes(codes, &mut first[at_output..end]);
                } else {
                    let codes = depthwise_block::<2>(layer, layer.taps.block(input, from + at), block);
                    store_codes(codes[0], &mut first[at_output..end]);
                    if !second.is_empty() {
                        store_codes(codes[1], &mut second[at_output..end]);
                    }
                }
                block = if block + 1 == layer.shape.period { 0 } else { block + 1 };
            }
        }
    }
}

/// 64 codes of each of `ROWS` output rows, whose windows hold `from`.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
fn depthwise_block<const ROWS: usize>(layer: &Depthwise, from: Block<LINE>, block: usize) -> [__m512i; ROWS] {
    let length = layer.shape.steps * ROWS * 4 * LINE;
    let weights = layer.weights.bytes[block * length..(block + 1) * length].as_chunks::<LINE>().0;
    let weights = weights.as_chunks::<4>().0.as_chunks::<ROWS>().0;
    let mut sums = [[_mm512_setzero_si512(); 4]; ROWS];
    for (taps, weights) in from.taps().as_chunks::<PRODUCTS>().0.iter().zip(weights) {
        // SAFETY: the invariant of `Block`: the place is one of its taps.
        let load = |tap: usize| unsafe { _mm512_loadu_si512(from.codes().wrapping_add(tap).cast()) };
        let [a, b, c, d] = taps.map(load);
        let (ab, cd) = (_mm512_unpacklo_epi8(a, b), _mm512_unpacklo_epi8(c, d));
        let (ab_high, cd_high) = (_mm512_unpackhi_epi8(a, b), _mm512_unpackhi_epi8(c, d));
        let codes = [
            _mm512_unpacklo_epi16(ab, cd),
            _mm512_unpackhi_epi16(ab, cd),
            _mm512_unpacklo_epi16(ab_high, cd_high),
            _mm512_unpackhi_epi16(ab_high, cd_high),
        ];
        for (sums, lines) in sums.iter_mut().zip(weights) {
            for ((sum, codes), line) in sums.iter_mut().zip(codes).zip(lines) {
                // SAFETY: the array has 64 bytes.
                let levels = unsafe { _mm512_loadu_si512(line.as_ptr().cast()) };
                *sum = _mm512_dpbusd_epi32(*sum, codes, levels);
            }
        }
    }
    if layer.rescaling.high_word {
        requantize::<ROWS, 4, true>(&mut sums, &layer.rescaling, block * LINE);
    } else {
        // Copied, so that the sums of the usual way stay in registers.
        let mut values = sums;
        requantize::<ROWS, 4, false>(&mut values, &layer.rescaling, block * LINE);
        sums = values;
    }
    let mut codes = [_mm512_setzero_si512(); ROWS];
    for (codes, sums) in codes.iter_mut().zip(sums) {
        *codes = narrow(sums, &layer.rescaling);
    }
    codes
}

/// [`Plain::run`], compiled for these instructions.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
pub(super) fn plain<'a>(op: &Plain, input: impl Fn(usize) -> &'a [u8], output: &mut [u8], sums: &mut [i32]) {
    op.run(input, output, sums);
}
