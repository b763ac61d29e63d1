#include "model.h"

/* One fully connected layer of 16 inputs and 4 outputs that is no real network. The tests insert code at the marks. */

uint8_t model_arena[MODEL_ARENA_BYTES];

extern const int8_t model_weights[];

/* Not called: what is dropped by the linker does not count. */
const uint8_t *model_weights_end(void);
const uint8_t *model_weights_end(void) {
    return (const uint8_t *)model_weights + 64;
}

uint8_t *model_input(void *arena) {
    return (uint8_t *)arena;
}

const uint8_t *model_output(const void *arena) {
    return (const uint8_t *)arena + MODEL_INPUT_BYTES;
}

void model_run(void *arena) {
    const uint8_t *const input = model_input(arena);
    uint8_t *const output = (uint8_t *)arena + MODEL_INPUT_BYTES;
    for (uint32_t channel = 0; channel < MODEL_OUTPUT_BYTES; channel++) {
        int32_t sum = 0;
        for (uint32_t i = 0; i < MODEL_INPUT_BYTES; i++) {
            sum += input[i] * model_weights[MODEL_INPUT_BYTES * channel + i];
        }
        output[channel] = (uint8_t)(((uint32_t)sum >> 4) & 255u);
    }
    /* MARK */
}
