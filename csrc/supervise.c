/* The engine while its box lives: one loop over init's pidfd, the link, signals, the caller's control
 * pipe and the streams.  Deadlines are the loop's own timeout, so a box that lives for a millisecond costs
 * no descriptors of timers. */
#include <linux/wait.h>
#include <string.h>
#include "engine.h"
#include "files.h"
#include "link.h"

enum mb_op { MB_OP_SIGNAL = 1, MB_OP_STOP, MB_OP_KILL, MB_OP_WINSIZE };     /* minibox/engine.py */

#define MILLISECOND UINT64_C(1000000)

/* Who watches a cap sleeps, and is to run at once when it wakes, for as long as a cap may be exceeded by.
 * The shorter the slice that a process asks for, the earlier its turn (Linux 6.12; older kernels know no
 * slices of a process's own and change nothing). Its share of a CPU stays the same, so this needs no
 * privilege. Not where the caller chose another policy: that is meant. */
void mb_be_prompt(void)
{
    struct sched_attr attr = { .size = sizeof attr };

    if (mb_sched_getattr(0, &attr) < 0 || attr.sched_policy != SCHED_NORMAL)
        return;
    attr.sched_runtime = 100000;        /* ns; the least there is */
    mb_sched_setattr(0, &attr);
}

/* ---- ending the box ---- */

/* Kill all that a cgroup of the box holds, but for this process. */
void mb_kill_cgroups(const struct mb_box *box)
{
    static char pids[65536];
    pid_t self = mb_getpid();

    for (int n = 0; n < MB_MAX_CGROUPS; n++) {
        int dir = box->cgroups[n];
        bool found = dir >= 0 && mb_write_file(dir, "cgroup.kill", "1", 1);
        /* v1: forks go on while we read, so until none is left; but what cannot die is not waited for. */
        for (int tries = 0; found && tries < 1000; tries++) {
            found = false;
            if (mb_read_file(dir, "cgroup.procs", pids, sizeof pids) <= 0)
                break;
            for (const char *at = pids, *end; (end = strchr(at, '\n')); at = end + 1) {
                pid_t pid = 0;          /* only of a whole line: a part of a pid is another's pid */
                for (; at < end; at++)
                    pid = pid * 10 + *at - '0';
                if (pid && pid != self && !mb_kill(pid, SIGKILL))
                    found = true;
            }
        }
    }
}

void mb_kill_box(struct mb_engine *engine)
{
    if (engine->box.init_pidfd >= 0)
        mb_pidfd_send_signal(engine->box.init_pidfd, SIGKILL);
    if (engine->box.shares_pids)
        mb_kill_cgroups(&engine->box);
}

static void tell_init(struct mb_engine *engine, uint32_t type, int32_t value)
{
    struct mb_message message = { .type = type, .value = value };

    if (engine->box.link >= 0)
        mb_link_send(engine->box.link, &message, NULL, 0);
}

/* Init is in the box's cgroups: a box that has used up its share of CPU would be killed when it next gets
 * some, up to a period (100 ms) later. */
static void lift_cpu_cap(const struct mb_box *box)
{
    for (int n = 0; n < MB_MAX_CGROUPS; n++)
        if (box->cgroups[n] >= 0 && mb_write_file(box->cgroups[n], "cpu.max", "max", 3))
            mb_write_file(box->cgroups[n], "cpu.cfs_quota_us", "-1", 2);
}

/* Init kills, because it can count what the others used while it reaps them; the kernel would not. One
 * that does not get to it (so many others want to run) is killed itself, and they with it. */
static void kill_box(struct mb_engine *engine)
{
    if (engine->killed)
        return;
    engine->killed = true;
    if (engine->started && engine->box.has_init && !engine->box.shares_pids) {
        tell_init(engine, MB_KILL_ALL, 0);
        lift_cpu_cap(&engine->box);
        engine->kill_at = mb_now(&engine->box) + 50 * MILLISECOND;
    } else
        mb_kill_box(engine);
}

/* Told to end the box by what would be *signal* to any other program. */
static void end_by(struct mb_engine *engine, int signal)
{
    if (!engine->stopping) {
        engine->stopping = signal;
        engine->early = !engine->started;
    }
    kill_box(engine);
}

/* ---- signals ---- */

static bool ends_a_program(int signal)
{
    return signal == SIGINT || signal == SIGTERM || signal == SIGHUP || signal == SIGQUIT;
}

static void forward(struct mb_engine *engine, int signal)
{
    if (!engine->started && ends_a_program(signal))
        end_by(engine, signal);         /* there is nobody yet who could want to tidy up */
    else if (!engine->started)
        engine->held |= MB_SIGNAL_BIT(signal);
    else if (engine->box.has_init)
        tell_init(engine, MB_SEND_SIGNAL, signal);
    else
        mb_pidfd_send_signal(engine->box.init_pidfd, signal);
}

/* Ask the app to end; it is killed when it has not by then. */
static void stop(struct mb_engine *engine, uint64_t timeout_ns)
{
    if (engine->stopping)
        return;
    if (!engine->started) {
        end_by(engine, SIGTERM);
        return;
    }
    engine->stopping = engine->box.watch.stop_signal ? engine->box.watch.stop_signal : SIGTERM;
    engine->stop_at = mb_now(&engine->box) + timeout_ns;
    forward(engine, engine->stopping);
}

/* Ctrl-Z, or a terminal wanted in the background: the box stops, then the engine itself, until the shell
 * continues it. */
static void suspend(struct mb_engine *engine)
{
    tell_init(engine, MB_STOP_ALL, 0);
    if (!engine->box.has_init)
        mb_pidfd_send_signal(engine->box.init_pidfd, SIGSTOP);
    mb_terminal_restore(engine);
    do
        mb_kill(mb_getpid(), SIGSTOP);
    while (!mb_terminal_raw(engine));               /* bg is not enough for it */
    tell_init(engine, MB_CONTINUE_ALL, 0);
    if (!engine->box.has_init)
        mb_pidfd_send_signal(engine->box.init_pidfd, SIGCONT);
}

static void act_on(struct mb_engine *engine, int signal)
{
    switch (signal) {
    case SIGCHLD:
    case SIGTTIN:
    case SIGTTOU:
        break;
    case SIGWINCH:
        if (engine->box.terminal)
            mb_terminal_resize(engine);
        else
            forward(engine, signal);
        break;
    case SIGTSTP:
        if (engine->started)
            suspend(engine);
        else
            engine->held |= MB_SIGNAL_BIT(signal);
        break;
    case SIGCONT:                                   /* after SIGSTOP the shell has set its own modes */
        mb_terminal_raw(engine);
        forward(engine, signal);
        break;
    case SIGTERM:
        stop(engine, engine->box.watch.stop_timeout_ns);
        break;
    default:
        forward(engine, signal);
    }
}

/* From <linux/signalfd.h>, of whose 128 bytes these matter. */
struct caught { uint32_t number; int32_t err, code; uint32_t pid; uint8_t rest[112]; };

/* The next signal that is for us, 0 if there is none. */
static int next_signal(struct mb_engine *engine)
{
    struct caught caught;

    while (mb_read(engine->signals, &caught, sizeof caught) == sizeof caught)
        if (caught.pid != (uint32_t)mb_getpid() &&  /* SIGPIPE, SIGXFSZ: our own writes */
            !(engine->ignored >> (caught.number - 1) & 1))
            return (int)caught.number;
    return 0;
}

static void take_signals(struct mb_engine *engine)
{
    for (int signal; (signal = next_signal(engine));)
        act_on(engine, signal);
}

bool mb_told_to_end(struct mb_engine *engine)
{
    for (int signal; (signal = next_signal(engine));)
        if (ends_a_program(signal))
            return true;
    return false;
}

/* ---- what init and the caller say ---- */

/* Set the next look at what the box uses: no later than all CPUs together could reach the cap. */
static void plan_tick(struct mb_engine *engine, uint64_t used_ns)
{
    const struct mb_box *box = &engine->box;
    uint64_t cap = box->watch.cputime_ns, next = (box->watch.rss_bytes ? 10 : 50) * MILLISECOND;

    if (cap && (cap - used_ns) / engine->cpus < next)
        next = (cap - used_ns) / engine->cpus;
    engine->tick_at = mb_now(box) + (next > MILLISECOND ? next : MILLISECOND);
}

static void look_at_sample(struct mb_engine *engine, uint64_t cpu_ns, uint64_t rss_bytes)
{
    const struct mb_box *box = &engine->box;

    if (box->watch.cputime_ns && cpu_ns >= box->watch.cputime_ns)
        engine->over_cputime = true;
    if (box->watch.rss_bytes && rss_bytes > box->watch.rss_bytes)
        engine->out_of_memory = true;
    if (engine->over_cputime || engine->out_of_memory)
        kill_box(engine);
    else
        plan_tick(engine, cpu_ns);
}

static void count_cpus(struct mb_engine *engine)
{
    uint64_t mask[128] = {0};

    mb_sched_getaffinity(0, sizeof mask, mask);
    for (size_t n = 0; n < sizeof mask / sizeof *mask; n++)
        for (; mask[n]; mask[n] &= mask[n] - 1)
            engine->cpus++;
    engine->cpus += !engine->cpus;
}

static void start_clocks(struct mb_engine *engine)
{
    const struct mb_box *box = &engine->box;

    if (engine->started)
        return;
    engine->started = true;
    if (box->watch.walltime_ns)
        engine->wall_at = mb_now(box) + box->watch.walltime_ns;
    if (box->watch.cputime_ns || box->watch.rss_bytes) {
        count_cpus(engine);
        plan_tick(engine, 0);
    }
    if (!mb_terminal_raw(engine))
        suspend(engine);
    for (int signal = 1; signal <= 64; signal++)
        if (engine->held >> (signal - 1) & 1)
            act_on(engine, signal);
}

static void link_over(struct mb_engine *engine)
{
    mb_close(engine->box.link);
    engine->box.link = -1;
    if (!engine->box.has_init)
        start_clocks(engine);                       /* closed by exec */
}

/* Take one message from init. False: there is none. */
static bool take_message(struct mb_engine *engine)
{
    struct mb_message message;
    int fd;

    if (engine->box.link < 0)
        return false;
    int err = mb_link_receive(engine->box.link, &message, &fd, 1, MSG_DONTWAIT);
    if (err) {
        if (err != -EAGAIN)
            link_over(engine);
        return false;
    }
    switch (message.type) {
    case MB_TERMINAL:
        mb_relays_terminal(engine, mb_keep(&fd));
        break;
    case MB_LISTENER:
        engine->listener = mb_keep(&fd);
        break;
    case MB_STARTED:
        engine->app_pid = message.value;
        start_clocks(engine);
        break;
    case MB_ENDED:
        engine->ended_how = message.value;
        engine->ended_status = (uint32_t)message.data[0];
        engine->processes = message.data[1];
        engine->wall_at = engine->stop_at = engine->kill_at = engine->tick_at = 0;
        break;
    case MB_SAMPLED:
        engine->box.figures[MB_FIGURE_CPU_NS] = (int64_t)message.data[0];
        look_at_sample(engine, message.data[0], message.data[1]);
        break;
    }
    if (fd >= 0)
        mb_close(fd);
    return true;
}

static void take_control(struct mb_engine *engine)
{
    struct { uint32_t op; int32_t value; } asked;
    ssize_t size = mb_read(engine->control, &asked, sizeof asked);

    if (size != sizeof asked) {                     /* the caller is gone: so is the box */
        mb_close(engine->control);
        engine->control = -1;
        end_by(engine, SIGKILL);
        return;
    }
    switch (asked.op) {
    case MB_OP_SIGNAL:
        if (asked.value > 0 && asked.value <= 64)
            forward(engine, asked.value);
        break;
    case MB_OP_STOP:
        stop(engine, asked.value < 0 ? engine->box.watch.stop_timeout_ns
                                     : (uint64_t)asked.value * MILLISECOND);
        break;
    case MB_OP_KILL:
        end_by(engine, SIGKILL);
        break;
    case MB_OP_WINSIZE:
        mb_terminal_resize(engine);
        break;
    }
}

/* ---- time ---- */

/* The step that reads the box's CPU time from a cgroup, -1: there is none. */
static int cpu_step(const struct mb_box *box)
{
    for (uint32_t n = box->plan->first[MB_PART_FINISH]; n < box->plan->total; n++) {
        const struct mb_step *step = mb_step_at(box->plan, n);
        if (step->kind == MB_READ_CGROUP &&
            ((const struct mb_read_cgroup *)(const void *)step)->figure == MB_FIGURE_CPU_NS)
            return (int)n;
    }
    return -1;
}

static void tick(struct mb_engine *engine)
{
    struct mb_box *box = &engine->box;
    int step = box->watch.cputime_ns && !box->watch.rss_bytes ? cpu_step(box) : -1;

    if (step >= 0 && !mb_run_step(box, (uint32_t)step) && box->figures[MB_FIGURE_CPU_NS] >= 0)
        look_at_sample(engine, (uint64_t)box->figures[MB_FIGURE_CPU_NS], 0);
    else
        tell_init(engine, MB_SAMPLE, 0);            /* its answer sets the next tick */
}

/* Whether the moment *at* has come; it then does not come again. */
static bool is_due(uint64_t *at, uint64_t now)
{
    bool due = *at && now >= *at;

    if (due)
        *at = 0;
    return due;
}

static void look_at_clock(struct mb_engine *engine)
{
    const struct mb_box *box = &engine->box;
    uint64_t now = mb_now(box), exec_ns = box->board->exec_ns;
    uint64_t end = (exec_ns ? exec_ns : now) + box->watch.walltime_ns;

    if (is_due(&engine->wall_at, now)) {
        engine->over_walltime = now >= end;
        if (engine->over_walltime)
            kill_box(engine);
        else
            engine->wall_at = end;                  /* it began later than we knew */
    }
    if (is_due(&engine->stop_at, now))
        kill_box(engine);
    if (is_due(&engine->kill_at, now))
        mb_kill_box(engine);
    if (engine->in.paused && !engine->resume_at)    /* no signal tells that we are in the foreground */
        engine->resume_at = now + 100 * MILLISECOND;
    if (is_due(&engine->resume_at, now))
        engine->in.paused = false;
    if (is_due(&engine->tick_at, now) && !engine->killed)
        tick(engine);
}

/* How long nothing is to be done for, as ppoll wants it; NULL: until something happens. */
static struct timespec *next_deadline(const struct mb_engine *engine, struct timespec *room)
{
    const uint64_t all[] = { engine->wall_at, engine->stop_at, engine->kill_at, engine->tick_at,
                             engine->resume_at };
    uint64_t first = 0, now = mb_now(&engine->box);

    for (size_t n = 0; n < sizeof all / sizeof *all; n++)
        if (all[n] && (!first || all[n] < first))
            first = all[n];
    if (!first)
        return NULL;
    uint64_t left = first > now ? first - now : 0;
    *room = (struct timespec){ (time_t)(left / 1000000000), (long)(left % 1000000000) };
    return room;
}

/* ---- the loop ---- */

enum { AT_INIT, AT_LINK, AT_SIGNALS, AT_OOM, AT_CONTROL, AT_LISTENER, AT_RELAYS, PLACES = AT_RELAYS + MB_RELAY_FDS };

void mb_supervise(struct mb_engine *engine)
{
    struct mb_box *box = &engine->box;

    mb_be_prompt();
    mb_relays_open(engine);
    for (bool alive = true; alive;) {
        struct pollfd fds[PLACES] = {
            [AT_INIT] = { box->init_pidfd, POLLIN, 0 }, [AT_LINK] = { box->link, POLLIN, 0 },
            [AT_SIGNALS] = { engine->signals, POLLIN, 0 }, [AT_OOM] = { box->oom_event, POLLIN, 0 },
            [AT_CONTROL] = { engine->control, POLLIN, 0 },
            [AT_LISTENER] = { engine->listener, POLLIN, 0 } };
        struct timespec room;
        int count = AT_RELAYS + mb_relays_poll(engine, fds + AT_RELAYS);
        if (mb_ppoll(fds, (unsigned)count, next_deadline(engine, &room)) < 0)
            continue;
        while (take_message(engine))
            ;
        if (fds[AT_SIGNALS].revents)
            take_signals(engine);
        if (fds[AT_CONTROL].revents)
            take_control(engine);
        if (fds[AT_OOM].revents) {
            uint64_t times;
            mb_read(box->oom_event, &times, sizeof times);
            engine->out_of_memory = true;
            kill_box(engine);
        }
        if (fds[AT_LISTENER].revents)
            mb_listener_run(engine, fds[AT_LISTENER].revents);
        mb_relays_run(engine);
        if (mb_relays_over(engine)) {
            engine->over_output = true;
            kill_box(engine);
        }
        look_at_clock(engine);
        alive = !fds[AT_INIT].revents;
    }
}

/* Reap init, and take the last messages from it. */
void mb_reap(struct mb_engine *engine)
{
    struct mb_box *box = &engine->box;
    int status = 0;

    while (take_message(engine))
        ;
    if (box->shares_pids)
        mb_kill_cgroups(box);
    struct rusage *usage = box->has_init ? NULL : &box->board->usage;
    if (mb_wait4(box->init_pid, &status, 0, usage) != box->init_pid)
        return;
    engine->ended_ns = mb_now(box);
    if (engine->ended_how)
        return;
    int signal = status & 0x7f;                     /* init was killed, or is the app itself */
    engine->ended_how = signal ? CLD_KILLED : CLD_EXITED;
    engine->ended_status = (uint32_t)(signal ? signal : status >> 8 & 0xff);
    if (!signal && box->has_init) {                 /* init gave up: it was no end of the app's */
        engine->ended_how = CLD_KILLED;
        engine->ended_status = SIGKILL;
    }
}
