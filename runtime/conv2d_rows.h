/* Appends the padding's codes at `taps` taps, for the channels of one group, which `run` says. */
BITESIZE_OUTLINE void bitesize_append_padding(const bitesize_conv2d_rows_layer *layer, bitesize_code_run *run,
    uint32_t taps)
{
    const uint8_t *const padding = layer->padding;
    uint32_t c;
    for (; taps != 0u; taps--) {
        for (c = run->first; c != run->first + layer->in_per_group; c++) {
            bitesize_append(run, padding != 0 ? padding[c] : layer->padding_code);
        }
    }
}

/* The rows of the windows of an output row: above the image, inside (of which `first` is the first), and below. */
typedef struct {
    const uint8_t *first;
    uint32_t above;
    uint32_t inside;
    uint32_t below;
} bitesize_window_rows;

BITESIZE_WRAPS BITESIZE_INLINE bitesize_window_rows bitesize_rows_of(const bitesize_conv2d_rows_layer *layer,
    const uint8_t *input, uint32_t base, uint32_t y)
{
    const bitesize_window *const window = &layer->window;
    uint32_t down = y * window->stride_h - window->pad_top;
    bitesize_window_rows rows;
    uint32_t left = window->kernel_h;
    rows.above = 0;
    rows.inside = 0;
    while (left != 0u && down >= window->in_h) {
        down += window->dilation_h;
        rows.above++;
        left--;
    }
    rows.first = input + (left != 0u ? down - base : 0u) * window->in_w * layer->pixel_bytes;
    while (left != 0u && down < window->in_h) {
        down += window->dilation_h;
        rows.inside++;
        left--;
    }
    rows.below = left;
    return rows;
}

/* Appends what is under the columns of a window of which some lie beside the image; the first one is `left`. */
BITESIZE_WRAPS BITESIZE_INLINE void bitesize_gather_edge(const bitesize_conv2d_rows_layer *layer,
    const bitesize_window_rows *rows, uint32_t left, bitesize_code_run *run)
{
    const bitesize_window *const window = &layer->window;
    const uint32_t pieces = run->pieces;
    const uint32_t count = run->count;
    const uint32_t image_rows = run->rows;
    uint32_t before = 0;
    uint32_t inside = 0;
    uint32_t row = rows->inside;
    uint32_t right;
    while (before < window->kernel_w && left >= window->in_w) {
        left += window->dilation_w;
        before++;
    }
    right = left;
    while (before + inside < window->kernel_w && right < window->in_w) {
        right += window->dilation_w;
        inside++;
    }
    if (inside != 0u) {
        run->row = rows->first + left * layer->pixel_bytes;
    }
    run->rows = 1;
    run->pieces = layer->joined != 0u ? 1u : inside;
    run->count = layer->joined != 0u ? inside * layer->in_per_group : count;
    for (; row != 0u; row--) {
        bitesize_append_padding(layer, run, before);
        if (inside != 0u) {
            layer->gather(run);
            run->row += row != 1u ? run->row_bytes : 0u;
        }
        bitesize_append_padding(layer, run, window->kernel_w - before - inside);
    }
    run->rows = image_rows;
    run->pieces = pieces;
    run->count = count;
}

/*
 * Appends the codes under the window whose first column is `left`; `run` says where they go and where the group
 * starts. The columns of a window that starts before `end` lie inside the image.
 */
BITESIZE_WRAPS BITESIZE_INLINE void bitesize_gather_window(const bitesize_conv2d_rows_layer *layer,
    const bitesize_window_rows *rows, uint32_t left, uint32_t end, bitesize_code_run *run)
{
    const uint32_t kernel_w = layer->window.kernel_w;
    if (rows->above != 0u) {
        bitesize_append_padding(layer, run, rows->above * kernel_w);
    }
    if (rows->inside != 0u) {
        if (left < end) {
            run->row = rows->first + left * layer->pixel_bytes;
            layer->gather(run);
        } else {
            bitesize_gather_edge(layer, rows, left, run);
        }
    }
    if (rows->below != 0u) {
        bitesize_append_padding(layer, run, rows->below * kernel_w);
    }
}

/*
 * Writes the codes of one or two channels in both pixels. Those of the second pixel come first: where there is only one
 * pixel, both go to the same place.
 */
BITESIZE_WRAPS BITESIZE_OUTLINE void bitesize_finish_channels(bitesize_block *block)
{
    const uint32_t *sum = block->sums;
    const uint32_t *const end = sum + 4;
    for (; sum != end && block->count != 0; sum += 2) {
        const bitesize_channel channel = *block->channels++;
        const int32_t below = *block->shifts++ - 33;
        uint32_t p = 2;
        while (p-- != 0u) {
            int32_t acc = (int32_t)(sum[p] * block->factor + (uint32_t)channel.bias);
            if (below < 0) {
                acc = bitesize_raise(acc, below);
            }
            block->first[p * block->second] = (uint8_t)bitesize_halve_to_byte(
                (bitesize_high_word(acc, channel.multiplier) >> (below < 0 ? 0 : below)) + block->zero);
        }
        block->first++;
        block->count--;
    }
}

/* Writes the codes of all channels of a block. */
BITESIZE_INLINE void bitesize_multiply_block(const bitesize_conv2d_rows_layer *layer, bitesize_block *block)
{
    layer->multiply(block);
    while (block->count != 0) {
        bitesize_finish_channels(block);
        if (block->count != 0) {
            layer->multiply(block);
        }
    }
}

/* Writes the output codes of one group of the pixels of a tile, a tile of them at a time. */
BITESIZE_INLINE void bitesize_multiply_tiles(const bitesize_conv2d_rows_layer *layer, bitesize_block *block,
    bitesize_tile *tile, uint32_t *codes)
{
    uint32_t left;
    tile->codes = (const uint8_t *)codes;
    for (left = layer->out_per_group; left != 0u; left -= tile->count) {
        tile->count = left < BITESIZE_TILE ? left : BITESIZE_TILE;
        block->count = (int32_t)tile->count;
        block->first = (uint8_t *)codes;
        bitesize_multiply_block(layer, block);
        layer->pack(tile);
        tile->output += BITESIZE_TILE * layer->out_bits / 8u;
    }
}

/* Computes row `y` of the output; row `base` of the input lies at `input`. */
BITESIZE_WRAPS BITESIZE_INLINE void bitesize_conv2d_row(const bitesize_conv2d_rows_layer *layer, const uint8_t *input,
    uint32_t base, uint32_t y, uint8_t *output, uint32_t *lanes)
{
    const uint32_t out_w = layer->window.out_w;
    const uint32_t group_words = (layer->out_per_group + 1u) / 2u * 2u * layer->words;
    const uint32_t *const values = (const uint32_t *)layer->weights.values;
    const bitesize_window_rows rows = bitesize_rows_of(layer, input, base, y);
    const uint32_t stride = layer->window.stride_w;
    const uint32_t in_w = layer->window.in_w;
    const uint32_t span = (layer->window.kernel_w - 1u) * layer->window.dilation_w + 1u;
    /* Windows that start before these have all their columns inside the image; two neighbours, and no rows outside. */
    const uint32_t end = in_w < span ? 0u : in_w - span + 1u;
    const uint32_t end_of_pairs = (rows.above | rows.below) != 0u || end < stride ? 0u : end - stride;
    uint32_t codes[2u * BITESIZE_TILE / 4u];
    bitesize_block block;
    bitesize_tile tile;
    bitesize_code_run run;
    uint32_t left = 0u - layer->window.pad_left;
    uint32_t x;
    block.lanes = lanes;
    block.start_first = 0;
    block.start_second = 0;
    block.weight_bytes = 8u * layer->words;
    block.factor = 1u << layer->weights.acc_shift;
    block.zero = 2 * layer->weights.zero + 1;
    tile.clamp = bitesize_clamp_to(layer->weights.bounds);
    run.step = 2;
    run.row_bytes = layer->window.dilation_h * in_w * layer->pixel_bytes;
    if (layer->joined != 0u) {
        run.rows = 1;
        run.pieces = rows.inside;
        run.piece_bytes = run.row_bytes;
        run.count = layer->window.kernel_w * layer->in_per_group;
    } else {
        run.rows = rows.inside;
        run.pieces = layer->window.kernel_w;
        run.piece_bytes = layer->window.dilation_w * layer->pixel_bytes;
        run.count = layer->in_per_group;
    }
    for (x = 0; x < out_w; x += 2u) {
        const uint32_t pixels = x + 1u == out_w ? 1u : 2u;
        const uint32_t together = pixels == 2u && left < end_of_pairs ? 1u : 0u;
        uint32_t group;
        for (group = 0; group < layer->groups; group++) {
            uint32_t p;
            run.first = group * layer->in_per_group;
            run.apart = together != 0u ? stride * layer->pixel_bytes : 0u;
            for (p = 0; p < pixels; p += 1u + together) {
                run.word = lanes + p;
                run.odd = 0;
                bitesize_gather_window(layer, &rows, left + p * stride, end, &run);
            }
            block.started = 0;
            block.values = values + group * group_words;
            block.channels = layer->weights.channels + group * layer->out_per_group;
            block.shifts = layer->weights.shifts + group * layer->out_per_group;
            tile.output = output + group * layer->out_per_group * layer->out_bits / 8u;
            tile.pixel_bytes = pixels == 1u ? 0u : layer->out_pixel_bytes;
            if (layer->pack == 0) {
                block.first = tile.output;
                block.second = tile.pixel_bytes;
                block.count = layer->out_per_group;
                bitesize_multiply_block(layer, &block);
            } else {
                block.second = pixels == 1u ? 0u : BITESIZE_TILE;
                tile.apart = block.second;
                bitesize_multiply_tiles(layer, &block, &tile, codes);
            }
        }
        left += 2u * layer->window.stride_w;
        output += 2u * layer->out_pixel_bytes;
    }
}

BITESIZE_INLINE void bitesize_conv2d_by_rows(const bitesize_conv2d_rows_layer *layer, uint8_t *arena,
    const bitesize_step *step)
{
    const bitesize_window *const window = &layer->window;
    uint32_t *const lanes = (uint32_t *)(void *)(arena + layer->scratch);
    const uint8_t *const input = arena + layer->input;
    const uint32_t out_row_bytes = window->out_w * layer->out_pixel_bytes;
    uint8_t *output = arena + layer->output + step->output;
    const uint32_t end = step->first + window->out_h;
    const uint32_t codes = (uint32_t)window->kernel_h * window->kernel_w * layer->in_per_group;
    uint32_t y;
    /* What lies behind the last code of a window stays 0. */
    bitesize_clear(lanes, lanes + (codes + BITESIZE_LANES - 1u) / BITESIZE_LANES * BITESIZE_LANES);
    for (y = step->first; y < end; y++) {
        bitesize_conv2d_row(layer, input, step->inputs[0], y, output, lanes);
        output += out_row_bytes;
    }
}
