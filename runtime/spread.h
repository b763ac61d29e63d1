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

BITESIZE_WRAPS BITESIZE_INLINE void bitesize_spread(const bitesize_strip *strip, uint32_t bits)
{
    const uint8_t *const padding = strip->padding;
    const uint8_t *const top = strip->top;
    const uint8_t *const bottom = strip->bottom;
    const uint32_t channels = strip->channels;
    const uint32_t plane = strip->plane;
    const uint32_t in_w = strip->in_w;
    uint32_t *lanes = strip->lanes;
    uint32_t column = strip->column;
    uint32_t top_at = column * strip->top_step;
    uint32_t bottom_at = column * strip->bottom_step;
    const uint32_t end = column + strip->columns;
    do {
        uint32_t upper;
        uint32_t lower;
        bitesize_strip_lanes codes;
        if (column < in_w) {
            upper = bitesize_load_strip(top + top_at, channels, bits);
            lower = bitesize_load_strip(bottom + bottom_at, channels, bits);
        } else {
            upper = bitesize_load_strip(padding, channels, bits);
            lower = upper;
        }
        codes = bitesize_take_apart(upper, lower, bits);
        lanes[0] = codes.lanes[0];
        lanes[plane] = codes.lanes[1];
        lanes[2u * plane] = codes.lanes[2];
        lanes[3u * plane] = codes.lanes[3];
        lanes += strip->pitch;
        top_at += strip->top_step;
        bottom_at += strip->bottom_step;
        column++;
    } while (column != end);
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
