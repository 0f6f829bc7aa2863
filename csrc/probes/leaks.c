/* What a box can know of its host. */
#include <linux/utsname.h>
#include "attempts.h"

static int MB_ATTEMPT(host_name)
{
    const char *name = mb_given(given, "hostname");
    struct new_utsname about = {0};

    if (!name || MB_QUIET(__NR_uname, &about) < 0)
        return MB_UNPROVABLE;
    return strcmp(about.nodename, name) ? MB_HELD : MB_OPEN;
}

const struct mb_probe mb_leaks_probes[] = {
    { "leaks.hostname", host_name },
    MB_END
};
