/* The extension's own part; the rest of it is sys.h as it is. */
#include "core.h"

enum mb_call mb_last_call;

const char *mb_plan_error(const void *block, size_t size)
{
    struct mb_plan plan;

    return mb_plan_check(&plan, block, size);
}
