/* Runs a package on the host, case by case: reads `inputs`, writes `outputs`, both in the working directory. */

#include "package.h"
#include <stdio.h>

int main(void) {
    FILE *const inputs = fopen("inputs", "rb");
    FILE *const outputs = fopen("outputs", "wb");
    if (inputs == NULL || outputs == NULL) {
        fputs("cannot open `inputs` or `outputs`\n", stderr);
        return 1;
    }
    void *const arena = PACKAGE_ARENA;
    while (fread(PACKAGE_INPUT(arena), PACKAGE_INPUT_BYTES, 1, inputs) == 1) {
        PACKAGE_RUN(arena);
        if (fwrite(PACKAGE_OUTPUT(arena), PACKAGE_OUTPUT_BYTES, 1, outputs) != 1) {
            fputs("cannot write `outputs`\n", stderr);
            return 1;
        }
    }
    return fclose(outputs) == 0 ? 0 : 1;
}
