BITESIZE_INLINE void bitesize_max_pool(const bitesize_max_pool_layer *layer, uint8_t *arena,
    const bitesize_step *step, uint32_t bits)
{
    const bitesize_window *const window = &layer->window;
    const uint32_t channels = layer->channels;
    const uint32_t pixel_bytes = bitesize_row_bytes(channels, bits);
    const uint8_t *const input = arena + layer->input;
    const uint32_t end = step->first + window->out_h;
    uint8_t *output = arena + layer->output + step->output;
    uint32_t y;
    uint32_t x;
    uint32_t c;
    for (y = step->first; y < end; y++) {
        for (x = 0; x < window->out_w; x++) {
            const bitesize_patch patch = bitesize_patch_at(window, input, step->inputs[0], y, x, pixel_bytes);
            bitesize_writer writer = bitesize_writer_at(output, 0, bits);
            for (c = 0; c < channels; c++) {
                const uint8_t *row = patch.input + ((c * bits) >> 3);
                uint32_t rows;
                uint32_t columns;
                int32_t largest = 0;
                for (rows = patch.rows.end - patch.rows.first; rows != 0u; rows--) {
                    const uint8_t *at = row;
                    for (columns = patch.columns.end - patch.columns.first; columns != 0u; columns--) {
                        const int32_t code = bitesize_code(at, (c * bits) & 7u, bits);
                        largest = code > largest ? code : largest;
                        at += patch.column_step;
                    }
                    row += patch.row_step;
                }
                bitesize_write(&writer, largest, bits);
            }
            bitesize_write_end(&writer, bits);
            output += pixel_bytes;
        }
    }
}
