/* What bounds a box, and whether it can be moved. */
#include "attempts.h"

static int MB_ATTEMPT(core_dumps)
{
    struct rlimit limit = {0};
    int error = mb_prlimit64(0, RLIMIT_CORE, NULL, &limit);

    return error ? error : limit.rlim_max ? MB_OPEN : MB_HELD;
}

const struct mb_probe mb_resources_probes[] = {
    { "resources.core-dumps", core_dumps },
    MB_END
};
