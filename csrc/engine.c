/* minibox-engine: walks a plan, supervises the box, reports. One for each box; no policy. */
#include <asm/ioctls.h>
#include <linux/wait.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include "engine.h"
#include "files.h"
#include "link.h"
#include "probe.h"
#include "text.h"

enum mb_op { MB_OP_SIGNAL = 1, MB_OP_STOP, MB_OP_KILL, MB_OP_WINSIZE };     /* minibox/engine.py */

#define KILL_NS UINT64_C(200000000)     /* how long init may take to end all others */

extern char **environ;

struct options {
    const char *file;                   /* a saved plan */
    int plan, report, control;          /* descriptors, -1: none */
    char **tell;                        /* whom to tell at the end, NULL: nobody */
    bool always;
};

/* ---- ending the box ---- */

/* Without a PID namespace nothing but the cgroup knows all processes of the box. */
static void kill_cgroup(const struct mb_box *box)
{
    static char pids[65536];

    for (int n = 0; n < MB_MAX_CGROUPS; n++) {
        if (box->cgroups[n] < 0 || !mb_write_file(box->cgroups[n], "cgroup.kill", "1", 1))
            continue;
        while (mb_read_file(box->cgroups[n], "cgroup.procs", pids, sizeof pids) > 0)
            for (char *at = pids; *at; at += strcspn(at, "\n"), at += *at == '\n') {
                pid_t pid = 0;
                for (const char *digit = at; *digit >= '0' && *digit <= '9'; digit++)
                    pid = pid * 10 + *digit - '0';
                mb_kill(pid, SIGKILL);
            }
    }
}

static void tell_init(struct mb_engine *engine, uint32_t type, int32_t value)
{
    struct mb_message message = { .type = type, .value = value };

    if (engine->box.link >= 0)
        mb_link_send(engine->box.link, &message, NULL, 0);
}

static void kill_at_once(struct mb_engine *engine)
{
    if (engine->box.init_pidfd >= 0)
        mb_pidfd_send_signal(engine->box.init_pidfd, SIGKILL);
    if (engine->box.shares_pids)
        kill_cgroup(&engine->box);
}

/* init kills all others and waits for them, so that what they used is counted: of the processes that
 * go down with a killed PID 1 the kernel adds up nothing. One that does not manage is killed itself. */
static void kill_box(struct mb_engine *engine)
{
    if (!engine->started || !engine->box.has_init || engine->box.shares_pids)
        kill_at_once(engine);
    else if (!engine->kill_at) {
        engine->kill_at = mb_now(&engine->box) + KILL_NS;
        tell_init(engine, MB_KILL_ALL, 0);
    }
}

/* ---- signals ---- */

static void forward(struct mb_engine *engine, int signal)
{
    if (!engine->started)
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
    engine->stopping = engine->box.watch.stop_signal ? engine->box.watch.stop_signal : SIGTERM;
    engine->stop_at = mb_now(&engine->box) + timeout_ns;
    forward(engine, engine->stopping);
}

static void kill_on_request(struct mb_engine *engine)
{
    if (!engine->stopping)
        engine->stopping = SIGKILL;
    kill_box(engine);
}

/* Ctrl-Z: the box stops, then the engine itself, until the shell continues it. */
static void suspend(struct mb_engine *engine)
{
    tell_init(engine, MB_STOP_ALL, 0);
    if (!engine->box.has_init)
        mb_pidfd_send_signal(engine->box.init_pidfd, SIGSTOP);
    mb_terminal_restore(engine);
    mb_kill(mb_getpid(), SIGSTOP);
    if (engine->box.terminal_master >= 0)
        mb_terminal_raw(engine);
    tell_init(engine, MB_CONTINUE_ALL, 0);
    if (!engine->box.has_init)
        mb_pidfd_send_signal(engine->box.init_pidfd, SIGCONT);
}

/* From <linux/signalfd.h>, of whose 128 bytes these matter. */
struct caught { uint32_t number; int32_t err, code; uint32_t pid; uint8_t rest[112]; };

static void take_signal(struct mb_engine *engine)
{
    struct caught caught;

    if (mb_read(engine->signals, &caught, sizeof caught) != sizeof caught)
        return;
    int signal = (int)caught.number;
    if (caught.pid == (uint32_t)mb_getpid())        /* SIGPIPE, SIGXFSZ: our own writes */
        return;
    if (engine->ignored >> (signal - 1) & 1)
        return;
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
        suspend(engine);
        break;
    case SIGTERM:
        stop(engine, engine->box.watch.stop_timeout_ns);
        break;
    default:
        forward(engine, signal);
    }
}

/* ---- what init and the caller say ---- */

static void start_clocks(struct mb_engine *engine)
{
    const struct mb_box *box = &engine->box;

    engine->started = true;
    if (box->watch.walltime_ns)
        engine->wall_at = mb_now(box) + box->watch.walltime_ns;
    if (box->watch.cputime_ns || box->watch.rss_bytes)
        engine->tick_at = mb_now(box) + 1000000;
    for (int signal = 1; signal <= 64; signal++)
        if (engine->held >> (signal - 1) & 1)
            forward(engine, signal);
}

static void look_at_sample(struct mb_engine *engine, uint64_t cpu_ns, uint64_t rss_bytes)
{
    const struct mb_box *box = &engine->box;
    uint64_t cap = box->watch.cputime_ns, next = 50000000;

    if (cap && cpu_ns >= cap)
        engine->over_cputime = true;
    if (box->watch.rss_bytes && rss_bytes > box->watch.rss_bytes)
        engine->out_of_memory = true;
    if (engine->over_cputime || engine->out_of_memory)
        kill_box(engine);
    if (cap && cpu_ns < cap && (cap - cpu_ns) / 8 < next)       /* eight CPUs reach it no sooner */
        next = (cap - cpu_ns) / 8;
    engine->tick_at = mb_now(box) + (next > 1000000 ? next : 1000000);
}

/* False: init is dead, or the app has taken its place. */
static bool take_message(struct mb_engine *engine)
{
    struct mb_message message;
    int fd;

    int err = mb_link_receive(engine->box.link, &message, &fd, 1, MSG_DONTWAIT);
    if (err == -EAGAIN)
        return true;
    if (err)
        return false;
    switch (message.type) {
    case MB_TERMINAL:
        mb_relays_terminal(engine, fd);
        return true;
    case MB_STARTED:
        start_clocks(engine);
        break;
    case MB_ENDED:
        engine->ended_how = message.value;
        engine->ended_status = (uint32_t)message.data[0];
        engine->processes = message.data[1];
        engine->ended_ns = mb_now(&engine->box);
        break;
    case MB_SAMPLED:
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
        kill_on_request(engine);
        return;
    }
    switch (asked.op) {
    case MB_OP_SIGNAL:
        if (asked.value > 0 && asked.value <= 64)
            forward(engine, asked.value);
        break;
    case MB_OP_STOP:
        stop(engine, asked.value < 0 ? engine->box.watch.stop_timeout_ns
                                     : (uint64_t)asked.value * 1000000);
        break;
    case MB_OP_KILL:
        kill_on_request(engine);
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

    engine->tick_at = 0;
    if (step >= 0 && !mb_run_step(box, (uint32_t)step) && box->figures[MB_FIGURE_CPU_NS] >= 0)
        look_at_sample(engine, (uint64_t)box->figures[MB_FIGURE_CPU_NS], 0);
    else
        tell_init(engine, MB_SAMPLE, 0);            /* its answer sets the next tick */
}

static void look_at_clock(struct mb_engine *engine)
{
    const struct mb_box *box = &engine->box;
    uint64_t now = mb_now(box), end = box->board->exec_ns + box->watch.walltime_ns;

    if (engine->wall_at && now >= engine->wall_at) {
        if (now >= end) {
            engine->wall_at = 0;
            engine->over_walltime = true;
            kill_box(engine);
        } else
            engine->wall_at = end;                  /* it began later than we knew */
    }
    if (engine->stop_at && now >= engine->stop_at) {
        engine->stop_at = 0;
        kill_box(engine);
    }
    if (engine->kill_at && now >= engine->kill_at) {
        engine->kill_at = now + KILL_NS;
        kill_at_once(engine);
    }
    if (engine->tick_at && now >= engine->tick_at)
        tick(engine);
}

/* How long nothing is to be done for, as ppoll wants it; NULL: until something happens. */
static struct timespec *next_deadline(const struct mb_engine *engine, struct timespec *room)
{
    const uint64_t all[] = { engine->wall_at, engine->stop_at, engine->kill_at, engine->tick_at };
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

enum { AT_INIT, AT_LINK, AT_SIGNALS, AT_OOM, AT_CONTROL, AT_RELAYS, PLACES = AT_RELAYS + 6 };

static void link_over(struct mb_engine *engine)
{
    mb_close(engine->box.link);
    engine->box.link = -1;
    if (!engine->box.has_init)
        start_clocks(engine);                       /* closed by exec */
}

static void supervise(struct mb_engine *engine)
{
    struct mb_box *box = &engine->box;

    mb_relays_open(engine);
    for (bool alive = true; alive;) {
        struct pollfd fds[PLACES] = {
            [AT_INIT] = { box->init_pidfd, POLLIN, 0 }, [AT_LINK] = { box->link, POLLIN, 0 },
            [AT_SIGNALS] = { engine->signals, POLLIN, 0 }, [AT_OOM] = { box->oom_event, POLLIN, 0 },
            [AT_CONTROL] = { engine->control, POLLIN, 0 } };
        struct timespec room;
        int count = AT_RELAYS + mb_relays_poll(engine, fds + AT_RELAYS);
        if (mb_ppoll(fds, (unsigned)count, next_deadline(engine, &room)) < 0)
            continue;
        if (fds[AT_LINK].revents)
            while (box->link >= 0 && !(fds[AT_LINK].revents = 0) && !take_message(engine))
                link_over(engine);
        if (fds[AT_SIGNALS].revents)
            take_signal(engine);
        if (fds[AT_CONTROL].revents)
            take_control(engine);
        if (fds[AT_OOM].revents) {
            uint64_t times;
            mb_read(box->oom_event, &times, sizeof times);
            engine->out_of_memory = true;
            kill_box(engine);
        }
        mb_relays_run(engine);
        if (box->watch.output_bytes && !engine->over_output &&
            engine->out[0].total + engine->out[1].total > box->watch.output_bytes) {
            engine->over_output = true;
            kill_box(engine);
        }
        look_at_clock(engine);
        alive = !fds[AT_INIT].revents;
    }
}

/* Reap init, whose usage counts all that ever was in the box, and take the last messages from it. */
static void reap(struct mb_engine *engine)
{
    struct mb_box *box = &engine->box;
    int status = 0;

    while (box->link >= 0 && take_message(engine) && engine->box.link >= 0 && !engine->ended_how) {
        struct pollfd more = { box->link, POLLIN, 0 };
        struct timespec none = { 0, 0 };
        if (mb_ppoll(&more, 1, &none) <= 0)
            break;
    }
    if (engine->box.shares_pids)
        kill_cgroup(box);
    if (mb_wait4(box->init_pid, &status, 0, &engine->usage) != box->init_pid)
        return;
    if (!engine->ended_ns)
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

/* ---- start and end ---- */

/* A box never gets what lies on a descriptor that the caller had closed. */
static void fill_streams(void)
{
    for (int stream = 0; stream < 3; stream++)
        if (mb_fcntl(stream, F_GETFD, 0) == -EBADF)
            mb_openat(AT_FDCWD, "/dev/null", O_RDWR, 0);
    for (int stream = 0; stream < 3; stream++)
        mb_fcntl(stream, F_SETFD, 0);
}

static void block_signals(struct mb_engine *engine)
{
    const uint64_t all = MB_ALL_SIGNALS;

    mb_sigprocmask(SIG_SETMASK, &all, NULL);
    for (int signal = 1; signal < 32; signal++) {
        struct mb_sigaction now = {0};
        const struct mb_sigaction standard = {0};
        if (!mb_sigaction(signal, NULL, &now) && now.handler == SIG_IGN) {
            bool meant = signal == SIGHUP || signal == SIGINT || signal == SIGQUIT;
            engine->ignored |= meant ? MB_SIGNAL_BIT(signal) : 0;
            mb_sigaction(signal, &standard, NULL);  /* an ignored SIGCHLD would reap for us */
        }
    }
}

static void say(const char *what, const char *more)
{
    char text[1024];
    struct mb_line line = mb_line(text, sizeof text);

    mb_put(&line, "minibox-engine: ");
    mb_put(&line, what);
    mb_put(&line, more);
    mb_put(&line, "\n");
    mb_write(2, text, mb_line_size(&line));
}

static int number(const char *text)
{
    int value = 0;

    for (; *text >= '0' && *text <= '9' && value < 1 << 20; text++)
        value = value * 10 + *text - '0';
    return *text ? -1 : value;
}

static bool read_options(struct options *options, int argc, char **argv)
{
    *options = (struct options){ .plan = -1, .report = -1, .control = -1 };
    for (int n = 1; n < argc; n++) {
        int *fd = !strcmp(argv[n], "--plan") ? &options->plan
                : !strcmp(argv[n], "--report") ? &options->report
                : !strcmp(argv[n], "--control") ? &options->control : NULL;
        if (fd) {
            if (++n == argc || (*fd = number(argv[n])) < 3)
                return false;
        } else if (!strcmp(argv[n], "--tell") || !strcmp(argv[n], "--tell-always")) {
            options->always = argv[n][6] == '-';
            options->tell = argv + n + 1;
            break;
        } else if (argv[n][0] == '-' || options->file) {
            return false;
        } else
            options->file = argv[n];
    }
    return (options->plan >= 0) != (options->file != NULL) && (!options->tell || *options->tell);
}

/* A copy of the plan, so that nobody can change it once it is checked. */
static const char *load(struct mb_engine *engine, const struct options *options, struct mb_plan *plan)
{
    struct stat about;
    int fd = options->file ? mb_open(options->file, O_RDONLY) : options->plan;

    if (fd < 0 || mb_fstat(fd, &about))
        return "it cannot be opened";
    if (about.st_size <= 0 || about.st_size > MB_MAX_SIZE)
        return "it is empty, or too large";
    size_t size = (size_t)about.st_size, done = 0;
    long room = mb_mmap(size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1);
    if (room < 0 && room > -4096)
        return "there is no memory for it";
    while (done < size) {
        ssize_t more = mb_pread(fd, (char *)room + done, size - done, (off_t)done);
        if (more <= 0)
            return "it cannot be read";
        done += (size_t)more;
    }
    engine->plan_fd = fd;
    return mb_plan_check(plan, (const void *)room, size);
}

static const char *prepare_box(struct mb_engine *engine, struct mb_plan *plan)
{
    struct mb_box *box = &engine->box;
    uint64_t all = MB_ALL_SIGNALS, random;
    long board = mb_mmap(sizeof *box->board, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1);

    if (board < 0 && board > -4096)
        return "there is no memory for its board";
    box->plan = plan;
    box->board = (struct mb_board *)board;
    box->link = box->init_pidfd = box->app_pidfd = box->stage = box->root = box->null = box->proc = -1;
    box->oom_event = box->lease_fd = box->terminal_master = box->terminal_slave = -1;
    box->lease = -1;
    memset(box->trees, 0xff, sizeof box->trees);
    memset(box->cgroups, 0xff, sizeof box->cgroups);
    memset(box->cgroup_parents, 0xff, sizeof box->cgroup_parents);
    memset(box->streams, 0xff, sizeof box->streams);
    memset(box->relays, 0xff, sizeof box->relays);
    memset(box->figures, 0xff, sizeof box->figures);
    engine->in = engine->out[0] = engine->out[1] = (struct mb_relay){ .from = -1, .to = -1 };
    engine->tty = engine->guard = -1;
    if (mb_getrandom(&random, sizeof random) != sizeof random)
        return "there is no randomness for its name";
    for (int n = 0; n < 15; n++, random >>= 4)
        box->name[n] = "0123456789abcdef"[random & 15];
    for (uint32_t n = 0; n < plan->total; n++) {
        const struct mb_step *step = mb_step_at(plan, n);
        box->has_init |= step->kind == MB_CLONE_APP;
        if (step->kind == MB_CLONE_INIT) {
            struct mb_list kinds = ((const struct mb_clone_init *)(const void *)step)->namespaces;
            engine->box.shares_pids = true;
            for (uint32_t k = 0; k < kinds.count; k++)
                if (!strcmp(mb_text(plan, mb_str_item(plan, kinds, k)), "pid"))
                    engine->box.shares_pids = false;
        }
    }
    engine->signals = mb_signalfd4(-1, &all, 0);
    return engine->signals < 0 ? "it has no descriptor for signals" : NULL;
}

/* Hand the report to whom the caller named; returns only if that cannot be started. */
static void tell(struct mb_engine *engine, const struct mb_report *report, const struct options *options)
{
    const uint64_t none = 0;
    char *argv[64], digits[2][12];
    int count = 0, memory = mb_memfd_create("minibox-report", 0);

    if (memory < 0 || mb_write_report(engine, report, memory))
        return;
    int fds[2] = { memory, engine->plan_fd };
    for (; count < 60 && options->tell[count]; count++)
        argv[count] = options->tell[count];
    for (int n = 0; n < 2; n++) {
        struct mb_line line = mb_line(digits[n], sizeof digits[n]);
        mb_put_u64(&line, (uint64_t)fds[n]);
        mb_fcntl(fds[n], F_SETFD, 0);
        argv[count++] = digits[n];
    }
    argv[count] = NULL;
    mb_sigprocmask(SIG_SETMASK, &none, NULL);
    mb_execve(argv[0], argv, environ);
}

static void say_failure(const struct mb_engine *engine, const struct mb_report *report)
{
    char text[700];
    struct mb_line line = mb_line(text, sizeof text);

    if (report->reason != MB_SETUP)
        return;
    if (report->failed_step >= 0) {
        mb_put(&line, "step ");
        mb_put_u64(&line, (uint64_t)report->failed_step);
        mb_put(&line, ", ");
        mb_put(&line, mb_schema[mb_step_at(engine->box.plan, (uint32_t)report->failed_step)->kind].name);
        mb_put(&line, ", failed with errno ");
        mb_put_i64(&line, report->err);
        mb_put(&line, report->detail_size ? ": " : "");
        mb_put_bytes(&line, report->detail, report->detail_size);
    } else
        mb_put(&line, "the box ended before it began");
    say("", text);
}

static int run(struct mb_engine *engine, const struct options *options)
{
    static struct mb_report report;
    struct termios_probe { uint32_t words[16]; } probe;

    if (!mb_run_part(&engine->box, MB_PART_PREPARE))
        supervise(engine);
    else
        kill_box(engine);
    if (engine->box.init_pid > 0)
        reap(engine);
    mb_relays_finish(engine);
    mb_terminal_restore(engine);
    mb_run_part(&engine->box, MB_PART_FINISH);
    mb_fill_report(engine, &report);
    if (options->report >= 0)
        mb_write_report(engine, &report, options->report);
    bool person = report.reason != MB_EXITED && !mb_ioctl(2, TCGETS, &probe);
    if (options->tell && (options->always || person || report.reason == MB_SETUP))
        tell(engine, &report, options);
    if (options->report < 0)
        say_failure(engine, &report);
    return report.exit_status;
}

int main(int argc, char **argv)
{
    static struct mb_engine engine;
    static struct mb_plan plan;
    struct options options;

    engine.box.start_ns = mb_clock_ns(CLOCK_MONOTONIC);
    engine.started_ns = mb_clock_ns(CLOCK_REALTIME);
    if (argc > 1 && !strcmp(argv[1], "--probe"))
        return mb_probe(argc - 2, argv + 2);
    fill_streams();
    block_signals(&engine);
    if (!read_options(&options, argc, argv)) {
        say("usage: minibox-engine PLAN-FILE, or --plan FD [--report FD] [--control FD] "
            "[--tell PROGRAM [ARGUMENT]...]", "");
        return 125;
    }
    engine.control = options.control;
    engine.report_fd = options.report;
    for (int n = 0; n < 3; n++) {
        const int all[] = { options.plan, options.report, options.control };
        if (all[n] >= 0)
            mb_fcntl(all[n], F_SETFD, FD_CLOEXEC);
    }
    const char *wrong = load(&engine, &options, &plan);
    if (!wrong)
        wrong = prepare_box(&engine, &plan);
    if (wrong) {
        say("the plan cannot be run: ", wrong);
        return 125;
    }
    return run(&engine, &options);
}
