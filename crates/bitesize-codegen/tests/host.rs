//! Emitted packages on the host against the golden interpreter, byte for byte.

mod common;

use bitesize_ir::BitWidth;
use bitesize_ir::code::{Code, KernelKey, Stage};
use bitesize_ir::memory::ram;
use common::compiler::{check_on_host, write_package};
use common::networks::{Drawn, drawn, every_kernel, harden};
use std::collections::BTreeSet;

/// Checks the network by kernels of its widths and row by row; all the code that it called.
fn check(name: &str, drawn: &mut Drawn, seed: u64, flags: &[&str]) -> BTreeSet<Code> {
    harden(&mut drawn.integer, seed);
    drawn.integer.validate().unwrap_or_else(|problem| panic!("{name}: {problem}"));
    let mut called = BTreeSet::new();
    for (core, how) in common::both_costs().iter().zip(["whole", "rows"]) {
        let plan = ram(&drawn.network, &drawn.widths, core).plan;
        let folder = write_package(&format!("{name}-{how}"), &drawn.integer, &plan, seed);
        check_on_host(&folder, flags);
        called.extend(bitesize_codegen::code_of(&drawn.integer, &plan));
    }
    called
}

const SANITIZED: [&str; 3] = ["-O1", "-fsanitize=undefined,address", "-fno-sanitize-recover=all"];

#[test]
fn networks_drawn_at_random_give_the_interpreters_bytes() {
    for seed in 0..12 {
        check(&format!("drawn-{seed}"), &mut drawn(seed, 8), seed, &SANITIZED);
    }
}

#[test]
fn every_kernel_gives_the_interpreters_bytes() {
    let mut seen = BTreeSet::new();
    for input in BitWidth::ALL {
        for second in BitWidth::ALL {
            let mut drawn = every_kernel(input, second);
            seen.extend(check(&format!("every-{input}-{second}"), &mut drawn, 1, &SANITIZED));
        }
    }
    let kernels = KernelKey::all().into_iter().map(Code::Kernel);
    assert_eq!(seen, kernels.chain(Stage::all().into_iter().map(Code::Stage)).collect());
}

/// The formula of `docs/numerics.md` in 64 bits against the runtime's, which takes the high word only.
const REQUANTIZE: &str = r#"
#include <stdint.h>
#include "common.h"

static uint32_t state = 1;

static uint32_t draw(void)
{
    state ^= state << 13;
    state ^= state >> 17;
    state ^= state << 5;
    return state;
}

static int64_t rule(int32_t acc, int32_t multiplier, int32_t shift, bitesize_range range)
{
    const int64_t half = (int64_t)1 << (shift - 1);
    const int64_t code = range.zero + (((int64_t)acc * multiplier + half) >> shift);
    return code < range.lowest ? range.lowest : code > range.highest ? range.highest : code;
}

int main(void)
{
    static const int32_t edges[] = {0, 1, -1, 2, -2, 511, -511, 512, INT32_MAX, INT32_MIN + 1, INT32_MIN};
    int32_t shift;
    for (shift = 1; shift <= 62; shift++) {
        int i;
        for (i = 0; i < 60000; i++) {
            const int32_t magnitude = (int32_t)(0x40000000u | (draw() >> 2));
            const int32_t small[] = {0, 0x40000000, -0x40000000, INT32_MAX, -INT32_MAX};
            const uint32_t pick = draw() % 8u;
            const int32_t multiplier = pick < 5u ? small[pick] : pick == 5u ? -magnitude : magnitude;
            const int32_t acc = i < 600 ? edges[i % 11] : (int32_t)draw() >> (draw() % 32u);
            bitesize_range range = {(int32_t)(draw() % 256u), 0, 255};
            if (pick == 7u) {
                range.lowest = range.zero;
            }
            if (bitesize_requantize(acc, multiplier, shift, range) != rule(acc, multiplier, shift, range)) {
                return 1;
            }
        }
    }
    return 0;
}
"#;

#[test]
fn requantization_by_the_high_word_is_the_rule() {
    let folder = common::compiler::Folder::new("requantize");
    std::fs::write(folder.0.join("test.c"), REQUANTIZE).expect("the temporary folder can be written");
    let runtime = concat!("-I", env!("CARGO_MANIFEST_DIR"), "/../../runtime");
    for definition in ["-DBITESIZE_LONG_MULTIPLY", "-DBITESIZE_NO_LONG_MULTIPLY"] {
        let sanitize = ["-O1", "-fsanitize=undefined", "-fno-sanitize-recover=all", definition];
        let flags = [&sanitize[..], &[runtime, "-o", "test", "test.c"]].concat();
        common::compiler::run(&folder.0, "cc", &flags);
        common::compiler::run(&folder.0, "./test", &[]);
    }
}

/// Sums of 2-bit weight codes at the most inputs that validation lets through, all of them as large as they can be; and
/// windows of every geometry, whose first address must lie in the image, also where they see only padding.
const EDGES: &str = r#"
#include <stdint.h>
#include "layers.h"
#include "common.h"
#include "rows.h"
#include "window.h"

#define LARGEST 5u
#define PIXEL_BYTES 3u

static uint8_t codes[MOST];
static uint8_t weights[(MOST + 3) / 4];
static const uint8_t image[LARGEST * LARGEST * PIXEL_BYTES];

static int dot(uint8_t weight, int32_t level)
{
    bitesize_vector vector;
    bitesize_pair sums;
    uint32_t i;
    for (i = 0; i < MOST; i++) {
        codes[i] = 255;
    }
    for (i = 0; i < sizeof weights; i++) {
        weights[i] = weight;
    }
    vector.codes = codes;
    vector.length = MOST;
    vector.sum = bitesize_vector_sum(codes, MOST, 2);
    sums = bitesize_dot(&vector, weights, weights, 2);
    return sums.a == level * 255 * (int32_t)MOST && sums.b == sums.a;
}

/* Whether every tap along an axis reads the pixel that it should, counted from the first. */
static int axis(int32_t start, uint32_t taps, uint32_t dilation, uint32_t size)
{
    const bitesize_axis found = bitesize_clip(start, taps, dilation, size, 0);
    uint32_t tap;
    uint32_t inside = 0;
    for (tap = 0; tap < taps; tap++) {
        const int32_t at = start + (int32_t)(tap * dilation);
        if (at >= 0 && at < (int32_t)size) {
            if (tap != found.taps.first + inside || (uint32_t)at != found.start + inside * dilation) {
                return 0;
            }
            inside++;
        }
    }
    return found.taps.end - found.taps.first == inside && found.start < size;
}

static int window(uint16_t size, uint16_t taps, uint16_t dilation, uint16_t pad)
{
    bitesize_window window = {0};
    uint32_t y;
    uint32_t x;
    window.in_h = size;
    window.in_w = (uint16_t)(LARGEST + 1u - size);
    window.kernel_h = taps;
    window.kernel_w = taps;
    window.stride_h = 1;
    window.stride_w = 2;
    window.dilation_h = dilation;
    window.dilation_w = dilation;
    window.pad_top = pad;
    window.pad_left = pad;
    for (y = 0; y < size + 2u * pad; y++) {
        for (x = 0; x < size + 2u * pad; x++) {
            /* The rows of the window may lie at the start of the image, and those above it nowhere. */
            const uint32_t base = y > pad && y - pad < size ? y - pad : 0;
            const bitesize_patch patch = bitesize_patch_at(&window, image, base, y, x, PIXEL_BYTES);
            const uintptr_t offset = (uintptr_t)patch.input - (uintptr_t)image;
            if (offset >= (uintptr_t)(window.in_h - base) * window.in_w * PIXEL_BYTES) {
                return 0;
            }
            if (!axis((int32_t)y - pad, taps, dilation, window.in_h)) {
                return 0;
            }
        }
    }
    return 1;
}

int main(void)
{
    uint16_t size;
    uint16_t taps;
    uint16_t dilation;
    uint16_t pad;
    for (size = 1; size <= LARGEST; size++) {
        for (taps = 1; taps < 5; taps++) {
            for (dilation = 1; dilation < 7; dilation++) {
                for (pad = 0; pad < 10; pad++) {
                    if (!window(size, taps, dilation, pad)) {
                        return 1;
                    }
                }
            }
        }
    }
    return dot(0xFF, 1) && dot(0xAA, 0) && dot(0, -2) ? 0 : 2;
}
"#;

#[test]
fn kernels_keep_to_the_image_and_to_32_bits_at_the_edges() {
    let folder = common::compiler::Folder::new("edges");
    std::fs::write(folder.0.join("test.c"), EDGES).expect("the temporary folder can be written");
    let runtime = concat!("-I", env!("CARGO_MANIFEST_DIR"), "/../../runtime");
    let most = format!("-DMOST={}u", bitesize_ir::requantize::most_summed_by_code(255));
    let flags = [&SANITIZED[..], &[&most, runtime, "-o", "test", "test.c"]].concat();
    common::compiler::run(&folder.0, "cc", &flags);
    common::compiler::run(&folder.0, "./test", &[]);
}

/// Writes a slice of every start and length into a row of ones.
const SLICES: &str = r#"
#include <stdint.h>
#include "common.h"

#define CHECK(bits) if (!check(bits)) { return bits; }

BITESIZE_INLINE int check(uint32_t bits)
{
    uint32_t first;
    uint32_t count;
    for (first = 0; first < 9u; first++) {
        for (count = 0; count < 9u; count++) {
            uint8_t row[20];
            uint32_t at;
            uint32_t i;
            bitesize_writer writer;
            bitesize_reader reader;
            for (i = 0; i < 20u; i++) {
                row[i] = 0xFF;
            }
            writer = bitesize_writer_at(row, first, bits);
            for (i = 0; i < count; i++) {
                bitesize_write(&writer, (int32_t)(i & 2u), bits);
            }
            bitesize_write_end(&writer, bits);
            reader = bitesize_reader_at(row, first, bits);
            for (i = 0; i < count; i++) {
                if (bitesize_read(&reader, bits) != (int32_t)(i & 2u)) {
                    return 0;
                }
            }
            for (at = 0; at < 160u; at++) {
                const uint32_t bit = (uint32_t)(row[at >> 3] >> (at & 7u)) & 1u;
                const uint32_t start = first * bits;
                const uint32_t end = (first + count) * bits;
                /* Kept below the slice; 0 up to the end of its last byte; kept from there on. */
                if (at < start && bit != 1u) {
                    return 0;
                }
                if (at >= end && at < ((end + 7u) & ~7u) && bit != 0u) {
                    return 0;
                }
                if (at >= ((end + 7u) & ~7u) && bit != 1u) {
                    return 0;
                }
            }
        }
    }
    return 1;
}

int main(void)
{
    CHECK(2)
    CHECK(4)
    CHECK(8)
    return 0;
}
"#;

#[test]
fn a_slice_of_a_row_leaves_its_neighbours_alone() {
    let folder = common::compiler::Folder::new("slices");
    std::fs::write(folder.0.join("test.c"), SLICES).expect("the temporary folder can be written");
    let runtime = concat!("-I", env!("CARGO_MANIFEST_DIR"), "/../../runtime");
    let flags = [&SANITIZED[..], &[runtime, "-o", "test", "test.c"]].concat();
    common::compiler::run(&folder.0, "cc", &flags);
    common::compiler::run(&folder.0, "./test", &[]);
}
