/* Files of the host, and what mounts let happen to them. */
#include "attempts.h"

static int MB_ATTEMPT(host_file)
{
    const char *path = mb_given(given, "file");
    return path ? mb_try_file(path, O_RDONLY) : MB_UNPROVABLE;
}

const struct mb_probe mb_files_probes[] = {
    { "files.host-canary", host_file },
    MB_END
};
