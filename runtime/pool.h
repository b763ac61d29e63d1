/* The part of one pool window that lies in the image. */
typedef struct {
    const uint8_t *input;
    uint32_t rows;
    uint32_t columns;
    uint32_t row_step;
    uint32_t column_step;
} bitesize_patch;

BITESIZE_INLINE bitesize_patch bitesize_patch_at(const bitesize_window *window, const uint8_t *input, uint32_t y,
                                                 uint32_t x, uint32_t pixel_bytes)
{
    const int32_t top = (int32_t)(y * window->stride_h) - window->pad_top;
    const int32_t left = (int32_t)(x * window->stride_w) - window->pad_left;
    const bitesize_span rows = bitesize_clip(top, window->kernel_h, window->dilation_h, window->in_h);
    const bitesize_span columns = bitesize_clip(left, window->kernel_w, window->dilation_w, window->in_w);
    const uint32_t first_y = (uint32_t)top + rows.first * window->dilation_h;
    const uint32_t first_x = (uint32_t)left + columns.first * window->dilation_w;
    bitesize_patch patch;
    patch.rows = rows.end - rows.first;
    patch.columns = columns.end - columns.first;
    patch.column_step = window->dilation_w * pixel_bytes;
    patch.row_step = (uint32_t)window->dilation_h * window->in_w * pixel_bytes;
    patch.input = input + (first_y * window->in_w + first_x) * pixel_bytes;
    return patch;
}
