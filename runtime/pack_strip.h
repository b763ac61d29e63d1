BITESIZE_INLINE void bitesize_pack_strip(const bitesize_strip_codes *strip, uint32_t bits)
{
    const uint32_t *codes = strip->codes;
    uint8_t *output = strip->output;
    uint32_t left;
    for (left = strip->pixels; left != 0u; left--) {
        const uint32_t word = bitesize_pack_word(*codes++, strip->channels, strip->bounds, bits);
        bitesize_store_packed(output, word, strip->channels, bits);
        output += strip->pixel_bytes;
    }
}
