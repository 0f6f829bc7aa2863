/* Runs steps and notes on the board what came of them. The steps themselves stand in steps_*.c, a file
 * for each mechanism, one function for each kind in minibox/steps.py. */
#include "box.h"
#include "stop.h"
#include "text.h"

enum mb_call mb_last_call;

static int dispatch(struct mb_box *box, const struct mb_step *step)
{
    switch ((enum mb_kind)step->kind) {
    MB_DISPATCH(box, step)
    case MB_KIND_NONE:
    case MB_KIND_COUNT:
        break;
    }
    return -ENOSYS;                     /* cannot be: the plan was checked */
}

int mb_run_step(struct mb_box *box, uint32_t index)
{
    const struct mb_step *step = mb_step_at(box->plan, index);
    struct mb_record *record = &box->board->steps[index];

    /* After an exec that succeeds nobody is left to note it. */
    record->ns = mb_now(box);
    record->state = step->kind == MB_EXEC ? MB_DONE : MB_BEGUN;
    mb_last_call = MB_CALL_NONE;
    int err = dispatch(box, step);
    record->call = (uint16_t)(err ? mb_last_call : MB_CALL_NONE);
    record->err = -err;
    record->ns = mb_now(box);
    record->state = err ? MB_FAILED : MB_DONE;
    return err;
}

int mb_run_part(struct mb_box *box, enum mb_part part)
{
    bool tidying = part == MB_PART_FINISH;
    int err = 0;

    mb_stops_begin(box, part);
    for (uint32_t n = box->plan->first[part]; n < box->plan->first[part + 1] && (!err || tidying); n++) {
        int failed = mb_stop(box, n);
        if (!failed || tidying)
            failed = mb_run_step(box, n);
        err = err ? err : failed;
    }
    mb_stops_end(box, part);
    return err;
}

void mb_detail(struct mb_box *box, const char *text, const char *more)
{
    struct mb_line line = mb_line(box->board->detail, MB_DETAIL);

    mb_put(&line, text);
    mb_put(&line, more);
    box->board->detail_size = (uint32_t)mb_line_size(&line);
}

int step_fail(struct mb_box *box, const struct mb_fail *step)
{
    (void)box;
    return (int)-step->err;
}
