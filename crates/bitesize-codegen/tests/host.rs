//! Emitted packages on the host against the golden interpreter, byte for byte.

mod common;

use bitesize_ir::BitWidth;
use bitesize_ir::memory::ram;
use bitesize_ir::target::KernelKey;
use common::compiler::{check_on_host, write_package};
use common::networks::{Drawn, drawn, every_kernel, harden};
use std::collections::BTreeSet;

fn check(name: &str, drawn: &mut Drawn, seed: u64, flags: &[&str]) {
    harden(&mut drawn.integer, seed);
    drawn.integer.validate().unwrap_or_else(|problem| panic!("{name}: {problem}"));
    let plan = ram(&drawn.network, &drawn.widths, &common::costs()).plan;
    let folder = write_package(name, &drawn.integer, &plan, seed);
    check_on_host(&folder, flags);
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
            seen.extend(bitesize_codegen::kernel_keys(&drawn.integer));
            check(&format!("every-{input}-{second}"), &mut drawn, 1, &SANITIZED);
        }
    }
    assert_eq!(seen, KernelKey::all().into_iter().collect());
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
