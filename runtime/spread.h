/*
 * From packed rows of channels to lanes, for depthwise convolutions: the codes of two rows, one above the other, in the low
 * and the high lane, apart for each of four neighbouring channels.
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

/* The columns of a run, inside the image or outside, where steps are 0. */
typedef struct {
    bitesize_strip_row rows[4];
    uint32_t columns;
} bitesize_strip_run;

/* Four rows one step from column to column: for each channel a word with the upper two and one with the lower two. */
BITESIZE_INLINE void bitesize_spread_four(const bitesize_strip_run *run, uint32_t *lanes, uint32_t bits)
{
    const uint8_t *const top = run->rows[0].codes;
    const uint8_t *const second = run->rows[1].codes;
    const uint8_t *const third = run->rows[2].codes;
    const uint8_t *const bottom = run->rows[3].codes;
    const uint32_t step = run->rows[0].step;
    uint32_t *const end = lanes + 8u * run->columns;
    uint32_t at = 0;
    do {
        const bitesize_strip_lanes upper = bitesize_take_apart(bitesize_load_strip(top + at, 4, bits),
            bitesize_load_strip(second + at, 4, bits), bits);
        const bitesize_strip_lanes lower = bitesize_take_apart(bitesize_load_strip(third + at, 4, bits),
            bitesize_load_strip(bottom + at, 4, bits), bits);
        lanes[0] = upper.lanes[0];
        lanes[1] = lower.lanes[0];
        lanes[2] = upper.lanes[1];
        lanes[3] = lower.lanes[1];
        lanes[4] = upper.lanes[2];
        lanes[5] = lower.lanes[2];
        lanes[6] = upper.lanes[3];
        lanes[7] = lower.lanes[3];
        at += step;
        lanes += 8;
    } while (lanes != end);
}

/*
 * Two rows: for each channel a word, the words of channels `pairs` apart. `channels` is 4, or fewer where their codes have to be
 * read one by one.
 */
BITESIZE_INLINE void bitesize_spread_two(const bitesize_strip_row *rows, uint32_t columns, uint32_t *lanes, uint32_t pairs,
    uint32_t channels, uint32_t bits)
{
    const uint8_t *top = rows[0].codes;
    const uint8_t *bottom = rows[1].codes;
    const uint32_t top_step = rows[0].step;
    const uint32_t bottom_step = rows[1].step;
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
    const uint32_t count = strip->four != 0u ? 4u : 2u;
    uint32_t *lanes = strip->lanes;
    uint32_t column = strip->column;
    const uint32_t end = column + strip->columns;
    while (column != end) {
        const uint32_t left = end - column;
        bitesize_strip_run run;
        uint32_t channels = strip->channels;
        uint32_t same = 1;
        uint32_t i;
        if (column < strip->in_w) {
            const uint32_t inside = strip->in_w - column;
            run.columns = left < inside ? left : inside;
            for (i = 0; i < count; i++) {
                run.rows[i].step = strip->rows[i].step;
                run.rows[i].codes = strip->rows[i].codes + column * run.rows[i].step;
                same &= run.rows[i].step == run.rows[0].step ? 1u : 0u;
            }
        } else {
            const uint32_t outside = 0u - column;
            run.columns = left < outside ? left : outside;
            for (i = 0; i < count; i++) {
                run.rows[i].step = 0;
                run.rows[i].codes = strip->padding;
            }
            /* Four bytes of it can be read. */
            channels = 4;
        }
        if (channels != 4u) {
            for (i = 0; i < count; i += 2u) {
                bitesize_spread_two(run.rows + i, run.columns, lanes + i / 2u, strip->pairs, channels, bits);
            }
        } else if ((count & 4u) != 0u && same != 0u) {
            bitesize_spread_four(&run, lanes, bits);
        } else {
            for (i = 0; i < count; i += 2u) {
                bitesize_spread_two(run.rows + i, run.columns, lanes + i / 2u, strip->pairs, 4, bits);
            }
        }
        lanes += 4u * strip->pairs * run.columns;
        column += run.columns;
    }
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
