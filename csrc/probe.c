/* What can this kernel do for this user?  Found by doing, each attempt in a process of its own.

   minibox-engine --probe CGROUP [UID_HELPER GID_HELPER FIRST_UID COUNT FIRST_GID COUNT]
   prints one line for each: its name, a tab, 0 or the errno that said no.  CGROUP is an empty
   cgroup v2 directory of the caller's, or "-".  minibox/probing.py reads it; so can you. */
#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <linux/mount.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "probe.h"

#define LEASED_FIRST 0x70000000                 /* any host ids that root may map will do */

struct arguments { const char *cgroup, *uid_helper, *gid_helper, *uids[2], *gids[2]; };

static int result(long value) { return value < 0 ? -errno : 0; }

static int write_text(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0) return -errno;
    int err = result(write(fd, text, strlen(text)));
    close(fd);
    return err;
}

/* A user namespace with one id, and in it the other namespaces. */
static int enter(int namespaces)
{
    char uids[32], gids[32];
    snprintf(uids, sizeof uids, "0 %u 1", geteuid());
    snprintf(gids, sizeof gids, "0 %u 1", getegid());
    int err = result(unshare(CLONE_NEWUSER));
    if (!err) err = write_text("/proc/self/setgroups", "deny");
    if (!err) err = write_text("/proc/self/uid_map", uids);
    if (!err) err = write_text("/proc/self/gid_map", gids);
    if (!err && namespaces) err = result(unshare(namespaces));
    return err;
}

/* Run *attempt* in a child, which may change itself as it likes. 0 or a negative errno. */
static int in_child(int (*attempt)(const struct arguments *), const struct arguments *with)
{
    pid_t child = fork();
    if (child < 0) return -errno;
    if (child == 0) _exit(-attempt(with));
    int status;
    while (waitpid(child, &status, 0) < 0)
        if (errno != EINTR) return -errno;
    return WIFEXITED(status) ? -WEXITSTATUS(status) : -EPERM;      /* killed: a filter forbids it */
}

/* A new mount of *type*, attached nowhere: its fd or a negative errno. */
static int mount_detached(const char *type, const char *const options[][2])
{
    int fs = (int)syscall(SYS_fsopen, type, FSOPEN_CLOEXEC);
    if (fs < 0) return -errno;
    long done = 0;
    for (; done == 0 && options && options[0][0]; options++)
        done = syscall(SYS_fsconfig, fs, options[0][1] ? FSCONFIG_SET_STRING : FSCONFIG_SET_FLAG,
                       options[0][0], options[0][1], 0);
    if (done == 0) done = syscall(SYS_fsconfig, fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0);
    if (done == 0) done = syscall(SYS_fsmount, fs, FSMOUNT_CLOEXEC, 0);
    int fd = done < 0 ? -errno : (int)done;
    close(fs);
    return fd;
}

static int can_mount(int namespaces, const char *type, const char *const options[][2])
{
    int err = enter(CLONE_NEWNS | namespaces);
    if (!err) err = mount_detached(type, options);
    return err < 0 ? err : 0;
}

static int try_user(const struct arguments *with) { (void)with; return enter(0); }
static int try_mnt(const struct arguments *with) { (void)with; return enter(CLONE_NEWNS); }
static int try_pid(const struct arguments *with) { (void)with; return enter(CLONE_NEWPID); }
static int try_net(const struct arguments *with) { (void)with; return enter(CLONE_NEWNET); }
static int try_ipc(const struct arguments *with) { (void)with; return enter(CLONE_NEWIPC); }
static int try_uts(const struct arguments *with) { (void)with; return enter(CLONE_NEWUTS); }
static int try_cgroup(const struct arguments *with) { (void)with; return enter(CLONE_NEWCGROUP); }
static int try_time(const struct arguments *with) { (void)with; return enter(CLONE_NEWTIME); }

static int try_nested(const struct arguments *with)
{
    int err = enter(0);
    return err ? err : try_user(with);
}

static int mount_proc(const struct arguments *with)
{
    (void)with;
    static const char *const hide[][2] = {{"hidepid", "ptraceable"}, {NULL, NULL}};
    int fd = mount_detached("proc", hide);
    return fd < 0 ? fd : 0;
}

static int try_proc(const struct arguments *with)
{
    int err = enter(CLONE_NEWNS | CLONE_NEWPID);
    return err ? err : in_child(mount_proc, with);          /* only a child is in the new one */
}

static int try_tmpfs(const struct arguments *with)
{
    (void)with;
    return can_mount(0, "tmpfs", NULL);
}

static int try_devpts(const struct arguments *with)
{
    (void)with;
    static const char *const open_to_all[][2] = {{"ptmxmode", "0666"}, {NULL, NULL}};
    return can_mount(0, "devpts", open_to_all);
}

static int try_sysfs(const struct arguments *with)
{
    (void)with;
    return can_mount(CLONE_NEWNET, "sysfs", NULL);
}

static int try_overlay(const struct arguments *with)
{
    (void)with;
    static const char *const layers[][2] = {{"lowerdir", "lower"}, {"upperdir", "upper"},
                                            {"workdir", "work"}, {"userxattr", NULL}, {NULL, NULL}};
    int err = enter(CLONE_NEWNS);
    int stage = err ? err : mount_detached("tmpfs", NULL);
    if (stage < 0) return stage;
    err = result(syscall(SYS_move_mount, stage, "", AT_FDCWD, "/", MOVE_MOUNT_F_EMPTY_PATH));
    if (err || fchdir(stage) || mkdir("lower", 0755) || mkdir("upper", 0755) || mkdir("work", 0755))
        return err ? err : -errno;
    int fd = mount_detached("overlay", layers);
    return fd < 0 ? fd : 0;
}

/* The youngest system calls that set-up cannot do without: all must be known, none refused. */
static int try_calls(const struct arguments *with)
{
    (void)with;
    int err = enter(CLONE_NEWNS);
    static const long calls[] = {SYS_clone3, SYS_openat2, SYS_close_range, SYS_mount_setattr,
                                 SYS_open_tree, SYS_move_mount, SYS_pidfd_open,
                                 SYS_pidfd_send_signal};
    for (unsigned i = 0; !err && i < sizeof calls / sizeof *calls; i++)
        if (syscall(calls[i], -1, -1, -1, -1, -1) < 0 && (errno == ENOSYS || errno == EPERM))
            err = -ENOSYS;
    return err;
}

static int try_landlock(const struct arguments *with)
{
    (void)with;
    return result(syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION));
}

static int try_seccomp(const struct arguments *with)
{
    (void)with;
    uint32_t action = SECCOMP_RET_KILL_PROCESS;
    return result(syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &action));
}

static int try_clone_into(const struct arguments *with)
{
    int fd = open(with->cgroup, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return -errno;
    struct clone_args args = {.flags = CLONE_INTO_CGROUP, .exit_signal = SIGCHLD,
                              .cgroup = (unsigned)fd};
    long child = syscall(SYS_clone3, &args, sizeof args);
    if (child == 0) _exit(0);
    if (child < 0) return -errno;
    return result(waitpid((pid_t)child, NULL, 0));
}

/* A child that sits in a new user namespace, unmapped, until it is killed. */
static pid_t sitter(void)
{
    int ready[2];
    char byte;
    if (pipe2(ready, O_CLOEXEC)) return -errno;
    pid_t child = fork();
    if (child == 0) {
        if (unshare(CLONE_NEWUSER)) _exit(errno);
        close(ready[0]);
        close(ready[1]);
        for (;;) pause();
    }
    int err = child < 0 ? -errno : 0;
    close(ready[1]);
    if (!err && read(ready[0], &byte, 1) < 0) err = -errno;        /* it has unshared, or is dead */
    close(ready[0]);
    return err ? err : child;
}

static void dismiss(pid_t child)
{
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
}

static int run_helper(const char *helper, pid_t target, unsigned own, const char *const range[2])
{
    char pid[16], id[16];
    snprintf(pid, sizeof pid, "%d", target);
    snprintf(id, sizeof id, "%u", own);
    pid_t child = fork();
    if (child < 0) return -errno;
    if (child == 0) {
        execl(helper, helper, pid, "0", id, "1", "1", range[0], range[1], (char *)NULL);
        _exit(errno);
    }
    int status;
    if (waitpid(child, &status, 0) < 0) return -errno;
    if (!WIFEXITED(status)) return -EPERM;
    return WEXITSTATUS(status) == 1 ? -EPERM : -WEXITSTATUS(status);
}

static int try_ranges(const struct arguments *with)
{
    pid_t target = sitter();
    if (target < 0) return target;
    int err = run_helper(with->uid_helper, target, getuid(), with->uids);
    if (!err) err = run_helper(with->gid_helper, target, getgid(), with->gids);
    dismiss(target);
    return err;
}

/* A sitter whose ids are a range that nobody has, as boxes of root are given: only the host's own
   root may map those, not that of a container. Its pid or a negative errno. */
static pid_t leased_sitter(void)
{
    char path[48], map[48];
    pid_t target = sitter();
    if (target < 0) return target;
    snprintf(map, sizeof map, "0 %u 65536", LEASED_FIRST);
    snprintf(path, sizeof path, "/proc/%d/uid_map", target);
    int err = write_text(path, map);
    snprintf(path, sizeof path, "/proc/%d/gid_map", target);
    if (!err) err = write_text(path, map);
    if (err) dismiss(target);
    return err ? err : target;
}

static int try_lease(const struct arguments *with)
{
    (void)with;
    pid_t target = leased_sitter();
    if (target < 0) return target;
    dismiss(target);
    return 0;
}

/* Shift the owners of a detached copy of /usr by the map of a user namespace: only root may. */
static int try_idmap(const struct arguments *with)
{
    (void)with;
    char path[48];
    pid_t target = leased_sitter();
    if (target < 0) return target;
    snprintf(path, sizeof path, "/proc/%d/ns/user", target);
    int ids = open(path, O_RDONLY | O_CLOEXEC), err = 0;
    int tree = (int)syscall(SYS_open_tree, AT_FDCWD, "/usr", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
    struct mount_attr attributes = {.attr_set = MOUNT_ATTR_IDMAP, .userns_fd = (unsigned)ids};
    if (ids < 0 || tree < 0 ||
        syscall(SYS_mount_setattr, tree, "", AT_EMPTY_PATH, &attributes, sizeof attributes))
        err = -errno;
    dismiss(target);
    return err;
}

static const struct { const char *name; int (*attempt)(const struct arguments *); } probes[] = {
    {"user", try_user},     {"user.nested", try_nested}, {"mnt", try_mnt},     {"pid", try_pid},
    {"net", try_net},       {"ipc", try_ipc},            {"uts", try_uts},     {"cgroup", try_cgroup},
    {"time", try_time},     {"calls", try_calls},        {"tmpfs", try_tmpfs}, {"proc", try_proc},
    {"devpts", try_devpts}, {"overlay", try_overlay},    {"sysfs", try_sysfs},
    {"landlock", try_landlock}, {"seccomp", try_seccomp},
};

static void say(const char *name, int (*attempt)(const struct arguments *),
                const struct arguments *with)
{
    dprintf(STDOUT_FILENO, "%s\t%d\n", name, -in_child(attempt, with));
}

int mb_probe(int count, char *const words[])
{
    if (count != 1 && count != 7) {
        dprintf(STDERR_FILENO, "usage: minibox-engine --probe CGROUP "
                "[UID_HELPER GID_HELPER FIRST_UID COUNT FIRST_GID COUNT]\n");
        return 125;
    }
    struct arguments with = {.cgroup = words[0]};
    for (unsigned i = 0; i < sizeof probes / sizeof *probes; i++)
        say(probes[i].name, probes[i].attempt, &with);
    if (geteuid() == 0) {
        say("lease", try_lease, &with);
        say("idmap", try_idmap, &with);
    }
    if (strcmp(with.cgroup, "-") != 0) say("clone_into_cgroup", try_clone_into, &with);
    if (count == 7) {
        with = (struct arguments){.uid_helper = words[1], .gid_helper = words[2],
                                  .uids = {words[3], words[4]}, .gids = {words[5], words[6]}};
        say("ranges", try_ranges, &with);
    }
    return 0;
}
