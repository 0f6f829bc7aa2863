/* minibox-probe: small attempts at what a box must hold, for any runtime.  One program, static and
 * freestanding like the engine, so that it runs where there is nothing else; see main.c. */
#pragma once
#include "../sys.h"
#include "../text.h"

/* What came of an attempt; or a negative errno: what the kernel said. */
enum { MB_OPEN = 0, MB_HELD = 1, MB_UNPROVABLE = 2 };

struct mb_given;                        /* the arguments name=value: canaries of the host */

/* Each attempt runs in a process of its own, which it may change; *detail* is for people. */
struct mb_probe {
    const char *id;
    int (*attempt)(const struct mb_given *given, struct mb_line *detail);
};

/* One table for each group; they end with { NULL, NULL }. */
extern const struct mb_probe mb_files_probes[], mb_processes_probes[], mb_network_probes[],
    mb_devices_probes[], mb_kernel_probes[], mb_resources_probes[], mb_privileges_probes[],
    mb_leaks_probes[];

/* The value of argument *name*, NULL if it was not given. */
const char *mb_given(const struct mb_given *given, const char *name);

/* The signal that this program was to get when its parent dies, which a fork forgets; 0: none. */
int mb_parent_death(const struct mb_given *given);
