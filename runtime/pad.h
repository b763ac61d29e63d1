BITESIZE_INLINE void bitesize_pad(const bitesize_pad_layer *layer, uint8_t *arena, const bitesize_step *step,
    uint32_t bits)
{
    const uint32_t channels = layer->channels;
    const uint32_t out_w = (uint32_t)layer->left + layer->in_w + layer->right;
    const int32_t zero = layer->zero;
    const uint8_t *input = arena + layer->input;
    uint8_t *output = arena + layer->output + step->output;
    const uint32_t end = step->first + layer->out_h;
    uint32_t y;
    uint32_t x;
    if (bitesize_inside(-(int32_t)layer->top, step->first, layer->in_h)) {
        input += (step->first - layer->top - step->inputs[0]) * layer->in_w * bitesize_row_bytes(channels, bits);
    }
    for (y = step->first; y < end; y++) {
        for (x = 0; x < out_w; x++) {
            bitesize_reader reader = bitesize_reader_at(input, 0, bits);
            bitesize_writer writer = bitesize_writer_at(output, 0, bits);
            const int inside = bitesize_inside(-(int32_t)layer->top, y, layer->in_h)
                && bitesize_inside(-(int32_t)layer->left, x, layer->in_w);
            uint32_t c;
            for (c = channels; c != 0u; c--) {
                bitesize_write(&writer, inside ? bitesize_read(&reader, bits) : zero, bits);
            }
            bitesize_write_end(&writer, bits);
            output += bitesize_row_bytes(channels, bits);
            if (inside) {
                input += bitesize_row_bytes(channels, bits);
            }
        }
    }
}
