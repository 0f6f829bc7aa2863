/* minibox-engine: walks a plan, supervises the box, reports. One for each box; no policy. */
#include <asm/ioctls.h>
#include <sys/mman.h>
#include "engine.h"
#include "probe.h"
#include "text.h"

extern char **environ;

struct options {
    const char *file;                   /* a saved plan */
    int plan, report, control;          /* descriptors, -1: none */
    int stops[MB_PART_FINISH];          /* as in struct mb_box */
    char **tell;                        /* whom to tell at the end, NULL: nobody */
    bool always;
};

/* A box never gets what lies on a descriptor that the caller had closed. */
static void fill_streams(void)
{
    for (int stream = 0; stream < 3; stream++)
        if (mb_fcntl(stream, F_SETFD, 0) == -EBADF)
            mb_fcntl(mb_open("/dev/null", O_RDWR), F_SETFD, 0);
}

static void block_signals(struct mb_engine *engine)
{
    const uint64_t all = MB_ALL_SIGNALS;

    mb_sigprocmask(SIG_SETMASK, &all, NULL);
    for (int signal = 1; signal <= 64; signal++) {
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
    *options = (struct options){ .plan = -1, .report = -1, .control = -1, .stops = { -1, -1, -1 } };
    for (int n = 1; n < argc; n++) {
        int *fd = !strcmp(argv[n], "--plan") ? &options->plan
                : !strcmp(argv[n], "--report") ? &options->report
                : !strcmp(argv[n], "--control") ? &options->control
                : !strcmp(argv[n], "--stop-engine") ? &options->stops[MB_PART_PREPARE]
                : !strcmp(argv[n], "--stop-init") ? &options->stops[MB_PART_ENTER]
                : !strcmp(argv[n], "--stop-app") ? &options->stops[MB_PART_APP] : NULL;
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

/* What the caller left open is no business of a process that may live long. But of the one who is to be
 * told we do not know which of it he needs. */
static void close_others(const struct options *options)
{
    const int ours[] = { options->plan, options->report, options->control,
                         options->stops[0], options->stops[1], options->stops[2] };
    const size_t count = sizeof ours / sizeof *ours;
    const unsigned none = ~0u;

    for (unsigned from = 3, next = 0; next != none; from = next + 1) {
        next = none;
        for (size_t n = 0; n < count; n++)
            if (ours[n] >= 0 && (unsigned)ours[n] >= from && (unsigned)ours[n] < next)
                next = (unsigned)ours[n];
        if (next > from && !options->tell)
            mb_close_range(from, next - 1, 0);
        if (next != none)
            mb_fcntl((int)next, F_SETFD, FD_CLOEXEC);
    }
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

static const char *prepare_box(struct mb_engine *engine, struct mb_plan *plan,
                               const struct options *options)
{
    struct mb_box *box = &engine->box;
    uint64_t all = MB_ALL_SIGNALS, random;
    long board = mb_mmap(sizeof *box->board, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1);

    if (board < 0 && board > -4096)
        return "there is no memory for its board";
    box->plan = plan;
    box->board = (struct mb_board *)board;
    box->link = box->init_pidfd = box->app_pidfd = box->stage = box->root = box->null = -1;
    box->proc = box->limits = box->engine_link = -1;
    engine->listener = engine->fatal_call = -1;
    box->oom_event = box->lease_fd = box->terminal_master = box->terminal_slave = -1;
    box->lease = -1;
    memset(box->trees, 0xff, sizeof box->trees);
    memset(box->cgroups, 0xff, sizeof box->cgroups);
    memset(box->cgroup_parents, 0xff, sizeof box->cgroup_parents);
    memset(box->streams, 0xff, sizeof box->streams);
    memset(box->relays, 0xff, sizeof box->relays);
    memset(box->figures, 0xff, sizeof box->figures);
    memcpy(box->stops, options->stops, sizeof box->stops);
    engine->in = engine->out[0] = engine->out[1] = (struct mb_relay){ .from = -1, .to = -1 };
    engine->guard = -1;
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
    engine->signals = mb_signalfd4(-1, &all, O_NONBLOCK);
    return engine->signals < 0 ? "it has no descriptor for signals" : NULL;
}

/* Hand the report to whom the caller named; returns only if that cannot be started. */
static void tell(struct mb_engine *engine, const struct mb_report *report, const struct options *options)
{
    const uint64_t interrupt = MB_SIGNAL_BIT(SIGINT);
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
    mb_sigprocmask(SIG_SETMASK, &interrupt, NULL);   /* a second Ctrl-C is not to cut off the answer */
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
        for (uint32_t n = 0; n < report->detail_size; n++) {        /* the box's own, for a terminal */
            unsigned char byte = (unsigned char)report->detail[n];
            mb_put_bytes(&line, byte < ' ' || byte == 0x7f || byte == 0xc2 ? "?" : (char *)&byte, 1);
        }
    } else
        mb_put(&line, "the box ended before it began");
    say("", text);
}

static int run(struct mb_engine *engine, const struct options *options)
{
    static struct mb_report report;
    struct termios modes;

    if (!mb_run_part(&engine->box, MB_PART_PREPARE))
        mb_supervise(engine);
    else
        mb_kill_box(engine);
    if (engine->box.init_pid > 0)
        mb_reap(engine);
    mb_relays_finish(engine);
    mb_terminal_restore(engine);
    mb_run_part(&engine->box, MB_PART_FINISH);
    mb_fill_report(engine, &report);
    if (options->report >= 0)
        mb_write_report(engine, &report, options->report);
    bool person = report.reason != MB_EXITED && !mb_ioctl(2, TCGETS, &modes);
    if (options->tell && (options->always || person || report.reason == MB_SETUP))
        tell(engine, &report, options);
    if (options->report < 0)
        say_failure(engine, &report);
    if (mb_lost(engine))
        say("the output could not all be written",
            engine->out[0].failed == ENOSPC || engine->out[1].failed == ENOSPC ? ": no space is left" : "");
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
            "[--stop-engine FD] [--stop-init FD] [--stop-app FD] [--tell PROGRAM [ARGUMENT]...]", "");
        return 125;
    }
    engine.control = options.control;
    engine.report_fd = options.report;
    close_others(&options);
    const char *wrong = load(&engine, &options, &plan);
    if (!wrong)
        wrong = prepare_box(&engine, &plan, &options);
    if (wrong) {
        say("the plan cannot be run: ", wrong);
        return 125;
    }
    return run(&engine, &options);
}
