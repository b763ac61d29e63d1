/* The integer kernels that the network calls. SPDX-License-Identifier: MIT OR Apache-2.0 */
#include "bitesize_kernels.h"

/*
 * Access to packed rows, requantization and windows. Widths are always constant arguments: after
 * inlining nothing of the choice between them is left.
 */

#if defined(__GNUC__)
#define MODEL_INLINE static inline __attribute__((always_inline, unused))
#define MODEL_OUTLINE static __attribute__((noinline, unused))
#else
#define MODEL_INLINE static inline
#define MODEL_OUTLINE static
#endif

/* Unsigned numbers wrap in these functions, and are meant to; a sanitizer that stops at that is told so. */
#if defined(__clang__)
#define MODEL_WRAPS __attribute__((no_sanitize("integer")))
#else
#define MODEL_WRAPS
#endif

/* C leaves these two to the compiler; the arithmetic here needs the usual answers. */
typedef char model_right_shift_keeps_the_sign[((-3) >> 1) == -2 ? 1 : -1];
typedef char model_conversion_wraps[(int32_t)0xFFFFFFFEu == -2 ? 1 : -1];

/* The level of 2-bit weight code c is c + MODEL_LEVEL_LOWEST_2. */
#define MODEL_LEVEL_LOWEST_2 (-2)

MODEL_INLINE uint32_t model_row_bytes(uint32_t elements, uint32_t bits)
{
    return (elements * bits + 7u) >> 3;
}

/* The code that starts at bit `shift` of a byte. */
MODEL_INLINE int32_t model_code(const uint8_t *byte, uint32_t shift, uint32_t bits)
{
    return bits == 8u ? (int32_t)*byte : (int32_t)(((uint32_t)*byte >> shift) & ((1u << bits) - 1u));
}

/* The weight level whose code starts at bit `shift` of a byte. What lies above a code of 4 bits is shifted out. */
MODEL_WRAPS MODEL_INLINE int32_t model_level(const uint8_t *byte, uint32_t shift, uint32_t bits)
{
    if (bits == 8u) {
        return *(const int8_t *)byte;
    }
    if (bits == 4u) {
        return (int32_t)((uint32_t)*byte << (28u - shift)) >> 28;
    }
    return model_code(byte, shift, bits) + MODEL_LEVEL_LOWEST_2;
}

/* Reads the codes of a row one after another. */
typedef struct {
    const uint8_t *byte;
    uint32_t shift;
} model_reader;

MODEL_INLINE model_reader model_reader_at(const uint8_t *row, uint32_t index, uint32_t bits)
{
    model_reader reader;
    reader.byte = row + ((index * bits) >> 3);
    reader.shift = (index * bits) & 7u;
    return reader;
}

MODEL_INLINE int32_t model_read(model_reader *reader, uint32_t bits)
{
    const int32_t code = model_code(reader->byte, reader->shift, bits);
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
} model_writer;

MODEL_INLINE model_writer model_writer_at(uint8_t *row, uint32_t index, uint32_t bits)
{
    model_writer writer;
    writer.byte = row + ((index * bits) >> 3);
    writer.shift = (index * bits) & 7u;
    writer.pending = 0;
    if (writer.shift != 0u) {
        writer.pending = *writer.byte & ((1u << writer.shift) - 1u);
    }
    return writer;
}

MODEL_INLINE void model_write(model_writer *writer, int32_t code, uint32_t bits)
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

MODEL_INLINE void model_write_end(const model_writer *writer, uint32_t bits)
{
    if (bits != 8u && writer->shift != 0u) {
        *writer->byte = (uint8_t)writer->pending;
    }
}

MODEL_INLINE int32_t model_clamp_code(int32_t code, int32_t lowest, int32_t highest)
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
} model_range;

/* Cores whose only product has 32 bits; the compiler would call a library for one of 64. */
#if defined(__ARM_ARCH_6M__) || defined(__ARM_ARCH_8M_BASE__)
#define MODEL_NO_LONG_MULTIPLY
#endif

/* The high word of a product. */
MODEL_INLINE int32_t model_multiply_high(int32_t a, int32_t b)
{
#ifdef MODEL_NO_LONG_MULTIPLY
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
MODEL_INLINE int32_t model_requantize(int32_t acc, int32_t multiplier, int32_t shift, model_range range)
{
    int32_t below = shift - 33;
    int32_t high;
    if (below < 0) {
        const int32_t left = below < -12 ? 12 : -below;
        const int32_t limit = 4096 >> left;
        acc = model_clamp_code(acc, -limit, limit) * (1 << left);
        below = 0;
    }
    high = model_multiply_high(acc, multiplier);
    return model_clamp_code(range.zero + (((high >> below) + 1) >> 1), range.lowest, range.highest);
}

/* The indices `first..end`. */
typedef struct {
    uint32_t first;
    uint32_t end;
} model_span;

/* Whether the coordinate start + offset is one of an image of `size`; one below 0 wraps to a large number. */
MODEL_WRAPS MODEL_INLINE int model_inside(int32_t start, uint32_t offset, uint32_t size)
{
    return (uint32_t)start + offset < size;
}

/* The inner product that convolution and fully connected layers share. */

/* Input codes as bytes, and their sum where the weights' grid asks for it. */
typedef struct {
    const uint8_t *codes;
    uint32_t length;
    int32_t sum;
} model_vector;

typedef struct {
    int32_t a;
    int32_t b;
} model_pair;

/* 2-bit weights are summed by code; one sum of the inputs turns that into a sum of levels. */
MODEL_INLINE int32_t model_vector_sum(const uint8_t *codes, uint32_t length, uint32_t weight_bits)
{
    int32_t sum = 0;
    if (weight_bits == 2u) {
        for (; length != 0u; length--) {
            sum += *codes++;
        }
    }
    return sum;
}

MODEL_INLINE model_pair model_dot_8(const model_vector *vector, const uint8_t *a, const uint8_t *b)
{
    const uint8_t *codes = vector->codes;
    const uint8_t *const end = codes + vector->length;
    model_pair sums = {0, 0};
    while (codes != end) {
        const int32_t code = *codes++;
        sums.a += code * model_level(a++, 0, 8);
        sums.b += code * model_level(b++, 0, 8);
    }
    return sums;
}

MODEL_INLINE model_pair model_dot_4(const model_vector *vector, const uint8_t *a, const uint8_t *b)
{
    const uint8_t *codes = vector->codes;
    const uint8_t *const end = codes + (vector->length & ~1u);
    model_pair sums = {0, 0};
    while (codes != end) {
        const int32_t low = codes[0];
        const int32_t high = codes[1];
        sums.a += low * model_level(a, 0, 4) + high * model_level(a, 4, 4);
        sums.b += low * model_level(b, 0, 4) + high * model_level(b, 4, 4);
        codes += 2;
        a++;
        b++;
    }
    if ((vector->length & 1u) != 0u) {
        sums.a += *codes * model_level(a, 0, 4);
        sums.b += *codes * model_level(b, 0, 4);
    }
    return sums;
}

MODEL_INLINE model_pair model_dot_2(const model_vector *vector, const uint8_t *a, const uint8_t *b)
{
    const uint8_t *codes = vector->codes;
    const uint8_t *const end = codes + (vector->length & ~3u);
    model_pair sums = {0, 0};
    uint32_t left;
    uint32_t shift;
    while (codes != end) {
        sums.a += codes[0] * model_code(a, 0, 2) + codes[1] * model_code(a, 2, 2)
                + codes[2] * model_code(a, 4, 2) + codes[3] * model_code(a, 6, 2);
        sums.b += codes[0] * model_code(b, 0, 2) + codes[1] * model_code(b, 2, 2)
                + codes[2] * model_code(b, 4, 2) + codes[3] * model_code(b, 6, 2);
        codes += 4;
        a++;
        b++;
    }
    shift = 0;
    for (left = vector->length & 3u; left != 0u; left--) {
        sums.a += *codes * model_code(a, shift, 2);
        sums.b += *codes * model_code(b, shift, 2);
        codes++;
        shift += 2u;
    }
    sums.a += MODEL_LEVEL_LOWEST_2 * vector->sum;
    sums.b += MODEL_LEVEL_LOWEST_2 * vector->sum;
    return sums;
}

MODEL_INLINE model_pair model_dot(const model_vector *vector, const uint8_t *a, const uint8_t *b,
    uint32_t weight_bits)
{
    if (weight_bits == 8u) {
        return model_dot_8(vector, a, b);
    }
    return weight_bits == 4u ? model_dot_4(vector, a, b) : model_dot_2(vector, a, b);
}

MODEL_INLINE model_range model_range_of(const model_weights *weights)
{
    model_range range;
    range.zero = weights->zero;
    range.lowest = weights->lowest;
    range.highest = weights->highest;
    return range;
}

/* The output code of channel `c` whose products sum up to `sum`. */
MODEL_INLINE int32_t model_rescale(const model_weights *weights, uint32_t c, int32_t sum)
{
    const model_channel *const channel = weights->channels + c;
    const int32_t acc = sum * (int32_t)(1u << weights->acc_shift) + channel->bias;
    return model_requantize(acc, channel->multiplier, weights->shifts[c], model_range_of(weights));
}

/* Writes the output channels `first..end` of one vector, two at a time so that they share its loads. */
MODEL_INLINE void model_rows(const model_weights *weights, const model_vector *vector,
    model_span channels, model_writer *writer, uint32_t weight_bits,
    uint32_t output_bits)
{
    const uint32_t row_bytes = model_row_bytes(vector->length, weight_bits);
    const uint8_t *row = weights->values + channels.first * row_bytes;
    uint32_t c = channels.first;
    while (c < channels.end) {
        /* An odd last row is its own partner. */
        const uint8_t *const partner = c + 1u < channels.end ? row + row_bytes : row;
        const model_pair sums = model_dot(vector, row, partner, weight_bits);
        model_write(writer, model_rescale(weights, c, sums.a), output_bits);
        c++;
        if (c < channels.end) {
            model_write(writer, model_rescale(weights, c, sums.b), output_bits);
            c++;
        }
        row = partner + row_bytes;
    }
}

/*
 * Copies the codes under one window of one group into bytes; outside the image they are the padding's. Row `base` of
 * the image lies at `input`.
 */
MODEL_INLINE void model_gather(const model_conv2d_layer *layer, const uint8_t *input, uint32_t base,
    uint8_t *codes, int32_t top, int32_t left, uint32_t first, uint32_t input_bits)
{
    const model_window *const window = &layer->window;
    const uint32_t channels = layer->in_per_group;
    const uint32_t row_bytes = model_row_bytes((uint32_t)layer->groups * channels, input_bits);
    const uint32_t padding_step = layer->padding != 0 ? 1u : 0u;
    uint32_t tap_y;
    uint32_t tap_x;
    uint32_t c;
    for (tap_y = 0; tap_y < window->kernel_h; tap_y++) {
        const uint32_t down = tap_y * window->dilation_h;
        for (tap_x = 0; tap_x < window->kernel_w; tap_x++) {
            const uint32_t right = tap_x * window->dilation_w;
            if (model_inside(top, down, window->in_h) && model_inside(left, right, window->in_w)) {
                const uint32_t y = (uint32_t)(top + (int32_t)down) - base;
                const uint32_t x = (uint32_t)(left + (int32_t)right);
                const uint8_t *const row = input + (y * window->in_w + x) * row_bytes;
                model_reader reader = model_reader_at(row, first, input_bits);
                for (c = channels; c != 0u; c--) {
                    *codes++ = (uint8_t)model_read(&reader, input_bits);
                }
            } else {
                const uint8_t *padding = padding_step != 0u ? layer->padding + first : &layer->padding_code;
                for (c = channels; c != 0u; c--) {
                    *codes++ = *padding;
                    padding += padding_step;
                }
            }
        }
    }
}

MODEL_INLINE void model_conv2d(const model_conv2d_layer *layer, uint8_t *arena, const model_step *step,
    uint32_t input_bits, uint32_t weight_bits, uint32_t output_bits)
{
    const model_weights *const weights = &layer->weights;
    const model_window *const window = &layer->window;
    const uint8_t *const input = arena + layer->input;
    const uint32_t out_row_bytes = model_row_bytes((uint32_t)layer->groups * layer->out_per_group, output_bits);
    const uint32_t end = step->first + window->out_h;
    uint8_t *output = arena + layer->output + step->output;
    uint32_t y;
    uint32_t x;
    uint32_t group;
    for (y = step->first; y < end; y++) {
        const int32_t top = (int32_t)(y * window->stride_h) - window->pad_top;
        for (x = 0; x < window->out_w; x++) {
            const int32_t left = (int32_t)(x * window->stride_w) - window->pad_left;
            model_writer writer = model_writer_at(output, 0, output_bits);
            for (group = 0; group < layer->groups; group++) {
                model_vector vector;
                model_span channels;
                vector.length = (uint32_t)window->kernel_h * window->kernel_w * layer->in_per_group;
                if (input_bits == 8u && layer->scratch == MODEL_NO_SCRATCH) {
                    vector.codes = input
                        + (((uint32_t)top - step->inputs[0]) * window->in_w + (uint32_t)left) * vector.length;
                } else {
                    uint8_t *const codes = arena + layer->scratch;
                    model_gather(layer, input, step->inputs[0], codes, top, left, group * layer->in_per_group,
                        input_bits);
                    vector.codes = codes;
                }
                vector.sum = model_vector_sum(vector.codes, vector.length, weight_bits);
                channels.first = group * layer->out_per_group;
                channels.end = channels.first + layer->out_per_group;
                model_rows(weights, &vector, channels, &writer, weight_bits, output_bits);
            }
            model_write_end(&writer, output_bits);
            output += out_row_bytes;
        }
    }
}

/* Windows whose channels are computed one by one: pools and depthwise convolution. */

/*
 * The taps of a window that fall into the image along one axis, and the coordinate that the first of them reads, counted
 * from `base`: 0 where none does, so that no address is formed outside the image.
 */
typedef struct {
    model_span taps;
    uint32_t start;
} model_axis;

MODEL_INLINE model_axis model_clip(int32_t start, uint32_t taps, uint32_t dilation, uint32_t size,
    uint32_t base)
{
    model_axis axis;
    axis.taps.first = 0;
    while (axis.taps.first < taps && start < 0) {
        start += (int32_t)dilation;
        axis.taps.first++;
    }
    axis.taps.end = axis.taps.first;
    axis.start = axis.taps.first < taps && start < (int32_t)size ? (uint32_t)start - base : 0u;
    while (axis.taps.end < taps && start < (int32_t)size) {
        start += (int32_t)dilation;
        axis.taps.end++;
    }
    return axis;
}

/* The taps of one window that fall into the image, and where the first of them reads. */
typedef struct {
    const uint8_t *input;
    model_span rows;
    model_span columns;
    uint32_t row_step;
    uint32_t column_step;
} model_patch;

/* The patch under the window of pixel (y, x) of the output, where row `base` of the input lies at `input`. */
MODEL_INLINE model_patch model_patch_at(const model_window *window, const uint8_t *input, uint32_t base,
    uint32_t y, uint32_t x, uint32_t pixel_bytes)
{
    const int32_t top = (int32_t)(y * window->stride_h) - window->pad_top;
    const int32_t left = (int32_t)(x * window->stride_w) - window->pad_left;
    const model_axis rows = model_clip(top, window->kernel_h, window->dilation_h, window->in_h, base);
    const model_axis columns = model_clip(left, window->kernel_w, window->dilation_w, window->in_w, 0);
    model_patch patch;
    patch.rows = rows.taps;
    patch.columns = columns.taps;
    patch.input = input + (rows.start * window->in_w + columns.start) * pixel_bytes;
    patch.row_step = (uint32_t)window->dilation_h * window->in_w * pixel_bytes;
    patch.column_step = window->dilation_w * pixel_bytes;
    return patch;
}

/* The sums of neighbouring channels; only `a` is used where a single one is computed. */
typedef struct {
    int32_t a;
    int32_t b;
    int32_t c;
    int32_t d;
} model_quad;

/* Adds the products of `count` channels (1 or 4) at one tap. */
MODEL_INLINE void model_tap(model_quad *quad, const uint8_t *code, const uint8_t *weight,
    uint32_t code_shift, uint32_t level_shift, uint32_t count, uint32_t input_bits,
    uint32_t weight_bits)
{
    quad->a += model_code(code, code_shift, input_bits) * model_level(weight, level_shift, weight_bits);
    if (count == 4u) {
        quad->b += model_code(code + (input_bits >> 3), input_bits & 7u, input_bits)
                      * model_level(weight + (weight_bits >> 3), weight_bits & 7u, weight_bits);
        quad->c += model_code(code + (2u * input_bits >> 3), 2u * input_bits & 7u, input_bits)
                      * model_level(weight + (2u * weight_bits >> 3), 2u * weight_bits & 7u, weight_bits);
        quad->d += model_code(code + (3u * input_bits >> 3), 3u * input_bits & 7u, input_bits)
                      * model_level(weight + (3u * weight_bits >> 3), 3u * weight_bits & 7u, weight_bits);
    }
}

/*
 * Sums one window for `count` channels (1 or 4) from channel `c` on. Four channels from a multiple of four
 * start on a byte at every width. `padding` holds their padding codes in the packed form of the input.
 */
MODEL_INLINE model_quad model_taps(const model_depthwise_conv2d_layer *layer, const model_patch *patch,
    const uint8_t *padding, uint32_t c, uint32_t count, uint32_t input_bits,
    uint32_t weight_bits)
{
    const uint32_t kernel_h = layer->window.kernel_h;
    const uint32_t kernel_w = layer->window.kernel_w;
    const uint32_t tap_bytes = model_row_bytes(layer->channels, weight_bits);
    const uint32_t code_shift = count == 4u ? 0u : (c * input_bits) & 7u;
    const uint32_t level_shift = count == 4u ? 0u : (c * weight_bits) & 7u;
    const uint8_t *row = patch->input + ((c * input_bits) >> 3);
    const uint8_t *weight = layer->weights.values + ((c * weight_bits) >> 3);
    /* Without a column in the image, no row has any. */
    const uint32_t rows_end = patch->columns.first < patch->columns.end ? patch->rows.end : 0u;
    uint32_t tap_y;
    model_quad quad = {0, 0, 0, 0};
    for (tap_y = 0; tap_y < kernel_h; tap_y++) {
        const int inside = tap_y >= patch->rows.first && tap_y < rows_end;
        uint32_t tap_x = 0;
        while (tap_x < kernel_w) {
            /* A run of taps in the image or in the padding. */
            const uint8_t *code = padding;
            uint32_t step = 0;
            uint32_t end = kernel_w;
            if (inside && tap_x == patch->columns.first) {
                code = row;
                step = patch->column_step;
                end = patch->columns.end;
            } else if (inside && tap_x < patch->columns.first) {
                end = patch->columns.first;
            }
            for (; tap_x < end; tap_x++) {
                model_tap(&quad, code, weight, code_shift, level_shift, count, input_bits, weight_bits);
                code += step;
                weight += tap_bytes;
            }
        }
        if (inside) {
            row += patch->row_step;
        }
    }
    return quad;
}

MODEL_INLINE void model_depthwise_conv2d(const model_depthwise_conv2d_layer *layer, uint8_t *arena,
    const model_step *step, uint32_t input_bits, uint32_t weight_bits, uint32_t output_bits)
{
    const model_weights *const weights = &layer->weights;
    const model_window *const window = &layer->window;
    const uint32_t channels = layer->channels;
    const uint32_t pixel_bytes = model_row_bytes(channels, input_bits);
    /* The padding code at every position of four bytes. */
    const uint8_t fill = (uint8_t)(layer->padding_code * (255u / ((1u << input_bits) - 1u)));
    const uint8_t fills[4] = {fill, fill, fill, fill};
    const uint8_t *const input = arena + layer->input;
    const uint32_t end_row = step->first + window->out_h;
    uint8_t *output = arena + layer->output + step->output;
    uint32_t y;
    uint32_t x;
    uint32_t c;
    for (y = step->first; y < end_row; y++) {
        for (x = 0; x < window->out_w; x++) {
            model_writer writer = model_writer_at(output, 0, output_bits);
            const model_patch patch = model_patch_at(window, input, step->inputs[0], y, x, pixel_bytes);
            for (c = 0; c < channels;) {
                /* In memory, so that one copy of the code below serves all four. */
                int32_t sums[4];
                const uint32_t count = c + 4u <= channels ? 4u : 1u;
                const uint32_t end = c + count;
                const uint8_t *const padding = input_bits == 8u && layer->padding != 0 ? layer->padding + c : fills;
                model_quad quad;
                uint32_t i = 0;
                if (count == 4u) {
                    quad = model_taps(layer, &patch, padding, c, 4, input_bits, weight_bits);
                    sums[1] = quad.b;
                    sums[2] = quad.c;
                    sums[3] = quad.d;
                } else {
                    quad = model_taps(layer, &patch, padding, c, 1, input_bits, weight_bits);
                }
                sums[0] = quad.a;
                for (; c < end; c++) {
                    model_write(&writer, model_rescale(weights, c, sums[i]), output_bits);
                    i++;
                }
            }
            model_write_end(&writer, output_bits);
            output += model_row_bytes(channels, output_bits);
        }
    }
}

MODEL_INLINE void model_fully_connected(const model_fully_connected_layer *layer, uint8_t *arena,
    uint32_t input_bits, uint32_t weight_bits, uint32_t output_bits)
{
    const model_weights *const weights = &layer->weights;
    const uint8_t *const input = arena + layer->input;
    model_writer writer = model_writer_at(arena + layer->output, 0, output_bits);
    model_vector vector;
    model_span channels;
    vector.codes = input;
    vector.length = layer->in_channels;
    if (input_bits != 8u) {
        model_reader reader = model_reader_at(input, 0, input_bits);
        uint8_t *codes = arena + layer->scratch;
        uint32_t left;
        vector.codes = codes;
        for (left = vector.length; left != 0u; left--) {
            *codes++ = (uint8_t)model_read(&reader, input_bits);
        }
    }
    vector.sum = model_vector_sum(vector.codes, vector.length, weight_bits);
    channels.first = 0;
    channels.end = layer->out_channels;
    model_rows(weights, &vector, channels, &writer, weight_bits, output_bits);
    model_write_end(&writer, output_bits);
}

MODEL_INLINE void model_add(const model_add_layer *layer, uint8_t *arena, const model_step *step,
    uint32_t bits_a, uint32_t bits_b, uint32_t output_bits)
{
    const int32_t factor_a = layer->factor_a;
    const int32_t factor_b = layer->factor_b;
    const int32_t half = (int32_t)(1u << (layer->shift - 1u));
    const int32_t offset = half - layer->zero_a * factor_a - layer->zero_b * factor_b;
    const uint32_t channels = layer->channels;
    const uint32_t shift = layer->shift;
    const int32_t zero = layer->zero;
    const int32_t lowest = layer->lowest;
    const int32_t highest = layer->highest;
    const uint8_t *a = arena + layer->input_a + step->inputs[0];
    const uint8_t *b = arena + layer->input_b + step->inputs[1];
    uint8_t *output = arena + layer->output + step->output;
    uint32_t pixels;
    for (pixels = layer->pixels; pixels != 0u; pixels--) {
        model_reader reader_a = model_reader_at(a, 0, bits_a);
        model_reader reader_b = model_reader_at(b, 0, bits_b);
        model_writer writer = model_writer_at(output, 0, output_bits);
        uint32_t c;
        for (c = channels; c != 0u; c--) {
            const int32_t code_a = model_read(&reader_a, bits_a);
            const int32_t code_b = model_read(&reader_b, bits_b);
            const int32_t sum = code_a * factor_a + code_b * factor_b + offset;
            model_write(&writer, model_clamp_code(zero + (sum >> shift), lowest, highest), output_bits);
        }
        model_write_end(&writer, output_bits);
        a += model_row_bytes(channels, bits_a);
        b += model_row_bytes(channels, bits_b);
        output += model_row_bytes(channels, output_bits);
    }
}

/* Copies one input into its slice of the output's channels. The slices are written in ascending order. */
MODEL_INLINE void model_concat(const model_concat_layer *layer, uint8_t *arena, const model_step *step,
    uint32_t input_bits, uint32_t output_bits)
{
    const int32_t multiplier = layer->multiplier;
    const int32_t shift = layer->shift;
    const int32_t zero_in = layer->zero_in;
    const uint32_t channels = layer->channels;
    const uint32_t first = layer->first;
    const uint32_t out_row_bytes = model_row_bytes(layer->out_channels, output_bits);
    const uint8_t *input = arena + layer->input + step->inputs[0];
    uint8_t *output = arena + layer->output + step->output;
    model_range range;
    uint32_t pixels;
    range.zero = layer->zero;
    range.lowest = 0;
    range.highest = (1 << output_bits) - 1;
    for (pixels = layer->pixels; pixels != 0u; pixels--) {
        model_reader reader = model_reader_at(input, 0, input_bits);
        model_writer writer = model_writer_at(output, first, output_bits);
        uint32_t c;
        for (c = channels; c != 0u; c--) {
            const int32_t acc = model_read(&reader, input_bits) - zero_in;
            model_write(&writer, model_requantize(acc, multiplier, shift, range), output_bits);
        }
        model_write_end(&writer, output_bits);
        input += model_row_bytes(channels, input_bits);
        output += out_row_bytes;
    }
}

MODEL_INLINE void model_average_pool(const model_average_pool_layer *layer, uint8_t *arena,
    const model_step *step, uint32_t input_bits, uint32_t output_bits)
{
    const model_window *const window = &layer->window;
    const uint32_t channels = layer->channels;
    const uint32_t pixel_bytes = model_row_bytes(channels, input_bits);
    const uint8_t *const input = arena + layer->input;
    const uint32_t end = step->first + window->out_h;
    uint8_t *output = arena + layer->output + step->output;
    model_range range;
    uint32_t y;
    uint32_t x;
    uint32_t c;
    range.zero = layer->zero;
    range.lowest = layer->lowest;
    range.highest = layer->highest;
    for (y = step->first; y < end; y++) {
        for (x = 0; x < window->out_w; x++) {
            const model_patch patch = model_patch_at(window, input, step->inputs[0], y, x, pixel_bytes);
            const uint32_t count = (patch.rows.end - patch.rows.first) * (patch.columns.end - patch.columns.first);
            const model_average_factor *factor = layer->factors;
            const model_average_factor *const last = factor + layer->factor_count - 1;
            model_writer writer = model_writer_at(output, 0, output_bits);
            while (factor != last && factor->count != count) {
                factor++;
            }
            for (c = 0; c < channels; c++) {
                const uint8_t *row = patch.input + ((c * input_bits) >> 3);
                uint32_t rows;
                uint32_t columns;
                int32_t sum = -(int32_t)count * layer->zero_in;
                for (rows = patch.rows.end - patch.rows.first; rows != 0u; rows--) {
                    const uint8_t *at = row;
                    for (columns = patch.columns.end - patch.columns.first; columns != 0u; columns--) {
                        sum += model_code(at, (c * input_bits) & 7u, input_bits);
                        at += patch.column_step;
                    }
                    row += patch.row_step;
                }
                model_write(&writer, model_requantize(sum, factor->multiplier, factor->shift, range),
                    output_bits);
            }
            model_write_end(&writer, output_bits);
            output += model_row_bytes(channels, output_bits);
        }
    }
}

void model_conv2d_8_2_4(const model_conv2d_layer *layer, uint8_t *arena, const model_step *step)
{
    model_conv2d(layer, arena, step, 8, 2, 4);
}

void model_depthwise_conv2d_4_8_4(const model_depthwise_conv2d_layer *layer, uint8_t *arena, const model_step *step)
{
    model_depthwise_conv2d(layer, arena, step, 4, 8, 4);
}

void model_fully_connected_2_8_8(const model_fully_connected_layer *layer, uint8_t *arena)
{
    model_fully_connected(layer, arena, 2, 8, 8);
}

void model_add_4_4_2(const model_add_layer *layer, uint8_t *arena, const model_step *step)
{
    model_add(layer, arena, step, 4, 4, 2);
}

void model_concat_2_2(const model_concat_layer *layer, uint8_t *arena, const model_step *step)
{
    model_concat(layer, arena, step, 2, 2);
}

void model_concat_4_2(const model_concat_layer *layer, uint8_t *arena, const model_step *step)
{
    model_concat(layer, arena, step, 4, 2);
}

void model_average_pool_2_2(const model_average_pool_layer *layer, uint8_t *arena, const model_step *step)
{
    model_average_pool(layer, arena, step, 2, 2);
}
