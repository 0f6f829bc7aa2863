/* minibox-probe --list
   minibox-probe [--only ID,ID…] [name=value …]
   minibox-probe --set-user-id         its status: 1 if the effective user id is not the real one
   minibox-probe --witness NONCE ACT…  see witness.c

   Prints "id<TAB>outcome<TAB>detail" for each probe.  The outcome is open: the boundary was
   crossed; held; unprovable: it cannot be tried here; timeout; the name of the error that the kernel
   gave; or of the signal that ended the attempt.  The values are canaries that the caller has set up on the
   host, such as file=PATH.  Nothing is needed of the surroundings but descriptor 1, and nothing in
   them is changed. */
#include <linux/prctl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include "witness.h"

enum mb_call mb_last_call;              /* sys.h notes the last call there; nobody asks here */

#define PATIENCE_NS UINT64_C(2000000000)
enum { NOTHING = 3 };                   /* the attempt ended before it had an outcome */

struct mb_given { char *const *values; int parent_death; };

/* What an attempt tells, in a page that it shares with us: a pipe would be one more descriptor. */
struct answer { int outcome; char detail[256]; };

/* The signals as we were started, for each attempt to find. */
struct inherited { uint64_t blocked; struct mb_sigaction on_child; };

static const struct mb_probe *const groups[] = {
    mb_files_probes, mb_processes_probes, mb_network_probes, mb_devices_probes, mb_kernel_probes,
    mb_resources_probes, mb_privileges_probes, mb_leaks_probes, NULL,
};

#define NAME(error) [error] = #error
static const char *const errors[] = {
    NAME(EPERM), NAME(ENOENT), NAME(ESRCH), NAME(EINTR), NAME(EIO), NAME(ENXIO), NAME(E2BIG),
    NAME(ENOEXEC), NAME(EBADF), NAME(ECHILD), NAME(EAGAIN), NAME(ENOMEM), NAME(EACCES),
    NAME(EFAULT), NAME(ENOTBLK), NAME(EBUSY), NAME(EEXIST), NAME(EXDEV), NAME(ENODEV),
    NAME(ENOTDIR), NAME(EISDIR), NAME(EINVAL), NAME(ENFILE), NAME(EMFILE), NAME(ENOTTY),
    NAME(ETXTBSY), NAME(EFBIG), NAME(ENOSPC), NAME(ESPIPE), NAME(EROFS), NAME(EMLINK), NAME(EPIPE),
    NAME(EDOM), NAME(ERANGE), NAME(EDEADLK), NAME(ENAMETOOLONG), NAME(ENOLCK), NAME(ENOSYS),
    NAME(ENOTEMPTY), NAME(ELOOP), NAME(ENOMSG), NAME(EIDRM), NAME(ENODATA), NAME(ETIME),
    NAME(ENOLINK), NAME(EPROTO), NAME(EBADMSG), NAME(EOVERFLOW), NAME(EUSERS), NAME(ENOTSOCK),
    NAME(EDESTADDRREQ), NAME(EMSGSIZE), NAME(EPROTOTYPE), NAME(ENOPROTOOPT), NAME(EPROTONOSUPPORT),
    NAME(ESOCKTNOSUPPORT), NAME(EOPNOTSUPP), NAME(EPFNOSUPPORT), NAME(EAFNOSUPPORT),
    NAME(EADDRINUSE), NAME(EADDRNOTAVAIL), NAME(ENETDOWN), NAME(ENETUNREACH), NAME(ECONNABORTED),
    NAME(ECONNRESET), NAME(ENOBUFS), NAME(EISCONN), NAME(ENOTCONN), NAME(ETIMEDOUT),
    NAME(ECONNREFUSED), NAME(EHOSTDOWN), NAME(EHOSTUNREACH), NAME(EALREADY), NAME(EINPROGRESS),
    NAME(ESTALE), NAME(EDQUOT), NAME(ENOMEDIUM), NAME(ENOKEY), NAME(EKEYEXPIRED),
    NAME(EKEYREVOKED), NAME(EKEYREJECTED), NAME(EHWPOISON),
};

static const char *const signals[] = {
    NAME(SIGHUP), NAME(SIGINT), NAME(SIGQUIT), NAME(SIGILL), NAME(SIGTRAP), NAME(SIGABRT),
    NAME(SIGBUS), NAME(SIGFPE), NAME(SIGKILL), NAME(SIGUSR1), NAME(SIGSEGV), NAME(SIGUSR2),
    NAME(SIGPIPE), NAME(SIGALRM), NAME(SIGTERM), NAME(SIGXCPU), NAME(SIGXFSZ), NAME(SIGIO),
    NAME(SIGSYS),
};

const char *mb_given(const struct mb_given *given, const char *name)
{
    size_t size = strlen(name);

    for (char *const *at = given->values; *at; at++)
        if (!strncmp(*at, name, size) && (*at)[size] == '=')
            return *at + size + 1;
    return NULL;
}

int mb_parent_death(const struct mb_given *given)
{
    return given->parent_death;
}

/* The child of a fork: answer, and end. */
_Noreturn static void attempt(const struct mb_probe *probe, const struct mb_given *given,
                              const struct inherited *before, struct answer *answer)
{
    struct mb_line detail = mb_line(answer->detail, sizeof answer->detail);

    mb_sigaction(SIGCHLD, &before->on_child, NULL);
    mb_sigprocmask(SIG_SETMASK, &before->blocked, NULL);
    answer->outcome = probe->attempt(given, &detail);
    mb_exit(0);
}

/* Wait for *pid*, but not for ever: true if it ended by itself. SIGCHLD is blocked. */
static bool await(pid_t pid, int *status)
{
    const uint64_t until = mb_clock_ns(CLOCK_MONOTONIC) + PATIENCE_NS;
    const uint64_t child = MB_SIGNAL_BIT(SIGCHLD);
    uint64_t now;

    while (mb_wait4(pid, status, WNOHANG, NULL) == 0) {
        if ((now = mb_clock_ns(CLOCK_MONOTONIC)) >= until) {
            mb_kill(pid, SIGKILL);
            mb_wait4(pid, status, 0, NULL);
            return false;
        }
        struct timespec rest = { (time_t)((until - now) / 1000000000),
                                 (long)((until - now) % 1000000000) };
        mb_raw(__NR_rt_sigtimedwait, (long)&child, 0, (long)&rest, sizeof child, 0, 0);
    }
    return true;
}

/* The name of *number* in a table of names, or the number. */
static void put_name(struct mb_line *line, const char *const *names, size_t count, int number)
{
    if (number >= 0 && (size_t)number < count && names[number])
        mb_put(line, names[number]);
    else
        mb_put_i64(line, number);
}

static void put_outcome(struct mb_line *line, int outcome, int status)
{
    static const char *const words[] = { "open", "held", "unprovable" };

    if (status & 0x7f)
        put_name(line, signals, sizeof signals / sizeof *signals, status & 0x7f);
    else if (outcome < 0)
        put_name(line, errors, sizeof errors / sizeof *errors, -outcome);
    else
        put_name(line, words, sizeof words / sizeof *words, outcome);
}

/* To *board*, or where that is NULL to descriptor 1. */
static void print(struct mb_line *line, struct mb_line *board)
{
    for (char *at = line->start; at < line->at; at++)
        if ((unsigned char)*at < ' ' && *at != '\t')
            *at = '?';
    mb_put(line, "\n");
    if (board)
        mb_put_bytes(board, line->start, mb_line_size(line));
    else
        mb_write(1, line->start, mb_line_size(line));
}

static void run(const struct mb_probe *probe, const struct mb_given *given,
                const struct inherited *before, struct answer *answer, struct mb_line *board)
{
    char text[512];
    struct mb_line line = mb_line(text, sizeof text);
    int status = 0;
    pid_t pid;

    answer->outcome = NOTHING;
    answer->detail[0] = 0;
    pid = (pid_t)MB_QUIET(__NR_clone, SIGCHLD, 0, 0, 0, 0);
    if (pid == 0)
        attempt(probe, given, before, answer);
    mb_put(&line, probe->id);
    mb_put(&line, "\t");
    if (pid < 0)
        mb_put(&line, "unprovable\tthere can be no process to try it");
    else if (!await(pid, &status))
        mb_put(&line, "timeout\t");
    else {
        put_outcome(&line, answer->outcome, status);
        mb_put(&line, "\t");
        answer->detail[sizeof answer->detail - 1] = 0;
        mb_put(&line, answer->detail);
    }
    print(&line, board);
}

static void list(void)
{
    for (const struct mb_probe *const *group = groups; *group; group++)
        for (const struct mb_probe *probe = *group; probe->id; probe++) {
            char text[128];
            struct mb_line line = mb_line(text, sizeof text);
            mb_put(&line, probe->id);
            print(&line, NULL);
        }
}

/* All probes, or those with an id in the list *only*. */
static int run_all(const char *only, char *const *values, struct mb_line *board)
{
    const uint64_t child = MB_SIGNAL_BIT(SIGCHLD);
    const struct mb_sigaction usual = {0};
    struct inherited before = {0};
    struct mb_given given = { .values = values };
    long page;

    mb_prctl(PR_GET_PDEATHSIG, (unsigned long)&given.parent_death, 0, 0);
    page = mb_mmap(sizeof(struct answer), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1);
    if (page < 0)
        return 1;
    mb_sigaction(SIGCHLD, &usual, &before.on_child);
    mb_sigprocmask(SIG_BLOCK, &child, &before.blocked);
    for (const struct mb_probe *const *group = groups; *group; group++)
        for (const struct mb_probe *probe = *group; probe->id; probe++)
            if (!only || mb_has_word(only, probe->id))
                run(probe, &given, &before, (struct answer *)(uintptr_t)page, board);
    return 0;
}

static void run_for_witness(const char *only, struct mb_line *board)
{
    char *const none[] = { NULL };

    run_all(only, none, board);
}

int main(int argc, char **argv)
{
    const char *only = NULL;

    if (argc == 2 && !strcmp(argv[1], "--list")) {
        list();
        return 0;
    }
    if (argc == 2 && !strcmp(argv[1], "--set-user-id"))
        return mb_geteuid() != (uid_t)MB_QUIET(__NR_getuid, 0);
    if (argc > 2 && !strcmp(argv[1], "--witness"))
        mb_witness(argv[2], argv + 3, run_for_witness);
    if (argc > 2 && !strcmp(argv[1], "--only")) {
        only = argv[2];
        argv += 2;
    }
    return run_all(only, argv + 1, NULL);
}
