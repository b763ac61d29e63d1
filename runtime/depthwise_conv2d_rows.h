/* Neighbouring output pixels of the channels of a strip. The assembly below knows where in it what is. */
typedef struct {
    /* Those of the next channel. */
    const uint32_t *weights;
    const uint32_t *lanes;
    /* What is summed, and its end, rounded up to two pixels. */
    uint32_t *sums;
    uint32_t *end;
    const bitesize_channel *channels;
    const uint8_t *shifts;
    /* 2^acc_shift, and twice the output's zero point and 1. */
    uint32_t factor;
    int32_t zero;
    /* Every fourth byte gets a code; the next channel's starts one on. */
    uint8_t *codes;
    /* Channels that are left. */
    uint32_t left;
    /* Bytes from one window to the next. */
    uint32_t step;
    /* Whether the window starts with the second of its four rows. */
    uint32_t lower;
    uint32_t *last;
    /* Words from one tap's column to the next, of which `pairs` are the channel's. */
    uint32_t column;
    uint32_t pairs;
    uint32_t kernel_w;
} bitesize_windows;

/* Sums the windows of one channel. */
BITESIZE_WRAPS BITESIZE_INLINE void bitesize_sum_windows(bitesize_windows *windows)
{
    const uint32_t *lanes = windows->lanes;
    const uint32_t *weight = windows->weights;
    const uint32_t pairs = windows->pairs;
    uint32_t *sums;
    for (sums = windows->sums; sums != windows->last; sums++) {
        const uint32_t *column = lanes;
        uint32_t columns;
        uint32_t sum = 0;
        weight = windows->weights;
        for (columns = windows->kernel_w; columns != 0u; columns--) {
            uint32_t i;
            if (windows->lower != 0u) {
                /* Three rows, one further down. */
                sum = bitesize_multiply_add(column[0], weight[0] << 16, sum);
                sum = bitesize_multiply_add(column[1], bitesize_lows(weight[0] >> 16, weight[1]), sum);
                weight += 2;
            } else {
                for (i = 0; i < pairs; i++) {
                    sum = bitesize_multiply_add(column[i], *weight++, sum);
                }
            }
            column += windows->column;
        }
        *sums = sum;
        lanes += windows->step / 4u;
    }
    windows->weights = weight;
    windows->lanes += pairs;
}

/* The codes of one channel's sums. */
BITESIZE_WRAPS BITESIZE_INLINE void bitesize_rescale_sums(bitesize_windows *windows)
{
    const bitesize_channel channel = *windows->channels++;
    const int32_t below = *windows->shifts++ - 33;
    const uint32_t *sums = windows->sums;
    uint8_t *codes = windows->codes++;
    do {
        int32_t acc = (int32_t)(*sums++ * windows->factor + (uint32_t)channel.bias);
        if (below < 0) {
            acc = bitesize_raise(acc, below);
        }
        *codes = (uint8_t)bitesize_halve_to_byte(
            (bitesize_high_word(acc, channel.multiplier) >> (below < 0 ? 0 : below)) + windows->zero);
        codes += 4;
    } while (sums != windows->last);
    windows->left--;
}

#ifdef BITESIZE_DSP
/*
 * Sums and codes of windows of three columns of two words, as of 3x3, whose weights fit the registers; 32 bytes from
 * one column to the next. It ends with the last channel, or with the sums of one whose shift is below 33.
 */
BITESIZE_WRAPS BITESIZE_INLINE void bitesize_compute_3x3(bitesize_windows *windows)
{
    uint32_t w0, w1, w2, w3, w4, w5, lanes, sums, x, y, next, end;
#define BITESIZE_LOWER(first, second) \
    "lsl %[x], %[" second "], #16\n\tpkhtb %[" second "], %[x], %[" first "], asr #16\n\t" \
    "lsl %[" first "], %[" first "], #16\n\t"
    __asm__ volatile(
        "1:\n\tldrd %[x], %[lanes], [%[sum]]\n\t"
        "ldrd %[w0], %[w1], [%[x]], #8\n\tldrd %[w2], %[w3], [%[x]], #8\n\tldrd %[w4], %[w5], [%[x]], #8\n\t"
        "add %[y], %[lanes], #8\n\tstrd %[x], %[y], [%[sum]]\n\t"
        "ldrd %[next], %[x], [%[sum], #40]\n\tcmp %[x], #0\n\tbeq 2f\n\t"
        BITESIZE_LOWER("w0", "w1") BITESIZE_LOWER("w2", "w3") BITESIZE_LOWER("w4", "w5")
        "2:\n\tldrd %[sums], %[end], [%[sum], #8]\n\tstr %[sum], [sp, #-4]!\n\tcmp %[next], #32\n\tbne 4f\n"
        /*
         * At stride 1 two pixels share two of their columns. A last odd one brings a neighbour along, which nobody
         * reads.
         */
        "3:\n\t"
        "ldrd %[x], %[y], [%[lanes]], #32\n\tsmuad %[sum], %[x], %[w0]\n\tsmlad %[sum], %[y], %[w1], %[sum]\n\t"
        "ldrd %[x], %[y], [%[lanes]], #32\n\tsmlad %[sum], %[x], %[w2], %[sum]\n\tsmlad %[sum], %[y], %[w3], %[sum]\n\t"
        "smuad %[next], %[x], %[w0]\n\tsmlad %[next], %[y], %[w1], %[next]\n\t"
        "ldrd %[x], %[y], [%[lanes]]\n\tsmlad %[sum], %[x], %[w4], %[sum]\n\tsmlad %[sum], %[y], %[w5], %[sum]\n\t"
        "smlad %[next], %[x], %[w2], %[next]\n\tsmlad %[next], %[y], %[w3], %[next]\n\t"
        "ldrd %[x], %[y], [%[lanes], #32]\n\tsmlad %[next], %[x], %[w4], %[next]\n\t"
        "smlad %[next], %[y], %[w5], %[next]\n\t"
        "strd %[sum], %[next], [%[sums]], #8\n\tcmp %[sums], %[end]\n\tbne 3b\n\tb 5f\n"
        "4:\n\tldr %[end], [%[sum], #48]\n"
        "6:\n\t"
        "ldrd %[x], %[y], [%[lanes]]\n\tsmuad %[sum], %[x], %[w0]\n\tsmlad %[sum], %[y], %[w1], %[sum]\n\t"
        "ldrd %[x], %[y], [%[lanes], #32]\n\tsmlad %[sum], %[x], %[w2], %[sum]\n\tsmlad %[sum], %[y], %[w3], %[sum]\n\t"
        "ldrd %[x], %[y], [%[lanes], #64]\n\tsmlad %[sum], %[x], %[w4], %[sum]\n\tsmlad %[sum], %[y], %[w5], %[sum]\n\t"
        "add %[lanes], %[lanes], %[next]\n\tstr %[sum], [%[sums]], #4\n\tcmp %[sums], %[end]\n\tbne 6b\n"
        "5:\n\tldr %[sum], [sp], #4\n\t"
        "ldrd %[x], %[y], [%[sum], #16]\n\tldrb %[w4], [%[y]], #1\n\tsubs %[w4], #33\n\tbmi 8f\n\t"
        "ldrd %[w2], %[w3], [%[x]], #8\n\tstrd %[x], %[y], [%[sum], #16]\n\t"
        "ldrd %[w0], %[w1], [%[sum], #24]\n\tldrd %[sums], %[end], [%[sum], #8]\n\tldr %[lanes], [%[sum], #32]\n"
        "7:\n\tldrd %[x], %[y], [%[sums]], #8\n\t"
        "mla %[x], %[x], %[w0], %[w2]\n\tmla %[y], %[y], %[w0], %[w2]\n\t"
        "smmul %[x], %[x], %[w3]\n\tsmmul %[y], %[y], %[w3]\n\t"
        "asr %[x], %[x], %[w4]\n\tasr %[y], %[y], %[w4]\n\tadd %[x], %[x], %[w1]\n\tadd %[y], %[y], %[w1]\n\t"
        "usat %[x], #8, %[x], asr #1\n\tusat %[y], #8, %[y], asr #1\n\t"
        "strb %[y], [%[lanes], #4]\n\tstrb %[x], [%[lanes]], #8\n\tcmp %[sums], %[end]\n\tbne 7b\n\t"
        "ldrd %[x], %[y], [%[sum], #32]\n\tadd %[x], #1\n\tsubs %[y], #1\n\tstrd %[x], %[y], [%[sum], #32]\n\tbne 1b\n"
        "8:\n\t"
        : [sum] "+&r"(windows), [lanes] "=&r"(lanes), [sums] "=&r"(sums), [x] "=&r"(x), [y] "=&r"(y),
          [next] "=&r"(next), [end] "=&r"(end), [w0] "=&r"(w0), [w1] "=&r"(w1), [w2] "=&r"(w2), [w3] "=&r"(w3),
          [w4] "=&r"(w4), [w5] "=&r"(w5)
        : : "cc", "memory");
}
#endif

/* The codes of all channels of a strip. */
BITESIZE_INLINE void bitesize_compute_windows(bitesize_windows *windows)
{
    do {
#ifdef BITESIZE_DSP
        if (windows->kernel_w == 3u && windows->pairs == 2u && windows->column == 8u) {
            bitesize_compute_3x3(windows);
            if (windows->left == 0u) {
                return;
            }
        } else {
            bitesize_sum_windows(windows);
        }
#else
        bitesize_sum_windows(windows);
#endif
        bitesize_rescale_sums(windows);
    } while (windows->left != 0u);
}

/*
 * Lanes of four channels under the windows of some pixels of output row `y`, `rows` rows high, two rows at a time or
 * four. Row `base` of the input lies at `input`.
 */
BITESIZE_WRAPS BITESIZE_INLINE void bitesize_spread_windows(const bitesize_depthwise_conv2d_rows_layer *layer,
    const uint8_t *input, uint32_t base, uint32_t y, uint32_t rows, bitesize_strip *strip)
{
    const bitesize_window *const window = &layer->window;
    const uint32_t row_bytes = window->in_w * layer->pixel_bytes;
    uint32_t down = y * window->stride_h - window->pad_top;
    uint32_t *const lanes = strip->lanes;
    while (rows != 0u) {
        const uint32_t count = strip->pairs == 2u ? 4u : 2u;
        uint32_t inside = 0;
        uint32_t i;
        for (i = 0; i < count; i++) {
            /* Below the last row weights are 0, and any codes do. */
            strip->rows[i] = strip->outside[0];
            if (down < window->in_h) {
                strip->rows[i].codes = input + (down - base) * row_bytes;
                strip->rows[i].step = layer->pixel_bytes;
                inside++;
            }
            if (rows != 0u) {
                rows--;
                down += rows != 0u ? window->dilation_h : 0u;
            }
        }
        strip->together = (count & 4u) != 0u && (inside & 3u) == 0u ? 2u : 0u;
        layer->spread(strip);
        strip->lanes++;
    }
    strip->lanes = lanes;
}

/* The rows of a step: of all channels as many at a time as the layer says, from no other rows than those of their windows. */
BITESIZE_WRAPS BITESIZE_INLINE void bitesize_depthwise_conv2d_by_rows(const bitesize_depthwise_conv2d_rows_layer *layer,
    uint8_t *arena, const bitesize_step *step)
{
    uint32_t *const scratch = (uint32_t *)(void *)(arena + layer->scratch);
    const uint8_t *const input = arena + layer->input;
    uint8_t *output = arena + layer->output + step->output;
    const bitesize_window *const window = &layer->window;
    const uint32_t pairs = (window->kernel_h + 1u) / 2u;
    const uint32_t out_w = window->out_w;
    const uint32_t out_row_bytes = out_w * layer->out_pixel_bytes;
    /* Three rows leave room in their two words for a fourth, which the windows of the next row end with. */
    const uint32_t together = window->kernel_h == 3u && window->stride_h == 1u && window->dilation_h == 1u ? 2u : 1u;
    const uint32_t span = (window->kernel_w - 1u) * window->dilation_w + 1u;
    bitesize_windows windows;
    bitesize_strip strip;
    bitesize_strip_weights weights;
    bitesize_strip_codes results;
    uint32_t *const lanes = scratch + 2u * BITESIZE_COLUMNS;
    const uint32_t fill = layer->fill * 0x01010101u;
    const uint32_t end_row = step->end < window->out_h ? step->end : window->out_h;
    uint32_t first_row = step->first;
    uint32_t c = 0;
    windows.sums = scratch;
    windows.pairs = pairs;
    /* The words of four channels stand between those of neighbouring columns. */
    windows.step = 16u * window->stride_w * pairs;
    windows.column = 4u * window->dilation_w * pairs;
    windows.kernel_w = window->kernel_w;
    windows.factor = 1u << layer->weights.acc_shift;
    windows.zero = 2 * layer->weights.zero + 1;
    strip.in_w = window->in_w;
    strip.pairs = pairs;
    weights.plane = window->kernel_w * pairs;
    weights.tap_bytes = layer->tap_bytes;
    weights.kernel_h = window->kernel_h;
    weights.kernel_w = window->kernel_w;
    weights.lanes = lanes;
    strip.lanes = lanes + 4u * weights.plane;
    results.codes = scratch + BITESIZE_COLUMNS;
    results.pixel_bytes = layer->out_pixel_bytes;
    results.clamp = bitesize_clamp_to(layer->weights.bounds);
    while (first_row < end_row) {
        const uint32_t end = end_row - first_row < layer->at_once ? end_row : first_row + layer->at_once;
        uint8_t *strip_output = output + c * layer->out_bits / 8u;
        uint32_t y = first_row;
        uint32_t i;
        strip.channels = layer->channels - c < 4u ? layer->channels - c : 4u;
        for (i = 0; i < 4u; i++) {
            strip.outside[i].codes = layer->padding != 0 ? layer->padding + c : (const uint8_t *)&fill;
            strip.outside[i].step = 0;
        }
        weights.values = (const uint8_t *)layer->weights.values + c * layer->weight_bits / 8u;
        weights.channels = strip.channels;
        results.channels = strip.channels;
        layer->levels(&weights);
        while (y < end) {
            const uint32_t rows = end - y < together ? end - y : together;
            uint32_t x;
            for (x = 0; x < out_w; x += BITESIZE_COLUMNS) {
                results.pixels = out_w - x < BITESIZE_COLUMNS ? out_w - x : BITESIZE_COLUMNS;
                results.output = strip_output;
                strip.column = x * window->stride_w - window->pad_left;
                strip.columns = (results.pixels - 1u) * window->stride_w + span;
                bitesize_spread_windows(layer, input + c * layer->in_bits / 8u, step->inputs[0], y,
                    window->kernel_h + rows - 1u, &strip);
                windows.last = windows.sums + results.pixels;
                windows.end = windows.last + (results.pixels & 1u);
                for (windows.lower = 0; windows.lower < rows; windows.lower++) {
                    windows.weights = lanes;
                    windows.lanes = strip.lanes;
                    windows.channels = layer->weights.channels + c;
                    windows.shifts = layer->weights.shifts + c;
                    windows.codes = (uint8_t *)(scratch + BITESIZE_COLUMNS);
                    windows.left = strip.channels;
                    bitesize_compute_windows(&windows);
                    layer->pack(&results);
                    results.output += out_row_bytes;
                }
                strip_output += results.pixels * layer->out_pixel_bytes;
            }
            y += rows;
            strip_output += (rows - 1u) * out_row_bytes;
        }
        c += 4u;
        if (c >= layer->channels) {
            c = 0;
            output += (end - first_row) * out_row_bytes;
            first_row = end;
        }
    }
}
