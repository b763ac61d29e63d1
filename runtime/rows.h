/* The inner product that convolution and fully connected layers share. */

/* Input codes as bytes, and their sum where the weights' grid asks for it. */
typedef struct {
    const uint8_t *codes;
    uint32_t length;
    int32_t sum;
} bitesize_vector;

typedef struct {
    int32_t a;
    int32_t b;
} bitesize_pair;

/* 2-bit weights are summed by code; one sum of the inputs turns that into a sum of levels. */
BITESIZE_INLINE int32_t bitesize_vector_sum(const uint8_t *codes, uint32_t length, uint32_t weight_bits)
{
    int32_t sum = 0;
    if (weight_bits == 2u) {
        for (; length != 0u; length--) {
            sum += *codes++;
        }
    }
    return sum;
}

BITESIZE_INLINE bitesize_pair bitesize_dot_8(const bitesize_vector *vector, const uint8_t *a, const uint8_t *b)
{
    const uint8_t *codes = vector->codes;
    const uint8_t *const end = codes + vector->length;
    bitesize_pair sums = {0, 0};
    while (codes != end) {
        const int32_t code = *codes++;
        sums.a += code * bitesize_level(a++, 0, 8);
        sums.b += code * bitesize_level(b++, 0, 8);
    }
    return sums;
}

BITESIZE_INLINE bitesize_pair bitesize_dot_4(const bitesize_vector *vector, const uint8_t *a, const uint8_t *b)
{
    const uint8_t *codes = vector->codes;
    const uint8_t *const end = codes + (vector->length & ~1u);
    bitesize_pair sums = {0, 0};
    while (codes != end) {
        const int32_t low = codes[0];
        const int32_t high = codes[1];
        sums.a += low * bitesize_level(a, 0, 4) + high * bitesize_level(a, 4, 4);
        sums.b += low * bitesize_level(b, 0, 4) + high * bitesize_level(b, 4, 4);
        codes += 2;
        a++;
        b++;
    }
    if ((vector->length & 1u) != 0u) {
        sums.a += *codes * bitesize_level(a, 0, 4);
        sums.b += *codes * bitesize_level(b, 0, 4);
    }
    return sums;
}

BITESIZE_INLINE bitesize_pair bitesize_dot_2(const bitesize_vector *vector, const uint8_t *a, const uint8_t *b)
{
    const uint8_t *codes = vector->codes;
    const uint8_t *const end = codes + (vector->length & ~3u);
    bitesize_pair sums = {0, 0};
    uint32_t left;
    uint32_t shift;
    while (codes != end) {
        sums.a += codes[0] * bitesize_code(a, 0, 2) + codes[1] * bitesize_code(a, 2, 2)
                + codes[2] * bitesize_code(a, 4, 2) + codes[3] * bitesize_code(a, 6, 2);
        sums.b += codes[0] * bitesize_code(b, 0, 2) + codes[1] * bitesize_code(b, 2, 2)
                + codes[2] * bitesize_code(b, 4, 2) + codes[3] * bitesize_code(b, 6, 2);
        codes += 4;
        a++;
        b++;
    }
    shift = 0;
    for (left = vector->length & 3u; left != 0u; left--) {
        sums.a += *codes * bitesize_code(a, shift, 2);
        sums.b += *codes * bitesize_code(b, shift, 2);
        codes++;
        shift += 2u;
    }
    sums.a += BITESIZE_LEVEL_LOWEST_2 * vector->sum;
    sums.b += BITESIZE_LEVEL_LOWEST_2 * vector->sum;
    return sums;
}

BITESIZE_INLINE bitesize_pair bitesize_dot(const bitesize_vector *vector, const uint8_t *a, const uint8_t *b,
    uint32_t weight_bits)
{
    if (weight_bits == 8u) {
        return bitesize_dot_8(vector, a, b);
    }
    return weight_bits == 4u ? bitesize_dot_4(vector, a, b) : bitesize_dot_2(vector, a, b);
}

BITESIZE_INLINE bitesize_range bitesize_range_of(const bitesize_weights *weights)
{
    bitesize_range range;
    range.zero = weights->zero;
    range.lowest = weights->lowest;
    range.highest = weights->highest;
    return range;
}

/* The output code of channel `c` whose products sum up to `sum`. */
BITESIZE_INLINE int32_t bitesize_rescale(const bitesize_weights *weights, uint32_t c, int32_t sum)
{
    const bitesize_channel *const channel = weights->channels + c;
    const int32_t acc = sum * (int32_t)(1u << weights->acc_shift) + channel->bias;
    return bitesize_requantize(acc, channel->multiplier, weights->shifts[c], bitesize_range_of(weights));
}

/* Writes the output channels `first..end` of one vector, two at a time so that they share its loads. */
BITESIZE_INLINE void bitesize_rows(const bitesize_weights *weights, const bitesize_vector *vector,
    bitesize_span channels, bitesize_writer *writer, uint32_t weight_bits,
    uint32_t output_bits)
{
    const uint32_t row_bytes = bitesize_row_bytes(vector->length, weight_bits);
    const uint8_t *row = weights->values + channels.first * row_bytes;
    uint32_t c = channels.first;
    while (c < channels.end) {
        /* An odd last row is its own partner. */
        const uint8_t *const partner = c + 1u < channels.end ? row + row_bytes : row;
        const bitesize_pair sums = bitesize_dot(vector, row, partner, weight_bits);
        bitesize_write(writer, bitesize_rescale(weights, c, sums.a), output_bits);
        c++;
        if (c < channels.end) {
            bitesize_write(writer, bitesize_rescale(weights, c, sums.b), output_bits);
            c++;
        }
        row = partner + row_bytes;
    }
}
