BITESIZE_INLINE void bitesize_flatten(const bitesize_flatten_layer *layer, uint8_t *arena, uint32_t bits)
{
    const uint8_t *const input = arena + layer->input;
    bitesize_writer writer = bitesize_writer_at(arena + layer->output, 0, bits);
    uint32_t slow;
    uint32_t middle;
    uint32_t fast;
    for (slow = 0; slow < layer->slow.count; slow++) {
        for (middle = 0; middle < layer->middle.count; middle++) {
            uint32_t at = slow * layer->slow.step + middle * layer->middle.step;
            for (fast = layer->fast.count; fast != 0u; fast--) {
                bitesize_write(&writer, bitesize_code(input + (at >> 3), at & 7u, bits), bits);
                at += layer->fast.step;
            }
        }
    }
    bitesize_write_end(&writer, bits);
}
