/*
 * The multiplication of two pixels by the weights of some output channels, for convolutions.
 *
 * Lanes: word 2j holds codes 2j and 2j + 1 of the first pixel's window, word 2j + 1 those of the second's; behind the
 * last code zeros up to a multiple of 16.
 *
 * Weights: for each pair of channels their words in turn. A word has 32 / bits codes, ordered so that taking it apart
 * gives lanes of neighbouring codes: the first and the third byte are codes 0 and 1, the second and fourth 2 and 3; of
 * 4 bits, nibble i and i + 4 are codes 2i and 2i + 1; of 2 bits, field i and i + 8. Codes of 4 and 2 bits are
 * unsigned, the level less the lowest, so that no sign has to be made; the sums start at what that is too much.
 */

/* The sums of two channels in two pixels. */
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
    BITESIZE_PAIR "and %[s], %[block], %[u], lsr #" #shift "\n\t" BITESIZE_TIMES_A \
    "and %[s], %[block], %[v], lsr #" #shift "\n\t" BITESIZE_TIMES_B
#define BITESIZE_LOWEST_FIELDS \
    BITESIZE_PAIR "and %[s], %[block], %[u]\n\t" BITESIZE_TIMES_A "and %[s], %[block], %[v]\n\t" BITESIZE_TIMES_B
/* The sums of two channels start; then, over words of fewer bits than 8, the mask has the place of `block`. */
#define BITESIZE_START \
    "1:\n\tldrd %[p], %[q], [%[block], #28]\n\tmov %[r], %[p]\n\tmov %[w], %[q]\n\t" \
    "ldrd %[lanes], %[end], [%[block], #36]\n\t"
#define BITESIZE_MASK "str %[block], [sp, #-4]!\n\tldr %[block], [%[block], #44]\n\t"
#define BITESIZE_END_MASKED "cmp %[values], %[end]\n\tbne 2b\n\tldr %[block], [sp], #4\n\t"
#define BITESIZE_CODES_OF(first, second) \
    "ldrd %[x], %[lanes], [%[y]], #8\n\t" \
    "mla %[" first "], %[" first "], %[v], %[x]\n\tmla %[" second "], %[" second "], %[v], %[x]\n\t" \
    "smmul %[" first "], %[" first "], %[lanes]\n\tsmmul %[" second "], %[" second "], %[lanes]\n\t" \
    "asr %[" first "], %[" first "], %[end]\n\tasr %[" second "], %[" second "], %[end]\n\t" \
    "add %[" first "], %[" first "], %[s]\n\tadd %[" second "], %[" second "], %[s]\n\t" \
    "usat %[" first "], #8, %[" first "], asr #1\n\tusat %[" second "], #8, %[" second "], asr #1\n\t"
/*
 * The codes of two channels, unless a shift is below 33 or there is one channel only. A shift by a register heeds its
 * lowest byte alone, so that those of both channels, less 33, can be in one.
 */
#define BITESIZE_FINISH \
    "ldrd %[y], %[u], [%[block], #20]\n\tsubs %[u], #2\n\tblt 4f\n\t" \
    "ldrh %[end], [%[y]], #2\n\tsub %[end], %[end], #0x21212121\n\torr %[x], %[end], %[end], lsr #8\n\t" \
    "tst %[x], #0x80\n\tbne 4f\n\t" \
    "strd %[y], %[u], [%[block], #20]\n\tldrd %[y], %[u], [%[block]]\n\tldrd %[v], %[s], [%[block], #8]\n\t" \
    BITESIZE_CODES_OF("p", "q") "lsr %[end], %[end], #8\n\t" BITESIZE_CODES_OF("r", "w") \
    "ldr %[s], [%[block], #16]\n\t" \
    "strb %[q], [%[u], %[s]]\n\tstrb %[p], [%[u]], #1\n\tstrb %[w], [%[u], %[s]]\n\tstrb %[r], [%[u]], #1\n\t" \
    "strd %[y], %[u], [%[block]]\n\tldr %[x], [%[block], #24]\n\tcmp %[x], #0\n\tbne 1b\n4:\n\t"
#define BITESIZE_RESULTS \
    [p] "=&r"(sums.first_a), [q] "=&r"(sums.second_a), [r] "=&r"(sums.first_b), [w] "=&r"(sums.second_b), \
    [lanes] "=&r"(lanes), [values] "+&r"(values), [block] "+&r"(at), [x] "=&r"(x), [y] "=&r"(y), [u] "=&r"(u), \
    [v] "=&r"(v), [s] "=&r"(s), [end] "=&r"(end)
#endif

/*
 * Writes the codes of both pixels, two channels at a time, up to the last one or to two that the loop has to finish,
 * whose sums it leaves.
 */
BITESIZE_WRAPS BITESIZE_INLINE void bitesize_multiply_channels(bitesize_block *block, uint32_t bits)
{
    const uint32_t *values = block->values;
    bitesize_sums sums;
#ifdef BITESIZE_DSP
    bitesize_block *at = block;
    uint32_t lanes, x, y, u, v, s, end;
    if (bits == 8u) {
        /* Two words of a channel in a turn; where their number is odd, the first turn starts in the middle. */
        __asm__ volatile(BITESIZE_START "tst %[end], #8\n\tadd %[end], %[values]\n\tbne 3f\n"
                "2:\n\t" BITESIZE_WEIGHTS BITESIZE_EVEN BITESIZE_ODD
                "3:\n\t" BITESIZE_WEIGHTS BITESIZE_EVEN BITESIZE_ODD
                "cmp %[values], %[end]\n\tbne 2b\n\t"
                BITESIZE_FINISH : BITESIZE_RESULTS : : "cc", "memory");
    } else if (bits == 4u) {
        __asm__ volatile(BITESIZE_START BITESIZE_MASK "tst %[end], #8\n\tadd %[end], %[values]\n\tbne 3f\n"
                "2:\n\t" BITESIZE_WEIGHTS BITESIZE_LOWEST_FIELDS
                BITESIZE_FIELDS(4) BITESIZE_FIELDS(8) BITESIZE_FIELDS(12)
                "3:\n\t" BITESIZE_WEIGHTS BITESIZE_LOWEST_FIELDS
                BITESIZE_FIELDS(4) BITESIZE_FIELDS(8) BITESIZE_FIELDS(12)
                BITESIZE_END_MASKED BITESIZE_FINISH : BITESIZE_RESULTS : : "cc", "memory");
    } else {
        __asm__ volatile(BITESIZE_START BITESIZE_MASK "add %[end], %[values]\n"
                "2:\n\t" BITESIZE_WEIGHTS BITESIZE_LOWEST_FIELDS
                BITESIZE_FIELDS(2) BITESIZE_FIELDS(4) BITESIZE_FIELDS(6)
                BITESIZE_FIELDS(8) BITESIZE_FIELDS(10) BITESIZE_FIELDS(12) BITESIZE_FIELDS(14)
                BITESIZE_END_MASKED BITESIZE_FINISH : BITESIZE_RESULTS : : "cc", "memory");
    }
#else
    const uint32_t *const end = values + block->weight_bytes / 4u;
    const uint32_t *lanes = block->lanes;
    const uint32_t mask = block->mask;
    sums.first_a = block->start_first;
    sums.second_a = block->start_second;
    sums.first_b = sums.first_a;
    sums.second_b = sums.second_a;
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
    block->values = values;
    block->sums[0] = sums.first_a;
    block->sums[1] = sums.second_a;
    block->sums[2] = sums.first_b;
    block->sums[3] = sums.second_b;
}

/* What the sums of both pixels start from, for weights whose codes are unsigned: -2^(bits - 1) times all lanes. */
BITESIZE_WRAPS BITESIZE_INLINE bitesize_sums bitesize_start_of_sums(const uint32_t *lanes, uint32_t words,
    uint32_t bits)
{
    /* A word of weights has a multiple of eight codes, which are as many words of both pixels. */
    const uint32_t *const end = lanes + words * BITESIZE_CODES(bits);
    const uint32_t lowest = bits == 4u ? 0xFFF8FFF8u : 0xFFFEFFFEu;
    bitesize_sums sums = {0, 0, 0, 0};
#ifdef BITESIZE_DSP
    uint32_t x, y;
#define BITESIZE_ADD_LANES \
    "ldrd %[x], %[y], [%[lanes]], #8\n\tsmlad %[p], %[x], %[lowest], %[p]\n\tsmlad %[q], %[y], %[lowest], %[q]\n\t"
    __asm__ volatile("1:\n\t" BITESIZE_ADD_LANES BITESIZE_ADD_LANES BITESIZE_ADD_LANES BITESIZE_ADD_LANES
        "cmp %[lanes], %[end]\n\tbne 1b\n\t"
        : [p] "+&r"(sums.first_a), [q] "+&r"(sums.second_a), [lanes] "+&r"(lanes), [x] "=&r"(x), [y] "=&r"(y)
        : [lowest] "r"(lowest), [end] "r"(end) : "cc", "memory");
#else
    do {
        sums.first_a = bitesize_multiply_add(*lanes++, lowest, sums.first_a);
        sums.second_a = bitesize_multiply_add(*lanes++, lowest, sums.second_a);
    } while (lanes != end);
#endif
    return sums;
}

/* Writes the codes of both pixels up to two channels whose sums the loop has to finish. */
BITESIZE_WRAPS BITESIZE_INLINE void bitesize_multiply_pixels(bitesize_block *block, uint32_t bits)
{
    if (bits != 8u && block->started == 0u) {
        const bitesize_sums start = bitesize_start_of_sums(block->lanes, block->weight_bytes / 8u, bits);
        block->start_first = start.first_a;
        block->start_second = start.second_a;
        block->mask = bits == 4u ? 0x000F000Fu : 0x00030003u;
        block->started = 1;
    }
    bitesize_multiply_channels(block, bits);
}
