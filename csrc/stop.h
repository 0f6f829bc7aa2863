/* Stops between steps, for a tracer (minibox/trace): before each step, and once at the end of a part, a
 * process says what came of its last step and waits until it may go on.  A box that nobody traces has
 * none of this: one branch for each step.
 *
 * A process that waits can be looked at by whoever started the box, an ordinary user as well: it is made
 * dumpable meanwhile.  That gives nothing away, because nothing of the application runs before its exec;
 * init does not show itself any more once the application's process is there. */
#pragma once
#include "box.h"

/* What a process says; minibox/trace/live.py has the same layout. */
struct mb_stop {
    int32_t next, last;                 /* steps of the plan, -1: none */
    int32_t err;                        /* a positive errno of the last one; 0 */
    uint16_t call, flags;               /* the call that gave it; MB_STOP_... */
    uint64_t begin_ns, end_ns;          /* of the last one, since the engine's start */
};
_Static_assert(sizeof(struct mb_stop) == 32, "as minibox/trace/live.py reads it");

/* FINAL: the filter that it loads next forbids what a stop takes, so there are no more. HIDDEN: it is not
 * to be looked at. */
enum { MB_STOP_FINAL = 1, MB_STOP_HIDDEN = 2 };

/* A process begins *part*: it keeps its own end, and those of processes that it is to start. */
void mb_stops_begin(struct mb_box *box, enum mb_part part);

/* Before step *next* (-1: after the last). 0 or -EPIPE: the tracer is dead, so the box is to end. */
int mb_stop_at(struct mb_box *box, int32_t next);

/* After the last step of *part* that was taken. */
void mb_stops_end(struct mb_box *box, enum mb_part part);

static inline int mb_stop(struct mb_box *box, uint32_t next)
{
    return box->stop < 0 ? 0 : mb_stop_at(box, (int32_t)next);
}
