/* The verdict: what happened to the box, in the order of precedence, and the report of it. */
#include <linux/wait.h>
#include <signal.h>
#include <string.h>
#include "engine.h"

/* The first failure in time: what fails later often does because of it (init is dead, says a gate). */
static int first_failure(const struct mb_box *box)
{
    const struct mb_plan *plan = box->plan;
    int found = -1;

    for (uint32_t n = 0; n < plan->first[MB_PART_FINISH]; n++) {
        const struct mb_record *record = &box->board->steps[n];
        if (record->state == MB_FAILED && (found < 0 || record->ns < box->board->steps[found].ns))
            found = (int)n;
    }
    return found;
}

/* The step in which a process of the box was when it was killed, if set-up never ended. */
static int unfinished(const struct mb_box *box)
{
    uint32_t last = box->plan->first[MB_PART_FINISH];

    for (uint32_t n = last; n-- > 0;)
        if (box->board->steps[n].state != MB_NOT_REACHED)
            return (int)n;
    return -1;
}

static bool by_signal(const struct mb_engine *engine)
{
    return engine->ended_how == CLD_KILLED || engine->ended_how == CLD_DUMPED;
}

/* The kernel kills by SIGSYS; we, for it, by SIGKILL, which nobody can catch. */
static bool by_filter(const struct mb_engine *engine)
{
    return engine->fatal_call >= 0 && by_signal(engine) && engine->ended_status == SIGKILL;
}

/* Each line overrules those above it. */
static enum mb_reason reason_of(const struct mb_engine *engine, bool ran)
{
    const struct mb_box *box = &engine->box;
    bool signaled = by_signal(engine);
    uint32_t signal = signaled ? engine->ended_status : 0;
    enum mb_reason reason = signaled ? MB_SIGNALED : MB_EXITED;

    if (signal == SIGSYS || by_filter(engine))
        reason = MB_SECCOMP;
    if (engine->stopping && signaled)
        reason = MB_STOPPED;
    if (engine->over_output)
        reason = MB_OUTPUT;
    if (engine->over_cputime || (box->watch.cputime_ns && signal == SIGXCPU))
        reason = MB_CPUTIME;
    if (engine->over_walltime)
        reason = MB_WALLTIME;
    if (engine->out_of_memory || box->figures[MB_FIGURE_OOM_KILLS] > 0)
        reason = MB_MEMORY;
    if (!ran && !(engine->stopping && first_failure(box) < 0))
        reason = MB_SETUP;
    return reason;
}

static int status_of_failed_exec(enum mb_cause cause)
{
    switch (cause) {
    case MB_NOT_IN_PATH:
    case MB_MISSING:
    case MB_DANGLING_LINK:
    case MB_INTERPRETER_MISSING:
    case MB_INTERPRETER_CRLF:
    case MB_LOADER_MISSING:
        return 127;
    case MB_UNKNOWN:
    case MB_DIRECTORY:
    case MB_NOT_EXECUTABLE:
    case MB_NOEXEC:
    case MB_WRONG_ARCHITECTURE:
    case MB_NOT_A_PROGRAM:
    case MB_UNREACHABLE:
    case MB_LINK_LOOP:
    case MB_TOO_LONG:
    case MB_BUSY:
        break;
    }
    return 126;
}

bool mb_lost(const struct mb_engine *engine)
{
    for (int n = 0; n < 2; n++) {
        int err = engine->out[n].failed;
        if (err && err != EPIPE && err != ECONNRESET)
            return true;
    }
    return false;
}

static int status_of(const struct mb_engine *engine, const struct mb_report *report, bool at_exec)
{
    switch ((enum mb_reason)report->reason) {
    case MB_SETUP:
        return at_exec ? status_of_failed_exec((enum mb_cause)report->cause) : 125;
    case MB_WALLTIME:
    case MB_CPUTIME:
        return 124;
    case MB_MEMORY:
    case MB_OUTPUT:
        return 128 + SIGKILL;
    case MB_STOPPED:
        return 128 + (report->ended_how ? (int)engine->ended_status : engine->stopping);
    case MB_SECCOMP:
        return 128 + SIGSYS;
    case MB_SIGNALED:
        return 128 + (int)engine->ended_status;
    case MB_EXITED:
        break;
    }
    return engine->ended_status || !mb_lost(engine) ? (int)engine->ended_status : 125;
}

static uint64_t ns_of(struct timeval time)
{
    return (uint64_t)time.tv_sec * 1000000000 + (uint64_t)time.tv_usec * 1000;
}

static void fill_usage(struct mb_report *report, const struct rusage *usage)
{
    report->user_ns = ns_of(usage->ru_utime);
    report->system_ns = ns_of(usage->ru_stime);
    report->max_rss_bytes = (uint64_t)usage->ru_maxrss * 1024;
    report->minor_faults = (uint64_t)usage->ru_minflt;
    report->major_faults = (uint64_t)usage->ru_majflt;
    report->voluntary_switches = (uint64_t)usage->ru_nvcsw;
    report->involuntary_switches = (uint64_t)usage->ru_nivcsw;
}

static void fill_failure(struct mb_report *report, const struct mb_box *box, int step)
{
    const struct mb_board *board = box->board;

    report->failed_step = step;
    report->err = step < 0 ? 0 : board->steps[step].err;
    report->call = step < 0 ? 0 : board->steps[step].call;
    report->cause = (uint32_t)board->cause;
    report->detail_size = board->detail_size < MB_DETAIL ? board->detail_size : MB_DETAIL;
    memcpy(report->detail, board->detail, report->detail_size);
}

void mb_fill_report(struct mb_engine *engine, struct mb_report *report)
{
    const struct mb_box *box = &engine->box;
    uint32_t exec = box->plan->first[MB_PART_FINISH] - 1;       /* the last step of the part app */
    bool ran = box->board->steps[exec].state == MB_DONE;

    *report = (struct mb_report){ .magic = "mbreport", .version = 1, .failed_step = -1,
                                  .step_count = box->plan->total, .fatal_call = engine->fatal_call };
    while (report->refusal_count < MB_REFUSALS && engine->refused[report->refusal_count].count)
        report->refusal_count++;
    report->size = (uint32_t)(sizeof *report + report->step_count * sizeof(struct mb_record) +
                              report->refusal_count * sizeof(struct mb_refusal));
    report->reason = reason_of(engine, ran);
    if (report->reason == MB_SETUP) {
        int failed = first_failure(box);
        fill_failure(report, box, failed >= 0 ? failed : unfinished(box));
    } else if (ran && !engine->early) {
        report->ended_how = engine->ended_how;
        report->ended_status = report->reason == MB_SECCOMP ? SIGSYS : engine->ended_status;
    }
    bool at_exec = report->failed_step == (int)exec && mb_step_at(box->plan, exec)->kind == MB_EXEC;
    report->exit_status = status_of(engine, report, at_exec);
    report->stop_signal = engine->stopping;
    report->lease = box->lease;
    report->started_ns = engine->started_ns;
    report->exec_ns = ran ? box->board->exec_ns : 0;
    report->end_ns = engine->ended_ns ? engine->ended_ns : mb_now(box);
    fill_usage(report, &box->board->usage);
    report->processes = engine->processes;
    memcpy(report->figures, box->figures, sizeof report->figures);
    report->stdout_bytes = engine->out[0].total;
    report->stderr_bytes = engine->out[1].total;
    report->stdout_kept_bytes = engine->out[0].kept;
    report->stderr_kept_bytes = engine->out[1].kept;
    memcpy(report->name, box->name, sizeof report->name);
}

/* All of *data*, or an errno: the report is read by somebody who waits for it. */
static int write_all(int fd, const void *data, size_t size)
{
    const char *at = data;

    while (size) {
        ssize_t done = mb_write(fd, at, size);
        if (done <= 0)
            return done < 0 ? (int)done : -EIO;
        at += done;
        size -= (size_t)done;
    }
    return 0;
}

/* In one piece: who waits for it is woken once. */
int mb_write_report(const struct mb_engine *engine, const struct mb_report *report, int fd)
{
    static struct {
        struct mb_report report;
        struct mb_record steps[MB_MAX_STEPS];
        struct mb_refusal room[MB_REFUSALS];
    } all;
    size_t size = report->step_count * sizeof *all.steps;

    all.report = *report;
    memcpy(all.steps, engine->box.board->steps, size);
    memcpy((char *)all.steps + size, engine->refused, report->refusal_count * sizeof *engine->refused);
    return write_all(fd, &all, report->size);
}
