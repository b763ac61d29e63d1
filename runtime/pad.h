BITESIZE_INLINE void bitesize_pad(const bitesize_pad_layer *layer, uint8_t *arena, const bitesize_step *step,
    uint32_t bits)
{
    const uint32_t channels = layer->channels;
    const uint32_t pixel_bytes = bitesize_row_bytes(channels, bits);
    const uint32_t out_w = (uint32_t)layer->left + layer->in_w + layer->right;
    const int32_t zero = layer->zero;
    const uint32_t end = bitesize_step_end(step, (uint32_t)layer->top + layer->in_h + layer->bottom);
    uint8_t *output = arena + layer->output + (step->first - step->output) * out_w * pixel_bytes;
    uint32_t y;
    uint32_t x;
    for (y = step->first; y < end; y++) {
        const uint8_t *input = arena + layer->input;
        const int in_row = bitesize_inside(-(int32_t)layer->top, y, layer->in_h);
        if (in_row) {
            input += (y - layer->top - step->inputs[0]) * layer->in_w * pixel_bytes;
        }
        for (x = 0; x < out_w; x++) {
            bitesize_reader reader = bitesize_reader_at(input, 0, bits);
            bitesize_writer writer = bitesize_writer_at(output, 0, bits);
            const int inside = in_row && bitesize_inside(-(int32_t)layer->left, x, layer->in_w);
            uint32_t c;
            for (c = channels; c != 0u; c--) {
                bitesize_write(&writer, inside ? bitesize_read(&reader, bits) : zero, bits);
            }
            bitesize_write_end(&writer, bits);
            output += pixel_bytes;
            if (inside) {
                input += pixel_bytes;
            }
        }
    }
}
