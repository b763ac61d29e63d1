/* Copies one input into its slice of the output's channels. The slices are written in ascending order. */
BITESIZE_INLINE void bitesize_concat(const bitesize_concat_layer *layer, uint8_t *arena, const bitesize_step *step,
    uint32_t input_bits, uint32_t output_bits)
{
    const int32_t multiplier = layer->multiplier;
    const int32_t shift = layer->shift;
    const int32_t zero_in = layer->zero_in;
    const uint32_t channels = layer->channels;
    const uint32_t first = layer->first;
    const uint32_t out_row_bytes = bitesize_row_bytes(layer->out_channels, output_bits);
    const uint8_t *input = arena + layer->input + step->inputs[0];
    uint8_t *output = arena + layer->output + step->output;
    bitesize_range range;
    uint32_t pixels;
    range.zero = layer->zero;
    range.lowest = 0;
    range.highest = (1 << output_bits) - 1;
    for (pixels = layer->pixels; pixels != 0u; pixels--) {
        bitesize_reader reader = bitesize_reader_at(input, 0, input_bits);
        bitesize_writer writer = bitesize_writer_at(output, first, output_bits);
        uint32_t c;
        for (c = channels; c != 0u; c--) {
            const int32_t acc = bitesize_read(&reader, input_bits) - zero_in;
            bitesize_write(&writer, bitesize_requantize(acc, multiplier, shift, range), output_bits);
        }
        bitesize_write_end(&writer, output_bits);
        input += bitesize_row_bytes(channels, input_bits);
        output += out_row_bytes;
    }
}
