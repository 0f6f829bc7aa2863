/* The engine's own state: the box it supervises, and what it has seen of it. */
#pragma once
#include <asm/termbits.h>
#include "box.h"

#define MB_BUFFER 65536u
#define MB_RELAY_FDS 3

/* One direction of a stream that the engine carries. The buffer is touched only when it is used. */
struct mb_relay {
    int from, to;                       /* -1: that side is over */
    uint32_t begin, end;                /* what of the buffer waits to be written */
    uint64_t total, kept;               /* bytes that came, and that were handed on */
    bool never_waits;                   /* a write to *to* takes what it can, and returns */
    bool socket, paused;
    int failed;                         /* errno of a write; 0: none */
    char *buffer;
};

struct mb_engine {
    struct mb_box box;
    int signals, control, report_fd, plan_fd;
    uint64_t ignored;                   /* signals that the caller ignored, as nohup does */
    uint64_t held;                      /* signals that came before the app was there */
    uint64_t started_ns;                /* CLOCK_REALTIME */
    bool started;                       /* the app's process is there */

    /* Deadlines, in ns since the start; 0: none. */
    uint64_t wall_at, stop_at, kill_at, tick_at, resume_at;
    unsigned cpus;                      /* on how many it may run at once */
    int stopping;                       /* the signal by which it was told to stop; 0 */
    bool early;                         /* that was before the app was known to be there */
    bool killed;                        /* by us */
    bool over_output, over_cputime, over_walltime, out_of_memory;

    int listener;                       /* what the filter asks of us; -1 */
    pid_t app_pid;                      /* in the box; 0: not known yet */
    int32_t fatal_call;                 /* for which the filter had the app killed; -1 */
    struct mb_refusal refused[MB_REFUSALS];

    int32_t ended_how;                  /* CLD_*; 0: it has not ended by itself */
    uint32_t ended_status;
    uint64_t ended_ns, processes;

    struct mb_relay in, out[2];
    bool raw;                           /* the caller's terminal is in raw mode */
    int guard;                          /* write end of the pipe to the one that restores it; -1 */
    pid_t guard_pid;
    struct termios saved;               /* the modes that the caller's terminal had */
};

/* supervise.c */
/* From the box's start until init is dead. */
void mb_supervise(struct mb_engine *engine);
/* Wait for the dead init. */
void mb_reap(struct mb_engine *engine);
/* Kill all of it at once. */
void mb_kill_box(struct mb_engine *engine);
/* Whether a signal has come that would end any other program. */
bool mb_told_to_end(struct mb_engine *engine);

/* listener.c */
/* The listener has *events*: answer one question, or see that nobody is left to ask. */
void mb_listener_run(struct mb_engine *engine, short events);

/* relay.c */
void mb_relays_open(struct mb_engine *engine);
/* The terminal's master has come from init. */
void mb_relays_terminal(struct mb_engine *engine, int master);
/* Fill in what to poll for; the number of entries written (MB_RELAY_FDS). */
int mb_relays_poll(struct mb_engine *engine, struct pollfd *fds);
/* Carry what can be carried without waiting. */
void mb_relays_run(struct mb_engine *engine);
/* Whether the box has written more than it may. */
bool mb_relays_over(const struct mb_engine *engine);
/* The box is dead: hand on what is left, as long as the caller takes it. */
void mb_relays_finish(struct mb_engine *engine);
void mb_terminal_resize(struct mb_engine *engine);
/* Put the caller's terminal, if the box has one, in raw mode. False: it is the shell's at the moment. */
bool mb_terminal_raw(struct mb_engine *engine);
void mb_terminal_restore(struct mb_engine *engine);

/* report.c */
/* Whether output was lost that somebody waits for: a full disk, not a reader that went away. */
bool mb_lost(const struct mb_engine *engine);
void mb_fill_report(struct mb_engine *engine, struct mb_report *report);
int mb_write_report(const struct mb_engine *engine, const struct mb_report *report, int fd);
