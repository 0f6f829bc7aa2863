/* What a step may see and change: the box while it is being made. Engine and init each have their
 * own copy (init is forked from the engine); the board alone is shared. */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include "plan.h"
#include "report.h"
#include "sys.h"

struct mb_box {
    const struct mb_plan *plan;
    struct mb_board *board;
    uint64_t start_ns;                  /* CLOCK_MONOTONIC at the engine's start */
    int64_t clock_shift_ns;             /* how far this process's monotonic clock is from the engine's */
    int64_t child_shift_ns;             /* the same for what init starts, by OffsetClocks */
    char name[16];                      /* random hex, NUL-terminated; cgroups are minibox-NAME */

    int link;                           /* SOCK_SEQPACKET: in the engine to init, in init to the engine */
    int engine_link;                    /* the app's copy of init's end, until exec */
    int init_pidfd, app_pidfd;          /* -1 while there is none; app_pidfd is init's */
    pid_t init_pid, app_pid;
    bool shares_pids;                   /* no PID namespace: only a cgroup knows all of the box */
    bool has_init;                      /* false: the app itself is PID 1 (no CloneApp in the plan) */

    int stage, root;                    /* directories, O_PATH */
    int trees[MB_MAX_TREES];            /* detached mount trees, -1: none */
    int null;                           /* the verified null device as a mount source for masks; -1 */
    int proc;                           /* a /proc in which this process's children have their pids; -1 */
    int limits;                         /* /proc/sys/user, -1 */
    int cgroups[MB_MAX_CGROUPS];        /* the box's cgroup directories (locked), -1: none */
    int cgroup_parents[MB_MAX_CGROUPS];
    int oom_event;                      /* eventfd that v1 rings; -1 */
    int64_t lease;                      /* first leased id; -1 */
    int lease_fd;                       /* holds the lock */

    int streams[3];                     /* the box's ends; become 0, 1, 2 of the app */
    int relays[3];                      /* the engine's ends of relayed streams; -1: passed through */
    bool terminal;
    bool caller_stdin;                  /* stdin is the caller's; with a terminal: goes to its master */
    int terminal_master;                /* in the engine, once init has sent it; -1 */
    int terminal_slave;                 /* in init and app; -1 */

    struct {                            /* by Watch and StopWith */
        uint64_t walltime_ns, cputime_ns, output_bytes, rss_bytes, stop_timeout_ns;
        int stop_signal;
    } watch;
    int64_t figures[MB_FIGURE_COUNT];   /* by ReadCgroup; -1: not measured */

    int stops[MB_PART_FINISH];          /* ends to the tracer, by the first part of each process; -1 */
    int stop;                           /* this process's own */
};

/* Nanoseconds since the engine started. */
static inline uint64_t mb_now(const struct mb_box *box)
{
    return mb_clock_ns(CLOCK_MONOTONIC) - box->start_ns - (uint64_t)box->clock_shift_ns;
}

/* Run step *index* of the plan, note it on the board. 0 or a negative errno. */
int mb_run_step(struct mb_box *box, uint32_t index);

/* Run a whole part up to its first failure; finish goes on after one. 0 or a negative errno. */
int mb_run_part(struct mb_box *box, enum mb_part part);

/* Map the ids of process *pid*, whose name in the /proc at *dir* (-1: our own) that is; *base* is added
 * to the outside ids. 0 or a negative errno. */
int mb_map_ids(const struct mb_box *box, int dir, pid_t pid, struct mb_list uids, struct mb_list gids,
               bool deny_setgroups, int64_t base);

/* Text for the board's detail of a failing step. */
void mb_detail(struct mb_box *box, const char *text, const char *more);

/* After a failed exec of *path* with *err*: look at the file, set the board's cause and detail. */
void mb_diagnose_exec(struct mb_box *box, const char *path, int err);

/* supervise.c: kill all that a cgroup of the box holds, but for this process. */
void mb_kill_cgroups(const struct mb_box *box);

/* supervise.c: have the scheduler run this process soon after it wakes, however many others want to. */
void mb_be_prompt(void);

/* relay.c: give *terminal* the size of the caller's, where one of descriptors 0 to 2 is that. */
void mb_copy_size(int terminal);

/* init.c: what PID 1 does after CloneInit, in the child; never returns. */
_Noreturn void mb_init(struct mb_box *box);
/* init.c: what the app's process does after CloneApp, in the child; never returns. */
_Noreturn void mb_app(struct mb_box *box);
