/*
 * The known-answer test: exits with 0 where the package gives every expected byte, else with 1.
 * It prints nothing, so that it runs wherever `main` does.
 */
#include "known_answers.h"

#include <string.h>

#ifdef MODEL_CALLER_ARENA
#error "this test uses the package's own arena: leave MODEL_CALLER_ARENA undefined"
#endif

int main(void)
{
    int i;
    for (i = 0; i < MODEL_KNOWN_ANSWERS; i++) {
        memcpy(model_input(model_arena), model_known_inputs[i], MODEL_INPUT_BYTES);
        model_run(model_arena);
        if (memcmp(model_output(model_arena), model_known_outputs[i], MODEL_OUTPUT_BYTES) != 0) {
            return 1;
        }
    }
    return 0;
}
