/*
 * The multiplication of one vector by the weights of output channels, for fully connected layers. Weights are as for
 * pixels in pairs (multiply_pixels.h), word j of the lanes holds codes 2j and 2j + 1.
 */

typedef struct {
    uint32_t a;
    uint32_t b;
} bitesize_two_sums;

#ifdef BITESIZE_DSP
#define BITESIZE_CODES_4 "ldrd %[x], %[y], [%[lanes]], #8\n\t"
#define BITESIZE_DOT_BYTES \
    BITESIZE_WEIGHTS BITESIZE_CODES_4 \
    "sxtb16 %[s], %[u]\n\tsxtb16 %[t], %[v]\n\t" \
    "smlad %[p], %[x], %[s], %[p]\n\tsmlad %[q], %[x], %[t], %[q]\n\t" \
    "sxtb16 %[s], %[u], ror #8\n\tsxtb16 %[t], %[v], ror #8\n\t" \
    "smlad %[p], %[y], %[s], %[p]\n\tsmlad %[q], %[y], %[t], %[q]\n\t"
#define BITESIZE_DOT_FIELD(lanes) \
    "smlad %[p], %[" lanes "], %[s], %[p]\n\tsmlad %[q], %[" lanes "], %[t], %[q]\n\t"
#define BITESIZE_TAKE(shift) "and %[s], %[mask], %[u], lsr #" #shift "\n\tand %[t], %[mask], %[v], lsr #" #shift "\n\t"
#define BITESIZE_TAKE_LOWEST "and %[s], %[mask], %[u]\n\tand %[t], %[mask], %[v]\n\t"
#define BITESIZE_TWICE(first, second) \
    BITESIZE_CODES_4 first BITESIZE_DOT_FIELD("x") second BITESIZE_DOT_FIELD("y")
#define BITESIZE_DOT_RESULTS \
    [p] "+&r"(sums.a), [q] "+&r"(sums.b), [lanes] "+&r"(lanes), [values] "+&r"(values), \
    [u] "=&r"(u), [v] "=&r"(v), [y] "=&r"(y), [s] "=&r"(s), [t] "=&r"(t)
#endif

/* Adds the products of all lanes with the weights of two channels. */
BITESIZE_WRAPS BITESIZE_INLINE bitesize_two_sums bitesize_multiply_vector_words(const uint32_t *lanes, const uint32_t *values,
    uint32_t words, bitesize_two_sums sums, uint32_t bits)
{
    const uint32_t *const end = values + 2u * words;
    const uint32_t mask = bits == 4u ? 0x000F000Fu : 0x00030003u;
#ifdef BITESIZE_DSP
    uint32_t u, v, y, s, t;
    uint32_t x = words & 1u;
    if (bits == 8u) {
        __asm__("cmp %[x], #0\n\tbne 2f\n"
                "1:\n\t" BITESIZE_DOT_BYTES
                "2:\n\t" BITESIZE_DOT_BYTES
                BITESIZE_AGAIN
                : BITESIZE_DOT_RESULTS, [x] "+&r"(x) : [end] "r"(end) : "cc", "memory");
    } else if (bits == 4u) {
        __asm__("1:\n\t" BITESIZE_WEIGHTS
                BITESIZE_TWICE(BITESIZE_TAKE_LOWEST, BITESIZE_TAKE(4)) BITESIZE_TWICE(BITESIZE_TAKE(8), BITESIZE_TAKE(12))
                BITESIZE_AGAIN
                : BITESIZE_DOT_RESULTS, [x] "+&r"(x) : [end] "r"(end), [mask] "r"(mask) : "cc", "memory");
    } else {
        __asm__("1:\n\t" BITESIZE_WEIGHTS
                BITESIZE_TWICE(BITESIZE_TAKE_LOWEST, BITESIZE_TAKE(2)) BITESIZE_TWICE(BITESIZE_TAKE(4), BITESIZE_TAKE(6))
                BITESIZE_TWICE(BITESIZE_TAKE(8), BITESIZE_TAKE(10)) BITESIZE_TWICE(BITESIZE_TAKE(12), BITESIZE_TAKE(14))
                BITESIZE_AGAIN
                : BITESIZE_DOT_RESULTS, [x] "+&r"(x) : [end] "r"(end), [mask] "r"(mask) : "cc", "memory");
    }
#else
    do {
        const uint32_t u = *values++;
        const uint32_t v = *values++;
        uint32_t shift;
        for (shift = 0; shift < 16u; shift += bits) {
            const uint32_t x = *lanes++;
            const uint32_t a = bits == 8u ? bitesize_signed_even(u >> shift) : (u >> shift) & mask;
            const uint32_t b = bits == 8u ? bitesize_signed_even(v >> shift) : (v >> shift) & mask;
            sums.a = bitesize_multiply_add(x, a, sums.a);
            sums.b = bitesize_multiply_add(x, b, sums.b);
        }
    } while (values != end);
#endif
    return sums;
}

BITESIZE_WRAPS BITESIZE_INLINE void bitesize_finish_sum(const bitesize_block *block, uint32_t i, uint32_t sum)
{
    const bitesize_channel channel = block->channels[i];
    int32_t acc = (int32_t)(sum * block->factor + (uint32_t)channel.bias);
    int32_t below = block->shifts[i] - 33;
    if (below < 0) {
        acc = bitesize_raise(acc, below);
        below = 0;
    }
    acc = (bitesize_high_word(acc, channel.multiplier) >> below) + block->zero;
    block->first[i] = (uint8_t)bitesize_halve_to_byte(acc);
}

/* Writes the codes of `count` output channels of one vector. */
BITESIZE_WRAPS BITESIZE_INLINE void bitesize_multiply_vector(bitesize_block *block, uint32_t bits)
{
    const uint32_t words = block->weight_bytes / 8u;
    const uint32_t *values = block->values;
    const uint32_t count = (uint32_t)block->count;
    uint32_t start = 0;
    uint32_t i;
    if (bits != 8u) {
        const uint32_t *lanes = block->lanes;
        uint32_t left = words * BITESIZE_CODES(bits) / 2u;
        do {
            start = bitesize_multiply_add(*lanes++, 0x00010001u, start);
        } while (--left != 0u);
        start = 0u - (start << (bits - 1u));
    }
    for (i = 0; i < count; i += 2u) {
        bitesize_two_sums sums = {start, start};
        sums = bitesize_multiply_vector_words(block->lanes, values, words, sums, bits);
        values += 2u * words;
        bitesize_finish_sum(block, i, sums.a);
        if (i + 1u != count) {
            bitesize_finish_sum(block, i + 1u, sums.b);
        }
    }
    block->values = values;
    block->channels += count;
    block->shifts += count;
}
