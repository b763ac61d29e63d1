/* From packed codes to lanes, for convolutions and fully connected layers. */

/* Appends a code. The low lane clears the high one, so that a last odd code has a 0 beside it. */
BITESIZE_INLINE void bitesize_append(bitesize_code_run *run, uint32_t code)
{
    if (run->odd != 0u) {
        *run->word |= code << 16;
        run->word += run->step;
    } else {
        *run->word = code;
    }
    run->odd ^= 1u;
}

/*
 * Appends the codes of a run, a word of them at a time as long as there are whole ones. `low` is the code in the low lane of a
 * word that is not full yet; it is in its place, too.
 */
BITESIZE_INLINE void bitesize_gather_lanes(bitesize_code_run *run, uint32_t bits)
{
    const uint32_t step = run->step;
    const uint32_t first = run->first;
    const uint32_t count = run->count;
    const uint32_t row_bytes = run->row_bytes;
    const uint8_t *row = bits == 8u ? run->row + first : run->row + ((first * bits) >> 3);
    uint32_t *word = run->word;
    uint32_t odd = run->odd;
    uint32_t low = *word;
    uint32_t rows = run->rows;
    do {
        const uint8_t *from = row;
        uint32_t left = count;
        uint32_t shift = bits == 8u ? 0u : (first * bits) & 7u;
        if (bits == 8u) {
            const uint8_t *const end = row + (count & ~3u);
            while (from != end) {
                const uint32_t codes = bitesize_load(from);
                const uint32_t even = bitesize_even(codes);
                const uint32_t odds = bitesize_odd(codes);
                from += 4;
                if (odd != 0u) {
                    *word = bitesize_lows(low, even);
                    word += step;
                    *word = bitesize_low_and_high(odds, even);
                    low = odds >> 16;
                } else {
                    *word = bitesize_lows(even, odds);
                    word += step;
                    *word = bitesize_highs(even, odds);
                }
                word += step;
            }
            left &= 3u;
        } else if ((shift | odd) == 0u) {
            for (; left >= 32u / bits; left -= 32u / bits) {
                const uint32_t codes = bitesize_load(from);
                const uint32_t mask = bits == 4u ? 0x000F000Fu : 0x00030003u;
                uint32_t *high = word + step * (8u / bits);
                uint32_t field;
                from += 4;
                for (field = 0; field < 16u; field += 2u * bits) {
                    const uint32_t even = (codes >> field) & mask;
                    const uint32_t odds = (codes >> (field + bits)) & mask;
                    *word = bitesize_lows(even, odds);
                    *high = bitesize_highs(even, odds);
                    word += step;
                    high += step;
                }
                word = high;
            }
        }
        for (; left != 0u; left--) {
            const uint32_t code = (uint32_t)bitesize_code(from, shift, bits);
            shift += bits;
            from += shift >> 3;
            shift &= 7u;
            if (odd != 0u) {
                *word = bitesize_lows(low, code);
                word += step;
            } else {
                low = code;
            }
            odd ^= 1u;
        }
        row += row_bytes;
    } while (--rows != 0u);
    if (odd != 0u) {
        *word = low;
    }
    run->word = word;
    run->odd = odd;
}
