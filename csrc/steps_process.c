/* Steps of the application's own process, between clone and exec: what it may use, who it is, and
 * the program itself. */
#include <linux/capability.h>
#include <linux/close_range.h>
#include <linux/keyctl.h>
#include <linux/landlock.h>
#include <linux/limits.h>
#include <linux/prctl.h>
#include <linux/securebits.h>
#include <sys/mman.h>
#include "files.h"
#include "text.h"

#ifndef LANDLOCK_ACCESS_FS_TRUNCATE
#define LANDLOCK_ACCESS_FS_TRUNCATE (UINT64_C(1) << 14)
#endif

int step_set_rlimit(struct mb_box *box, const struct mb_set_rlimit *step)
{
    struct rlimit limit = { (rlim_t)step->soft, (rlim_t)step->hard }, own;

    (void)box;                          /* -1 is RLIM_INFINITY already, more than any other */
    if (step->or_less) {
        int err = mb_prlimit64(0, (int)step->resource, NULL, &own);
        if (err)
            return err;
        limit.rlim_cur = limit.rlim_cur < own.rlim_cur ? limit.rlim_cur : own.rlim_cur;
        limit.rlim_max = limit.rlim_max < own.rlim_max ? limit.rlim_max : own.rlim_max;
    }
    return mb_prlimit64(0, (int)step->resource, &limit, NULL);
}

#define MAX_CPU 8192

int step_set_affinity(struct mb_box *box, const struct mb_set_affinity *step)
{
    uint64_t mask[MAX_CPU / 64] = {0};

    for (uint32_t n = 0; n < step->cpus.count; n++) {
        uint64_t cpu = (uint64_t)mb_int_item(box->plan, step->cpus, n);
        mask[cpu / 64] |= UINT64_C(1) << cpu % 64;
    }
    return mb_sched_setaffinity(0, sizeof mask, mask);
}

int step_set_oom_score(struct mb_box *box, const struct mb_set_oom_score *step)
{
    char text[8];
    struct mb_line line = mb_line(text, sizeof text);

    mb_put_i64(&line, step->adjustment);
    int err = mb_write_self(box, "oom_score_adj", text, mb_line_size(&line));
    return err == -EACCES && step->adjustment >= 0 ? 0 : err;
}

int step_set_umask(struct mb_box *box, const struct mb_set_umask *step)
{
    (void)box;
    mb_umask((mode_t)step->mask);
    return 0;
}

/* By a descriptor: a path through /proc/self/fd would lead out. */
int step_change_dir(struct mb_box *box, const struct mb_change_dir *step)
{
    MB_FD dir = mb_beneath(box->root, mb_text(box->plan, step->path), O_PATH | O_DIRECTORY);

    return dir < 0 ? dir : mb_fchdir(dir);
}

static int limit_bounding_set(uint64_t keep)
{
    for (unsigned long cap = 0; cap < 64; cap++) {
        int there = mb_prctl(PR_CAPBSET_READ, cap, 0, 0);
        if (there == -EINVAL)           /* the kernel has no more */
            return 0;
        int err = keep >> cap & 1 ? 0 : mb_prctl(PR_CAPBSET_DROP, cap, 0, 0);
        if (err)
            return err;
    }
    return 0;
}

static int set_capabilities(uint64_t keep, bool inheritable_only)
{
    struct __user_cap_header_struct head = { _LINUX_CAPABILITY_VERSION_3, 0 };
    struct __user_cap_data_struct data[2];
    int err = mb_capget(&head, data);

    for (int n = 0; n < 2 && !err; n++) {
        uint32_t part = (uint32_t)(keep >> 32 * n);
        data[n].inheritable = part;
        if (!inheritable_only)
            data[n].effective = data[n].permitted = part;
    }
    return err ? err : mb_capset(&head, data);
}

/* What is kept goes through exec as ambient; the locked bits give uid 0 no more than others. */
int step_drop_capabilities(struct mb_box *box, const struct mb_drop_capabilities *step)
{
    uint64_t keep = (uint64_t)step->keep;
    unsigned long bits = SECBIT_NOROOT | SECBIT_NOROOT_LOCKED | SECBIT_NO_SETUID_FIXUP |
                         SECBIT_NO_SETUID_FIXUP_LOCKED | SECBIT_KEEP_CAPS_LOCKED |
                         SECBIT_NO_CAP_AMBIENT_RAISE | SECBIT_NO_CAP_AMBIENT_RAISE_LOCKED;
    int err = limit_bounding_set(keep);

    (void)box;
    if (!err)
        err = mb_prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0);
    if (!err)
        err = set_capabilities(keep, true);
    for (unsigned long cap = 0; cap < 64 && !err; cap++)
        if (keep >> cap & 1)
            err = mb_prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, cap, 0);
    if (!err)
        err = mb_prctl(PR_SET_SECUREBITS, bits, 0, 0);
    return err ? err : set_capabilities(keep, false);
}

int step_no_new_privileges(struct mb_box *box, const struct mb_no_new_privileges *step)
{
    (void)box, (void)step;
    return mb_prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0);
}

/* A kernel may be built without keys; then there are none to be had. */
int step_join_keyring(struct mb_box *box, const struct mb_join_keyring *step)
{
    long keyring = mb_keyctl(KEYCTL_JOIN_SESSION_KEYRING, 0, 0, 0, 0);

    (void)box, (void)step;
    return keyring == -ENOSYS || keyring > 0 ? 0 : (int)keyring;
}

#define FILE_RIGHTS (LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_WRITE_FILE | \
                     LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_TRUNCATE)
#define NODES (LANDLOCK_ACCESS_FS_MAKE_CHAR | LANDLOCK_ACCESS_FS_MAKE_BLOCK)

/* Let *rights* be had below *path*, as the application itself would reach it. */
static int allow_below(int root, int ruleset, const char *path, uint64_t rights)
{
    struct stat about;
    MB_FD place = mb_beneath(root, path, O_PATH);

    if (place == -ENOENT || place == -EACCES || place == -ENOTDIR)
        return 0;
    int err = place < 0 ? place : mb_fstat(place, &about);
    if (err)
        return err;
    struct landlock_path_beneath_attr rule = {
        .allowed_access = S_ISDIR(about.st_mode) ? rights : rights & FILE_RIGHTS, .parent_fd = place };
    return mb_landlock_add_rule(ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0);
}

/* From <linux/landlock.h> of Linux 6.12; an older kernel takes the rest if it is 0. */
struct ruleset { uint64_t files, network, scoped; };

int step_restrict_landlock(struct mb_box *box, const struct mb_restrict_landlock *step)
{
    struct ruleset rules = { (uint64_t)step->writes, (uint64_t)step->tcp, (uint64_t)step->scopes };
    MB_FD ruleset = mb_landlock_create_ruleset(&rules, sizeof rules, 0);
    int err = ruleset < 0 ? ruleset : 0;

    for (uint32_t n = 0; n < step->writable.count && !err; n++)
        err = allow_below(box->root, ruleset, mb_text(box->plan, mb_str_item(box->plan, step->writable, n)),
                          rules.files & ~(uint64_t)NODES);
    return err ? err : mb_landlock_restrict_self(ruleset, 0);
}

int step_close_files(struct mb_box *box, const struct mb_close_files *step)
{
    (void)box, (void)step;
    return mb_close_range(3, ~0u, CLOSE_RANGE_CLOEXEC);
}

/* Is it still there?  The end of the link tells for the engine, the parent's pid for init. */
static bool parent_lives(const struct mb_box *box)
{
    char byte;
    struct iovec part = { &byte, 1 };
    struct msghdr message = { .msg_iov = &part, .msg_iovlen = 1 };

    if (box->link < 0)
        return mb_getppid() == box->init_pid;
    ssize_t size = mb_recvmsg(box->link, &message, MSG_PEEK | MSG_DONTWAIT);
    return size > 0 || size == -EAGAIN;
}

int step_die_with_parent(struct mb_box *box, const struct mb_die_with_parent *step)
{
    (void)step;
    int err = mb_prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0);
    return err ? err : parent_lives(box) ? 0 : -ESRCH;
}

/* An array of pointers to the texts of *list*, NULL at its end; the next free place. */
static char **fill(const struct mb_plan *plan, struct mb_list list, char **at)
{
    for (uint32_t n = 0; n < list.count; n++)
        *at++ = (char *)(uintptr_t)mb_text(plan, mb_str_item(plan, list, n));
    *at++ = NULL;
    return at;
}

/* Default actions, nothing blocked: a program can undo neither if it does not expect them. */
static void reset_signals(void)
{
    const struct mb_sigaction standard = {0};
    const uint64_t none = 0;

    for (int signal = 1; signal <= 64; signal++)
        mb_sigaction(signal, &standard, NULL);
    mb_sigprocmask(SIG_SETMASK, &none, NULL);
}

/* /proc/self/exe is still the engine, and with it the application would hold a file of the host's that
 * may be its user's own. */
static int execute(const struct mb_box *box, const char *path, char **argv, char **environment)
{
    struct stat engine, program;
    bool same = !mb_fstatat(box->proc, "self/exe", &engine, 0) &&
                !mb_fstatat(AT_FDCWD, path, &program, 0) &&
                engine.st_dev == program.st_dev && engine.st_ino == program.st_ino;

    return same ? -EACCES : mb_execve(path, argv, environment);
}

/* As execvp: the next place is tried when there is nothing to run here, and a program that may not be
 * run is told of before one that is not there.  *found* holds its path on failure, or nothing. */
static int search(const struct mb_box *box, const char *name, const char *path, char **argv,
                  char **environment, char found[PATH_MAX])
{
    char candidate[PATH_MAX];
    int result = -ENOENT;

    *found = 0;
    for (;; path++) {
        struct mb_line line = mb_line(candidate, sizeof candidate);
        size_t size = strcspn(path, ":");
        mb_put_bytes(&line, size ? path : ".", size ? size : 1);
        mb_put(&line, "/");
        mb_put(&line, name);
        int err = line.at < line.end ? execute(box, candidate, argv, environment) : -ENAMETOOLONG;
        if (err != -ENOENT && err != -ENOTDIR && err != -ENAMETOOLONG && !*found) {
            memcpy(found, candidate, sizeof candidate);
            result = err;
        }
        if (err != -ENOENT && err != -ENOTDIR && err != -EACCES && err != -ENAMETOOLONG)
            return err;
        path += size;
        if (!*path)
            return result;
    }
}

int step_exec(struct mb_box *box, const struct mb_exec *step)
{
    const char *path = mb_text(box->plan, step->path);
    char found[PATH_MAX];
    size_t count = (size_t)step->argv.count + step->environment.count + 2;

    if (!step->argv.count)
        return -EINVAL;
    long room = mb_mmap(count * sizeof(char *), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1);
    if (room < 0 && room > -4096)
        return (int)room;
    char **argv = (char **)room, **environment = fill(box->plan, step->argv, argv);
    fill(box->plan, step->environment, environment);
    const char *name = argv[0], *failed = name;
    int err;

    if (!step->inherit_signals)
        reset_signals();
    box->board->exec_ns = mb_now(box);
    if (strchr(name, '/') || !*name)
        err = execute(box, name, argv, environment);
    else {
        err = search(box, name, path, argv, environment, found);
        failed = *found ? found : name;
    }
    mb_diagnose_exec(box, failed, -err);
    mb_last_call = MB_CALL_EXECVE;
    return err;
}
