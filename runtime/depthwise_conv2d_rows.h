/* One channel of neighbouring output pixels. */
typedef struct {
    const uint32_t *lanes;
    const uint32_t *weights;
    uint32_t *sums;
    uint32_t count;
    /* Words from one window to the next, and from one tap's column to the next. */
    uint32_t step;
    uint32_t column;
    uint32_t pairs;
    uint32_t kernel_w;
} bitesize_windows;

/* Sums the windows of one channel. */
BITESIZE_WRAPS BITESIZE_OUTLINE void bitesize_sum_windows(const bitesize_windows *windows)
{
    const uint32_t *lanes = windows->lanes;
    const uint32_t *weights = windows->weights;
    uint32_t *sums = windows->sums;
    uint32_t *end = sums + windows->count;
#ifdef BITESIZE_DSP
    if (windows->kernel_w == 3u && windows->pairs == 2u && windows->column == 8u) {
        /* Three columns of two words, as of 3x3, whose weights fit the registers; 32 bytes from one to the next. */
        const uint32_t w0 = weights[0];
        const uint32_t w1 = weights[1];
        const uint32_t w2 = weights[2];
        const uint32_t w3 = weights[3];
        const uint32_t w4 = weights[4];
        const uint32_t w5 = weights[5];
        uint32_t x, y, sum, next;
        if (windows->step == 8u) {
            /* Two pixels share two of their columns. A last odd one brings a neighbour along, which nobody reads. */
            end += windows->count & 1u;
            __asm__ volatile("1:\n\t"
                "ldrd %[x], %[y], [%[lanes]], #32\n\tsmuad %[sum], %[x], %[w0]\n\tsmlad %[sum], %[y], %[w1], %[sum]\n\t"
                "ldrd %[x], %[y], [%[lanes]], #32\n\tsmlad %[sum], %[x], %[w2], %[sum]\n\tsmlad %[sum], %[y], %[w3], %[sum]\n\t"
                "smuad %[next], %[x], %[w0]\n\tsmlad %[next], %[y], %[w1], %[next]\n\t"
                "ldrd %[x], %[y], [%[lanes]]\n\tsmlad %[sum], %[x], %[w4], %[sum]\n\tsmlad %[sum], %[y], %[w5], %[sum]\n\t"
                "smlad %[next], %[x], %[w2], %[next]\n\tsmlad %[next], %[y], %[w3], %[next]\n\t"
                "ldrd %[x], %[y], [%[lanes], #32]\n\tsmlad %[next], %[x], %[w4], %[next]\n\tsmlad %[next], %[y], %[w5], %[next]\n\t"
                "strd %[sum], %[next], [%[sums]], #8\n\tcmp %[sums], %[end]\n\tbne 1b\n\t"
                : [lanes] "+&r"(lanes), [sums] "+&r"(sums), [x] "=&r"(x), [y] "=&r"(y), [sum] "=&r"(sum), [next] "=&r"(next)
                : [w0] "r"(w0), [w1] "r"(w1), [w2] "r"(w2), [w3] "r"(w3), [w4] "r"(w4), [w5] "r"(w5), [end] "r"(end)
                : "cc", "memory");
        } else {
            const uint32_t step = 4u * windows->step;
            __asm__ volatile("1:\n\t"
                "ldrd %[x], %[y], [%[lanes]]\n\tsmuad %[sum], %[x], %[w0]\n\tsmlad %[sum], %[y], %[w1], %[sum]\n\t"
                "ldrd %[x], %[y], [%[lanes], #32]\n\tsmlad %[sum], %[x], %[w2], %[sum]\n\tsmlad %[sum], %[y], %[w3], %[sum]\n\t"
                "ldrd %[x], %[y], [%[lanes], #64]\n\tsmlad %[sum], %[x], %[w4], %[sum]\n\tsmlad %[sum], %[y], %[w5], %[sum]\n\t"
                "add %[lanes], %[lanes], %[step]\n\tstr %[sum], [%[sums]], #4\n\tcmp %[sums], %[end]\n\tbne 1b\n\t"
                : [lanes] "+&r"(lanes), [sums] "+&r"(sums), [x] "=&r"(x), [y] "=&r"(y), [sum] "=&r"(sum)
                : [w0] "r"(w0), [w1] "r"(w1), [w2] "r"(w2), [w3] "r"(w3), [w4] "r"(w4), [w5] "r"(w5), [step] "r"(step),
                  [end] "r"(end)
                : "cc", "memory");
        }
        return;
    }
#endif
    do {
        const uint32_t *column = lanes;
        const uint32_t *weight = weights;
        uint32_t sum = 0;
        uint32_t columns;
        for (columns = windows->kernel_w; columns != 0u; columns--) {
            uint32_t i;
            for (i = 0; i < windows->pairs; i++) {
                sum = bitesize_multiply_add(column[i], *weight++, sum);
            }
            column += windows->column;
        }
        *sums++ = sum;
        lanes += windows->step;
    } while (sums != end);
}

/* The codes of one channel's sums, in every fourth byte. */
BITESIZE_WRAPS BITESIZE_OUTLINE void bitesize_rescale_sums(const bitesize_lane_weights *weights, uint32_t c,
    const bitesize_windows *windows, uint8_t *codes)
{
    const bitesize_channel channel = weights->channels[c];
    const uint32_t *sums = windows->sums;
    const uint32_t *const end = sums + windows->count;
    const uint32_t factor = 1u << weights->acc_shift;
    const int32_t zero = 2 * weights->zero + 1;
    const int32_t below = weights->shifts[c] - 33;
    if (below < 0) {
        do {
            const int32_t acc = bitesize_raise((int32_t)(*sums++ * factor + (uint32_t)channel.bias), below);
            *codes = (uint8_t)bitesize_halve_to_byte(bitesize_high_word(acc, channel.multiplier) + zero);
            codes += 4;
        } while (sums != end);
        return;
    }
    do {
        *codes = bitesize_code_of_sum(*sums++, factor, channel, below, zero);
        codes += 4;
    } while (sums != end);
}

/* Lanes of four channels for the windows of some pixels of output row `y`: two rows at a time, or all three. */
BITESIZE_WRAPS BITESIZE_OUTLINE void bitesize_spread_windows(const bitesize_depthwise_conv2d_rows_layer *layer, const uint8_t *input,
    uint32_t y, uint32_t *lanes, bitesize_strip *strip)
{
    const bitesize_window *const window = &layer->window;
    const uint32_t row_bytes = window->in_w * layer->pixel_bytes;
    uint32_t down = y * window->stride_h - window->pad_top;
    uint32_t left = window->kernel_h;
    while (left != 0u) {
        const uint32_t three = left == 3u && strip->pairs == 2u ? 1u : 0u;
        const uint32_t count = left < 2u + three ? left : 2u + three;
        uint32_t i;
        strip->three = three;
        for (i = 0; i < 3u; i++) {
            strip->rows[i].codes = strip->padding;
            strip->rows[i].step = 0;
            if (i < count) {
                if (down < window->in_h) {
                    strip->rows[i].codes = input + down * row_bytes;
                    strip->rows[i].step = layer->pixel_bytes;
                }
                down += window->dilation_h;
            }
        }
        strip->lanes = lanes;
        layer->spread(strip);
        lanes++;
        left -= count;
    }
}

/* Computes the output rows `first_row` to `end` from the input, of which they read no other rows than those of their windows. */
BITESIZE_WRAPS BITESIZE_INLINE void bitesize_depthwise_conv2d_some_rows(const bitesize_depthwise_conv2d_rows_layer *layer,
    const uint8_t *input, uint32_t first_row, uint32_t end, uint8_t *output, uint32_t *scratch)
{
    const bitesize_window *const window = &layer->window;
    const uint32_t pairs = (window->kernel_h + 1u) / 2u;
    const uint32_t out_w = window->out_w;
    bitesize_windows windows;
    bitesize_strip strip;
    bitesize_strip_weights weights;
    bitesize_strip_codes results;
    uint32_t *const lanes = scratch + 2u * BITESIZE_COLUMNS;
    uint32_t c;
    windows.sums = scratch;
    windows.pairs = pairs;
    /* The words of four channels stand between those of neighbouring columns. */
    windows.step = 4u * window->stride_w * pairs;
    windows.column = 4u * window->dilation_w * pairs;
    windows.kernel_w = window->kernel_w;
    strip.in_w = window->in_w;
    strip.pairs = pairs;
    weights.plane = window->kernel_w * pairs;
    weights.tap_bytes = layer->tap_bytes;
    weights.kernel_h = window->kernel_h;
    weights.kernel_w = window->kernel_w;
    weights.lanes = lanes;
    results.codes = scratch + BITESIZE_COLUMNS;
    results.pixel_bytes = layer->out_pixel_bytes;
    results.clamp = bitesize_clamp_to(layer->weights.bounds);
    for (c = 0; c < layer->channels; c += 4u) {
        uint32_t *const columns = lanes + 4u * weights.plane;
        uint8_t *strip_output = output + c * layer->out_bits / 8u;
        uint32_t y;
        uint32_t x;
        strip.channels = layer->channels - c < 4u ? layer->channels - c : 4u;
        strip.padding = layer->padding != 0 ? layer->padding + c : layer->fill;
        weights.values = (const uint8_t *)layer->weights.values + c * layer->weight_bits / 8u;
        weights.channels = strip.channels;
        results.channels = strip.channels;
        layer->levels(&weights);
        for (y = first_row; y < end; y++) {
            for (x = 0; x < out_w; x += BITESIZE_COLUMNS) {
                const uint32_t count = out_w - x < BITESIZE_COLUMNS ? out_w - x : BITESIZE_COLUMNS;
                uint32_t p;
                strip.column = x * window->stride_w - window->pad_left;
                strip.columns = (count - 1u) * window->stride_w + (window->kernel_w - 1u) * window->dilation_w + 1u;
                bitesize_spread_windows(layer, input + c * layer->in_bits / 8u, y, columns, &strip);
                windows.count = count;
                windows.lanes = columns;
                windows.weights = lanes;
                for (p = 0; p < strip.channels; p++) {
                    bitesize_sum_windows(&windows);
                    bitesize_rescale_sums(&layer->weights, c + p, &windows, (uint8_t *)(scratch + BITESIZE_COLUMNS) + p);
                    windows.lanes += pairs;
                    windows.weights += weights.plane;
                }
                results.pixels = count;
                results.output = strip_output;
                layer->pack(&results);
                strip_output += count * layer->out_pixel_bytes;
            }
        }
    }
}

BITESIZE_INLINE void bitesize_depthwise_conv2d_by_rows(const bitesize_depthwise_conv2d_rows_layer *layer, uint8_t *arena)
{
    uint32_t *const scratch = (uint32_t *)(void *)(arena + layer->scratch);
    bitesize_depthwise_conv2d_some_rows(layer, arena + layer->input, 0, layer->window.out_h, arena + layer->output, scratch);
}
