/* Files of the host: found by any way there is, written, mounted; and the kernel's own in /proc and
 * /sys, by which it is told what to run and to allow.  What would be written is only opened, and
 * mounts are asked for with arguments that fail after the kernel has asked for leave. */
#include "attempts.h"
#include <asm/ioctls.h>

#define UP "../../../../../../../../../../../../../../../../../../../../"

/* ---- a file that only the host has ---- */

static int MB_ATTEMPT(host_file)
{
    const char *path = mb_given(given, "file");
    return path ? mb_try_file(path, O_RDONLY) : MB_UNPROVABLE;
}

/* Opened for writing, and nothing is written. */
static int MB_ATTEMPT(host_file_written)
{
    const char *path = mb_given(given, "file");
    return path ? mb_try_file(path, O_WRONLY) : MB_UNPROVABLE;
}

/* The host's file as seen from the directory *from*, which may lie outside our root: there no ".."
 * ends at it. */
static int climb(int dir, const char *from, const char *file)
{
    char path[512];
    struct mb_line line = mb_line(path, sizeof path);

    mb_put(&line, from);
    mb_put(&line, UP);
    mb_put(&line, file + 1);
    MB_FD fd = mb_openat(dir, path, O_RDONLY, 0);
    return mb_outcome(fd);
}

static int MB_ATTEMPT(host_file_by_dots)
{
    const char *path = mb_given(given, "file");
    return path ? climb(AT_FDCWD, "/", path) : MB_UNPROVABLE;
}

static int MB_ATTEMPT(host_file_by_directory)
{
    const char *path = mb_given(given, "file");
    return path ? climb(AT_FDCWD, "", path) : MB_UNPROVABLE;
}

/* By any directory that was left open in this process. */
static int MB_ATTEMPT(host_file_by_descriptor)
{
    const char *path = mb_given(given, "file");
    int result = MB_HELD;

    for (int fd = 0; path && fd < 4096; fd++)
        if (mb_fcntl(fd, F_GETFD, 0) >= 0 && (result = climb(fd, "", path)) == MB_OPEN) {
            mb_put(detail, "descriptor ");
            mb_put_i64(detail, fd);
            return MB_OPEN;
        }
    return path ? result : MB_UNPROVABLE;
}

/* The directory *what* of a process, with a slash behind it. */
static void process_path(char *path, size_t size, const char *process, const char *what)
{
    struct mb_line line = mb_line(path, size);

    mb_put(&line, "/proc/");
    mb_put(&line, process);
    mb_put(&line, "/");
    mb_put(&line, what);
    mb_put(&line, "/");
}

/* By the directory *what* ("root", "cwd") of any process that can be seen. */
static int by_process(const struct mb_given *given, struct mb_line *detail, const char *what)
{
    MB_FD proc = mb_open("/proc", O_RDONLY | O_DIRECTORY);
    struct mb_names processes = { .dir = proc };
    const char *file = mb_given(given, "file"), *name;
    char path[64];
    int result = MB_HELD;

    if (!file || proc < 0)
        return MB_UNPROVABLE;
    while ((name = mb_next_name(&processes))) {
        process_path(path, sizeof path, name, what);
        if (mb_is_number(name) && (result = climb(AT_FDCWD, path, file)) == MB_OPEN) {
            mb_put(detail, path);
            return MB_OPEN;
        }
    }
    return result;
}

static int MB_ATTEMPT(host_file_by_process_root)
{
    return by_process(given, detail, "root");
}

static int MB_ATTEMPT(host_file_by_process_directory)
{
    return by_process(given, detail, "cwd");
}

/* By any directory that process *process* has open. */
static int by_descriptors_of(const char *process, const char *file, struct mb_line *detail)
{
    char path[128];
    const char *name;

    process_path(path, sizeof path, process, "fd");
    MB_FD dir = mb_open(path, O_RDONLY | O_DIRECTORY);
    struct mb_names descriptors = { .dir = dir };
    while (dir >= 0 && (name = mb_next_name(&descriptors))) {
        struct mb_line link = mb_line(path, sizeof path);
        mb_put(&link, name);
        mb_put(&link, "/");
        if (climb(dir, path, file) == MB_OPEN) {
            mb_put(detail, "descriptor ");
            mb_put(detail, name);
            mb_put(detail, " of process ");
            mb_put(detail, process);
            return MB_OPEN;
        }
    }
    return dir < 0 ? dir : MB_HELD;
}

static int MB_ATTEMPT(host_file_by_process_descriptor)
{
    MB_FD proc = mb_open("/proc", O_RDONLY | O_DIRECTORY);
    struct mb_names processes = { .dir = proc };
    const char *file = mb_given(given, "file"), *name;

    if (!file || proc < 0)
        return MB_UNPROVABLE;
    while ((name = mb_next_name(&processes)))
        if (mb_is_number(name) && by_descriptors_of(name, file, detail) == MB_OPEN)
            return MB_OPEN;
    return MB_HELD;
}

/* Change the root to a directory below, while a descriptor stays above it: ".." then has no end. */
static int MB_ATTEMPT(host_file_by_second_root)
{
    static const char *const below[] = { "/proc", "/usr", "/dev", "/tmp" };
    const char *file = mb_given(given, "file");
    MB_FD root = mb_open("/", O_RDONLY | O_DIRECTORY);
    int result = -ENOENT;

    if (!file || root < 0)
        return MB_UNPROVABLE;
    for (size_t at = 0; result == -ENOENT && at < sizeof below / sizeof *below; at++)
        result = mb_chroot(below[at]);
    return result < 0 ? result : climb(root, "", file);
}

/* Open "/" by its handle: whoever may do that may open any file of the file system by its number. */
static int MB_ATTEMPT(open_by_handle)
{
    struct { uint32_t size; int32_t type; uint32_t number[32]; } handle = { 128, 0, {0} };
    MB_FD root = mb_open("/", O_RDONLY | O_DIRECTORY);
    int mount;

    if (root < 0)
        return MB_UNPROVABLE;
    if (MB_QUIET(__NR_name_to_handle_at, root, "", &handle, &mount, AT_EMPTY_PATH) < 0) {
        handle.size = 8;                    /* the root of most file systems on disks */
        handle.type = 1;
        handle.number[0] = 2;
    }
    return mb_outcome(MB_QUIET(__NR_open_by_handle_at, root, &handle, O_RDONLY | O_CLOEXEC));
}

/* What our streams lead to, if that is a file or a terminal, opened again with rights that the stream
 * has not. */
static int MB_ATTEMPT(streams_reopened)
{
    static const char *const paths[] = { "/proc/self/fd/0", "/proc/self/fd/1", "/proc/self/fd/2" };
    int result = MB_HELD;

    for (int fd = 0; result != MB_OPEN && fd < 3; fd++) {
        char settings[64];
        struct stat about;
        if (mb_fstat(fd, &about) < 0 ||
            (!S_ISREG(about.st_mode) && MB_QUIET(__NR_ioctl, fd, TCGETS, settings) < 0))
            continue;
        result = mb_open_any(MB_PATHS(paths[fd]), O_RDWR, detail);
        if (result != MB_OPEN && (mb_fcntl(fd, F_GETFL, 0) & O_ACCMODE) == O_WRONLY)
            result = mb_open_any(MB_PATHS(paths[fd]), O_RDONLY, detail);
    }
    return result;
}

/* ---- files that most hosts have ---- */

/* A file that is not the box's own, to be opened with *flags*. */
static int hosts_own(const char *const *paths, int flags, struct mb_line *detail)
{
    int result = -ENOENT;

    for (; *paths && result == -ENOENT; paths++) {
        MB_FD fd = mb_open(*paths, flags | O_NONBLOCK);
        result = fd < 0 ? fd : mb_is_passing(fd) ? MB_HELD : MB_OPEN;
        if (fd >= 0)
            mb_put(detail, *paths);
    }
    return result;
}

#define HOST_ATTEMPT(name, flags, ...) \
    static int MB_ATTEMPT(name) { return hosts_own(MB_PATHS(__VA_ARGS__), flags, detail); }

HOST_ATTEMPT(passwords, O_RDONLY, "/etc/shadow", "/etc/gshadow", "/etc/shadow-")
HOST_ATTEMPT(server_keys, O_RDONLY, "/etc/ssh/ssh_host_ed25519_key", "/etc/ssh/ssh_host_rsa_key",
             "/etc/ssl/private")
HOST_ATTEMPT(administration, O_RDONLY, "/etc/sudoers", "/etc/sudoers.d", "/etc/crontab",
             "/etc/cron.d", "/var/spool/cron", "/etc/systemd/system")
HOST_ATTEMPT(logs, O_RDONLY, "/var/log/journal", "/var/log/syslog", "/var/log/dpkg.log", "/var/log")
HOST_ATTEMPT(boot_files, O_RDONLY, "/boot")
HOST_ATTEMPT(programs_written, O_WRONLY, "/usr/bin/env", "/bin/busybox", "/bin/sh")
HOST_ATTEMPT(accounts_written, O_WRONLY, "/etc/passwd")
HOST_ATTEMPT(loader_written, O_WRONLY, "/etc/ld.so.cache", "/etc/ld.so.conf", "/etc/ld.so.preload")

/* As long as it runs it is busy, for whoever may write it and, if only the mount forbids it, for all. */
static int MB_ATTEMPT(own_program_written)
{
    static const char path[] = "/proc/self/exe";
    MB_FD fd = mb_open(path, O_WRONLY);

    if (fd == -ENOENT)
        return MB_UNPROVABLE;
    return mb_outcome(fd == -ETXTBSY ? mb_faccessat2(AT_FDCWD, path, W_OK, AT_EACCESS) : fd);
}

/* Make an unnamed file, of which nothing stays, in any of *directories*, and not in memory. */
static int made_in(const char *const *directories, struct mb_line *detail)
{
    int result = -ENOENT;

    for (; *directories && result == -ENOENT; directories++) {
        MB_FD fd = mb_unnamed_file(*directories);
        result = fd < 0 ? fd : mb_is_passing(fd) ? MB_HELD : MB_OPEN;
        if (fd >= 0)
            mb_put(detail, mb_is_passing(fd) ? "in memory or an overlay" : *directories);
    }
    return result;
}

#define MAKE_ATTEMPT(name, ...) \
    static int MB_ATTEMPT(name) { return made_in(MB_PATHS(__VA_ARGS__), detail); }

MAKE_ATTEMPT(made_in_root, "/")
MAKE_ATTEMPT(made_in_etc, "/etc")
MAKE_ATTEMPT(made_in_usr, "/usr/bin", "/usr", "/bin")
MAKE_ATTEMPT(made_in_libraries, "/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu",
             "/usr/lib64", "/usr/lib", "/lib")
MAKE_ATTEMPT(made_in_var, "/var/lib", "/var")
MAKE_ATTEMPT(made_in_start_up, "/etc/init.d", "/etc/systemd/system", "/etc/cron.d",
             "/etc/profile.d")

static int MB_ATTEMPT(made_in_home)
{
    const char *home = mb_given(given, "home");
    return home ? made_in(MB_PATHS(home), detail) : MB_UNPROVABLE;
}

static int MB_ATTEMPT(made_in_host_directory)
{
    const char *directory = mb_given(given, "mount");
    MB_FD fd = -1;

    if (!directory)
        return MB_UNPROVABLE;
    fd = mb_unnamed_file(directory);
    return mb_outcome(fd);
}

/* ---- mounts ---- */

MB_CALL_ATTEMPT(try_mount, __NR_mount, NULL, "/", NULL, 0, NULL)
MB_CALL_ATTEMPT(try_bind, __NR_mount, "", "/", NULL, MS_BIND, NULL)

/* /proc/self is there, but it is no mount point: that is said after leave was given. */
static int of_no_mount(long result)
{
    return result == -ENOENT ? MB_UNPROVABLE : mb_outcome(result);
}

#define NO_MOUNT_ATTEMPT(name, ...) \
    static int MB_ATTEMPT(name) { return of_no_mount(MB_QUIET(__VA_ARGS__)); }

NO_MOUNT_ATTEMPT(try_remount, __NR_mount, NULL, "/proc/self", NULL, MS_REMOUNT | MS_BIND, NULL)
NO_MOUNT_ATTEMPT(try_propagation, __NR_mount, NULL, "/proc/self", NULL, MS_SHARED, NULL)
NO_MOUNT_ATTEMPT(try_umount, __NR_umount2, "/proc/self", 0)

MB_CALL_ATTEMPT(try_pivot_root, __NR_pivot_root, MB_NOWHERE, MB_NOWHERE)
MB_CALL_ATTEMPT(try_fsopen, __NR_fsopen, MB_NOWHERE, 0)
MB_CALL_ATTEMPT(try_fspick, __NR_fspick, -1, MB_NOWHERE, 0)
MB_CALL_ATTEMPT(try_fsconfig, __NR_fsconfig, -1, 0, NULL, NULL, 0)
MB_CALL_ATTEMPT(try_fsmount, __NR_fsmount, -1, 0, 0)
MB_CALL_ATTEMPT(try_move_mount, __NR_move_mount, -1, MB_NOWHERE, -1, MB_NOWHERE, 0)
MB_CALL_ATTEMPT(try_mount_setattr, __NR_mount_setattr, -1, MB_NOWHERE, 0, MB_NOWHERE, 32)
MB_CALL_ATTEMPT(try_open_tree, __NR_open_tree, -1, MB_NOWHERE, OPEN_TREE_CLONE)

/* Is there a mount whose changes come from or go to others? */
static int MB_ATTEMPT(propagation)
{
    struct mb_mount mount;
    char *text = mb_mounts();

    if (!text)
        return MB_UNPROVABLE;
    while (mb_next_mount(&text, &mount))
        if (!strncmp(mount.propagation, "shared:", 7) ||
            !strncmp(mount.propagation, "master:", 7)) {
            mb_put(detail, mount.point);
            return MB_OPEN;
        }
    return MB_HELD;
}

static int MB_ATTEMPT(set_user_id_mounts)
{
    struct mb_mount mount;
    char *text = mb_mounts();

    if (!text)
        return MB_UNPROVABLE;
    while (mb_next_mount(&text, &mount))
        if (!mb_has_word(mount.options, "nosuid")) {
            mb_put(detail, mount.point);
            return MB_OPEN;
        }
    return MB_HELD;
}

/* The program given is this one, with a set-user-ID bit and another owner. */
static int MB_ATTEMPT(set_user_id)
{
    const char *path = mb_given(given, "setuid");
    char *const argv[] = { (char []){ "minibox-probe" }, (char []){ "--set-user-id" }, NULL };
    int status = 0;
    pid_t pid;

    if (!path || (pid = (pid_t)MB_QUIET(__NR_clone, SIGCHLD, 0, 0, 0, 0)) < 0)
        return MB_UNPROVABLE;
    if (pid == 0) {
        mb_execve(path, argv, argv + 2);
        mb_exit(2);
    }
    mb_wait4(pid, &status, 0, NULL);
    return status >> 8 == 0 ? MB_HELD : status >> 8 == 1 ? MB_OPEN : MB_UNPROVABLE;
}

/* ---- the kernel's own files ---- */

MB_OPEN_ATTEMPT(core_pattern, O_WRONLY, "/proc/sys/kernel/core_pattern")
MB_OPEN_ATTEMPT(modprobe, O_WRONLY, "/proc/sys/kernel/modprobe")
MB_OPEN_ATTEMPT(power_off, O_WRONLY, "/proc/sys/kernel/poweroff_cmd")
MB_OPEN_ATTEMPT(helpers, O_WRONLY, "/proc/sys/kernel/usermodehelper/bset")
MB_OPEN_ATTEMPT(sysrq, O_WRONLY, "/proc/sysrq-trigger", "/proc/sys/kernel/sysrq")
MB_OPEN_ATTEMPT(overcommit, O_WRONLY, "/proc/sys/vm/overcommit_memory")
MB_OPEN_ATTEMPT(caches, O_WRONLY, "/proc/sys/vm/drop_caches")
MB_OPEN_ATTEMPT(last_pid, O_WRONLY, "/proc/sys/kernel/ns_last_pid")
MB_OPEN_ATTEMPT(lowest_address, O_WRONLY, "/proc/sys/vm/mmap_min_addr")
MB_OPEN_ATTEMPT(randomization, O_WRONLY, "/proc/sys/kernel/randomize_va_space")
MB_OPEN_ATTEMPT(namespace_limits, O_WRONLY, "/proc/sys/user/max_user_namespaces")
MB_OPEN_ATTEMPT(link_protection, O_WRONLY, "/proc/sys/fs/protected_symlinks",
                "/proc/sys/fs/suid_dumpable")
MB_OPEN_ATTEMPT(interrupts, O_WRONLY, "/proc/irq/default_smp_affinity")
MB_OPEN_ATTEMPT(memory_types, O_WRONLY, "/proc/mtrr")
MB_OPEN_ATTEMPT(uevent_helper, O_WRONLY, "/sys/kernel/uevent_helper")
MB_OPEN_ATTEMPT(power_state, O_WRONLY, "/sys/power/state", "/sys/power/disk")
MB_OPEN_ATTEMPT(sysfs_settings, O_WRONLY, "/sys/kernel/mm/ksm/run", "/sys/power/pm_freeze_timeout",
                "/sys/kernel/mm/transparent_hugepage/enabled", "/sys/kernel/profiling",
                "/sys/devices/system/cpu/cpu1/online", "/sys/kernel/rcu_expedited")
MB_OPEN_ATTEMPT(module_parameters, O_WRONLY, "/sys/module/kernel/parameters/panic",
                "/sys/module/printk/parameters/time", "/sys/module/kernel/parameters/panic_on_warn")
MB_OPEN_ATTEMPT(release_agent, O_WRONLY, "/sys/fs/cgroup/release_agent",
                "/sys/fs/cgroup/memory/release_agent", "/sys/fs/cgroup/pids/release_agent",
                "/sys/fs/cgroup/rdma/release_agent", "/sys/fs/cgroup/systemd/release_agent")

static bool writable(int dir, const char *name)
{
    struct stat about;
    MB_FD file = -1;

    if (mb_fstatat(dir, name, &about, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISREG(about.st_mode))
        return false;
    file = mb_openat(dir, name, O_WRONLY | O_NONBLOCK | O_NOFOLLOW, 0);
    return file >= 0;
}

/* Can any regular file beneath *dir* be opened for writing?  None is looked for in what is a
 * process's own, nor where a look alone has the host mount something (binfmt_misc). */
static bool any_writable(int dir, int depth, struct mb_line *detail)
{
    struct mb_names names = { .dir = dir };
    const char *name;

    while ((name = mb_next_name(&names))) {
        if (mb_is_number(name) || !strcmp(name, "sys") || !strcmp(name, "binfmt_misc"))
            continue;
        MB_FD below = mb_openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
        if (below >= 0 && depth && any_writable(below, depth - 1, detail))
            return true;
        if (below == -ENOTDIR && writable(dir, name)) {
            mb_put(detail, name);
            return true;
        }
    }
    return false;
}

static int any_setting(const char *path, struct mb_line *detail)
{
    MB_FD dir = mb_open(path, O_RDONLY | O_DIRECTORY);

    if (dir < 0)
        return dir;
    return any_writable(dir, 6, detail) ? MB_OPEN : MB_HELD;
}

static int MB_ATTEMPT(any_kernel_setting)
{
    return any_setting("/proc/sys", detail);
}

static int MB_ATTEMPT(any_proc_file)
{
    return any_setting("/proc", detail);
}

static int MB_ATTEMPT(any_control_group_file)
{
    return any_setting("/sys/fs/cgroup", detail);
}

const struct mb_probe mb_files_probes[] = {
    { "files.host-canary", host_file },
    { "files.host-canary-written", host_file_written },
    { "files.host-canary-by-dots", host_file_by_dots },
    { "files.host-canary-by-working-directory", host_file_by_directory },
    { "files.host-canary-by-descriptor", host_file_by_descriptor },
    { "files.host-canary-by-process-root", host_file_by_process_root },
    { "files.host-canary-by-process-directory", host_file_by_process_directory },
    { "files.host-canary-by-process-descriptor", host_file_by_process_descriptor },
    { "files.host-canary-by-second-root", host_file_by_second_root },
    { "files.open-by-handle", open_by_handle },
    { "files.streams-reopened", streams_reopened },
    { "files.passwords", passwords },
    { "files.server-keys", server_keys },
    { "files.administration", administration },
    { "files.logs", logs },
    { "files.boot", boot_files },
    { "files.programs-written", programs_written },
    { "files.accounts-written", accounts_written },
    { "files.loader-written", loader_written },
    { "files.own-program-written", own_program_written },
    { "files.made-in-root", made_in_root },
    { "files.made-in-etc", made_in_etc },
    { "files.made-in-usr", made_in_usr },
    { "files.made-in-libraries", made_in_libraries },
    { "files.made-in-var", made_in_var },
    { "files.made-in-start-up", made_in_start_up },
    { "files.made-in-home", made_in_home },
    { "files.made-in-host-directory", made_in_host_directory },
    { "files.mount", try_mount },
    { "files.bind-mount", try_bind },
    { "files.remount", try_remount },
    { "files.mount-propagation-changed", try_propagation },
    { "files.umount", try_umount },
    { "files.pivot-root", try_pivot_root },
    { "files.fsopen", try_fsopen },
    { "files.fspick", try_fspick },
    { "files.fsconfig", try_fsconfig },
    { "files.fsmount", try_fsmount },
    { "files.move-mount", try_move_mount },
    { "files.mount-setattr", try_mount_setattr },
    { "files.open-tree", try_open_tree },
    { "files.propagation", propagation },
    { "files.set-user-id-mounts", set_user_id_mounts },
    { "files.set-user-id", set_user_id },
    { "files.core-pattern", core_pattern },
    { "files.modprobe", modprobe },
    { "files.power-off-command", power_off },
    { "files.helper-capabilities", helpers },
    { "files.sysrq", sysrq },
    { "files.overcommit", overcommit },
    { "files.drop-caches", caches },
    { "files.last-pid", last_pid },
    { "files.lowest-address", lowest_address },
    { "files.randomization", randomization },
    { "files.namespace-limits", namespace_limits },
    { "files.link-protection", link_protection },
    { "files.interrupt-affinity", interrupts },
    { "files.memory-types", memory_types },
    { "files.uevent-helper", uevent_helper },
    { "files.power-state", power_state },
    { "files.sysfs-settings", sysfs_settings },
    { "files.module-parameters", module_parameters },
    { "files.release-agent", release_agent },
    { "files.any-kernel-setting", any_kernel_setting },
    { "files.any-proc-file", any_proc_file },
    { "files.any-cgroup-file", any_control_group_file },
    MB_END
};
