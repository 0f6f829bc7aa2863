/* The engine's report and the board on which every process of a box notes its steps.
 * minibox/report.py has the same layout. */
#pragma once
#include <stdint.h>
#include <sys/resource.h>
#include "plan.h"

/* One step's outcome. It lies in a page that engine, init and app share until exec, so that noting
 * costs no system call and what was noted survives whoever noted it. Plain stores, one writer. */
struct mb_record { uint16_t state, call; int32_t err; uint64_t ns; };
_Static_assert(sizeof(struct mb_record) == 16, "as minibox/report.py reads it");
enum mb_state { MB_NOT_REACHED, MB_BEGUN, MB_DONE, MB_FAILED };

/* In the order of precedence: where more than one holds, the later one is said. */
enum mb_reason { MB_EXITED, MB_SIGNALED, MB_SECCOMP, MB_STOPPED, MB_OUTPUT, MB_CPUTIME, MB_WALLTIME,
                 MB_MEMORY, MB_SETUP };
enum mb_cause { MB_UNKNOWN, MB_NOT_IN_PATH, MB_MISSING, MB_DIRECTORY, MB_NOT_EXECUTABLE, MB_NOEXEC,
                MB_INTERPRETER_MISSING, MB_INTERPRETER_CRLF, MB_LOADER_MISSING,
                MB_WRONG_ARCHITECTURE, MB_NOT_A_PROGRAM, MB_UNREACHABLE, MB_DANGLING_LINK,
                MB_LINK_LOOP, MB_TOO_LONG, MB_BUSY };

/* Calls that the filter refused: *verdict* as of a filter; call -1: those that found no place here. */
struct mb_refusal { int32_t call; uint32_t verdict; uint64_t count; };
#define MB_REFUSALS 64u

#define MB_DETAIL 512

struct mb_board {
    volatile int32_t cause;             /* enum mb_cause, of a failed exec */
    volatile uint32_t detail_size;
    char detail[MB_DETAIL];             /* text that goes with the failed step, not NUL-terminated */
    volatile uint64_t exec_ns;          /* when the app was about to exec; 0: it never was */
    struct rusage usage;                /* of all that init waited for, when it said ENDED; without an
                                           init, of the app */
    struct mb_record steps[MB_MAX_STEPS];
};

struct mb_report {
    char magic[8];                      /* "mbreport" */
    uint32_t version, size;             /* 1; whole block, with the records that follow */
    uint32_t reason;
    int32_t exit_status;                /* what `minibox run` exits with */
    int32_t ended_how;                  /* CLD_EXITED, CLD_KILLED, CLD_DUMPED of the app; 0: it never ran */
    uint32_t ended_status;              /* its exit code or signal */
    int32_t failed_step, err;           /* index over all parts, -1 none; positive errno */
    uint32_t call, cause;
    int32_t stop_signal;                /* the signal by which we were told to end it; 0 none */
    int32_t fatal_call;                 /* for which the filter had the app killed; -1 none */
    int64_t lease;                      /* first id of the leased range; -1 none */
    uint64_t started_ns;                /* CLOCK_REALTIME */
    uint64_t exec_ns, end_ns;           /* since the start, CLOCK_MONOTONIC */
    uint64_t user_ns, system_ns, max_rss_bytes, minor_faults, major_faults, voluntary_switches,
             involuntary_switches, processes;   /* the board's usage; processes: that init reaped, 0
                                           if it was killed: then there is none of the box */
    int64_t figures[MB_FIGURE_COUNT];   /* -1: not measured */
    uint64_t stdout_bytes, stderr_bytes, stdout_kept_bytes, stderr_kept_bytes;
    uint32_t step_count, refusal_count, detail_size, pad;
    char name[16];
    char detail[MB_DETAIL];
};                                      /* step_count records and refusal_count refusals follow */
