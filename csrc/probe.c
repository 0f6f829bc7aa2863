/* What can this kernel do for this user?  Found by doing, each attempt in a process of its own.

   minibox-engine --probe CGROUP [UID_HELPER GID_HELPER FIRST_UID COUNT FIRST_GID COUNT]
   prints one line for each: its name, a tab, 0 or the errno that said no.  CGROUP is an empty
   cgroup v2 directory of the caller's, or "-".  minibox/probing.py reads it; so can you. */
#include <linux/landlock.h>
#include <linux/seccomp.h>
#include <linux/wait.h>
#include "files.h"
#include "probe.h"
#include "text.h"

#define LEASED_FIRST 0x70000000                 /* any host ids that root may map will do */

struct arguments { const char *cgroup, *uid_helper, *gid_helper, *uids[2], *gids[2]; };

#define TEXT 64                                 /* room for a line with three numbers */

/* *before*, *number*, *after*: in *text*, which is returned. */
static const char *text_of(char text[TEXT], const char *before, uint64_t number, const char *after)
{
    struct mb_line line = mb_line(text, TEXT);

    mb_put(&line, before);
    mb_put_u64(&line, number);
    mb_put(&line, after);
    return text;
}

static int write_text(const char *path, const char *text)
{
    return mb_write_file(AT_FDCWD, path, text, strlen(text));
}

/* A user namespace with one id, and in it the other namespaces. */
static int enter(unsigned long namespaces)
{
    char uids[TEXT], gids[TEXT];

    text_of(uids, "0 ", mb_geteuid(), " 1");
    text_of(gids, "0 ", mb_getegid(), " 1");
    int err = mb_unshare(CLONE_NEWUSER);
    if (!err) err = write_text("/proc/self/setgroups", "deny");
    if (!err) err = write_text("/proc/self/uid_map", uids);
    if (!err) err = write_text("/proc/self/gid_map", gids);
    if (!err && namespaces) err = mb_unshare(namespaces);
    return err;
}

static pid_t fork_it(void)
{
    const struct clone_args how = { .exit_signal = SIGCHLD };

    return mb_clone3(&how);
}

/* 0 or a negative errno that *child* exited with; killed: a filter forbids it. */
static int outcome(pid_t child)
{
    int status = 0;
    pid_t ended = mb_wait4(child, &status, 0, NULL);

    if (ended < 0) return ended;
    return status & 0x7f ? -EPERM : -(status >> 8 & 0xff);
}

/* Run *attempt* in a child, which may change itself as it likes. 0 or a negative errno. */
static int in_child(int (*attempt)(const struct arguments *), const struct arguments *with)
{
    pid_t child = fork_it();
    if (child == 0) mb_exit(-attempt(with));
    return child < 0 ? child : outcome(child);
}

/* A new mount of *type*, attached nowhere: its fd or a negative errno. */
static int mount_detached(const char *type, const char *const options[][2])
{
    MB_FD fs = mb_fsopen(type);
    int err = fs < 0 ? fs : 0;
    for (; !err && options && options[0][0]; options++)
        err = mb_fsconfig(fs, options[0][1] ? FSCONFIG_SET_STRING : FSCONFIG_SET_FLAG,
                          options[0][0], options[0][1], 0);
    if (!err) err = mb_fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0);
    return err ? err : mb_fsmount(fs, 0);
}

static int can_mount(unsigned long namespaces, const char *type, const char *const options[][2])
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
    err = mb_move_mount(stage, "", AT_FDCWD, "/", MOVE_MOUNT_F_EMPTY_PATH);
    if (!err) err = mb_fchdir(stage);
    if (!err) err = mb_mkdirat(AT_FDCWD, "lower", 0755);
    if (!err) err = mb_mkdirat(AT_FDCWD, "upper", 0755);
    if (!err) err = mb_mkdirat(AT_FDCWD, "work", 0755);
    if (err) return err;
    int fd = mount_detached("overlay", layers);
    return fd < 0 ? fd : 0;
}

/* The youngest system calls that set-up cannot do without: all must be known, none refused. */
static int try_calls(const struct arguments *with)
{
    (void)with;
    int err = enter(CLONE_NEWNS);
    static const long calls[] = {__NR_clone3, __NR_openat2, __NR_close_range, __NR_mount_setattr,
                                 __NR_open_tree, __NR_move_mount, __NR_pidfd_open,
                                 __NR_pidfd_send_signal};
    for (unsigned i = 0; !err && i < sizeof calls / sizeof *calls; i++) {
        long answer = mb_raw(calls[i], -1, -1, -1, -1, -1, 0);
        if (answer == -ENOSYS || answer == -EPERM) err = -ENOSYS;
    }
    return err;
}

static int landlock_of(int version)
{
    int has = mb_landlock_create_ruleset(NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
    return has < 0 ? has : has < version ? -EOPNOTSUPP : 0;
}

static int try_landlock(const struct arguments *with) { (void)with; return landlock_of(1); }
static int try_refer(const struct arguments *with) { (void)with; return landlock_of(2); }
static int try_truncate(const struct arguments *with) { (void)with; return landlock_of(3); }
static int try_tcp(const struct arguments *with) { (void)with; return landlock_of(4); }
static int try_scope(const struct arguments *with) { (void)with; return landlock_of(6); }

static int try_seccomp(const struct arguments *with)
{
    (void)with;
    uint32_t action = SECCOMP_RET_KILL_PROCESS;
    return mb_seccomp(SECCOMP_GET_ACTION_AVAIL, 0, &action);
}

static int try_notify(const struct arguments *with)
{
    (void)with;
    uint32_t action = SECCOMP_RET_USER_NOTIF;
    return mb_seccomp(SECCOMP_GET_ACTION_AVAIL, 0, &action);
}

static int try_clone_into(const struct arguments *with)
{
    MB_FD fd = mb_open(with->cgroup, O_PATH | O_DIRECTORY);
    if (fd < 0) return fd;
    struct clone_args args = {.flags = CLONE_INTO_CGROUP, .exit_signal = SIGCHLD,
                              .cgroup = (unsigned)fd};
    pid_t child = mb_clone3(&args);
    if (child == 0) mb_exit(0);
    return child < 0 ? child : outcome(child);
}

/* A child that sits in a new user namespace, unmapped, until it is killed. */
static pid_t sitter(void)
{
    int ready[2];
    char byte;
    int err = mb_pipe2(ready, 0);
    if (err) return err;
    pid_t child = fork_it();
    if (child == 0) {
        err = mb_unshare(CLONE_NEWUSER);
        if (err) mb_exit(-err);
        mb_close(ready[0]);
        mb_close(ready[1]);
        for (;;) mb_ppoll(NULL, 0, NULL);
    }
    mb_close(ready[1]);
    if (child > 0) mb_read(ready[0], &byte, 1);                    /* it has unshared, or is dead */
    mb_close(ready[0]);
    return child;
}

static void dismiss(pid_t child)
{
    mb_kill(child, SIGKILL);
    mb_wait4(child, NULL, 0, NULL);
}

static int run_helper(const char *helper, pid_t target, unsigned own, const char *const range[2])
{
    char pid[TEXT], id[TEXT], *none[] = {NULL};
    const char *const argv[] = {helper, text_of(pid, "", (uint64_t)target, ""), "0",
                                text_of(id, "", own, ""), "1", "1", range[0], range[1], NULL};
    pid_t child = fork_it();
    if (child == 0) mb_exit(-mb_execve(helper, (char *const *)(uintptr_t)argv, none));
    return child < 0 ? child : outcome(child);          /* its status 1 is EPERM, too */
}

static int try_ranges(const struct arguments *with)
{
    pid_t target = sitter();
    if (target < 0) return target;
    int err = run_helper(with->uid_helper, target, mb_geteuid(), with->uids);
    if (!err) err = run_helper(with->gid_helper, target, mb_getegid(), with->gids);
    dismiss(target);
    return err;
}

/* A sitter whose ids are a range that nobody has, as boxes of root are given: only the host's own
   root may map those, not that of a container. Its pid or a negative errno. */
static pid_t leased_sitter(void)
{
    char path[TEXT], map[TEXT];
    pid_t target = sitter();
    if (target < 0) return target;
    text_of(map, "0 ", LEASED_FIRST, " 65536");
    int err = write_text(text_of(path, "/proc/", (uint64_t)target, "/uid_map"), map);
    if (!err) err = write_text(text_of(path, "/proc/", (uint64_t)target, "/gid_map"), map);
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
    char path[TEXT];
    pid_t target = leased_sitter();
    if (target < 0) return target;
    MB_FD ids = mb_open(text_of(path, "/proc/", (uint64_t)target, "/ns/user"), O_RDONLY);
    MB_FD tree = ids < 0 ? ids : mb_open_tree(AT_FDCWD, "/usr", OPEN_TREE_CLONE);
    struct mount_attr attributes = {.attr_set = MOUNT_ATTR_IDMAP, .userns_fd = (unsigned)ids};
    int err = tree < 0 ? tree : mb_mount_setattr(tree, "", AT_EMPTY_PATH, &attributes);
    dismiss(target);
    return err;
}

static const struct { const char *name; int (*attempt)(const struct arguments *); } probes[] = {
    {"user", try_user},     {"user.nested", try_nested}, {"mnt", try_mnt},     {"pid", try_pid},
    {"net", try_net},       {"ipc", try_ipc},            {"uts", try_uts},     {"cgroup", try_cgroup},
    {"time", try_time},     {"calls", try_calls},        {"tmpfs", try_tmpfs}, {"proc", try_proc},
    {"devpts", try_devpts}, {"overlay", try_overlay},    {"sysfs", try_sysfs},
    {"landlock", try_landlock}, {"landlock.refer", try_refer}, {"landlock.truncate", try_truncate},
    {"landlock.tcp", try_tcp},  {"landlock.scope", try_scope}, {"seccomp", try_seccomp},
    {"seccomp.notify", try_notify},
};

static void say(const char *name, int (*attempt)(const struct arguments *),
                const struct arguments *with)
{
    char text[TEXT];
    struct mb_line line = mb_line(text, sizeof text);

    mb_put(&line, name);
    mb_put(&line, "\t");
    mb_put_i64(&line, -in_child(attempt, with));
    mb_put(&line, "\n");
    mb_write(1, text, mb_line_size(&line));
}

int mb_probe(int count, char *const words[])
{
    if (count != 1 && count != 7) {
        static const char usage[] = "usage: minibox-engine --probe CGROUP "
                                    "[UID_HELPER GID_HELPER FIRST_UID COUNT FIRST_GID COUNT]\n";
        mb_write(2, usage, sizeof usage - 1);
        return 125;
    }
    struct arguments with = {.cgroup = words[0]};
    for (unsigned i = 0; i < sizeof probes / sizeof *probes; i++)
        say(probes[i].name, probes[i].attempt, &with);
    if (mb_geteuid() == 0) {
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
