/* Stops between steps: stop.h says what they are for. */
#include <linux/prctl.h>
#include "seccomp.h"
#include "stop.h"

/* The step that this process has begun last. */
static int32_t last;
static uint64_t begin_ns;

static void drop(int *end)
{
    if (*end >= 0)
        mb_close(*end);
    *end = -1;
}

void mb_stops_begin(struct mb_box *box, enum mb_part part)
{
    enum mb_part own = part == MB_PART_FINISH ? MB_PART_PREPARE : part;

    last = -1;
    box->stop = box->stops[own];
    for (enum mb_part n = MB_PART_PREPARE; n < own; n++)
        drop(&box->stops[n]);
}

/* Tell, and wait for a byte. 0 or -EPIPE. */
static int tell(int end, const struct mb_stop *stop)
{
    char go;
    bool hidden = stop->flags & MB_STOP_HIDDEN || mb_prctl(PR_GET_DUMPABLE, 0, 0, 0) == 1;

    if (!hidden)
        mb_prctl(PR_SET_DUMPABLE, 1, 0, 0);
    bool told = mb_write(end, stop, sizeof *stop) == sizeof *stop && mb_read(end, &go, 1) == 1;
    if (!hidden)
        mb_prctl(PR_SET_DUMPABLE, 0, 0, 0);
    return told ? 0 : -EPIPE;
}

static bool forbids_stops(const struct mb_box *box, int32_t next)
{
    const struct mb_step *step = next < 0 ? NULL : mb_step_at(box->plan, (uint32_t)next);

    if (!step || step->kind != MB_FILTER_CALLS)
        return false;
    struct sock_fprog filter = mb_filter_of(box->plan, (const void *)step);
    return !mb_filter_lets_stop(&filter);
}

int mb_stop_at(struct mb_box *box, int32_t next)
{
    bool final = forbids_stops(box, next);
    struct mb_stop stop = { .next = next, .last = last };

    if (last >= 0) {
        const struct mb_record *record = &box->board->steps[last];
        stop.err = record->err;
        stop.call = record->call;
        stop.begin_ns = begin_ns;
        stop.end_ns = record->ns;
    }
    stop.flags = (uint16_t)((final ? MB_STOP_FINAL : 0) | (box->app_pid > 0 ? MB_STOP_HIDDEN : 0));
    int err = tell(box->stop, &stop);
    if (err || final)
        box->stop = -1;
    last = next;
    begin_ns = mb_now(box);
    return err;
}

void mb_stops_end(struct mb_box *box, enum mb_part part)
{
    if (box->stop >= 0)
        mb_stop_at(box, -1);
    if (part == MB_PART_PREPARE || box->has_init)
        for (enum mb_part n = part + 1; n < MB_PART_FINISH; n++)
            drop(&box->stops[n]);
    if (part == MB_PART_ENTER)
        drop(&box->stops[part]);
}
