BITESIZE_INLINE void bitesize_clamp(const bitesize_clamp_layer *layer, uint8_t *arena, const bitesize_step *step,
    uint32_t bits)
{
    const int32_t lowest = layer->lowest;
    const int32_t highest = layer->highest;
    const uint32_t channels = layer->channels;
    const uint8_t *input = arena + layer->input + step->inputs[0];
    uint8_t *output = arena + layer->output + step->output;
    uint32_t pixels;
    for (pixels = layer->pixels; pixels != 0u; pixels--) {
        bitesize_reader reader = bitesize_reader_at(input, 0, bits);
        bitesize_writer writer = bitesize_writer_at(output, 0, bits);
        uint32_t c;
        for (c = channels; c != 0u; c--) {
            bitesize_write(&writer, bitesize_clamp_code(bitesize_read(&reader, bits), lowest, highest), bits);
        }
        bitesize_write_end(&writer, bits);
        input += bitesize_row_bytes(channels, bits);
        output += bitesize_row_bytes(channels, bits);
    }
}
