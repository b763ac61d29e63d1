/* The integer kernels that the network calls. SPDX-License-Identifier: MIT OR Apache-2.0 */
#ifndef MODEL_KERNELS_H
#define MODEL_KERNELS_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * What each kernel is told about its layer. All of it is constant and lies in FLASH; offsets count
 * bytes from the start of the arena. Tensors are NHWC, packed least significant bits first, and every
 * pixel's channels start on a byte.
 */

/* Constant arrays start on a word. */
#if defined(__GNUC__)
#define MODEL_WORD_ALIGNED __attribute__((aligned(4)))
#else
#define MODEL_WORD_ALIGNED
#endif

/* A layer whose window needs no scratch has this for its offset. */
#define MODEL_NO_SCRATCH UINT32_MAX

/*
 * Which rows of its output a layer computes, and where they lie: those from `first` on, as many as the layer says (only a
 * depthwise convolution by rows looks at `end`), `output` bytes behind the place of its output. Row `inputs[0]` of its input
 * is the one that lies at the input's place. To a layer without a window, as an addition, `inputs` says instead how many
 * bytes behind that place row `first` lies. A part of a concatenation has one input.
 */
typedef struct {
    uint32_t first;
    uint32_t end;
    uint32_t output;
    uint32_t inputs[2];
} model_step;

/* What an output channel adds to its sum and multiplies it by. */
typedef struct {
    int32_t bias;
    int32_t multiplier;
} model_channel;

/*
 * Packed weights, and the way from a sum to an output code, for each output channel:
 * clamp(zero + ((((sum << acc_shift) + bias) * multiplier + 2^(shift - 1)) >> shift), lowest, highest).
 */
typedef struct {
    const uint8_t *values;
    const model_channel *channels;
    const uint8_t *shifts;
    uint8_t acc_shift;
    uint8_t zero;
    uint8_t lowest;
    uint8_t highest;
} model_weights;

/*
 * A window sliding over an image. What is padded below and to the right follows from the sizes. `out_h` rows are computed
 * at a time: all, or, of a layer of a chain, one.
 */
typedef struct {
    uint16_t in_h;
    uint16_t in_w;
    uint16_t out_h;
    uint16_t out_w;
    uint16_t kernel_h;
    uint16_t kernel_w;
    uint16_t stride_h;
    uint16_t stride_w;
    uint16_t dilation_h;
    uint16_t dilation_w;
    uint16_t pad_top;
    uint16_t pad_left;
} model_window;

/* `padding` has a code for each input channel, or is null where `padding_code` serves all. */
typedef struct {
    model_weights weights;
    model_window window;
    const uint8_t *padding;
    uint32_t input;
    uint32_t output;
    uint32_t scratch;
    uint16_t groups;
    uint16_t in_per_group;
    uint16_t out_per_group;
    uint8_t padding_code;
} model_conv2d_layer;

typedef struct {
    model_weights weights;
    model_window window;
    const uint8_t *padding;
    uint32_t input;
    uint32_t output;
    uint16_t channels;
    uint8_t padding_code;
} model_depthwise_conv2d_layer;

typedef struct {
    model_weights weights;
    uint32_t input;
    uint32_t output;
    uint32_t scratch;
    uint32_t in_channels;
    uint32_t out_channels;
} model_fully_connected_layer;

/* clamp(zero + (((a - zero_a) * factor_a + (b - zero_b) * factor_b + 2^(shift - 1)) >> shift)) */
typedef struct {
    uint32_t input_a;
    uint32_t input_b;
    uint32_t output;
    uint32_t pixels;
    int32_t factor_a;
    int32_t factor_b;
    uint16_t channels;
    uint8_t shift;
    uint8_t zero_a;
    uint8_t zero_b;
    uint8_t zero;
    uint8_t lowest;
    uint8_t highest;
} model_add_layer;

/* One input of a concatenation: it fills `channels` of the output's `out_channels` from `first` on. */
typedef struct {
    uint32_t input;
    uint32_t output;
    uint32_t pixels;
    int32_t multiplier;
    uint16_t channels;
    uint16_t out_channels;
    uint16_t first;
    uint8_t shift;
    uint8_t zero_in;
    uint8_t zero;
} model_concat_layer;

typedef struct {
    model_window window;
    uint32_t input;
    uint32_t output;
    uint16_t channels;
} model_max_pool_layer;

/* The factor for windows that cover `count` pixels of the image, 1/divisor inside. */
typedef struct {
    int32_t multiplier;
    uint16_t count;
    uint8_t shift;
} model_average_factor;

/* `factors` ascend by count; where there is only one it serves every window. */
typedef struct {
    model_window window;
    const model_average_factor *factors;
    uint32_t input;
    uint32_t output;
    uint16_t channels;
    uint16_t factor_count;
    uint8_t zero_in;
    uint8_t zero;
    uint8_t lowest;
    uint8_t highest;
} model_average_pool_layer;

typedef struct {
    uint32_t input;
    uint32_t output;
    uint32_t pixels;
    uint16_t channels;
    uint8_t lowest;
    uint8_t highest;
} model_clamp_layer;

typedef struct {
    uint32_t input;
    uint32_t output;
    uint16_t in_h;
    uint16_t in_w;
    uint16_t top;
    uint16_t left;
    uint16_t right;
    uint16_t out_h;
    uint16_t channels;
    uint8_t zero;
} model_pad_layer;

/* An axis of a tensor: bits from one element to the next, and elements. */
typedef struct {
    uint32_t step;
    uint16_t count;
} model_dimension;

typedef struct {
    model_dimension slow;
    model_dimension middle;
    model_dimension fast;
    uint32_t input;
    uint32_t output;
} model_flatten_layer;

/*
 * The numbers in a name are the widths of the input, of the weights or second input, and of the
 * output; a stage has one.
 */
void model_conv2d_8_2_4(const model_conv2d_layer *layer, uint8_t *arena, const model_step *step);
void model_depthwise_conv2d_4_8_4(const model_depthwise_conv2d_layer *layer, uint8_t *arena, const model_step *step);
void model_fully_connected_2_8_8(const model_fully_connected_layer *layer, uint8_t *arena);
void model_add_4_4_2(const model_add_layer *layer, uint8_t *arena, const model_step *step);
void model_concat_2_2(const model_concat_layer *layer, uint8_t *arena, const model_step *step);
void model_concat_4_2(const model_concat_layer *layer, uint8_t *arena, const model_step *step);
void model_average_pool_2_2(const model_average_pool_layer *layer, uint8_t *arena, const model_step *step);

#ifdef __cplusplus
}
#endif

#endif
