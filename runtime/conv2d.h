/*
 * Copies the codes under one window of one group into bytes; outside the image they are the padding's. Row `base` of
 * the image lies at `input`.
 */
BITESIZE_INLINE void bitesize_gather(const bitesize_conv2d_layer *layer, const uint8_t *input, uint32_t base,
    uint8_t *codes, int32_t top, int32_t left, uint32_t first, uint32_t input_bits)
{
    const bitesize_window *const window = &layer->window;
    const uint32_t channels = layer->in_per_group;
    const uint32_t row_bytes = bitesize_row_bytes((uint32_t)layer->groups * channels, input_bits);
    const uint32_t padding_step = layer->padding != 0 ? 1u : 0u;
    uint32_t tap_y;
    uint32_t tap_x;
    uint32_t c;
    for (tap_y = 0; tap_y < window->kernel_h; tap_y++) {
        const uint32_t down = tap_y * window->dilation_h;
        for (tap_x = 0; tap_x < window->kernel_w; tap_x++) {
            const uint32_t right = tap_x * window->dilation_w;
            if (bitesize_inside(top, down, window->in_h) && bitesize_inside(left, right, window->in_w)) {
                const uint32_t y = (uint32_t)(top + (int32_t)down) - base;
                const uint32_t x = (uint32_t)(left + (int32_t)right);
                const uint8_t *const row = input + (y * window->in_w + x) * row_bytes;
                bitesize_reader reader = bitesize_reader_at(row, first, input_bits);
                for (c = channels; c != 0u; c--) {
                    *codes++ = (uint8_t)bitesize_read(&reader, input_bits);
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

BITESIZE_INLINE void bitesize_conv2d(const bitesize_conv2d_layer *layer, uint8_t *arena, const bitesize_step *step,
    uint32_t input_bits, uint32_t weight_bits, uint32_t output_bits)
{
    const bitesize_weights *const weights = &layer->weights;
    const bitesize_window *const window = &layer->window;
    const uint8_t *const input = arena + layer->input;
    const uint32_t out_row_bytes = bitesize_row_bytes((uint32_t)layer->groups * layer->out_per_group, output_bits);
    const uint32_t end = step->first + window->out_h;
    uint8_t *output = arena + layer->output + step->output;
    uint32_t y;
    uint32_t x;
    uint32_t group;
    for (y = step->first; y < end; y++) {
        const int32_t top = (int32_t)(y * window->stride_h) - window->pad_top;
        for (x = 0; x < window->out_w; x++) {
            const int32_t left = (int32_t)(x * window->stride_w) - window->pad_left;
            bitesize_writer writer = bitesize_writer_at(output, 0, output_bits);
            for (group = 0; group < layer->groups; group++) {
                bitesize_vector vector;
                bitesize_span channels;
                vector.length = (uint32_t)window->kernel_h * window->kernel_w * layer->in_per_group;
                if (input_bits == 8u && layer->scratch == BITESIZE_NO_SCRATCH) {
                    vector.codes = input
                        + (((uint32_t)top - step->inputs[0]) * window->in_w + (uint32_t)left) * vector.length;
                } else {
                    uint8_t *const codes = arena + layer->scratch;
                    bitesize_gather(layer, input, step->inputs[0], codes, top, left, group * layer->in_per_group,
                        input_bits);
                    vector.codes = codes;
                }
                vector.sum = bitesize_vector_sum(vector.codes, vector.length, weight_bits);
                channels.first = group * layer->out_per_group;
                channels.end = channels.first + layer->out_per_group;
                bitesize_rows(weights, &vector, channels, &writer, weight_bits, output_bits);
            }
            bitesize_write_end(&writer, output_bits);
            output += out_row_bytes;
        }
    }
}
