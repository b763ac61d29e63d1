BITESIZE_INLINE void bitesize_add(const bitesize_add_layer *layer, uint8_t *arena, const bitesize_step *step,
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
        bitesize_reader reader_a = bitesize_reader_at(a, 0, bits_a);
        bitesize_reader reader_b = bitesize_reader_at(b, 0, bits_b);
        bitesize_writer writer = bitesize_writer_at(output, 0, output_bits);
        uint32_t c;
        for (c = channels; c != 0u; c--) {
            const int32_t code_a = bitesize_read(&reader_a, bits_a);
            const int32_t code_b = bitesize_read(&reader_b, bits_b);
            const int32_t sum = code_a * factor_a + code_b * factor_b + offset;
            bitesize_write(&writer, bitesize_clamp_code(zero + (sum >> shift), lowest, highest), output_bits);
        }
        bitesize_write_end(&writer, output_bits);
        a += bitesize_row_bytes(channels, bits_a);
        b += bitesize_row_bytes(channels, bits_b);
        output += bitesize_row_bytes(channels, output_bits);
    }
}
