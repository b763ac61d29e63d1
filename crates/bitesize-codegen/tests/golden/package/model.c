/* tiny/ *1* /: one descriptor a layer, and the calls in order. */
#include "model.h"

#include "bitesize_kernels.h"
#include "weights.h"

#ifndef MODEL_CALLER_ARENA
#ifndef MODEL_ARENA_ATTRIBUTE
#define MODEL_ARENA_ATTRIBUTE
#endif
MODEL_ARENA_ATTRIBUTE MODEL_WORD_ALIGNED uint8_t model_arena[MODEL_ARENA_BYTES];
#endif

/*
 * Define MODEL_LAYER_DONE(layer) for this file to be told the number of each layer whose last
 * row is done, MODEL_STEP_DONE(layer) to be told that of the layer after each call of a kernel,
 * which may compute some of its rows.
 */
#ifndef MODEL_LAYER_DONE
#define MODEL_LAYER_DONE(layer) ((void)0)
#endif
#ifndef MODEL_STEP_DONE
#define MODEL_STEP_DONE(layer) ((void)0)
#endif

/* conv2d_0: 2x2x3 */
static const model_conv2d_layer model_layer_0 = {
    .weights = {
        .values = model_weights_0, .channels = model_channels_0, .shifts = model_shifts_0,
        .acc_shift = 4, .zero = 3, .lowest = 0, .highest = 15,
    },
    .window = {
        .in_h = 4, .in_w = 4, .out_h = 2, .out_w = 2, .kernel_h = 3, .kernel_w = 3, .stride_h = 2,
        .stride_w = 2, .dilation_h = 1, .dilation_w = 1, .pad_top = 1, .pad_left = 1,
    },
    .padding = model_padding_0,
    .input = 0,
    .output = 52,
    .scratch = 32,
    .groups = 1,
    .in_per_group = 2,
    .out_per_group = 3,
    .padding_code = 27,
};

/* depthwise_conv2d_1: 2x2x3 */
static const model_depthwise_conv2d_layer model_layer_1 = {
    .weights = {
        .values = model_weights_1, .channels = model_channels_1, .shifts = model_shifts_1,
        .acc_shift = 1, .zero = 8, .lowest = 8, .highest = 15,
    },
    .window = {
        .in_h = 2, .in_w = 2, .out_h = 2, .out_w = 2, .kernel_h = 3, .kernel_w = 3, .stride_h = 1,
        .stride_w = 1, .dilation_h = 1, .dilation_w = 1, .pad_top = 1, .pad_left = 1,
    },
    .padding = 0,
    .input = 52,
    .output = 0,
    .channels = 3,
    .padding_code = 3,
};

/* add_2: 2x2x3 */
static const model_add_layer model_layer_2 = {
    .input_a = 52,
    .input_b = 0,
    .output = 16,
    .pixels = 4,
    .factor_a = 29143097,
    .factor_b = 26373420,
    .channels = 3,
    .shift = 28,
    .zero_a = 3,
    .zero_b = 8,
    .zero = 1,
    .lowest = 1,
    .highest = 3,
};

/* concat_3: 2x2x6 */
static const model_concat_layer model_layer_3_0 = {
    .input = 16,
    .output = 8,
    .pixels = 4,
    .multiplier = 2061083798,
    .channels = 3,
    .out_channels = 6,
    .first = 0,
    .shift = 30,
    .zero_in = 1,
    .zero = 0,
};

/* concat_3: 2x2x6 */
static const model_concat_layer model_layer_3_1 = {
    .input = 0,
    .output = 8,
    .pixels = 4,
    .multiplier = 1619989544,
    .channels = 3,
    .out_channels = 6,
    .first = 3,
    .shift = 33,
    .zero_in = 8,
    .zero = 0,
};

/* average_pool_4: 1x1x6 */
static const model_average_pool_layer model_layer_4 = {
    .window = {
        .in_h = 2, .in_w = 2, .out_h = 1, .out_w = 1, .kernel_h = 2, .kernel_w = 2, .stride_h = 1,
        .stride_w = 1, .dilation_h = 1, .dilation_w = 1, .pad_top = 0, .pad_left = 0,
    },
    .factors = model_factors_4,
    .input = 8,
    .output = 16,
    .channels = 6,
    .factor_count = 1,
    .zero_in = 0,
    .zero = 1,
    .lowest = 0,
    .highest = 3,
};

/* fully_connected_5: 1x1x3 */
static const model_fully_connected_layer model_layer_5 = {
    .weights = {
        .values = model_weights_5, .channels = model_channels_5, .shifts = model_shifts_5,
        .acc_shift = 8, .zero = 166, .lowest = 166, .highest = 255,
    },
    .input = 16,
    .output = 8,
    .scratch = 0,
    .in_channels = 6,
    .out_channels = 3,
};

/* A whole layer. */
static const model_step model_all_rows = {0, UINT32_MAX, 0, {0, 0}};

uint8_t *model_input(void *arena)
{
    return (uint8_t *)arena + 0;
}

void model_run(void *arena)
{
    uint8_t *const bytes = (uint8_t *)arena;
    model_conv2d_8_2_4(&model_layer_0, bytes, &model_all_rows);
    MODEL_STEP_DONE(0);
    MODEL_LAYER_DONE(0);
    model_depthwise_conv2d_4_8_4(&model_layer_1, bytes, &model_all_rows);
    MODEL_STEP_DONE(1);
    MODEL_LAYER_DONE(1);
    model_add_4_4_2(&model_layer_2, bytes, &model_all_rows);
    MODEL_STEP_DONE(2);
    MODEL_LAYER_DONE(2);
    model_concat_2_2(&model_layer_3_0, bytes, &model_all_rows);
    MODEL_STEP_DONE(3);
    model_concat_4_2(&model_layer_3_1, bytes, &model_all_rows);
    MODEL_STEP_DONE(3);
    MODEL_LAYER_DONE(3);
    model_average_pool_2_2(&model_layer_4, bytes, &model_all_rows);
    MODEL_STEP_DONE(4);
    MODEL_LAYER_DONE(4);
    model_fully_connected_2_8_8(&model_layer_5, bytes);
    MODEL_STEP_DONE(5);
    MODEL_LAYER_DONE(5);
}

const uint8_t *model_output(const void *arena)
{
    return (const uint8_t *)arena + 8;
}
