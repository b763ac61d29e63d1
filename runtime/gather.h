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

/* Appends the codes of a run: a word of them at a time as long as there are whole ones. */
BITESIZE_INLINE void bitesize_gather_lanes(bitesize_code_run *run, uint32_t bits)
{
    const uint32_t step = run->step;
    bitesize_code_run to = *run;
    for (; to.rows != 0u; to.rows--) {
        bitesize_reader reader = bitesize_reader_at(to.row, to.first, bits);
        uint32_t left = to.count;
        to.row += to.row_bytes;
        if (to.odd != 0u) {
            bitesize_append(&to, (uint32_t)bitesize_read(&reader, bits));
            left--;
        }
        if (bits == 8u || reader.shift == 0u) {
            for (; left >= 32u / bits; left -= 32u / bits) {
                const uint32_t word = bitesize_load(reader.byte);
                uint32_t *at = to.word;
                reader.byte += 4;
                if (bits == 8u) {
                    const uint32_t even = bitesize_even(word);
                    const uint32_t odd = bitesize_odd(word);
                    at[0] = bitesize_lows(even, odd);
                    at[step] = bitesize_highs(even, odd);
                    to.word = at + 2u * step;
                } else {
                    const uint32_t mask = bits == 4u ? 0x000F000Fu : 0x00030003u;
                    uint32_t *high = at + step * (8u / bits);
                    uint32_t shift;
                    for (shift = 0; shift < 16u; shift += 2u * bits) {
                        const uint32_t even = (word >> shift) & mask;
                        const uint32_t odd = (word >> (shift + bits)) & mask;
                        *at = bitesize_lows(even, odd);
                        *high = bitesize_highs(even, odd);
                        at += step;
                        high += step;
                    }
                    to.word = high;
                }
            }
        }
        for (; left != 0u; left--) {
            bitesize_append(&to, (uint32_t)bitesize_read(&reader, bits));
        }
    }
    run->word = to.word;
    run->odd = to.odd;
}
