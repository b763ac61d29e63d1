/* The sums of neighbouring channels; only the first is used where a single one is computed. */
typedef struct {
    int32_t sum[4];
} bitesize_quad;

/* Where the window of one output pixel lies. */
typedef struct {
    const uint8_t *input;
    const uint8_t *padding;
    int32_t top;
    int32_t left;
} bitesize_place;

/*
 * Sums one window for `count` channels (1 or 4) from channel `c` on. Four channels from a multiple of four
 * start on a byte at every width. `place.padding` holds the padding in the packed form of the input.
 */
BITESIZE_INLINE bitesize_quad bitesize_taps(const bitesize_depthwise_conv2d_layer *layer, bitesize_place place,
                                            uint32_t c, uint32_t count, uint32_t input_bits, uint32_t weight_bits)
{
    const bitesize_window *const window = &layer->window;
    const uint32_t in_w = window->in_w;
    const uint32_t pixel_bytes = bitesize_row_bytes(layer->channels, input_bits);
    const uint32_t tap_bytes = bitesize_row_bytes(layer->channels, weight_bits);
    const uint32_t code_shift = count == 4u ? 0u : (c * input_bits) & 7u;
    const uint32_t level_shift = count == 4u ? 0u : (c * weight_bits) & 7u;
    const uint8_t *const input = place.input + ((c * input_bits) >> 3);
    const uint8_t *weight = layer->weights.values + ((c * weight_bits) >> 3);
    uint32_t tap_y;
    uint32_t tap_x;
    bitesize_quad quad = {{0, 0, 0, 0}};
    for (tap_y = 0; tap_y < window->kernel_h; tap_y++) {
        const uint32_t y = (uint32_t)place.top + tap_y * window->dilation_h;
        const uint32_t width = y < window->in_h ? in_w : 0u;
        const uint8_t *const row = input + y * in_w * pixel_bytes;
        uint32_t x = (uint32_t)place.left;
        for (tap_x = window->kernel_w; tap_x != 0u; tap_x--) {
            const uint8_t *const code = x < width ? row + x * pixel_bytes : place.padding;
            quad.sum[0] += bitesize_code(code, code_shift, input_bits)
                         * bitesize_level(weight, level_shift, weight_bits);
            if (count == 4u) {
                quad.sum[1] += bitesize_code(code + (input_bits >> 3), input_bits & 7u, input_bits)
                             * bitesize_level(weight + (weight_bits >> 3), weight_bits & 7u, weight_bits);
                quad.sum[2] += bitesize_code(code + (2u * input_bits >> 3), 2u * input_bits & 7u, input_bits)
                             * bitesize_level(weight + (2u * weight_bits >> 3), 2u * weight_bits & 7u, weight_bits);
                quad.sum[3] += bitesize_code(code + (3u * input_bits >> 3), 3u * input_bits & 7u, input_bits)
                             * bitesize_level(weight + (3u * weight_bits >> 3), 3u * weight_bits & 7u, weight_bits);
            }
            weight += tap_bytes;
            x += window->dilation_w;
        }
    }
    return quad;
}

BITESIZE_INLINE void bitesize_depthwise_conv2d(const bitesize_depthwise_conv2d_layer *layer, uint8_t *arena,
                                               uint32_t input_bits, uint32_t weight_bits, uint32_t output_bits)
{
    const bitesize_weights weights = layer->weights;
    const bitesize_window *const window = &layer->window;
    const uint32_t channels = layer->channels;
    const uint32_t out_row_bytes = bitesize_row_bytes(channels, output_bits);
    /* The padding code at every position of four bytes. */
    const uint8_t fill = (uint8_t)(layer->padding_code * (255u / ((1u << input_bits) - 1u)));
    const uint8_t fills[4] = {fill, fill, fill, fill};
    const uint8_t *const padding = input_bits == 8u && layer->padding != 0 ? layer->padding : 0;
    uint8_t *output = arena + layer->output;
    bitesize_place place;
    uint32_t y;
    uint32_t x;
    uint32_t c;
    place.input = arena + layer->input;
    for (y = 0; y < window->out_h; y++) {
        place.top = (int32_t)(y * window->stride_h) - window->pad_top;
        for (x = 0; x < window->out_w; x++) {
            bitesize_writer writer = bitesize_writer_at(output, 0, output_bits);
            place.left = (int32_t)(x * window->stride_w) - window->pad_left;
            for (c = 0; c + 4u <= channels; c += 4u) {
                bitesize_quad quad;
                uint32_t i;
                place.padding = padding != 0 ? padding + c : fills;
                quad = bitesize_taps(layer, place, c, 4, input_bits, weight_bits);
                for (i = 0; i < 4u; i++) {
                    bitesize_write(&writer, bitesize_rescale(&weights, c + i, quad.sum[i]), output_bits);
                }
            }
            for (; c < channels; c++) {
                bitesize_quad quad;
                place.padding = padding != 0 ? padding + c : fills;
                quad = bitesize_taps(layer, place, c, 1, input_bits, weight_bits);
                bitesize_write(&writer, bitesize_rescale(&weights, c, quad.sum[0]), output_bits);
            }
            bitesize_write_end(&writer, output_bits);
            output += out_row_bytes;
        }
    }
}
