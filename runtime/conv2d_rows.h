/* Appends the padding's codes at `taps` taps, for the channels of one group. */
BITESIZE_OUTLINE void bitesize_append_padding(const bitesize_conv2d_rows_layer *layer, bitesize_code_run *run, uint32_t taps)
{
    const uint8_t *const padding = layer->padding;
    uint32_t c;
    for (; taps != 0u; taps--) {
        for (c = run->first; c != run->first + layer->in_per_group; c++) {
            bitesize_append(run, padding != 0 ? padding[c] : layer->padding_code);
        }
    }
}

/* Appends the codes under one window of one group; `run` says where they go and where the group's channels start. */
BITESIZE_WRAPS BITESIZE_OUTLINE void bitesize_gather_window(const bitesize_conv2d_rows_layer *layer, const uint8_t *input, uint32_t y,
    uint32_t x, bitesize_code_run *run)
{
    const bitesize_window *const window = &layer->window;
    const uint32_t in_w = window->in_w;
    const uint32_t pixel_bytes = layer->pixel_bytes;
    const uint32_t left = x * window->stride_w - window->pad_left;
    const int joined = layer->joined != 0u && left < in_w && left + window->kernel_w <= in_w;
    uint32_t down = y * window->stride_h - window->pad_top;
    uint32_t rows = window->kernel_h;
    run->row_bytes = window->dilation_h * in_w * pixel_bytes;
    while (rows != 0u) {
        if (down >= window->in_h) {
            bitesize_append_padding(layer, run, window->kernel_w);
        } else if (joined) {
            /* All rows of the window inside the image at once. */
            uint32_t inside = 1;
            while (inside < rows && down + inside * window->dilation_h < window->in_h) {
                inside++;
            }
            run->row = input + (down * in_w + left) * pixel_bytes;
            run->rows = inside;
            run->count = window->kernel_w * layer->in_per_group;
            layer->gather(run);
            rows -= inside - 1u;
            down += (inside - 1u) * window->dilation_h;
        } else {
            uint32_t column = left;
            uint32_t columns;
            run->rows = 1;
            run->count = layer->in_per_group;
            for (columns = window->kernel_w; columns != 0u; columns--) {
                if (column < in_w) {
                    run->row = input + (down * in_w + column) * pixel_bytes;
                    layer->gather(run);
                } else {
                    bitesize_append_padding(layer, run, 1);
                }
                column += window->dilation_w;
            }
        }
        rows--;
        down += window->dilation_h;
    }
}

/* Writes the output codes of one group of `pixels` (1 or 2) neighbouring pixels. */
BITESIZE_INLINE void bitesize_multiply_group(const bitesize_conv2d_rows_layer *layer, bitesize_block *block,
    uint8_t *output, uint32_t channel, uint32_t pixels)
{
    const uint32_t pixel_bytes = layer->out_pixel_bytes;
    uint32_t codes[2u * BITESIZE_TILE / 4u];
    uint32_t left;
    block->channels = layer->weights.channels + channel;
    block->shifts = layer->weights.shifts + channel;
    output += channel * layer->out_bits / 8u;
    if (layer->pack == 0) {
        block->first = output;
        block->second = pixels == 1u ? 0u : pixel_bytes;
        block->count = layer->out_per_group;
        layer->multiply(block);
        return;
    }
    block->first = (uint8_t *)codes;
    block->second = BITESIZE_TILE;
    for (left = layer->out_per_group; left != 0u; left -= block->count) {
        uint32_t p;
        block->count = left < BITESIZE_TILE ? left : BITESIZE_TILE;
        layer->multiply(block);
        for (p = 0; p < pixels; p++) {
            layer->pack(block->first + p * BITESIZE_TILE, block->count, output + p * pixel_bytes, &layer->weights.bounds);
        }
        block->channels += BITESIZE_TILE;
        block->shifts += BITESIZE_TILE;
        block->values += BITESIZE_TILE * block->words;
        output += BITESIZE_TILE * layer->out_bits / 8u;
    }
}

/* Computes row `y` of the output. */
BITESIZE_INLINE void bitesize_conv2d_row(const bitesize_conv2d_rows_layer *layer, const uint8_t *input, uint32_t y,
    uint8_t *output, uint32_t *lanes)
{
    const uint32_t out_w = layer->window.out_w;
    const uint32_t group_words = (layer->out_per_group + 1u) / 2u * 2u * layer->weights.words;
    const uint32_t *const values = (const uint32_t *)layer->weights.values;
    bitesize_block block;
    uint32_t x;
    block.lanes = lanes;
    block.words = layer->weights.words;
    block.factor = 1u << layer->weights.acc_shift;
    block.zero = 2 * layer->weights.zero + 1;
    for (x = 0; x < out_w; x += 2u) {
        const uint32_t pixels = x + 1u == out_w ? 1u : 2u;
        uint32_t group;
        for (group = 0; group < layer->groups; group++) {
            uint32_t p;
            for (p = 0; p < pixels; p++) {
                bitesize_code_run run;
                run.word = lanes + p;
                run.step = 2;
                run.odd = 0;
                run.first = group * layer->in_per_group;
                bitesize_gather_window(layer, input, y, x + p, &run);
            }
            block.values = values + group * group_words;
            bitesize_multiply_group(layer, &block, output, group * layer->out_per_group, pixels);
        }
        output += 2u * layer->out_pixel_bytes;
    }
}

BITESIZE_INLINE void bitesize_conv2d_by_rows(const bitesize_conv2d_rows_layer *layer, uint8_t *arena)
{
    const bitesize_window *const window = &layer->window;
    uint32_t *const lanes = (uint32_t *)(void *)(arena + layer->scratch);
    const uint8_t *const input = arena + layer->input;
    uint8_t *output = arena + layer->output;
    uint32_t y;
    /* What lies behind the last code of a window stays 0. */
    bitesize_clear(lanes, lanes + layer->lane_words);
    for (y = 0; y < window->out_h; y++) {
        bitesize_conv2d_row(layer, input, y, output, lanes);
        output += window->out_w * layer->out_pixel_bytes;
    }
}
