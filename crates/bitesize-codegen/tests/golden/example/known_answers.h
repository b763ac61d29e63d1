/* Inputs, and the outputs that the package must give for them. */
#ifndef MODEL_KNOWN_ANSWERS_H
#define MODEL_KNOWN_ANSWERS_H

#include "model.h"

#ifdef __cplusplus
extern "C" {
#endif

#define MODEL_KNOWN_ANSWERS 3

extern const uint8_t model_known_inputs[MODEL_KNOWN_ANSWERS][MODEL_INPUT_BYTES];
extern const uint8_t model_known_outputs[MODEL_KNOWN_ANSWERS][MODEL_OUTPUT_BYTES];

#ifdef __cplusplus
}
#endif

#endif
