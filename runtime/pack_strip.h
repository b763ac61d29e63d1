/* Packs the codes of a strip's pixels, a word each. */
BITESIZE_INLINE void bitesize_pack_strip(const bitesize_strip_codes *strip, uint32_t bits)
{
    const uint32_t *codes = strip->codes;
    const uint32_t *const end = codes + strip->pixels;
    const uint32_t pixel_bytes = strip->pixel_bytes;
    uint8_t *output = strip->output;
    if (bits == 8u && strip->channels == 4u && (strip->bounds.lowest | ~strip->bounds.highest) == 0u) {
        /* Whole words, and nothing to clamp. */
        do {
            bitesize_store(output, *codes++);
            output += pixel_bytes;
        } while (codes != end);
        return;
    }
    do {
        const uint32_t word = bitesize_pack_word(*codes++, strip->channels, strip->bounds, bits);
        bitesize_store_packed(output, word, strip->channels, bits);
        output += pixel_bytes;
    } while (codes != end);
}
