/*
 * The constant arrays of the network. Every one is a multiple of 4 bytes.
 * Define MODEL_WEIGHTS_ATTRIBUTE to place them:
 * -D'MODEL_WEIGHTS_ATTRIBUTE=__attribute__((section(".psram")))'
 */
#include "weights.h"

#ifndef MODEL_WEIGHTS_ATTRIBUTE
#define MODEL_WEIGHTS_ATTRIBUTE
#endif

/* conv2d_0: 2-bit weights */
MODEL_WEIGHTS_ATTRIBUTE MODEL_WORD_ALIGNED const uint8_t model_weights_0[16] = {
    65,117,64,25,15,128,99,109,81,10,192,26,121,179,8,0,
};

MODEL_WEIGHTS_ATTRIBUTE MODEL_WORD_ALIGNED const model_channel model_channels_0[3] = {
    {9375, 1255330793},{5632, 1473676967},{4754, 1104067033},
};

MODEL_WEIGHTS_ATTRIBUTE MODEL_WORD_ALIGNED const uint8_t model_shifts_0[4] = {
    40,39,39,0,
};

MODEL_WEIGHTS_ATTRIBUTE MODEL_WORD_ALIGNED const uint8_t model_padding_0[4] = {
    27,30,0,0,
};

/* depthwise_conv2d_1: 8-bit weights */
MODEL_WEIGHTS_ATTRIBUTE MODEL_WORD_ALIGNED const uint8_t model_weights_1[28] = {
    159,101,212,127,86,15,172,28,120,51,60,58,27,159,204,65,147,172,195,248,90,70,16,196,246,115,
    212,0,
};

MODEL_WEIGHTS_ATTRIBUTE MODEL_WORD_ALIGNED const model_channel model_channels_1[3] = {
    {210, 1464597710},{-1493, 1840416495},{122, 1489135759},
};

MODEL_WEIGHTS_ATTRIBUTE MODEL_WORD_ALIGNED const uint8_t model_shifts_1[4] = {
    39,39,40,0,
};

/* average_pool_4 */
MODEL_WEIGHTS_ATTRIBUTE MODEL_WORD_ALIGNED const model_average_factor model_factors_4[1] = {
    {1256611709, 4, 33},
};

/* fully_connected_5: 8-bit weights */
MODEL_WEIGHTS_ATTRIBUTE MODEL_WORD_ALIGNED const uint8_t model_weights_5[20] = {
    125,170,9,218,221,105,243,207,98,43,165,178,88,73,211,23,134,134,0,0,
};

MODEL_WEIGHTS_ATTRIBUTE MODEL_WORD_ALIGNED const model_channel model_channels_5[3] = {
    {22103, 1997255774},{23922, 1180244567},{22446, 1695842630},
};

MODEL_WEIGHTS_ATTRIBUTE MODEL_WORD_ALIGNED const uint8_t model_shifts_5[4] = {
    41,40,39,0,
};
