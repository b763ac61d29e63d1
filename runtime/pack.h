/* Codes that lie in bytes are clamped and packed. */

/*
 * The packed form of four codes, clamped. Adding what the highest is below 255, as far as bytes go, and taking away
 * that and the lowest, as far as 0, limits both ends.
 */
BITESIZE_WRAPS BITESIZE_INLINE uint32_t bitesize_pack_word(uint32_t codes, bitesize_limits clamp, uint32_t bits)
{
    uint32_t word = bitesize_above(bitesize_add_bytes(codes, clamp.room), clamp.both) + clamp.lowest;
    if (bits == 4u) {
        word = bitesize_even(word | (word >> 4));
        return word | (word >> 8);
    }
    if (bits == 2u) {
        word = (word | (word >> 6)) & 0x000F000Fu;
        return word | (word >> 12);
    }
    return word;
}

/* Stores what four codes take. */
BITESIZE_INLINE void bitesize_store_packed(uint8_t *output, uint32_t word, uint32_t bits)
{
    if (bits == 8u) {
        bitesize_store(output, word);
    } else if (bits == 4u) {
        bitesize_store_half(output, word);
    } else {
        *output = (uint8_t)word;
    }
}

/* Stores what `count` (1 to 3) codes take, with zeros above them. */
BITESIZE_INLINE void bitesize_store_some(uint8_t *output, uint32_t codes, uint32_t count, bitesize_limits clamp,
    uint32_t bits)
{
    uint32_t word = bitesize_pack_word(codes, clamp, bits) & ((1u << (bits * count)) - 1u);
    uint32_t bytes = (bits * count + 7u) >> 3;
    do {
        *output++ = (uint8_t)word;
        word >>= 8;
    } while (--bytes != 0u);
}

/*
 * Packs the codes of a tile; they can be read up to a multiple of four. Those of the second pixel first: where there
 * is only one, both are the same codes and go to the same place.
 */
BITESIZE_INLINE void bitesize_pack(const bitesize_tile *tile, uint32_t bits)
{
    const bitesize_limits clamp = tile->clamp;
    const uint32_t apart = tile->apart;
    const uint32_t pixel_bytes = tile->pixel_bytes;
    const uint8_t *from = tile->codes;
    uint8_t *to = tile->output;
    uint32_t left;
    for (left = tile->count >> 2; left != 0u; left--) {
        const uint32_t second = bitesize_load(from + apart);
        const uint32_t first = bitesize_load(from);
        bitesize_store_packed(to + pixel_bytes, bitesize_pack_word(second, clamp, bits), bits);
        bitesize_store_packed(to, bitesize_pack_word(first, clamp, bits), bits);
        from += 4;
        to += bits / 2u;
    }
    left = tile->count & 3u;
    if (left != 0u) {
        bitesize_store_some(to + pixel_bytes, bitesize_load(from + apart), left, clamp, bits);
        bitesize_store_some(to, bitesize_load(from), left, clamp, bits);
    }
}
