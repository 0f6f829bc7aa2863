/* The witness: a program whose answers are read from outside, out of its memory. */
#pragma once
#include "attempts.h"

/* Do each act of *acts* (NULL ends them), write what came of it on the board, then stay until killed.
 * probe: runs the probes with the ids in a list, which append to the line. */
_Noreturn void mb_witness(const char *nonce, char *const *acts,
                          void (*probe)(const char *only, struct mb_line *board));
