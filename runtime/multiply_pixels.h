/*
 * The multiplication of two pixels by the weights of some output channels, for convolutions.
 *
 * Lanes: word 2j holds codes 2j and 2j + 1 of the first pixel's window, word 2j + 1 those of the second's; behind the
 * last code zeros up to a multiple of 16.
 *
 * Weights: for each pair of channels their words in turn. A word has 32 / bits codes, ordered so that taking it apart gives
 * lanes of neighbouring codes: the first and the third byte are codes 0 and 1, the second and fourth 2 and 3; of 4
 * bits, nibble i and i + 4 are codes 2i and 2i + 1; of 2 bits, field i and i + 8. Codes of 4 and 2 bits are unsigned, the
 * level less the lowest, so that no sign has to be made; the sums start at what that is too much.
 */

typedef struct {
    uint32_t first_a;
    uint32_t second_a;
    uint32_t first_b;
    uint32_t second_b;
} bitesize_sums;

#ifdef BITESIZE_DSP
/* The weights of both channels pass through one register: with the mask there is no other. */
#define BITESIZE_PAIR "ldrd %[x], %[y], [%[lanes]], #8\n\t"
#define BITESIZE_TIMES_A "smlad %[p], %[x], %[s], %[p]\n\tsmlad %[q], %[y], %[s], %[q]\n\t"
#define BITESIZE_TIMES_B "smlad %[r], %[x], %[s], %[r]\n\tsmlad %[w], %[y], %[s], %[w]\n\t"
#define BITESIZE_EVEN \
    BITESIZE_PAIR "sxtb16 %[s], %[u]\n\t" BITESIZE_TIMES_A "sxtb16 %[s], %[v]\n\t" BITESIZE_TIMES_B
#define BITESIZE_ODD \
    BITESIZE_PAIR "sxtb16 %[s], %[u], ror #8\n\t" BITESIZE_TIMES_A "sxtb16 %[s], %[v], ror #8\n\t" BITESIZE_TIMES_B
#define BITESIZE_FIELDS(shift) \
    BITESIZE_PAIR "and %[s], %[mask], %[u], lsr #" #shift "\n\t" BITESIZE_TIMES_A \
    "and %[s], %[mask], %[v], lsr #" #shift "\n\t" BITESIZE_TIMES_B
#define BITESIZE_LOWEST_FIELDS \
    BITESIZE_PAIR "and %[s], %[mask], %[u]\n\t" BITESIZE_TIMES_A "and %[s], %[mask], %[v]\n\t" BITESIZE_TIMES_B
#define BITESIZE_RESULTS \
    [p] "+&r"(sums.first_a), [q] "+&r"(sums.second_a), [r] "+&r"(sums.first_b), [w] "+&r"(sums.second_b), \
    [lanes] "+&r"(lanes), [values] "+&r"(values), [u] "=&r"(u), [v] "=&r"(v), [y] "=&r"(y), [s] "=&r"(s)
#endif

/* Adds the products of all lanes with the weights of two channels. */
BITESIZE_WRAPS BITESIZE_INLINE bitesize_sums bitesize_multiply_words(const uint32_t *lanes, const uint32_t *values,
    uint32_t words, bitesize_sums sums, uint32_t bits)
{
    const uint32_t *const end = values + 2u * words;
#ifdef BITESIZE_DSP
    uint32_t u, v, y, s;
    uint32_t x = words & 1u;
    const uint32_t mask = bits == 4u ? 0x000F000Fu : 0x00030003u;
    if (bits == 8u) {
        /* Two words of a channel in a turn; where their number is odd, the first turn starts in the middle. */
        __asm__("cmp %[x], #0\n\tbne 2f\n"
                "1:\n\t" BITESIZE_WEIGHTS BITESIZE_EVEN BITESIZE_ODD
                "2:\n\t" BITESIZE_WEIGHTS BITESIZE_EVEN BITESIZE_ODD
                BITESIZE_AGAIN
                : BITESIZE_RESULTS, [x] "+&r"(x) : [end] "r"(end) : "cc", "memory");
    } else if (bits == 4u) {
        __asm__("1:\n\t" BITESIZE_WEIGHTS BITESIZE_LOWEST_FIELDS BITESIZE_FIELDS(4) BITESIZE_FIELDS(8) BITESIZE_FIELDS(12)
                BITESIZE_AGAIN
                : BITESIZE_RESULTS, [x] "+&r"(x) : [end] "r"(end), [mask] "r"(mask) : "cc", "memory");
    } else {
        __asm__("1:\n\t" BITESIZE_WEIGHTS BITESIZE_LOWEST_FIELDS BITESIZE_FIELDS(2) BITESIZE_FIELDS(4) BITESIZE_FIELDS(6)
                BITESIZE_FIELDS(8) BITESIZE_FIELDS(10) BITESIZE_FIELDS(12) BITESIZE_FIELDS(14)
                BITESIZE_AGAIN
                : BITESIZE_RESULTS, [x] "+&r"(x) : [end] "r"(end), [mask] "r"(mask) : "cc", "memory");
    }
#else
    const uint32_t mask = bits == 4u ? 0x000F000Fu : 0x00030003u;
    do {
        const uint32_t u = *values++;
        const uint32_t v = *values++;
        uint32_t i;
        for (i = 0; i < 16u / bits; i++) {
            const uint32_t x = *lanes++;
            const uint32_t y = *lanes++;
            uint32_t a = (u >> (bits * i)) & mask;
            uint32_t b = (v >> (bits * i)) & mask;
            if (bits == 8u) {
                a = bitesize_signed_even(u >> (bits * i));
                b = bitesize_signed_even(v >> (bits * i));
            }
            sums.first_a = bitesize_multiply_add(x, a, sums.first_a);
            sums.second_a = bitesize_multiply_add(y, a, sums.second_a);
            sums.first_b = bitesize_multiply_add(x, b, sums.first_b);
            sums.second_b = bitesize_multiply_add(y, b, sums.second_b);
        }
    } while (values != end);
#endif
    return sums;
}

/* The codes of one channel in both pixels. */
typedef struct {
    uint32_t first;
    uint32_t second;
} bitesize_two_codes;

BITESIZE_WRAPS BITESIZE_INLINE bitesize_two_codes bitesize_codes_of_sums(uint32_t first, uint32_t second, uint32_t factor,
    bitesize_channel channel, int32_t below, int32_t zero)
{
    int32_t a = (int32_t)(first * factor + (uint32_t)channel.bias);
    int32_t b = (int32_t)(second * factor + (uint32_t)channel.bias);
    bitesize_two_codes codes;
    if (below < 0) {
        a = bitesize_raise(a, below);
        b = bitesize_raise(b, below);
        below = 0;
    }
    codes.first = bitesize_halve_to_byte((bitesize_high_word(a, channel.multiplier) >> below) + zero);
    codes.second = bitesize_halve_to_byte((bitesize_high_word(b, channel.multiplier) >> below) + zero);
    return codes;
}

/* Writes `count` codes of both pixels. */
BITESIZE_WRAPS BITESIZE_INLINE void bitesize_multiply_pixels(const bitesize_block *block, uint32_t bits)
{
    const uint32_t words = block->words;
    const uint32_t *values = block->values;
    uint32_t start_first = 0;
    uint32_t start_second = 0;
    uint32_t i;
    if (bits != 8u) {
        const uint32_t *lanes = block->lanes;
        uint32_t left = words * BITESIZE_CODES(bits) / 2u;
        do {
            start_first = bitesize_multiply_add(*lanes++, 0x00010001u, start_first);
            start_second = bitesize_multiply_add(*lanes++, 0x00010001u, start_second);
        } while (--left != 0u);
        start_first = 0u - (start_first << (bits - 1u));
        start_second = 0u - (start_second << (bits - 1u));
    }
    for (i = 0; i < block->count; i += 2u) {
        bitesize_sums sums = {start_first, start_second, start_first, start_second};
        sums = bitesize_multiply_words(block->lanes, values, words, sums, bits);
        values += 2u * words;
        {
            const uint32_t factor = block->factor;
            const int32_t zero = block->zero;
            const bitesize_channel *const channel = block->channels + i;
            const uint8_t *const shift = block->shifts + i;
            uint8_t *const code = block->first + i;
            uint8_t *const other = code + block->second;
            const bitesize_two_codes a =
                bitesize_codes_of_sums(sums.first_a, sums.second_a, factor, channel[0], shift[0] - 33, zero);
            /* The second first: where there is only one pixel, both go to the same place. */
            if (i + 1u != block->count) {
                const bitesize_two_codes b =
                    bitesize_codes_of_sums(sums.first_b, sums.second_b, factor, channel[1], shift[1] - 33, zero);
                other[1] = (uint8_t)b.second;
                code[1] = (uint8_t)b.first;
            }
            other[0] = (uint8_t)a.second;
            code[0] = (uint8_t)a.first;
        }
    }
}
