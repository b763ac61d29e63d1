BITESIZE_INLINE void bitesize_fully_connected(const bitesize_fully_connected_layer *layer, uint8_t *arena,
    uint32_t input_bits, uint32_t weight_bits, uint32_t output_bits)
{
    const bitesize_weights *const weights = &layer->weights;
    const uint8_t *const input = arena + layer->input;
    bitesize_writer writer = bitesize_writer_at(arena + layer->output, 0, output_bits);
    bitesize_vector vector;
    bitesize_span channels;
    vector.codes = input;
    vector.length = layer->in_channels;
    if (input_bits != 8u) {
        bitesize_reader reader = bitesize_reader_at(input, 0, input_bits);
        uint8_t *codes = arena + layer->scratch;
        uint32_t left;
        vector.codes = codes;
        for (left = vector.length; left != 0u; left--) {
            *codes++ = (uint8_t)bitesize_read(&reader, input_bits);
        }
    }
    vector.sum = bitesize_vector_sum(vector.codes, vector.length, weight_bits);
    channels.first = 0;
    channels.end = layer->out_channels;
    bitesize_rows(weights, &vector, channels, &writer, weight_bits, output_bits);
    bitesize_write_end(&writer, output_bits);
}
