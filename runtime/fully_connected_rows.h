BITESIZE_INLINE void bitesize_fully_connected_by_rows(const bitesize_fully_connected_rows_layer *layer, uint8_t *arena)
{
    uint32_t *const lanes = (uint32_t *)(void *)(arena + layer->scratch);
    uint32_t codes[BITESIZE_TILE / 4u];
    bitesize_code_run run;
    bitesize_block block;
    bitesize_tile tile;
    uint32_t left;
    bitesize_clear(lanes, lanes + (layer->in_channels + BITESIZE_LANES - 1u) / BITESIZE_LANES * (BITESIZE_LANES / 2u));
    run.word = lanes;
    run.step = 1;
    run.odd = 0;
    run.row = arena + layer->input;
    run.rows = 1;
    run.row_bytes = 0;
    run.pieces = 1;
    run.piece_bytes = 0;
    run.apart = 0;
    run.first = 0;
    run.count = layer->in_channels;
    layer->gather(&run);
    block.lanes = lanes;
    block.weight_bytes = 8u * layer->words;
    block.factor = 1u << layer->weights.acc_shift;
    block.zero = 2 * layer->weights.zero + 1;
    block.values = (const uint32_t *)layer->weights.values;
    block.channels = layer->weights.channels;
    block.shifts = layer->weights.shifts;
    block.second = 0;
    tile.codes = (const uint8_t *)codes;
    tile.output = arena + layer->output;
    tile.apart = 0;
    tile.pixel_bytes = 0;
    tile.clamp = bitesize_clamp_to(layer->weights.bounds);
    for (left = layer->out_channels; left != 0u; left -= tile.count) {
        tile.count = left < BITESIZE_TILE ? left : BITESIZE_TILE;
        block.count = (int32_t)tile.count;
        block.first = (uint8_t *)codes;
        layer->multiply(&block);
        layer->pack(&tile);
        tile.output += BITESIZE_TILE * layer->out_bits / 8u;
    }
}
