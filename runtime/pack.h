/* Codes that lie in bytes are clamped and packed. */

/* The packed form of the first `count` (1 to 4) codes of a word, clamped; what lies above is 0. */
BITESIZE_INLINE uint32_t bitesize_pack_word(uint32_t codes, uint32_t count, bitesize_bounds bounds, uint32_t bits)
{
    uint32_t word = bitesize_clamp_bytes(codes, bounds.lowest, bounds.highest);
    if (count < 4u) {
        word &= (1u << (8u * count)) - 1u;
    }
    if (bits == 4u) {
        word |= word >> 4;
        return (word & 0xFFu) | ((word >> 8) & 0xFF00u);
    }
    if (bits == 2u) {
        word |= word >> 6;
        return (word & 0xFu) | ((word >> 12) & 0xF0u);
    }
    return word;
}

/* Stores what `count` (1 to 4) codes take. */
BITESIZE_INLINE void bitesize_store_packed(uint8_t *output, uint32_t word, uint32_t count, uint32_t bits)
{
    if (bits == 8u && count == 4u) {
        bitesize_store(output, word);
        return;
    }
    output[0] = (uint8_t)word;
    if (bits == 4u && count > 2u) {
        output[1] = (uint8_t)(word >> 8);
    }
    if (bits == 8u && count > 1u) {
        output[1] = (uint8_t)(word >> 8);
        if (count > 2u) {
            output[2] = (uint8_t)(word >> 16);
        }
    }
}

/* Packs `count` codes; `codes` can be read up to a multiple of four. */
BITESIZE_INLINE void bitesize_pack(const uint8_t *codes, uint32_t count, uint8_t *output,
    const bitesize_bounds *bounds, uint32_t bits)
{
    for (; count > 4u; count -= 4u) {
        bitesize_store_packed(output, bitesize_pack_word(bitesize_load(codes), 4, *bounds, bits), 4, bits);
        codes += 4;
        output += bits / 2u;
    }
    bitesize_store_packed(output, bitesize_pack_word(bitesize_load(codes), count, *bounds, bits), count, bits);
}
