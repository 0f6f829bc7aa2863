/* PID 1 of a box: finishes set-up, then reaps, forwards and watches. When the app ends it ends all others
 * and exits; if it is killed, the kernel ends them.  When the engine dies, so does it. */
#include <linux/magic.h>
#include <linux/prctl.h>
#include <linux/wait.h>
#include <string.h>
#include "files.h"
#include "link.h"

#define TICK_NS UINT64_C(10000000)      /* USER_HZ is 100 on every architecture that we know */

static void report_to_engine(const struct mb_box *box, uint32_t type, int32_t value, uint64_t first,
                             uint64_t second, uint64_t third)
{
    struct mb_message message = { type, value, { first, second, third } };

    if (mb_link_send(box->link, &message, NULL, 0))
        mb_exit(125);                   /* the engine is dead */
}

/* ---- samples: what the box uses, where no cgroup counts it ---- */

/* The number in field *wanted* (from 1) of a /proc/PID/stat line; the name in it may hold anything. */
static uint64_t field_of(const char *line, int wanted)
{
    const char *at = strrchr(line, ')');
    uint64_t value = 0;

    for (int field = 2; at && *at && field < wanted; field++) {
        at = strchr(at, ' ');
        at = at ? at + 1 : NULL;
    }
    for (; at && *at >= '0' && *at <= '9'; at++)
        value = value * 10 + (uint64_t)(*at - '0');
    return value;
}

/* The CPU clock of process *pid*, all its threads: exact, where stat(5) has four numbers of whole ticks.
 * 0: it is gone; or it is init, whose own work is not the box's.
 * Source: clock_getcpuclockid(3); the number is the kernel's, linux/posix-timers.h. */
static uint64_t clock_of(const char *pid)
{
    unsigned number = 0;

    for (; *pid >= '0' && *pid <= '9'; pid++)
        number = number * 10 + (unsigned)(*pid - '0');
    return number == (unsigned)mb_getpid() ? 0 : mb_clock_ns((int)(~number << 3 | 2));
}

static void count_process(int proc, const char *pid, uint64_t sums[3])
{
    char path[32], line[1024];

    size_t size = strlen(pid);
    if (size > 20)
        return;
    memcpy(path, pid, size);
    memcpy(path + size, "/stat", 6);
    if (mb_read_file(proc, path, line, sizeof line) <= 0)
        return;                         /* it has just ended */
    sums[0] += clock_of(pid);
    for (int field = 16; field <= 17; field++)      /* the time of its reaped children */
        sums[0] += field_of(line, field) * TICK_NS;
    sums[1] += field_of(line, 24) * 4096;
    sums[2]++;
}

struct entry { uint64_t inode, offset; uint16_t size; uint8_t type; char name[]; };

/* What the app could have put in the place of /proc is no proc: only set-up can mount one. */
static int open_proc(void)
{
    struct statfs about;
    int proc = mb_open("/proc", O_RDONLY | O_DIRECTORY);

    if (proc < 0 || mb_fstatfs(proc, &about) || about.f_type != PROC_SUPER_MAGIC)
        mb_exit(125);                   /* a cap that cannot be watched is not to be passed unseen */
    return proc;
}

static void sample(const struct mb_box *box)
{
    _Alignas(8) char entries[4096];
    uint64_t sums[3] = {0};
    MB_FD proc = open_proc();
    ssize_t size;

    while ((size = mb_getdents64(proc, entries, sizeof entries)) > 0)
        for (ssize_t at = 0; at < size;) {
            const struct entry *entry = (const struct entry *)(const void *)(entries + at);
            if (entry->name[0] >= '1' && entry->name[0] <= '9')
                count_process(proc, entry->name, sums);
            at += entry->size;
        }
    report_to_engine(box, MB_SAMPLED, 0, sums[0], sums[1], sums[2]);
}

/* ---- the end ---- */

/* How the app ended, once it has, and how many were reaped. */
struct harvest { int how; uint64_t status, reaped; };

/* Reap one, with wait4's *options*. False: there is none. */
static bool reap_one(const struct mb_box *box, struct harvest *harvest, int options)
{
    int status = 0;
    pid_t pid = mb_wait4(-1, &status, options, NULL);

    if (pid <= 0)
        return false;
    harvest->reaped++;
    if (pid == box->app_pid) {
        int signal = status & 0x7f;
        harvest->how = signal ? (status & 0x80 ? CLD_DUMPED : CLD_KILLED) : CLD_EXITED;
        harvest->status = (uint64_t)(signal ? signal : status >> 8 & 0xff);
    }
    return true;
}

/* The kernel would kill all others as we exit, but not count what they used. What init itself used, for
 * the set-up and the end, is no part of it. */
_Noreturn static void end_box(const struct mb_box *box, struct harvest *harvest)
{
    if (box->shares_pids)
        mb_kill_cgroups(box);           /* returns when they are dead */
    else
        mb_kill(-1, SIGKILL);
    while (reap_one(box, harvest, box->shares_pids ? WNOHANG : 0))
        ;
    mb_getrusage(RUSAGE_CHILDREN, &box->board->usage);
    report_to_engine(box, MB_ENDED, harvest->how, harvest->status, harvest->reaped, 0);
    mb_exit(0);
}

/* ---- the loop ---- */

/* A key on the terminal means the whole job; the rest means the app. */
static void pass_on(const struct mb_box *box, int signal)
{
    bool job = signal == SIGINT || signal == SIGQUIT || signal == SIGHUP;

    if (!job || mb_kill(-box->app_pid, signal))
        mb_kill(box->app_pid, signal);
}

static void listen_to_engine(const struct mb_box *box, struct harvest *harvest)
{
    struct mb_message message;

    int err = mb_link_receive(box->link, &message, NULL, 0, MSG_DONTWAIT);
    if (err == -EAGAIN)
        return;
    if (err)
        end_box(box, harvest);          /* the engine is dead */
    switch (message.type) {
    case MB_SEND_SIGNAL:
        pass_on(box, message.value);
        break;
    case MB_STOP_ALL:
        mb_kill(box->shares_pids ? -box->app_pid : -1, SIGSTOP);
        break;
    case MB_CONTINUE_ALL:
        mb_kill(box->shares_pids ? -box->app_pid : -1, SIGCONT);
        break;
    case MB_KILL_ALL:
        end_box(box, harvest);
    case MB_SAMPLE:
        sample(box);
        break;
    }
}

_Noreturn static void look_after(const struct mb_box *box)
{
    const uint64_t children = MB_SIGNAL_BIT(SIGCHLD);
    struct harvest harvest = {0};
    char caught[128];
    int signals = mb_signalfd4(-1, &children, O_NONBLOCK);

    if (signals < 0)
        mb_exit(125);
    for (;;) {
        struct pollfd fds[] = { { box->link, POLLIN, 0 }, { signals, POLLIN, 0 } };
        if (mb_ppoll(fds, 2, NULL) < 0)
            continue;
        if (fds[1].revents) {
            mb_read(signals, caught, sizeof caught);
            while (!harvest.how && reap_one(box, &harvest, WNOHANG))
                ;
            if (harvest.how)
                end_box(box, &harvest);
        }
        if (fds[0].revents)
            listen_to_engine(box, &harvest);
    }
}

/* Of all that init holds of the caller's and the engine's, it needs the link, and the lease of its ids,
 * which must not end before it; and, where only a cgroup knows all of the box, that, and time to use it
 * when the engine has died. */
static void let_go(struct mb_box *box)
{
    if (box->shares_pids) {
        mb_prctl(PR_SET_PDEATHSIG, 0, 0, 0);
        return;
    }
    if (mb_dup3(box->link, 0, O_CLOEXEC) < 0)
        mb_exit(125);
    box->link = 0;
    if (box->lease_fd < 0 || mb_dup3(box->lease_fd, 1, O_CLOEXEC) < 0)
        mb_close(1);
    mb_close_range(2, ~0u, 0);
}

_Noreturn void mb_init(struct mb_box *box)
{
    if (box->shares_pids)
        mb_prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0);
    if (mb_run_part(box, MB_PART_ENTER))
        mb_exit(125);
    if (!box->has_init) {
        box->engine_link = box->link;
        mb_app(box);
    }
    let_go(box);
    mb_be_prompt();
    report_to_engine(box, MB_STARTED, box->app_pid, 0, 0, 0);
    look_after(box);
}

_Noreturn void mb_app(struct mb_box *box)
{
    mb_run_part(box, MB_PART_APP);
    mb_exit(125);
}
