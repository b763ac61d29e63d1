/* Runs a package on the host, case by case: reads `inputs`, writes `outputs`, both in the working directory. */

#include "package.h"
#include <stdio.h>

#ifdef PACKAGE_INPUT_ROW_BYTES
static uint8_t image[PACKAGE_INPUT_BYTES];
#define INPUT(arena) image

static void run(void *arena) {
    PACKAGE_BEGIN(arena);
    for (uint32_t byte = 0; byte < PACKAGE_INPUT_BYTES; byte += PACKAGE_INPUT_ROW_BYTES) {
        (void)PACKAGE_PUSH_ROW(arena, image + byte);
    }
}
#else
#define INPUT PACKAGE_INPUT
#define run PACKAGE_RUN
#endif

int main(void) {
    FILE *const inputs = fopen("inputs", "rb");
    FILE *const outputs = fopen("outputs", "wb");
    if (inputs == NULL || outputs == NULL) {
        fputs("cannot open `inputs` or `outputs`\n", stderr);
        return 1;
    }
    void *const arena = PACKAGE_ARENA;
    while (fread(INPUT(arena), PACKAGE_INPUT_BYTES, 1, inputs) == 1) {
        run(arena);
        if (fwrite(PACKAGE_OUTPUT(arena), PACKAGE_OUTPUT_BYTES, 1, outputs) != 1) {
            fputs("cannot write `outputs`\n", stderr);
            return 1;
        }
    }
    return fclose(outputs) == 0 ? 0 : 1;
}
