/* Takes the next row of band `number`. Returns how many have been taken. */
BITESIZE_ROLLING uint32_t bitesize_push(const bitesize_chain *chain, uint8_t *arena, uint32_t number, const uint8_t *row)
{
    const bitesize_band *const band = chain->bands + number;
    const uint32_t y = BITESIZE_STATE(chain, arena)[number].end;
    uint8_t *to = arena + band->offset + bitesize_make_room(chain, arena, number, y, y + 1u);
    uint32_t left;
    for (left = band->row_bytes; left != 0u; left--) {
        *to++ = *row++;
    }
    return y + 1u;
}
