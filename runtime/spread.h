/*
 * From packed rows of channels to lanes, for depthwise convolutions: the codes of two rows, one above the other, in
 * the low and the high lane, apart for each of four neighbouring channels.
 */

/* Up to four codes that start on a byte. */
BITESIZE_INLINE uint32_t bitesize_load_strip(const uint8_t *codes, uint32_t channels, uint32_t bits)
{
    uint32_t word;
    if (bits == 8u && channels == 4u) {
        return bitesize_load(codes);
    }
    if (bits == 4u && channels == 4u) {
        return bitesize_load_half(codes);
    }
    word = codes[0];
    if (bits == 4u && channels > 2u) {
        word |= (uint32_t)codes[1] << 8;
    }
    if (bits == 8u && channels > 1u) {
        word |= (uint32_t)codes[1] << 8;
        if (channels > 2u) {
            word |= (uint32_t)codes[2] << 16;
        }
    }
    return word;
}

/* The lanes of two strips' codes of channel 0 to 3. */
typedef struct {
    uint32_t lanes[4];
} bitesize_strip_lanes;

BITESIZE_INLINE bitesize_strip_lanes bitesize_take_apart(uint32_t top, uint32_t bottom, uint32_t bits)
{
    const uint32_t low = bitesize_lows(top, bottom);
    bitesize_strip_lanes strip;
    if (bits == 8u) {
        const uint32_t high = bitesize_highs(top, bottom);
        strip.lanes[0] = bitesize_even(low);
        strip.lanes[1] = bitesize_odd(low);
        strip.lanes[2] = bitesize_even(high);
        strip.lanes[3] = bitesize_odd(high);
    } else {
        const uint32_t mask = bits == 4u ? 0x000F000Fu : 0x00030003u;
        strip.lanes[0] = low & mask;
        strip.lanes[1] = (low >> bits) & mask;
        strip.lanes[2] = (low >> (2u * bits)) & mask;
        strip.lanes[3] = (low >> (3u * bits)) & mask;
    }
    return strip;
}

#ifdef BITESIZE_DSP
/*
 * One pointer goes over all rows, since registers are few: the second and the fourth are told by how far they are from
 * the first, and the third is twice as far as the second.
 */
#define BITESIZE_FOUR_ROWS(load) \
    "1:\n\t" load " %[a], [%[top]]\n\t" load " %[b], [%[top], %[second]]\n\t" \
    load " %[c], [%[top], %[second], lsl #1]\n\t" load " %[d], [%[top], %[bottom]]\n\tadd %[top], %[step]\n\t"
#define BITESIZE_FOUR_FIELDS(shift, to) \
    "and %[b], %[e], %[a]" shift "\n\tand %[d], %[e], %[c]" shift "\n\tstrd %[b], %[d], [%[lanes]" to "\n\t"
#define BITESIZE_FOUR_OF_FEW_BITS(load, once, twice, thrice) \
    __asm__ volatile(BITESIZE_FOUR_ROWS(load) \
        "pkhbt %[a], %[a], %[b], lsl #16\n\tpkhbt %[c], %[c], %[d], lsl #16\n\t" \
        BITESIZE_FOUR_FIELDS(", lsr #" once, ", #8]") BITESIZE_FOUR_FIELDS(", lsr #" twice, ", #16]") \
        BITESIZE_FOUR_FIELDS(", lsr #" thrice, ", #24]") BITESIZE_FOUR_FIELDS("", "], #32") \
        BITESIZE_FOUR_END)
#define BITESIZE_FOUR_END \
    "cmp %[lanes], %[end]\n\tbne 1b\n\t" \
    : [a] "=&r"(a), [b] "=&r"(b), [c] "=&r"(c), [d] "=&r"(d), [e] "+&r"(e), [top] "+&r"(top), [lanes] "+&r"(lanes) \
    : [second] "r"(second), [bottom] "r"(bottom), [step] "r"(step), [end] "r"(end) : "cc", "memory"
#endif

/*
 * Four rows with one step from column to column, the third as far from the second as that from the first: for each
 * channel a word with the upper two and one with the lower two.
 */
BITESIZE_INLINE void bitesize_spread_four(const bitesize_strip_row *rows, uint32_t column, uint32_t columns,
    uint32_t *lanes, uint32_t bits)
{
    const uint32_t step = rows[0].step;
    uint32_t *const end = lanes + 8u * columns;
#ifdef BITESIZE_DSP
    const uint8_t *top = rows[0].codes + column * step;
    const uint32_t second = (uint32_t)rows[1].codes - (uint32_t)rows[0].codes;
    const uint32_t bottom = (uint32_t)rows[3].codes - (uint32_t)rows[0].codes;
    uint32_t a, b, c, d;
    uint32_t e = bits == 4u ? 0x000F000Fu : 0x00030003u;
    if (bits == 8u) {
        __asm__ volatile(BITESIZE_FOUR_ROWS("ldr")
            "pkhbt %[e], %[a], %[b], lsl #16\n\tpkhtb %[b], %[b], %[a], asr #16\n\t"
            "pkhbt %[a], %[c], %[d], lsl #16\n\tpkhtb %[d], %[d], %[c], asr #16\n\t"
            "uxtb16 %[c], %[a]\n\tstr %[c], [%[lanes], #4]\n\tuxtb16 %[c], %[e]\n\tstr %[c], [%[lanes]], #32\n\t"
            "uxtb16 %[e], %[e], ror #8\n\tuxtb16 %[a], %[a], ror #8\n\tstrd %[e], %[a], [%[lanes], #-24]\n\t"
            "uxtb16 %[e], %[b]\n\tuxtb16 %[a], %[d]\n\tstrd %[e], %[a], [%[lanes], #-16]\n\t"
            "uxtb16 %[b], %[b], ror #8\n\tuxtb16 %[d], %[d], ror #8\n\tstrd %[b], %[d], [%[lanes], #-8]\n\t"
            BITESIZE_FOUR_END);
    } else if (bits == 4u) {
        BITESIZE_FOUR_OF_FEW_BITS("ldrh", "4", "8", "12");
    } else {
        BITESIZE_FOUR_OF_FEW_BITS("ldrb", "2", "4", "6");
    }
#else
    uint32_t at = column * step;
    do {
        const bitesize_strip_lanes upper = bitesize_take_apart(bitesize_load_strip(rows[0].codes + at, 4, bits),
            bitesize_load_strip(rows[1].codes + at, 4, bits), bits);
        const bitesize_strip_lanes lower = bitesize_take_apart(bitesize_load_strip(rows[2].codes + at, 4, bits),
            bitesize_load_strip(rows[3].codes + at, 4, bits), bits);
        uint32_t i;
        for (i = 0; i < 4u; i++) {
            lanes[2u * i] = upper.lanes[i];
            lanes[2u * i + 1u] = lower.lanes[i];
        }
        at += step;
        lanes += 8;
    } while (lanes != end);
#endif
}

/*
 * Two rows: for each channel a word, the words of channels `pairs` apart. `channels` is 4, or fewer where their codes
 * have to be read one by one.
 */
BITESIZE_INLINE void bitesize_spread_two(const bitesize_strip_row *rows, uint32_t column, uint32_t columns,
    uint32_t *lanes, uint32_t pairs, uint32_t channels, uint32_t bits)
{
    const uint32_t top_step = rows[0].step;
    const uint32_t bottom_step = rows[1].step;
    const uint8_t *top = rows[0].codes + column * top_step;
    const uint8_t *bottom = rows[1].codes + column * bottom_step;
    do {
        const bitesize_strip_lanes codes = bitesize_take_apart(bitesize_load_strip(top, channels, bits),
            bitesize_load_strip(bottom, channels, bits), bits);
        lanes[0] = codes.lanes[0];
        lanes[pairs] = codes.lanes[1];
        lanes[2u * pairs] = codes.lanes[2];
        lanes[3u * pairs] = codes.lanes[3];
        lanes += 4u * pairs;
        top += top_step;
        bottom += bottom_step;
    } while (--columns != 0u);
}

BITESIZE_WRAPS BITESIZE_INLINE void bitesize_spread(const bitesize_strip *strip, uint32_t bits)
{
    const uint32_t pairs = strip->pairs;
    uint32_t *lanes = strip->lanes;
    uint32_t column = strip->column;
    uint32_t left = strip->columns;
    do {
        const bitesize_strip_row *rows = strip->rows;
        uint32_t whole = bits == 2u || strip->channels == 4u ? 1u : 0u;
        uint32_t together = strip->together;
        uint32_t columns = strip->in_w - column;
        uint32_t from = column;
        if (column >= strip->in_w) {
            rows = strip->outside;
            /* Four bytes of the padding can be read. */
            whole = 1;
            together = pairs;
            columns = 0u - column;
            from = 0;
        }
        columns = left < columns ? left : columns;
        if (whole != 0u && together == 2u) {
            bitesize_spread_four(rows, from, columns, lanes, bits);
        } else {
            const uint32_t words = pairs == 2u ? 2u : 1u;
            uint32_t i;
            for (i = 0; i < words; i++) {
                if (whole != 0u) {
                    bitesize_spread_two(rows + 2u * i, from, columns, lanes + i, pairs, 4, bits);
                } else if (bits != 2u) {
                    bitesize_spread_two(rows + 2u * i, from, columns, lanes + i, pairs, strip->channels, bits);
                }
            }
        }
        lanes += 4u * pairs * columns;
        column += columns;
        left -= columns;
    } while (left != 0u);
}

/* Column by column, the levels of two rows, one above the other, in the lanes of a word; below the last row 0. */
BITESIZE_WRAPS BITESIZE_INLINE void bitesize_levels(const bitesize_strip_weights *strip, uint32_t bits)
{
    const uint32_t row_bytes = strip->kernel_w * strip->tap_bytes;
    const uint32_t plane = strip->plane;
    uint32_t *lanes = strip->lanes;
    uint32_t x;
    for (x = 0; x < strip->kernel_w; x++) {
        const uint8_t *top = strip->values + x * strip->tap_bytes;
        uint32_t rows;
        for (rows = strip->kernel_h; rows != 0u; rows -= rows == 1u ? 1u : 2u) {
            const uint32_t upper = bitesize_load_strip(top, strip->channels, bits);
            const uint32_t none = bits == 2u ? 0xAAu : 0u;
            const uint32_t lower = rows == 1u ? none : bitesize_load_strip(top + row_bytes, strip->channels, bits);
            bitesize_strip_lanes levels;
            if (bits == 8u) {
                const uint32_t low = bitesize_lows(upper, lower);
                const uint32_t high = bitesize_highs(upper, lower);
                levels.lanes[0] = bitesize_signed_even(low);
                levels.lanes[1] = bitesize_signed_odd(low);
                levels.lanes[2] = bitesize_signed_even(high);
                levels.lanes[3] = bitesize_signed_odd(high);
            } else {
                /* Unsigned codes first: with its sign bit turned, two's complement is the level and 8. */
                const uint32_t turned = bits == 4u ? 0x8888u : 0u;
                const uint32_t lowest = bits == 4u ? 0x00080008u : 0x00020002u;
                uint32_t c;
                levels = bitesize_take_apart(upper ^ turned, lower ^ turned, bits);
                for (c = 0; c < 4u; c++) {
                    levels.lanes[c] = bitesize_subtract(levels.lanes[c], lowest);
                }
            }
            lanes[0] = levels.lanes[0];
            lanes[plane] = levels.lanes[1];
            lanes[2u * plane] = levels.lanes[2];
            lanes[3u * plane] = levels.lanes[3];
            lanes++;
            top += 2u * row_bytes;
        }
    }
}
