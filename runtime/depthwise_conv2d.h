/* The sums of neighbouring channels; only `a` is used where a single one is computed. */
typedef struct {
    int32_t a;
    int32_t b;
    int32_t c;
    int32_t d;
} bitesize_quad;

/* Adds the products of `count` channels (1 or 4) at one tap. */
BITESIZE_INLINE void bitesize_tap(bitesize_quad *quad, const uint8_t *code, const uint8_t *weight,
    uint32_t code_shift, uint32_t level_shift, uint32_t count, uint32_t input_bits,
    uint32_t weight_bits)
{
    quad->a += bitesize_code(code, code_shift, input_bits) * bitesize_level(weight, level_shift, weight_bits);
    if (count == 4u) {
        quad->b += bitesize_code(code + (input_bits >> 3), input_bits & 7u, input_bits)
                      * bitesize_level(weight + (weight_bits >> 3), weight_bits & 7u, weight_bits);
        quad->c += bitesize_code(code + (2u * input_bits >> 3), 2u * input_bits & 7u, input_bits)
                      * bitesize_level(weight + (2u * weight_bits >> 3), 2u * weight_bits & 7u, weight_bits);
        quad->d += bitesize_code(code + (3u * input_bits >> 3), 3u * input_bits & 7u, input_bits)
                      * bitesize_level(weight + (3u * weight_bits >> 3), 3u * weight_bits & 7u, weight_bits);
    }
}

/*
 * Sums one window for `count` channels (1 or 4) from channel `c` on. Four channels from a multiple of four
 * start on a byte at every width. `padding` holds their padding codes in the packed form of the input.
 */
BITESIZE_INLINE bitesize_quad bitesize_taps(const bitesize_depthwise_conv2d_layer *layer, const bitesize_patch *patch,
    const uint8_t *padding, uint32_t c, uint32_t count, uint32_t input_bits,
    uint32_t weight_bits)
{
    const uint32_t kernel_h = layer->window.kernel_h;
    const uint32_t kernel_w = layer->window.kernel_w;
    const uint32_t tap_bytes = bitesize_row_bytes(layer->channels, weight_bits);
    const uint32_t code_shift = count == 4u ? 0u : (c * input_bits) & 7u;
    const uint32_t level_shift = count == 4u ? 0u : (c * weight_bits) & 7u;
    const uint8_t *row = patch->input + ((c * input_bits) >> 3);
    const uint8_t *weight = layer->weights.values + ((c * weight_bits) >> 3);
    /* Without a column in the image, no row has any. */
    const uint32_t rows_end = patch->columns.first < patch->columns.end ? patch->rows.end : 0u;
    uint32_t tap_y;
    bitesize_quad quad = {0, 0, 0, 0};
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
                bitesize_tap(&quad, code, weight, code_shift, level_shift, count, input_bits, weight_bits);
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

BITESIZE_INLINE void bitesize_depthwise_conv2d(const bitesize_depthwise_conv2d_layer *layer, uint8_t *arena,
    const bitesize_step *step, uint32_t input_bits, uint32_t weight_bits, uint32_t output_bits)
{
    const bitesize_weights *const weights = &layer->weights;
    const bitesize_window *const window = &layer->window;
    const uint32_t channels = layer->channels;
    const uint32_t pixel_bytes = bitesize_row_bytes(channels, input_bits);
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
            bitesize_writer writer = bitesize_writer_at(output, 0, output_bits);
            const bitesize_patch patch = bitesize_patch_at(window, input, step->inputs[0], y, x, pixel_bytes);
            for (c = 0; c < channels;) {
                /* In memory, so that one copy of the code below serves all four. */
                int32_t sums[4];
                const uint32_t count = c + 4u <= channels ? 4u : 1u;
                const uint32_t end = c + count;
                const uint8_t *const padding = input_bits == 8u && layer->padding != 0 ? layer->padding + c : fills;
                bitesize_quad quad;
                uint32_t i = 0;
                if (count == 4u) {
                    quad = bitesize_taps(layer, &patch, padding, c, 4, input_bits, weight_bits);
                    sums[1] = quad.b;
                    sums[2] = quad.c;
                    sums[3] = quad.d;
                } else {
                    quad = bitesize_taps(layer, &patch, padding, c, 1, input_bits, weight_bits);
                }
                sums[0] = quad.a;
                for (; c < end; c++) {
                    bitesize_write(&writer, bitesize_rescale(weights, c, sums[i]), output_bits);
                    i++;
                }
            }
            bitesize_write_end(&writer, output_bits);
            output += bitesize_row_bytes(channels, output_bits);
        }
    }
}
