/* Runs a harness once for each file that is named, without an engine; with --broken first, also for
 * each beginning of it, and with each of its bits the other way. */
#include <stdio.h>
#include "harness.h"

static void run_broken(uint8_t *data, size_t size)
{
    for (size_t part = 0; part < size; part++)
        LLVMFuzzerTestOneInput(data, part);
    for (size_t bit = 0; bit < 8 * size; bit++) {
        data[bit / 8] ^= (uint8_t)(1u << bit % 8);
        LLVMFuzzerTestOneInput(data, size);
        data[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
}

int main(int argc, char **argv)
{
    static uint8_t data[1 << 25];
    bool broken = argc > 1 && !strcmp(argv[1], "--broken");

    for (int n = 1 + broken; n < argc; n++) {
        FILE *file = fopen(argv[n], "rb");
        EXPECT(file);
        size_t size = fread(data, 1, sizeof data, file);
        fclose(file);
        LLVMFuzzerTestOneInput(data, size);
        if (broken)
            run_broken(data, size);
    }
    return 0;
}
