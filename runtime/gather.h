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

/* Where the next code goes: into the low or, where `odd` is 1, beside `low` into the high lane of `word`. */
typedef struct {
    uint32_t *word;
    uint32_t step;
    uint32_t low;
    uint32_t odd;
} bitesize_lane;

/*
 * Appends `count` codes that start `first` codes behind `row`, a word of them at a time as long as there are whole
 * ones.
 */
BITESIZE_WRAPS BITESIZE_INLINE void bitesize_gather_codes(bitesize_lane *lane, const uint8_t *row, uint32_t first,
    uint32_t count, uint32_t bits)
{
    const uint32_t step = lane->step;
    const uint8_t *from = bits == 8u ? row + first : row + ((first * bits) >> 3);
    uint32_t *word = lane->word;
    uint32_t odd = lane->odd;
    uint32_t low = lane->low;
    uint32_t shift = bits == 8u ? 0u : (first * bits) & 7u;
    if (bits == 8u) {
        const uint8_t *const end = from + (count & ~3u);
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
        count &= 3u;
    } else if ((shift | odd) == 0u) {
        for (; count >= 32u / bits; count -= 32u / bits) {
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
    for (; count != 0u; count--) {
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
    lane->word = word;
    lane->odd = odd;
    lane->low = low;
}

#ifdef BITESIZE_DSP
/* Two pixels' lanes of codes that are bytes; `rows` pieces of `count` codes, `skip` bytes between them. */
BITESIZE_WRAPS BITESIZE_INLINE bitesize_lane bitesize_gather_pairs(bitesize_lane lane, const uint8_t *from,
    uint32_t apart, uint32_t count, uint32_t rows, uint32_t skip)
{
    uint32_t a, b, c, d, left = lane.odd, la, lb;
    __asm__ volatile(
        "cmp %[left], #0\n\tbne 5f\n"
        /* A piece that starts in a low lane: words of four codes, then two, then one. */
        "1:\n\tlsrs %[left], %[count], #2\n\tbeq 3f\n"
        "2:\n\tldr %[b], [%[from], %[apart]]\n\tldr %[a], [%[from]], #4\n\t"
        "uxtb16 %[c], %[a], ror #8\n\tuxtb16 %[d], %[b], ror #8\n\tuxtb16 %[a], %[a]\n\tuxtb16 %[b], %[b]\n\t"
        "pkhbt %[la], %[a], %[c], lsl #16\n\tpkhbt %[lb], %[b], %[d], lsl #16\n\t"
        "pkhtb %[c], %[c], %[a], asr #16\n\tpkhtb %[d], %[d], %[b], asr #16\n\t"
        "strd %[la], %[lb], [%[word]], #8\n\tstrd %[c], %[d], [%[word]], #8\n\tsubs %[left], #1\n\tbne 2b\n"
        "3:\n\ttst %[count], #2\n\tbeq 4f\n\t"
        "ldrb %[b], [%[from], %[apart]]\n\tldrb %[a], [%[from]], #1\n\t"
        "ldrb %[d], [%[from], %[apart]]\n\tldrb %[c], [%[from]], #1\n\t"
        "pkhbt %[a], %[a], %[c], lsl #16\n\tpkhbt %[b], %[b], %[d], lsl #16\n\tstrd %[a], %[b], [%[word]], #8\n"
        "4:\n\ttst %[count], #1\n\tbeq 9f\n\tldrb %[lb], [%[from], %[apart]]\n\tldrb %[la], [%[from]], #1\n\tb 8f\n"
        /* The same where `la` and `lb` have a code that waits for its neighbour. */
        "5:\n\tldrd %[la], %[lb], [%[word]]\n"
        "6:\n\tlsrs %[left], %[count], #2\n\tbeq 7f\n"
        "2:\n\tldr %[b], [%[from], %[apart]]\n\tldr %[a], [%[from]], #4\n\t"
        "uxtb16 %[c], %[a], ror #8\n\tuxtb16 %[d], %[b], ror #8\n\tuxtb16 %[a], %[a]\n\tuxtb16 %[b], %[b]\n\t"
        "pkhbt %[la], %[la], %[a], lsl #16\n\tpkhbt %[lb], %[lb], %[b], lsl #16\n\t"
        "pkhbt %[a], %[c], %[a]\n\tpkhbt %[b], %[d], %[b]\n\t"
        "strd %[la], %[lb], [%[word]], #8\n\tstrd %[a], %[b], [%[word]], #8\n\t"
        "lsr %[la], %[c], #16\n\tlsr %[lb], %[d], #16\n\tsubs %[left], #1\n\tbne 2b\n"
        "7:\n\ttst %[count], #2\n\tbeq 4f\n\t"
        "ldrb %[b], [%[from], %[apart]]\n\tldrb %[a], [%[from]], #1\n\t"
        "pkhbt %[la], %[la], %[a], lsl #16\n\tpkhbt %[lb], %[lb], %[b], lsl #16\n\tstrd %[la], %[lb], [%[word]], #8\n\t"
        "ldrb %[lb], [%[from], %[apart]]\n\tldrb %[la], [%[from]], #1\n"
        "4:\n\ttst %[count], #1\n\tbeq 8f\n\t"
        "ldrb %[b], [%[from], %[apart]]\n\tldrb %[a], [%[from]], #1\n\t"
        "pkhbt %[la], %[la], %[a], lsl #16\n\tpkhbt %[lb], %[lb], %[b], lsl #16\n\tstrd %[la], %[lb], [%[word]], #8\n"
        "9:\n\tadd %[from], %[skip]\n\tsubs %[rows], #1\n\tbne 1b\n\tmov %[left], #0\n\tb 9f\n"
        "8:\n\tadd %[from], %[skip]\n\tsubs %[rows], #1\n\tbne 6b\n\tmov %[left], #1\n\tstrd %[la], %[lb], [%[word]]\n"
        "9:\n\t"
        : [a] "=&r"(a), [b] "=&r"(b), [c] "=&r"(c), [d] "=&r"(d), [la] "=&r"(la), [lb] "=&r"(lb), [left] "+&r"(left),
          [from] "+&r"(from), [word] "+&r"(lane.word), [rows] "+&r"(rows)
        : [apart] "r"(apart), [count] "r"(count), [skip] "r"(skip) : "cc", "memory");
    lane.odd = left;
    return lane;
}

/* Of the codes of both pixels two neighbours that start at a bit, and the two that stand half a word further up. */
#define BITESIZE_NEIGHBOURS(even, odd, low, high) \
    "and %[c], %[mask], %[a]" even "\n\tand %[d], %[mask], %[a]" odd "\n\t" \
    "pkhbt %[e], %[c], %[d], lsl #16\n\tpkhtb %[d], %[d], %[c], asr #16\n\t" \
    "and %[c], %[mask], %[b]" even "\n\tand %[g], %[mask], %[b]" odd "\n\t" \
    "pkhbt %[f], %[c], %[g], lsl #16\n\tpkhtb %[g], %[g], %[c], asr #16\n\t" \
    "strd %[e], %[f], [%[word], #" low "]\n\tstrd %[d], %[g], [%[word], #" high "]\n\t"
#define BITESIZE_GATHER_WORDS(neighbours, bytes) \
    __asm__ volatile("1:\n\tldr %[b], [%[from], %[apart]]\n\tldr %[a], [%[from]], #4\n\t" neighbours \
        "add %[word], #" bytes "\n\tsubs %[left], #1\n\tbne 1b\n\t" \
        : [a] "=&r"(a), [b] "=&r"(b), [c] "=&r"(c), [d] "=&r"(d), [e] "=&r"(e), [f] "=&r"(f), [g] "=&r"(g), \
          [word] "+&r"(word), [from] "+&r"(from), [left] "+&r"(left) \
        : [apart] "r"(apart), [mask] "r"(mask) : "cc", "memory")

/* Two pixels' lanes of `left` words of codes of 4 or 2 bits. Returns where the next ones go. */
BITESIZE_INLINE uint32_t *bitesize_gather_words(uint32_t *word, const uint8_t *from, uint32_t apart, uint32_t left,
    uint32_t bits)
{
    uint32_t a, b, c, d, e, f, g;
    const uint32_t mask = bits == 4u ? 0x000F000Fu : 0x00030003u;
    if (bits == 4u) {
        BITESIZE_GATHER_WORDS(BITESIZE_NEIGHBOURS("", ", lsr #4", "0", "16")
            BITESIZE_NEIGHBOURS(", lsr #8", ", lsr #12", "8", "24"), "32");
    } else {
        BITESIZE_GATHER_WORDS(BITESIZE_NEIGHBOURS("", ", lsr #2", "0", "32")
            BITESIZE_NEIGHBOURS(", lsr #4", ", lsr #6", "8", "40")
            BITESIZE_NEIGHBOURS(", lsr #8", ", lsr #10", "16", "48")
            BITESIZE_NEIGHBOURS(", lsr #12", ", lsr #14", "24", "56"), "64");
    }
    return word;
}

/* A bit above each byte says when all its codes are taken. */
#define BITESIZE_NEXT_BYTES "ldrb %[b], [%[from], %[apart]]\n\tldrb %[a], [%[from]], #1\n\torr %[a], %[a], #256\n"
#define BITESIZE_GATHER_CODES(mask, bits) \
    __asm__ volatile("cmp %[left], #0\n\tmov %[left], %[count]\n\tbeq 1f\n\tldrd %[la], %[lb], [%[word]]\n\tb 3f\n" \
        "1:\n\t" BITESIZE_NEXT_BYTES \
        "2:\n\tand %[la], %[a], #" mask "\n\tand %[lb], %[b], #" mask "\n\tlsr %[a], %[a], #" \
        bits "\n\tlsr %[b], %[b], #" bits \
        "\n\tsubs %[left], #1\n\tbeq 6f\n\tcmp %[a], #1\n\tbne 4f\n" \
        "3:\n\t" BITESIZE_NEXT_BYTES \
        "4:\n\tand %[c], %[a], #" mask "\n\tand %[d], %[b], #" mask "\n\tlsr %[a], %[a], #" \
        bits "\n\tlsr %[b], %[b], #" bits \
        "\n\tpkhbt %[la], %[la], %[c], lsl #16\n\tpkhbt %[lb], %[lb], %[d], lsl #16\n\t" \
        "strd %[la], %[lb], [%[word]], #8\n\t" \
        "subs %[left], #1\n\tbeq 5f\n\tcmp %[a], #1\n\tbne 2b\n\tb 1b\n" \
        "5:\n\tadd %[from], %[skip]\n\tmov %[left], %[count]\n\tsubs %[rows], #1\n\tbne 1b\n\tmov %[left], #0\n\t" \
        "b 7f\n" \
        "6:\n\tadd %[from], %[skip]\n\tmov %[left], %[count]\n\tsubs %[rows], #1\n\tbne 3b\n\tmov %[left], #1\n\t" \
        "strd %[la], %[lb], [%[word]]\n" \
        "7:\n\t" \
        : [a] "=&r"(a), [b] "=&r"(b), [c] "=&r"(c), [d] "=&r"(d), [la] "=&r"(la), [lb] "=&r"(lb), [left] "+&r"(left), \
          [from] "+&r"(from), [word] "+&r"(lane.word), [rows] "+&r"(rows) \
        : [apart] "r"(apart), [count] "r"(count), [skip] "r"(skip) : "cc", "memory")

/* Two pixels' lanes of codes of 4 or 2 bits, as bitesize_gather_pairs does it for bytes, one by one. */
BITESIZE_WRAPS BITESIZE_INLINE bitesize_lane bitesize_gather_pairs_of_codes(bitesize_lane lane, const uint8_t *from,
    uint32_t apart, uint32_t count, uint32_t rows, uint32_t skip, uint32_t bits)
{
    uint32_t a, b, c, d, left = lane.odd, la, lb;
    if (bits == 4u) {
        BITESIZE_GATHER_CODES("15", "4");
    } else {
        BITESIZE_GATHER_CODES("3", "2");
    }
    lane.odd = left;
    return lane;
}
#endif

/* Appends the codes of a run. */
BITESIZE_WRAPS BITESIZE_INLINE void bitesize_gather_lanes(bitesize_code_run *run, uint32_t bits)
{
    const uint32_t count = run->count;
    const uint8_t *row = run->row;
    bitesize_lane lane;
    uint32_t *other = run->word + 1;
    uint32_t apart = run->apart;
    lane.step = run->step;
#ifdef BITESIZE_DSP
    if (apart != 0u && (run->first * bits & 7u) == 0u) {
        const uint32_t words = bits != 8u && (count & (32u / bits - 1u)) == 0u && run->odd == 0u ? 1u : 0u;
        const uint32_t skip = run->piece_bytes - (count * bits + 7u) / 8u;
        uint32_t rows;
        lane.word = run->word;
        lane.odd = run->odd;
        lane.low = 0;
        row += run->first * bits / 8u;
        for (rows = run->rows; rows != 0u; rows--) {
            if (bits == 8u) {
                lane = bitesize_gather_pairs(lane, row, apart, count, run->pieces, skip);
            } else if (words == 0u) {
                lane = bitesize_gather_pairs_of_codes(lane, row, apart, count, run->pieces, skip, bits);
            } else {
                const uint8_t *piece = row;
                uint32_t pieces;
                for (pieces = run->pieces; pieces != 0u; pieces--) {
                    lane.word = bitesize_gather_words(lane.word, piece, apart, count / (32u / bits), bits);
                    piece += run->piece_bytes;
                }
            }
            row += run->row_bytes;
        }
        run->word = lane.word;
        run->odd = lane.odd;
        return;
    }
#endif
    for (;;) {
        const uint8_t *from = row;
        uint32_t rows;
        lane.word = run->word;
        lane.odd = run->odd;
        lane.low = *lane.word;
        for (rows = run->rows; rows != 0u; rows--) {
            const uint8_t *piece = from;
            uint32_t pieces;
            for (pieces = run->pieces; pieces != 0u; pieces--) {
                bitesize_gather_codes(&lane, piece, run->first, count, bits);
                piece += run->piece_bytes;
            }
            from += run->row_bytes;
        }
        if (lane.odd != 0u) {
            *lane.word = lane.low;
        }
        if (apart == 0u) {
            break;
        }
        /* The second pixel. */
        row += apart;
        apart = 0;
        run->word = other;
        other = lane.word;
    }
    run->word = run->apart == 0u ? lane.word : other;
    run->odd = lane.odd;
}
