#ifndef MODEL_H
#define MODEL_H

#include <stdint.h>

#define MODEL_ARENA_BYTES 64
#define MODEL_INPUT_BYTES 16
#define MODEL_OUTPUT_BYTES 4

extern uint8_t model_arena[MODEL_ARENA_BYTES];

uint8_t *model_input(void *arena);
const uint8_t *model_output(const void *arena);
void model_run(void *arena);

#endif
