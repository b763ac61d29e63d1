/*
 * Access to packed rows, requantization and windows. Widths are always constant arguments: after
 * inlining nothing of the choice between them is left.
 */

#if defined(__GNUC__)
#define BITESIZE_INLINE static inline __attribute__((always_inline, unused))
#else
#define BITESIZE_INLINE static inline
#endif

/* C leaves these two to the compiler; the arithmetic here needs the usual answers. */
typedef char bitesize_right_shift_keeps_the_sign[((-3) >> 1) == -2 ? 1 : -1];
typedef char bitesize_conversion_wraps[(int32_t)0xFFFFFFFEu == -2 ? 1 : -1];

/* The level of 2-bit weight code c is BITESIZE_LEVEL_STEP_2 * c + BITESIZE_LEVEL_LOWEST_2. */
#define BITESIZE_LEVEL_STEP_2 2
#define BITESIZE_LEVEL_LOWEST_2 (-3)

BITESIZE_INLINE uint32_t bitesize_row_bytes(uint32_t elements, uint32_t bits)
{
    return (elements * bits + 7u) >> 3;
}

/* The code that starts at bit `shift` of a byte. */
BITESIZE_INLINE int32_t bitesize_code(const uint8_t *byte, uint32_t shift, uint32_t bits)
{
    return bits == 8u ? (int32_t)*byte : (int32_t)(((uint32_t)*byte >> shift) & ((1u << bits) - 1u));
}

/* The weight level whose code starts at bit `shift` of a byte. */
BITESIZE_INLINE int32_t bitesize_level(const uint8_t *byte, uint32_t shift, uint32_t bits)
{
    if (bits == 8u) {
        return *(const int8_t *)byte;
    }
    if (bits == 4u) {
        return (int32_t)((uint32_t)*byte << (28u - shift)) >> 28;
    }
    return BITESIZE_LEVEL_STEP_2 * bitesize_code(byte, shift, bits) + BITESIZE_LEVEL_LOWEST_2;
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

/* clamp(zero + ((acc * multiplier + 2^(shift - 1)) >> shift)), shift in 1..62 */
BITESIZE_INLINE int32_t bitesize_requantize(int32_t acc, int32_t multiplier, uint32_t shift,
                                            bitesize_range range)
{
    const int64_t product = (int64_t)acc * multiplier;
    int64_t wide;
    if (shift > 32u) {
        /* The low word cannot change the result: rounding adds to the high word alone. */
        const int32_t high = (int32_t)(product >> 32);
        const int32_t rounded = (high + (int32_t)(1u << (shift - 33u))) >> (shift - 32u);
        return bitesize_clamp_code(range.zero + rounded, range.lowest, range.highest);
    }
    wide = range.zero + ((product + (int64_t)((uint64_t)1 << (shift - 1u))) >> shift);
    if (wide < range.lowest) {
        return range.lowest;
    }
    return wide > range.highest ? range.highest : (int32_t)wide;
}

/* The taps `first..end` of a window that fall into the image along one axis. */
typedef struct {
    uint32_t first;
    uint32_t end;
} bitesize_span;

BITESIZE_INLINE bitesize_span bitesize_clip(int32_t start, uint32_t taps, uint32_t dilation,
                                            uint32_t size)
{
    bitesize_span span;
    span.first = 0;
    while (span.first < taps && start < 0) {
        start += (int32_t)dilation;
        span.first++;
    }
    span.end = span.first;
    while (span.end < taps && start < (int32_t)size) {
        start += (int32_t)dilation;
        span.end++;
    }
    return span;
}
