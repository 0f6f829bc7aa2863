/* Devices of the host. */
#include "attempts.h"

static int MB_ATTEMPT(memory)
{
    return mb_try_file("/dev/mem", O_RDONLY);
}

const struct mb_probe mb_devices_probes[] = {
    { "devices.memory", memory },
    MB_END
};
