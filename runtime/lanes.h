/*
 * Lanes: two numbers of 16 bits in a word. Cores with the DSP extension multiply and add both at a time; everywhere
 * else the same words are taken apart in C, with the same results.
 *
 * All sums here wrap at 32 bits and are meant to: what is left at the end of a layer's sum has less
 * (docs/numerics.md), so what passes 2^31 on the way returns.
 */

/* Where nothing is optimized, gcc may lack a register for what takes 13. */
#if defined(__ARM_FEATURE_DSP) && defined(__thumb2__) && defined(__GNUC__) && defined(__OPTIMIZE__) \
    && !defined(BITESIZE_NO_ASSEMBLY)
#define BITESIZE_DSP
#endif

/* Words are read from bytes; the order of a word's bytes is that of every Cortex-M as shipped. */
#if defined(__BYTE_ORDER__) && defined(__ORDER_LITTLE_ENDIAN__)
typedef char bitesize_words_are_little_endian[__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ ? 1 : -1];
#endif

/* Cores that read words only from their multiples get byte for byte what others read at once. */
#if defined(__arm__) && !defined(__ARM_FEATURE_UNALIGNED)
#define BITESIZE_BYTE_BY_BYTE
#endif

BITESIZE_INLINE uint32_t bitesize_load(const uint8_t *bytes)
{
#ifdef BITESIZE_BYTE_BY_BYTE
    return bytes[0] | ((uint32_t)bytes[1] << 8) | ((uint32_t)bytes[2] << 16) | ((uint32_t)bytes[3] << 24);
#else
    uint32_t word;
    memcpy(&word, bytes, sizeof word);
    return word;
#endif
}

BITESIZE_INLINE void bitesize_store(uint8_t *bytes, uint32_t word)
{
#ifdef BITESIZE_BYTE_BY_BYTE
    bytes[0] = (uint8_t)word;
    bytes[1] = (uint8_t)(word >> 8);
    bytes[2] = (uint8_t)(word >> 16);
    bytes[3] = (uint8_t)(word >> 24);
#else
    memcpy(bytes, &word, sizeof word);
#endif
}

BITESIZE_INLINE void bitesize_store_half(uint8_t *bytes, uint32_t word)
{
#ifdef BITESIZE_BYTE_BY_BYTE
    bytes[0] = (uint8_t)word;
    bytes[1] = (uint8_t)(word >> 8);
#else
    const uint16_t half = (uint16_t)word;
    memcpy(bytes, &half, sizeof half);
#endif
}

/* Two bytes. */
BITESIZE_INLINE uint32_t bitesize_load_half(const uint8_t *bytes)
{
#ifdef BITESIZE_BYTE_BY_BYTE
    return bytes[0] | ((uint32_t)bytes[1] << 8);
#else
    uint16_t half;
    memcpy(&half, bytes, sizeof half);
    return half;
#endif
}

/* sum + a.low * b.low + a.high * b.high */
BITESIZE_WRAPS BITESIZE_INLINE uint32_t bitesize_multiply_add(uint32_t a, uint32_t b, uint32_t sum)
{
#ifdef BITESIZE_DSP
    __asm__("smlad %0, %1, %2, %0" : "+r"(sum) : "r"(a), "r"(b));
    return sum;
#else
    return sum + (uint32_t)((int32_t)(int16_t)a * (int16_t)b) + (uint32_t)(((int32_t)a >> 16) * ((int32_t)b >> 16));
#endif
}

/* Bytes 0 and 2 of a word as lanes, with their sign. */
BITESIZE_WRAPS BITESIZE_INLINE uint32_t bitesize_signed_even(uint32_t word)
{
#ifdef BITESIZE_DSP
    uint32_t lanes;
    __asm__("sxtb16 %0, %1" : "=r"(lanes) : "r"(word));
    return lanes;
#else
    return ((uint32_t)(int32_t)(int8_t)word & 0xFFFFu) | ((uint32_t)((int32_t)(word << 8) >> 24) << 16);
#endif
}

/* Bytes 1 and 3 of a word as lanes, with their sign. */
BITESIZE_WRAPS BITESIZE_INLINE uint32_t bitesize_signed_odd(uint32_t word)
{
#ifdef BITESIZE_DSP
    uint32_t lanes;
    __asm__("sxtb16 %0, %1, ror #8" : "=r"(lanes) : "r"(word));
    return lanes;
#else
    return bitesize_signed_even(word >> 8);
#endif
}

/* Bytes 0 and 2 of a word as lanes. */
BITESIZE_INLINE uint32_t bitesize_even(uint32_t word)
{
    return word & 0x00FF00FFu;
}

/* Bytes 1 and 3 of a word as lanes. */
BITESIZE_INLINE uint32_t bitesize_odd(uint32_t word)
{
#ifdef BITESIZE_DSP
    uint32_t lanes;
    __asm__("uxtb16 %0, %1, ror #8" : "=r"(lanes) : "r"(word));
    return lanes;
#else
    return (word >> 8) & 0x00FF00FFu;
#endif
}

/* The low lanes of two words. */
BITESIZE_WRAPS BITESIZE_INLINE uint32_t bitesize_lows(uint32_t low, uint32_t high)
{
#ifdef BITESIZE_DSP
    uint32_t lanes;
    __asm__("pkhbt %0, %1, %2, lsl #16" : "=r"(lanes) : "r"(low), "r"(high));
    return lanes;
#else
    return (low & 0xFFFFu) | (high << 16);
#endif
}

/* The high lanes of two words. */
BITESIZE_INLINE uint32_t bitesize_highs(uint32_t low, uint32_t high)
{
#ifdef BITESIZE_DSP
    uint32_t lanes;
    __asm__("pkhtb %0, %1, %2, asr #16" : "=r"(lanes) : "r"(high), "r"(low));
    return lanes;
#else
    return (low >> 16) | (high & 0xFFFF0000u);
#endif
}

/* The low lane of one word and the high lane of another. */
BITESIZE_INLINE uint32_t bitesize_low_and_high(uint32_t low, uint32_t high)
{
#ifdef BITESIZE_DSP
    uint32_t lanes;
    __asm__("pkhbt %0, %1, %2" : "=r"(lanes) : "r"(low), "r"(high));
    return lanes;
#else
    return (low & 0xFFFFu) | (high & 0xFFFF0000u);
#endif
}

/* min(max(value >> 1, 0), 255) */
BITESIZE_INLINE uint32_t bitesize_halve_to_byte(int32_t value)
{
#ifdef BITESIZE_DSP
    uint32_t byte;
    __asm__("usat %0, #8, %1, asr #1" : "=r"(byte) : "r"(value));
    return byte;
#else
    value >>= 1;
    return (uint32_t)(value < 0 ? 0 : value > 255 ? 255 : value);
#endif
}

/* max(byte - low, 0) for each byte of a word */
BITESIZE_WRAPS BITESIZE_INLINE uint32_t bitesize_above(uint32_t word, uint32_t low)
{
#ifdef BITESIZE_DSP
    uint32_t above;
    __asm__("uqsub8 %0, %1, %2" : "=r"(above) : "r"(word), "r"(low));
    return above;
#else
    uint32_t above = 0;
    uint32_t shift;
    for (shift = 0; shift < 32u; shift += 8u) {
        const uint32_t byte = (word >> shift) & 0xFFu;
        const uint32_t least = (low >> shift) & 0xFFu;
        above |= (byte > least ? byte - least : 0u) << shift;
    }
    return above;
#endif
}

/* min(byte + more, 255) for each byte of a word */
BITESIZE_WRAPS BITESIZE_INLINE uint32_t bitesize_add_bytes(uint32_t word, uint32_t more)
{
#ifdef BITESIZE_DSP
    uint32_t sums;
    __asm__("uqadd8 %0, %1, %2" : "=r"(sums) : "r"(word), "r"(more));
    return sums;
#else
    return ~bitesize_above(~word, more);
#endif
}

/* What limits codes to a range, for a word of four: `bounds` is the lowest and the highest. */
BITESIZE_INLINE bitesize_limits bitesize_clamp_to(bitesize_bounds bounds)
{
    bitesize_limits clamp;
    clamp.lowest = bounds.lowest * 0x01010101u;
    clamp.room = (255u - bounds.highest) * 0x01010101u;
    clamp.both = clamp.lowest + clamp.room;
    return clamp;
}

/* The difference of each lane. */
BITESIZE_WRAPS BITESIZE_INLINE uint32_t bitesize_subtract(uint32_t lanes, uint32_t other)
{
#ifdef BITESIZE_DSP
    __asm__("ssub16 %0, %0, %1" : "+r"(lanes) : "r"(other));
    return lanes;
#else
    return ((lanes - other) & 0xFFFFu) | (((lanes >> 16) - (other >> 16)) << 16);
#endif
}

/* The high word of a product. */
BITESIZE_INLINE int32_t bitesize_high_word(int32_t a, int32_t b)
{
#ifdef BITESIZE_DSP
    int32_t high;
    __asm__("smmul %0, %1, %2" : "=r"(high) : "r"(a), "r"(b));
    return high;
#else
    return bitesize_multiply_high(a, b);
#endif
}

/* Takes an acc of a channel whose shift is below 33 to where one of 33 gives the same; see bitesize_requantize. */
BITESIZE_OUTLINE int32_t bitesize_raise(int32_t acc, int32_t below)
{
    const int32_t left = below < -12 ? 12 : -below;
    const int32_t limit = 4096 >> left;
    return bitesize_clamp_code(acc, -limit, limit) * (1 << left);
}

/* The code, of all bytes, of a sum; `zero` is twice the zero point and 1, `factor` 2^acc_shift. */
BITESIZE_WRAPS BITESIZE_INLINE uint8_t bitesize_code_of_sum(uint32_t sum, uint32_t factor, bitesize_channel channel,
    int32_t below, int32_t zero)
{
    const int32_t acc = (int32_t)(sum * factor + (uint32_t)channel.bias);
    return (uint8_t)bitesize_halve_to_byte((bitesize_high_word(acc, channel.multiplier) >> below) + zero);
}

/* Codes in a word of weights. */
#define BITESIZE_CODES(bits) (32u / (bits))

#ifdef BITESIZE_DSP
/* The next words of two channels, and the end of a loop over them. */
#define BITESIZE_WEIGHTS "ldrd %[u], %[v], [%[values]], #8\n\t"
#define BITESIZE_AGAIN "cmp %[values], %[end]\n\tbne 1b\n\t"
#endif

/* Zeros from `word` to `end`. In a loop that no compiler takes for a call of the library. */
BITESIZE_INLINE void bitesize_clear(uint32_t *word, const uint32_t *end)
{
    for (; word != end; word++) {
        *word = 0;
#if defined(__GNUC__)
        __asm__ volatile("" : : : "memory");
#endif
    }
}
