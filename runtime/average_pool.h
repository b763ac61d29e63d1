BITESIZE_INLINE void bitesize_average_pool(const bitesize_average_pool_layer *layer, uint8_t *arena,
    const bitesize_step *step, uint32_t input_bits, uint32_t output_bits)
{
    const bitesize_window *const window = &layer->window;
    const uint32_t channels = layer->channels;
    const uint32_t pixel_bytes = bitesize_row_bytes(channels, input_bits);
    const uint8_t *const input = arena + layer->input;
    const uint32_t end = step->first + window->out_h;
    uint8_t *output = arena + layer->output + step->output;
    bitesize_range range;
    uint32_t y;
    uint32_t x;
    uint32_t c;
    range.zero = layer->zero;
    range.lowest = layer->lowest;
    range.highest = layer->highest;
    for (y = step->first; y < end; y++) {
        for (x = 0; x < window->out_w; x++) {
            const bitesize_patch patch = bitesize_patch_at(window, input, step->inputs[0], y, x, pixel_bytes);
            const uint32_t count = (patch.rows.end - patch.rows.first) * (patch.columns.end - patch.columns.first);
            const bitesize_average_factor *factor = layer->factors;
            const bitesize_average_factor *const last = factor + layer->factor_count - 1;
            bitesize_writer writer = bitesize_writer_at(output, 0, output_bits);
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
                        sum += bitesize_code(at, (c * input_bits) & 7u, input_bits);
                        at += patch.column_step;
                    }
                    row += patch.row_step;
                }
                bitesize_write(&writer, bitesize_requantize(sum, factor->multiplier, factor->shift, range),
                    output_bits);
            }
            bitesize_write_end(&writer, output_bits);
            output += bitesize_row_bytes(channels, output_bits);
        }
    }
}
