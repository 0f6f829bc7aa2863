/* Other processes: seen, signalled, traced, read; above all PID 1, which holds the box together. */
#include "attempts.h"
#include <asm/ioctls.h>

enum { PTRACE_SEIZE = 0x4206, KCMP_VM = 1, PRIORITY_OF_PROCESS = 0 };

static pid_t given_pid(const struct mb_given *given)
{
    return (pid_t)mb_given_number(given, "pid");
}

/* PID 1 is no other process where the runtime has made this program, our parent, PID 1. */
static bool init_is_ours(void)
{
    return mb_getppid() == 1;
}

static void process_path(char *path, size_t size, pid_t pid, const char *file)
{
    struct mb_line line = mb_line(path, size);

    mb_put(&line, "/proc/");
    mb_put_i64(&line, pid);
    mb_put(&line, "/");
    mb_put(&line, file);
}

/* The parent of *pid* as /proc tells; -1 if it does not. */
static pid_t parent_of(pid_t pid)
{
    char path[64], text[512];
    const char *end;

    process_path(path, sizeof path, pid, "stat");
    if (mb_read_text(path, text, sizeof text) < 0)
        return -1;
    end = strrchr(text, ')');               /* "7 (any name) S 1 …" */
    return end && strlen(end) > 4 ? (pid_t)mb_number_in(end + 4) : -1;
}

/* ---- what the host runs ---- */

static int MB_ATTEMPT(see_host_process)
{
    char path[64];

    if (given_pid(given) <= 0)
        return MB_UNPROVABLE;
    process_path(path, sizeof path, given_pid(given), "status");
    return mb_try_file(path, O_RDONLY);
}

static bool is_ours(pid_t pid)
{
    pid_t main = mb_getppid();

    if (pid == 1 || pid == mb_getpid() || parent_of(pid) == main)
        return true;
    for (pid_t at = main; at > 0; at = parent_of(at))
        if (at == pid)
            return true;
    return false;
}

static int MB_ATTEMPT(see_other_processes)
{
    MB_FD proc = mb_open("/proc", O_RDONLY | O_DIRECTORY);
    _Alignas(8) char entries[4096];
    uint64_t others = 0;
    ssize_t size;

    if (proc < 0)
        return MB_UNPROVABLE;
    while ((size = mb_getdents64(proc, entries, sizeof entries)) > 0)
        for (ssize_t at = 0; at < size; at += *(uint16_t *)(void *)(entries + at + 16)) {
            const char *name = entries + at + 19;
            others += *name >= '1' && *name <= '9' && !is_ours((pid_t)mb_number_in(name));
        }
    mb_put_u64(detail, others);
    mb_put(detail, " processes of others");
    return others ? MB_OPEN : MB_HELD;
}

static int MB_ATTEMPT(signal_host_process)
{
    return given_pid(given) <= 0 ? MB_UNPROVABLE : mb_outcome(mb_kill(given_pid(given), 0));
}

static int MB_ATTEMPT(hold_host_process)
{
    return given_pid(given) <= 0 ? MB_UNPROVABLE : mb_outcome(mb_pidfd_open(given_pid(given), 0));
}

/* Seized, not stopped; let go as this attempt ends. */
static int MB_ATTEMPT(trace_host_process)
{
    if (given_pid(given) <= 0)
        return MB_UNPROVABLE;
    return mb_outcome(MB_QUIET(__NR_ptrace, PTRACE_SEIZE, given_pid(given), 0, 0));
}

/* Move a byte to or from an address that nothing lies at: EFAULT comes after leave was given. */
static int memory_of(pid_t pid, long number)
{
    char byte = 0;
    struct iovec here = { &byte, 1 }, there = { MB_NOWHERE, 1 };

    return mb_outcome(MB_QUIET(number, pid, &here, 1, &there, 1, 0));
}

static int MB_ATTEMPT(read_host_process)
{
    return given_pid(given) <= 0 ? MB_UNPROVABLE
                                 : memory_of(given_pid(given), __NR_process_vm_readv);
}

/* Give *pid* the priority that it has. */
static int renice(pid_t pid)
{
    long priority = MB_QUIET(__NR_getpriority, PRIORITY_OF_PROCESS, pid);     /* 20 - nice */

    if (priority < 0)
        return (int)priority;
    return mb_outcome(MB_QUIET(__NR_setpriority, PRIORITY_OF_PROCESS, pid, 20 - priority));
}

static int MB_ATTEMPT(renice_host_process)
{
    return given_pid(given) <= 0 ? MB_UNPROVABLE : renice(given_pid(given));
}

/* Give *pid* the processors that it has. */
static int pin(pid_t pid)
{
    uint64_t mask[128];
    int size = mb_sched_getaffinity(pid, sizeof mask, mask);

    return size < 0 ? size : mb_outcome(mb_sched_setaffinity(pid, (size_t)size, mask));
}

static int MB_ATTEMPT(pin_host_process)
{
    return given_pid(given) <= 0 ? MB_UNPROVABLE : pin(given_pid(given));
}

static int MB_ATTEMPT(limits_of_host_process)
{
    struct rlimit limit;

    if (given_pid(given) <= 0)
        return MB_UNPROVABLE;
    return mb_outcome(mb_prlimit64(given_pid(given), RLIMIT_NOFILE, NULL, &limit));
}

/* The parent of the program that tries: whoever ran it. */
static int MB_ATTEMPT(read_launcher)
{
    pid_t launcher = parent_of(mb_getppid());

    if (launcher < 0)
        return MB_UNPROVABLE;
    return launcher == 0 ? MB_HELD : memory_of(launcher, __NR_process_vm_readv);
}

static int MB_ATTEMPT(host_pid_namespace)
{
    return mb_same_namespace(given, detail, "pid");
}

/* ---- PID 1 ---- */

static int init_file(const char *file, int flags)
{
    char path[64];

    if (init_is_ours())
        return MB_UNPROVABLE;
    process_path(path, sizeof path, 1, file);
    return mb_try_file(path, flags);
}

#define INIT_FILE(name, file, flags) static int MB_ATTEMPT(name) { return init_file(file, flags); }

INIT_FILE(init_environ, "environ", O_RDONLY)
INIT_FILE(init_cmdline, "cmdline", O_RDONLY)
INIT_FILE(init_exe, "exe", O_RDONLY)
INIT_FILE(init_maps, "maps", O_RDONLY)
INIT_FILE(init_memory_file, "mem", O_RDWR)
INIT_FILE(init_auxv, "auxv", O_RDONLY)
INIT_FILE(init_stack, "stack", O_RDONLY)
INIT_FILE(init_root, "root/", O_RDONLY | O_DIRECTORY)
INIT_FILE(init_directory, "cwd/", O_RDONLY | O_DIRECTORY)
INIT_FILE(init_descriptors, "fd", O_RDONLY | O_DIRECTORY)
INIT_FILE(init_oom_score, "oom_score_adj", O_WRONLY)

static int MB_ATTEMPT(signal_init)
{
    return init_is_ours() ? MB_UNPROVABLE : mb_outcome(mb_kill(1, 0));
}

static int MB_ATTEMPT(read_init)
{
    return init_is_ours() ? MB_UNPROVABLE : memory_of(1, __NR_process_vm_readv);
}

static int MB_ATTEMPT(write_init)
{
    return init_is_ours() ? MB_UNPROVABLE : memory_of(1, __NR_process_vm_writev);
}

/* A descriptor of PID 1 that it has not: EBADF comes after leave was given. */
static int MB_ATTEMPT(take_init_descriptor)
{
    MB_FD init = -1;

    if (init_is_ours())
        return MB_UNPROVABLE;
    init = mb_pidfd_open(1, 0);
    return init < 0 ? init : mb_outcome(MB_QUIET(__NR_pidfd_getfd, init, 0x7fffffff, 0));
}

static int MB_ATTEMPT(compare_init)
{
    if (init_is_ours())
        return MB_UNPROVABLE;
    return mb_outcome(MB_QUIET(__NR_kcmp, 1, mb_getpid(), KCMP_VM, 0, 0));
}

/* Give PID 1 the limit that it has; of CPU time, one of 0 would end it. */
static int MB_ATTEMPT(limit_init)
{
    struct rlimit limit;
    int error;

    if (init_is_ours())
        return MB_UNPROVABLE;
    error = mb_prlimit64(1, RLIMIT_CPU, NULL, &limit);
    return error ? error : mb_outcome(mb_prlimit64(1, RLIMIT_CPU, &limit, NULL));
}

static int MB_ATTEMPT(renice_init)
{
    return init_is_ours() ? MB_UNPROVABLE : renice(1);
}

static int MB_ATTEMPT(pin_init)
{
    return init_is_ours() ? MB_UNPROVABLE : pin(1);
}

/* Where PID 1 has its pages; a page that nobody has is asked for, none is moved. */
static int MB_ATTEMPT(place_init_pages)
{
    const void *page = NULL;
    int node = 0;

    if (init_is_ours())
        return MB_UNPROVABLE;
    return mb_outcome(MB_QUIET(__NR_move_pages, 1, 1, &page, NULL, &node, 0));
}

/* Say of a page that nobody has that PID 1 needs it no more. */
static int MB_ATTEMPT(page_out_init)
{
    enum { MADV_COLD = 20 };
    struct iovec page = { (void *)4096, 4096 };
    MB_FD init = -1;

    if (init_is_ours())
        return MB_UNPROVABLE;
    init = mb_pidfd_open(1, 0);
    if (init < 0)
        return init;
    return mb_outcome(MB_QUIET(__NR_process_madvise, init, &page, 1, MADV_COLD, 0));
}

static int MB_ATTEMPT(join_init_namespaces)
{
    static const char *const kinds[] = { "net", "uts", "ipc", "cgroup", "mnt", "pid" };
    char path[64], file[16];
    int result = MB_UNPROVABLE;

    for (size_t at = 0; !init_is_ours() && at < sizeof kinds / sizeof *kinds; at++) {
        struct mb_line name = mb_line(file, sizeof file);
        mb_put(&name, "ns/");
        mb_put(&name, kinds[at]);
        process_path(path, sizeof path, 1, file);
        MB_FD fd = mb_open(path, O_RDONLY);
        result = fd < 0 ? fd : mb_outcome(mb_setns(fd, 0));
        if (result == MB_OPEN) {
            mb_put(detail, kinds[at]);
            break;
        }
    }
    return result;
}

/* ---- what a process inherits ---- */

static int MB_ATTEMPT(inherited_descriptors)
{
    uint64_t count = 0;

    for (int fd = 3; fd < 4096; fd++)
        if (mb_fcntl(fd, F_GETFD, 0) >= 0 && !count++) {
            mb_put(detail, "first ");
            mb_put_i64(detail, fd);
        }
    return count ? MB_OPEN : MB_HELD;
}

static int MB_ATTEMPT(blocked_signals)
{
    uint64_t blocked = 0;
    int error = mb_sigprocmask(SIG_BLOCK, NULL, &blocked);

    return error ? error : blocked ? MB_OPEN : MB_HELD;
}

static int MB_ATTEMPT(ignored_signals)
{
    for (int signal = 1; signal <= 64; signal++) {
        struct mb_sigaction action = {0};
        if (mb_sigaction(signal, NULL, &action) == 0 && action.handler == SIG_IGN) {
            mb_put(detail, "signal ");
            mb_put_i64(detail, signal);
            return MB_OPEN;
        }
    }
    return MB_HELD;
}

static int MB_ATTEMPT(outlive_parent)
{
    return mb_parent_death(given) ? MB_HELD : MB_OPEN;
}

static int MB_ATTEMPT(files_for_all)
{
    mode_t mask = mb_umask(0);

    mb_put(detail, "0");
    mb_put_octal(detail, mask);
    return (mask & (S_IWGRP | S_IWOTH)) == (S_IWGRP | S_IWOTH) ? MB_HELD : MB_OPEN;
}

/* Led by this program or by PID 1; 0 is a leader outside. */
static bool session_is_own(void)
{
    long leader = MB_QUIET(__NR_getsid, 0);
    return leader == 1 || leader == mb_getppid();
}

static int MB_ATTEMPT(session_of_others)
{
    return session_is_own() ? MB_HELD : MB_OPEN;
}

static int MB_ATTEMPT(terminal_of_others)
{
    MB_FD terminal = mb_open("/dev/tty", O_RDWR | O_NOCTTY);

    if (terminal < 0)
        return terminal;
    return session_is_own() ? MB_HELD : MB_OPEN;
}

/* One of the first three descriptors that is a terminal, -1 if none is. */
static int inherited_terminal(void)
{
    char settings[64];

    for (int fd = 0; fd < 3; fd++)
        if (MB_QUIET(__NR_ioctl, fd, TCGETS, settings) >= 0)
            return fd;
    return -1;
}

static int MB_ATTEMPT(type_into_inherited_terminal)
{
    int terminal = inherited_terminal();
    return terminal < 0 ? MB_UNPROVABLE : mb_outcome(mb_ioctl(terminal, TIOCSTI, MB_NOWHERE));
}

/* The far end of a new terminal that is this process's own; -1 if there can be none. */
static int own_terminal(void)
{
    MB_FD near = mb_open("/dev/ptmx", O_RDWR | O_NOCTTY);
    int unlocked = 0, far;

    if (near < 0 || mb_ioctl(near, TIOCSPTLCK, &unlocked) < 0 || mb_setsid() < 0)
        return -1;
    far = (int)MB_QUIET(__NR_ioctl, near, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (far < 0 || MB_QUIET(__NR_ioctl, far, TIOCSCTTY, 0) < 0)
        return -1;
    mb_keep(&near);                         /* the far end hangs up without it */
    return far;
}

static int MB_ATTEMPT(type_into_terminal)
{
    int terminal = own_terminal();
    return terminal < 0 ? MB_UNPROVABLE : mb_outcome(mb_ioctl(terminal, TIOCSTI, MB_NOWHERE));
}

/* The kernel looks at 32 bits of the request, a careless filter at 64. */
static int MB_ATTEMPT(type_by_high_bits)
{
    int terminal = own_terminal();

    if (terminal < 0)
        return MB_UNPROVABLE;
    return mb_outcome(mb_ioctl(terminal, TIOCSTI | MB_HIGH_BIT, MB_NOWHERE));
}

/* A pseudo-terminal is no console and says ENOTTY, which a filter does not. */
static int MB_ATTEMPT(console_selection)
{
    int terminal = own_terminal();
    return terminal < 0 ? MB_UNPROVABLE : mb_outcome(mb_ioctl(terminal, TIOCLINUX, MB_NOWHERE));
}

const struct mb_probe mb_processes_probes[] = {
    { "processes.host-process-visible", see_host_process },
    { "processes.others-visible", see_other_processes },
    { "processes.host-process-signal", signal_host_process },
    { "processes.host-process-pidfd", hold_host_process },
    { "processes.host-process-trace", trace_host_process },
    { "processes.host-process-memory", read_host_process },
    { "processes.host-process-priority", renice_host_process },
    { "processes.host-process-affinity", pin_host_process },
    { "processes.host-process-limits", limits_of_host_process },
    { "processes.host-namespace", host_pid_namespace },
    { "processes.launcher-memory", read_launcher },
    { "processes.init-signal", signal_init },
    { "processes.init-environ", init_environ },
    { "processes.init-cmdline", init_cmdline },
    { "processes.init-exe", init_exe },
    { "processes.init-maps", init_maps },
    { "processes.init-memory-file", init_memory_file },
    { "processes.init-auxv", init_auxv },
    { "processes.init-stack", init_stack },
    { "processes.init-root", init_root },
    { "processes.init-working-directory", init_directory },
    { "processes.init-descriptors", init_descriptors },
    { "processes.init-oom-score", init_oom_score },
    { "processes.init-memory-read", read_init },
    { "processes.init-memory-write", write_init },
    { "processes.init-descriptor-taken", take_init_descriptor },
    { "processes.init-compared", compare_init },
    { "processes.init-limits", limit_init },
    { "processes.init-priority", renice_init },
    { "processes.init-affinity", pin_init },
    { "processes.init-pages", place_init_pages },
    { "processes.init-paged-out", page_out_init },
    { "processes.init-namespaces", join_init_namespaces },
    { "processes.inherited-descriptors", inherited_descriptors },
    { "processes.blocked-signals", blocked_signals },
    { "processes.ignored-signals", ignored_signals },
    { "processes.parent-outlived", outlive_parent },
    { "processes.umask", files_for_all },
    { "processes.session-shared", session_of_others },
    { "processes.controlling-terminal", terminal_of_others },
    { "processes.terminal-input-inherited", type_into_inherited_terminal },
    { "processes.terminal-input", type_into_terminal },
    { "processes.terminal-input-high-bits", type_by_high_bits },
    { "processes.terminal-console", console_selection },
    MB_END
};
