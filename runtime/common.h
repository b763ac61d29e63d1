/*
 * Access to packed rows, requantization and windows. Widths are always constant arguments: after
 * inlining nothing of the choice between them is left.
 */

#if defined(__GNUC__)
#define BITESIZE_INLINE static inline __attribute__((always_inline, unused))
#define BITESIZE_OUTLINE static __attribute__((noinline, unused))
#else
#define BITESIZE_INLINE static inline
#define BITESIZE_OUTLINE static
#endif

/* Unsigned numbers wrap in these functions, and are meant to; a sanitizer that stops at that is told so. */
#if defined(__clang__)
#define BITESIZE_WRAPS __attribute__((no_sanitize("integer")))
#else
#define BITESIZE_WRAPS
#endif

/* C leaves these two to the compiler; the arithmetic here needs the usual answers. */
typedef char bitesize_right_shift_keeps_the_sign[((-3) >> 1) == -2 ? 1 : -1];
typedef char bitesize_conversion_wraps[(int32_t)0xFFFFFFFEu == -2 ? 1 : -1];

/* The level of 2-bit weight code c is c + BITESIZE_LEVEL_LOWEST_2. */
#define BITESIZE_LEVEL_LOWEST_2 (-2)

BITESIZE_INLINE uint32_t bitesize_row_bytes(uint32_t elements, uint32_t bits)
{
    return (elements * bits + 7u) >> 3;
}

/* The code that starts at bit `shift` of a byte. */
BITESIZE_INLINE int32_t bitesize_code(const uint8_t *byte, uint32_t shift, uint32_t bits)
{
    return bits == 8u ? (int32_t)*byte : (int32_t)(((uint32_t)*byte >> shift) & ((1u << bits) - 1u));
}

/* The weight level whose code starts at bit `shift` of a byte. What lies above a code of 4 bits is shifted out. */
BITESIZE_WRAPS BITESIZE_INLINE int32_t bitesize_level(const uint8_t *byte, uint32_t shift, uint32_t bits)
{
    if (bits == 8u) {
        return *(const int8_t *)byte;
    }
    if (bits == 4u) {
        return (int32_t)((uint32_t)*byte << (28u - shift)) >> 28;
    }
    return bitesize_code(byte, shift, bits) + BITESIZE_LEVEL_LOWEST_2;
}

/* Reads the codes of a row one after another. */
typedef struct {
    const uint8_t *byte;
    uint32_t shift;
} bitesize_reader;

BITESIZE_INLINE bitesize_reader bitesize_reader_at(const uint8_t *row, uint32_t index, uint32_t bits)
{
    bitesize_reader reader;
    reader.byte = row + ((index * bits) >> 3);
    reader.shift = (index * bits) & 7u;
    return reader;
}

BITESIZE_INLINE int32_t bitesize_read(bitesize_reader *reader, uint32_t bits)
{
    const int32_t code = bitesize_code(reader->byte, reader->shift, bits);
    const uint32_t next = reader->shift + bits;
    reader->byte += next >> 3;
    reader->shift = next & 7u;
    return code;
}

/*
 * Writes codes into a row one after another. What lies in the first byte below its start is kept; the
 * bits above its end in the last byte become 0, so slices of one row are written in ascending order.
 */
typedef struct {
    uint8_t *byte;
    uint32_t shift;
    uint32_t pending;
} bitesize_writer;

BITESIZE_INLINE bitesize_writer bitesize_writer_at(uint8_t *row, uint32_t index, uint32_t bits)
{
    bitesize_writer writer;
    writer.byte = row + ((index * bits) >> 3);
    writer.shift = (index * bits) & 7u;
    writer.pending = 0;
    if (writer.shift != 0u) {
        writer.pending = *writer.byte & ((1u << writer.shift) - 1u);
    }
    return writer;
}

BITESIZE_INLINE void bitesize_write(bitesize_writer *writer, int32_t code, uint32_t bits)
{
    if (bits == 8u) {
        *writer->byte++ = (uint8_t)code;
        return;
    }
    writer->pending |= (uint32_t)code << writer->shift;
    writer->shift += bits;
    if (writer->shift == 8u) {
        *writer->byte++ = (uint8_t)writer->pending;
        writer->pending = 0;
        writer->shift = 0;
    }
}

BITESIZE_INLINE void bitesize_write_end(const bitesize_writer *writer, uint32_t bits)
{
    if (bits != 8u && writer->shift != 0u) {
        *writer->byte = (uint8_t)writer->pending;
    }
}

BITESIZE_INLINE int32_t bitesize_clamp_code(int32_t code, int32_t lowest, int32_t highest)
{
    if (code < lowest) {
        code = lowest;
    }
    return code > highest ? highest : code;
}

/* The zero point of an output and the codes it is clamped to. */
typedef struct {
    int32_t zero;
    int32_t lowest;
    int32_t highest;
} bitesize_range;

/* Cores whose only product has 32 bits; the compiler would call a library for one of 64. */
#if defined(__ARM_ARCH_6M__) || defined(__ARM_ARCH_8M_BASE__)
#define BITESIZE_NO_LONG_MULTIPLY
#endif

/* The high word of a product. */
BITESIZE_INLINE int32_t bitesize_multiply_high(int32_t a, int32_t b)
{
#ifdef BITESIZE_NO_LONG_MULTIPLY
    const uint32_t a_low = (uint32_t)a & 0xFFFFu;
    const uint32_t b_low = (uint32_t)b & 0xFFFFu;
    const int32_t a_high = a >> 16;
    const int32_t b_high = b >> 16;
    const int32_t first = a_high * (int32_t)b_low + (int32_t)((a_low * b_low) >> 16);
    const int32_t second = (int32_t)a_low * b_high + (first & 0xFFFF);
    return a_high * b_high + (first >> 16) + (second >> 16);
#else
    return (int32_t)(((int64_t)a * b) >> 32);
#endif
}

/*
 * clamp(zero + ((acc * multiplier + 2^(shift - 1)) >> shift)) for a shift in 1..62 and a multiplier of 0 or a
 * magnitude in 2^30..2^31.
 *
 * From shift 33 on, the low word of the product cannot change the result, and (x + 2^(k - 1)) >> k is
 * ((x >> (k - 1)) + 1) >> 1. Below, the factor is 1/4 or more, and shifting acc left first by what is missing to
 * 33 changes nothing where that leaves room. An acc beyond 2^(shift - 21) has no room and needs none: its product
 * is 512 or more, so that the clamp decides, as it does for the acc put in its place. A shift below 21 does that
 * to every acc but 0 and is treated as 21.
 */
BITESIZE_INLINE int32_t bitesize_requantize(int32_t acc, int32_t multiplier, int32_t shift, bitesize_range range)
{
    int32_t below = shift - 33;
    int32_t high;
    if (below < 0) {
        const int32_t left = below < -12 ? 12 : -below;
        const int32_t limit = 4096 >> left;
        acc = bitesize_clamp_code(acc, -limit, limit) * (1 << left);
        below = 0;
    }
    high = bitesize_multiply_high(acc, multiplier);
    return bitesize_clamp_code(range.zero + (((high >> below) + 1) >> 1), range.lowest, range.highest);
}

/* The indices `first..end`. */
typedef struct {
    uint32_t first;
    uint32_t end;
} bitesize_span;

/* Whether the coordinate start + offset is one of an image of `size`; one below 0 wraps to a large number. */
BITESIZE_WRAPS BITESIZE_INLINE int bitesize_inside(int32_t start, uint32_t offset, uint32_t size)
{
    return (uint32_t)start + offset < size;
}
