/* Packs the codes of a strip's pixels, a word each. */
BITESIZE_INLINE void bitesize_pack_strip(const bitesize_strip_codes *strip, uint32_t bits)
{
    const bitesize_limits clamp = strip->clamp;
    const uint32_t pixel_bytes = strip->pixel_bytes;
    const uint32_t *codes = strip->codes;
    const uint32_t *const end = codes + strip->pixels;
    uint8_t *output = strip->output;
    if (bits == 8u && strip->channels == 4u && clamp.both == 0u) {
        /* Whole words, and nothing to clamp. */
        do {
            bitesize_store(output, *codes++);
            output += pixel_bytes;
        } while (codes != end);
        return;
    }
    if (strip->channels == 4u) {
        do {
            bitesize_store_packed(output, bitesize_pack_word(*codes++, clamp, bits), bits);
            output += pixel_bytes;
        } while (codes != end);
        return;
    }
    do {
        bitesize_store_some(output, *codes++, strip->channels, clamp, bits);
        output += pixel_bytes;
    } while (codes != end);
}
