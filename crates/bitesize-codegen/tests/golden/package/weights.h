/* The constant arrays of the network, for the package itself. */
#ifndef MODEL_WEIGHTS_H
#define MODEL_WEIGHTS_H

#include "bitesize_kernels.h"

#ifdef __cplusplus
extern "C" {
#endif

extern const uint8_t model_weights_0[16];
extern const model_channel model_channels_0[3];
extern const uint8_t model_shifts_0[4];
extern const uint8_t model_padding_0[4];
extern const uint8_t model_weights_1[28];
extern const model_channel model_channels_1[3];
extern const uint8_t model_shifts_1[4];
extern const model_average_factor model_factors_4[1];
extern const uint8_t model_weights_5[20];
extern const model_channel model_channels_5[3];
extern const uint8_t model_shifts_5[4];

#ifdef __cplusplus
}
#endif

#endif
