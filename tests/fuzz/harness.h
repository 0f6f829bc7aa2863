/* What the harnesses share: both engines, and replay.c, call LLVMFuzzerTestOneInput. */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* A finding that is no error of memory. */
#define EXPECT(holds) ((holds) ? (void)0 : abort())

/* On the heap and not a byte longer, so that reading beyond it is seen. */
static inline void *copy_of(const uint8_t *data, size_t size)
{
    void *copy = calloc(1, size ? size : 1);

    EXPECT(copy);
    if (size)
        memcpy(copy, data, size);
    return copy;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
