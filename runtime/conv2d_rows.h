/* Appends the padding's codes at `taps` taps, for the channels of one group, which `run` says. */
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

/* Appends, tap by tap, the codes under the rows of a window that lie inside the image; `left` is its first column. */
BITESIZE_WRAPS BITESIZE_OUTLINE void bitesize_gather_taps(const bitesize_conv2d_rows_layer *layer, const uint8_t *row,
    uint32_t left, uint32_t rows, bitesize_code_run *run)
{
    const bitesize_window *const window = &layer->window;
    run->rows = 1;
    run->count = layer->in_per_group;
    for (; rows != 0u; rows--) {
        uint32_t column = left;
        uint32_t columns;
        for (columns = window->kernel_w; columns != 0u; columns--) {
            if (column < window->in_w) {
                run->row = row + column * layer->pixel_bytes;
                layer->gather(run);
            } else {
                bitesize_append_padding(layer, run, 1);
            }
            column += window->dilation_w;
        }
        row += run->row_bytes;
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
    const uint8_t *input, uint32_t y)
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
    rows.first = input + (left != 0u ? down : 0u) * window->in_w * layer->pixel_bytes;
    while (left != 0u && down < window->in_h) {
        down += window->dilation_h;
        rows.inside++;
        left--;
    }
    rows.below = left;
    return rows;
}

/* Appends the codes under the window whose first column is `left`; `run` says where they go and where the group starts. */
BITESIZE_WRAPS BITESIZE_INLINE void bitesize_gather_window(const bitesize_conv2d_rows_layer *layer,
    const bitesize_window_rows *rows, uint32_t left, bitesize_code_run *run)
{
    const uint32_t kernel_w = layer->window.kernel_w;
    const uint32_t in_w = layer->window.in_w;
    if (rows->above != 0u) {
        bitesize_append_padding(layer, run, rows->above * kernel_w);
    }
    if (layer->joined != 0u && left < in_w && left + kernel_w <= in_w) {
        if (rows->inside != 0u) {
            run->row = rows->first + left * layer->pixel_bytes;
            run->rows = rows->inside;
            run->count = kernel_w * layer->in_per_group;
            layer->gather(run);
        }
    } else {
        bitesize_gather_taps(layer, rows->first, left, rows->inside, run);
    }
    if (rows->below != 0u) {
        bitesize_append_padding(layer, run, rows->below * kernel_w);
    }
}

/* Writes the output codes of one group of `pixels` (1 or 2) neighbouring pixels. */
BITESIZE_OUTLINE void bitesize_multiply_group(const bitesize_conv2d_rows_layer *layer, bitesize_block *block,
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
BITESIZE_WRAPS BITESIZE_INLINE void bitesize_conv2d_row(const bitesize_conv2d_rows_layer *layer, const uint8_t *input,
    uint32_t y, uint8_t *output, uint32_t *lanes)
{
    const uint32_t out_w = layer->window.out_w;
    const uint32_t group_words = (layer->out_per_group + 1u) / 2u * 2u * layer->weights.words;
    const uint32_t *const values = (const uint32_t *)layer->weights.values;
    const bitesize_window_rows rows = bitesize_rows_of(layer, input, y);
    bitesize_block block;
    bitesize_code_run run;
    uint32_t left = 0u - layer->window.pad_left;
    uint32_t x;
    block.lanes = lanes;
    block.words = layer->weights.words;
    block.factor = 1u << layer->weights.acc_shift;
    block.zero = 2 * layer->weights.zero + 1;
    run.step = 2;
    run.row_bytes = layer->window.dilation_h * layer->window.in_w * layer->pixel_bytes;
    for (x = 0; x < out_w; x += 2u) {
        const uint32_t pixels = x + 1u == out_w ? 1u : 2u;
        uint32_t group;
        for (group = 0; group < layer->groups; group++) {
            uint32_t p;
            run.first = group * layer->in_per_group;
            for (p = 0; p < pixels; p++) {
                run.word = lanes + p;
                run.odd = 0;
                bitesize_gather_window(layer, &rows, left + p * layer->window.stride_w, &run);
            }
            block.values = values + group * group_words;
            bitesize_multiply_group(layer, &block, output, group * layer->out_per_group, pixels);
        }
        left += 2u * layer->window.stride_w;
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
