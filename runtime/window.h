/* Windows whose channels are computed one by one: pools and depthwise convolution. */

/* The taps of one window that fall into the image, and where the first of them reads. */
typedef struct {
    const uint8_t *input;
    bitesize_span rows;
    bitesize_span columns;
    uint32_t row_step;
    uint32_t column_step;
} bitesize_patch;

BITESIZE_INLINE bitesize_patch bitesize_patch_at(const bitesize_window *window, const uint8_t *input, uint32_t y,
    uint32_t x, uint32_t pixel_bytes)
{
    const int32_t top = (int32_t)(y * window->stride_h) - window->pad_top;
    const int32_t left = (int32_t)(x * window->stride_w) - window->pad_left;
    bitesize_patch patch;
    uint32_t first_y;
    uint32_t first_x;
    patch.rows = bitesize_clip(top, window->kernel_h, window->dilation_h, window->in_h);
    patch.columns = bitesize_clip(left, window->kernel_w, window->dilation_w, window->in_w);
    first_y = (uint32_t)top + patch.rows.first * window->dilation_h;
    first_x = (uint32_t)left + patch.columns.first * window->dilation_w;
    patch.input = input + (first_y * window->in_w + first_x) * pixel_bytes;
    patch.row_step = (uint32_t)window->dilation_h * window->in_w * pixel_bytes;
    patch.column_step = window->dilation_w * pixel_bytes;
    return patch;
}
