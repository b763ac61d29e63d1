/* Windows whose channels are computed one by one: pools and depthwise convolution. */

/*
 * The taps of a window that fall into the image along one axis, and the coordinate that the first of them reads, counted
 * from `base`: 0 where none does, so that no address is formed outside the image.
 */
typedef struct {
    bitesize_span taps;
    uint32_t start;
} bitesize_axis;

BITESIZE_INLINE bitesize_axis bitesize_clip(int32_t start, uint32_t taps, uint32_t dilation, uint32_t size,
    uint32_t base)
{
    bitesize_axis axis;
    axis.taps.first = 0;
    while (axis.taps.first < taps && start < 0) {
        start += (int32_t)dilation;
        axis.taps.first++;
    }
    axis.taps.end = axis.taps.first;
    axis.start = axis.taps.first < taps && start < (int32_t)size ? (uint32_t)start - base : 0u;
    while (axis.taps.end < taps && start < (int32_t)size) {
        start += (int32_t)dilation;
        axis.taps.end++;
    }
    return axis;
}

/* The taps of one window that fall into the image, and where the first of them reads. */
typedef struct {
    const uint8_t *input;
    bitesize_span rows;
    bitesize_span columns;
    uint32_t row_step;
    uint32_t column_step;
} bitesize_patch;

/* The patch under the window of pixel (y, x) of the output, where row `base` of the input lies at `input`. */
BITESIZE_INLINE bitesize_patch bitesize_patch_at(const bitesize_window *window, const uint8_t *input, uint32_t base,
    uint32_t y, uint32_t x, uint32_t pixel_bytes)
{
    const int32_t top = (int32_t)(y * window->stride_h) - window->pad_top;
    const int32_t left = (int32_t)(x * window->stride_w) - window->pad_left;
    const bitesize_axis rows = bitesize_clip(top, window->kernel_h, window->dilation_h, window->in_h, base);
    const bitesize_axis columns = bitesize_clip(left, window->kernel_w, window->dilation_w, window->in_w, 0);
    bitesize_patch patch;
    patch.rows = rows.taps;
    patch.columns = columns.taps;
    patch.input = input + (rows.start * window->in_w + columns.start) * pixel_bytes;
    patch.row_step = (uint32_t)window->dilation_h * window->in_w * pixel_bytes;
    patch.column_step = window->dilation_w * pixel_bytes;
    return patch;
}
