/*
 * tiny/ *1* /: an integer network in 6 layers. Emitted by bitesize 0.1.0.
 *
 * Input: 4x4x2 raw pixels of 8 bits (height x width x channels), 0..255, rows from the top, the
 * channels of a pixel together. The preprocessing is part of the first layer: feed the bytes as
 * they are.
 * Output: 1x1x3 codes of 8 bits, real = scale * (code - zero). As a classifier: the class is the
 * lowest index of the highest code.
 * The network's final Softmax is left out: the output is what goes into it.
 *
 * Use: fill model_input(arena), call model_run(arena), read model_output(arena). Both lie in the
 * arena, and model_run overwrites the input. Calls at the same time need an arena each.
 *
 * On cortex-m4: 12345 bytes of FLASH; 678 bytes of RAM, of which the stack takes at most 90.
 * This holds where the package is compiled by gcc 12.2 with -mcpu=cortex-m4 -O2
 * -ffunction-sections, and may not with others.
 */
#ifndef MODEL_H
#define MODEL_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* image, scale 1.000000000e0 = SCALE_MULTIPLIER / 2^SCALE_SHIFT */
#define MODEL_INPUT_HEIGHT 4
#define MODEL_INPUT_WIDTH 4
#define MODEL_INPUT_CHANNELS 2
#define MODEL_INPUT_BYTES 32
#define MODEL_INPUT_SCALE_MULTIPLIER 1073741824
#define MODEL_INPUT_SCALE_SHIFT 30
#define MODEL_INPUT_ZERO 0

/* fully_connected_5_out, scale 1.742357713e-2 = SCALE_MULTIPLIER / 2^SCALE_SHIFT */
#define MODEL_OUTPUT_HEIGHT 1
#define MODEL_OUTPUT_WIDTH 1
#define MODEL_OUTPUT_CHANNELS 3
#define MODEL_OUTPUT_BYTES 3
#define MODEL_OUTPUT_SCALE_MULTIPLIER 1197339103
#define MODEL_OUTPUT_SCALE_SHIFT 36
#define MODEL_OUTPUT_ZERO 166

/* All RAM but the stack: every tensor and the kernels' scratch. */
#define MODEL_ARENA_BYTES 60
#define MODEL_ARENA_ALIGNMENT 4

/*
 * The package's own arena. Define MODEL_CALLER_ARENA for the whole package to bring one of your
 * own instead: MODEL_ARENA_BYTES bytes, aligned to MODEL_ARENA_ALIGNMENT. Define
 * MODEL_ARENA_ATTRIBUTE to place the package's:
 * -D'MODEL_ARENA_ATTRIBUTE=__attribute__((section(".dtcm")))'
 */
#ifndef MODEL_CALLER_ARENA
extern uint8_t model_arena[MODEL_ARENA_BYTES];
#endif

/* Where the input goes. */
uint8_t *model_input(void *arena);

/* Where the output is after a run, until the next. */
const uint8_t *model_output(const void *arena);

/* Runs the network. */
void model_run(void *arena);

#ifdef __cplusplus
}
#endif

#endif
