/* System calls, raw: a thin wrapper for each, returning -errno, so that what runs between clone and
 * exec touches no libc state (errno, locks, cancellation, set*id broadcasts).  Each notes its name in
 * mb_last_call, so a failing step can say which call failed.  EINTR is retried here and nowhere else;
 * every descriptor is born CLOEXEC. */
#pragma once
#ifndef _GNU_SOURCE
#error "compile with -D_GNU_SOURCE"
#endif
#include <asm/unistd.h>
#include <fcntl.h>
#include <linux/errno.h>
#include <linux/mount.h>
#include <linux/openat2.h>
#include <linux/sched.h>
#include <linux/sched/types.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/vfs.h>
#include <time.h>
#include "plan.h"

extern enum mb_call mb_last_call;

#if defined(__x86_64__)
static inline long mb_raw(long number, long a, long b, long c, long d, long e, long f)
{
    register long r10 __asm__("r10") = d, r8 __asm__("r8") = e, r9 __asm__("r9") = f;
    long result;
    __asm__ volatile("syscall" : "=a"(result)
                     : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
                     : "rcx", "r11", "memory");
    return result;
}
#elif defined(__aarch64__)
static inline long mb_raw(long number, long a, long b, long c, long d, long e, long f)
{
    register long x8 __asm__("x8") = number, x0 __asm__("x0") = a, x1 __asm__("x1") = b;
    register long x2 __asm__("x2") = c, x3 __asm__("x3") = d, x4 __asm__("x4") = e;
    register long x5 __asm__("x5") = f;
    __asm__ volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5)
                     : "memory");
    return x0;
}
#else
#error "minibox knows the system calls of x86_64 and aarch64 only"
#endif

static inline long mb_retry(long number, long a, long b, long c, long d, long e, long f)
{
    long result;
    do
        result = mb_raw(number, a, b, c, d, e, f);
    while (result == -EINTR);
    return result;
}

#define MB_SYS_(number, a, b, c, d, e, f, ...) \
    mb_retry(number, (long)(a), (long)(b), (long)(c), (long)(d), (long)(e), (long)(f))
/* The call with up to six arguments, the rest 0; CALL is its name after MB_CALL_. */
#define MB_SYS(CALL, number, ...) \
    (mb_last_call = MB_CALL_##CALL, MB_SYS_(number, __VA_ARGS__, 0, 0, 0, 0, 0, 0, 0))
/* The same for calls that a step cannot fail by, or that must not hide the one that did. */
#define MB_QUIET(number, ...) MB_SYS_(number, __VA_ARGS__, 0, 0, 0, 0, 0, 0, 0)

/* ---- descriptors and files ---- */

/* Never retried: Linux has closed the descriptor even when it says EINTR. */
static inline void mb_close(int fd)
{
    mb_raw(__NR_close, fd, 0, 0, 0, 0, 0);
}

static inline void mb_close_cleanup(const int *fd)
{
    if (*fd >= 0)
        mb_close(*fd);
}
/* A descriptor that is closed when its scope ends; mb_keep() takes it out of the scope. */
#define MB_FD __attribute__((cleanup(mb_close_cleanup), unused)) int

static inline int mb_keep(int *fd)
{
    int kept = *fd;
    *fd = -1;
    return kept;
}

static inline int mb_openat(int dir, const char *path, int flags, mode_t mode)
{
    return (int)MB_SYS(OPEN, __NR_openat, dir, path, flags | O_CLOEXEC, mode);
}

static inline int mb_open(const char *path, int flags)
{
    return mb_openat(AT_FDCWD, path, flags, 0);
}

static inline int mb_openat2(int dir, const char *path, const struct open_how *how)
{
    return (int)MB_SYS(OPENAT2, __NR_openat2, dir, path, how, sizeof *how);
}

static inline ssize_t mb_read(int fd, void *data, size_t size)
{
    return MB_SYS(READ, __NR_read, fd, data, size);
}

static inline ssize_t mb_pread(int fd, void *data, size_t size, off_t at)
{
    return MB_SYS(READ, __NR_pread64, fd, data, size, at);
}

static inline ssize_t mb_write(int fd, const void *data, size_t size)
{
    return MB_SYS(WRITE, __NR_write, fd, data, size);
}

static inline int mb_mkdirat(int dir, const char *path, mode_t mode)
{
    return (int)MB_SYS(MKDIRAT, __NR_mkdirat, dir, path, mode);
}

static inline int mb_symlinkat(const char *to, int dir, const char *path)
{
    return (int)MB_SYS(SYMLINKAT, __NR_symlinkat, to, dir, path);
}

static inline int mb_unlinkat(int dir, const char *path, int flags)
{
    return (int)MB_SYS(UNLINKAT, __NR_unlinkat, dir, path, flags);
}

static inline int mb_fchownat(int dir, const char *path, uid_t uid, gid_t gid, int flags)
{
    return (int)MB_SYS(FCHOWNAT, __NR_fchownat, dir, path, uid, gid, flags);
}

static inline int mb_flock(int fd, int operation)
{
    return (int)MB_SYS(FLOCK, __NR_flock, fd, operation);
}

static inline int mb_fcntl(int fd, int command, long argument)
{
    return (int)MB_SYS(FCNTL, __NR_fcntl, fd, command, argument);
}

static inline int mb_fstat(int fd, struct stat *about)
{
    return (int)MB_SYS(FSTAT, __NR_fstat, fd, about);
}

static inline int mb_fstatat(int dir, const char *path, struct stat *about, int flags)
{
    return (int)MB_SYS(FSTAT, __NR_newfstatat, dir, path, about, flags);
}

static inline int mb_fstatfs(int fd, struct statfs *about)
{
    return (int)MB_QUIET(__NR_fstatfs, fd, about);
}

static inline int mb_faccessat2(int dir, const char *path, int mode, int flags)
{
    return (int)MB_SYS(FACCESSAT2, __NR_faccessat2, dir, path, mode, flags);
}

static inline ssize_t mb_getdents64(int fd, void *entries, size_t size)
{
    return MB_SYS(GETDENTS64, __NR_getdents64, fd, entries, size);
}

static inline ssize_t mb_sendfile(int to, int from, size_t size)
{
    return MB_SYS(SENDFILE, __NR_sendfile, to, from, NULL, size);
}

static inline int mb_dup3(int from, int to, int flags)
{
    return (int)MB_SYS(DUP3, __NR_dup3, from, to, flags);
}

static inline int mb_ioctl(int fd, unsigned long request, void *argument)
{
    return (int)MB_SYS(IOCTL, __NR_ioctl, fd, request, argument);
}

static inline int mb_close_range(unsigned first, unsigned last, unsigned flags)
{
    return (int)MB_SYS(CLOSE_RANGE, __NR_close_range, first, last, flags);
}

static inline int mb_memfd_create(const char *name, unsigned flags)
{
    return (int)MB_SYS(MEMFD_CREATE, __NR_memfd_create, name, flags | 1u /* MFD_CLOEXEC */);
}

/* A negative errno, or the address. */
static inline long mb_mmap(size_t size, int protection, int flags, int fd)
{
    return MB_SYS(MMAP, __NR_mmap, NULL, size, protection, flags, fd);
}

/* ---- pipes, sockets, events ---- */

static inline int mb_pipe2(int ends[2], int flags)
{
    return (int)MB_SYS(PIPE2, __NR_pipe2, ends, flags | O_CLOEXEC);
}

static inline int mb_socket(int family, int type, int protocol)
{
    return (int)MB_SYS(SOCKET, __NR_socket, family, type | SOCK_CLOEXEC, protocol);
}

static inline int mb_socketpair(int family, int type, int ends[2])
{
    return (int)MB_SYS(SOCKETPAIR, __NR_socketpair, family, type | SOCK_CLOEXEC, 0, ends);
}

static inline ssize_t mb_sendmsg(int fd, const struct msghdr *message, int flags)
{
    return MB_SYS(SENDMSG, __NR_sendmsg, fd, message, flags | MSG_NOSIGNAL);
}

static inline ssize_t mb_recvmsg(int fd, struct msghdr *message, int flags)
{
    return MB_SYS(RECVMSG, __NR_recvmsg, fd, message, flags | MSG_CMSG_CLOEXEC);
}

static inline int mb_eventfd2(unsigned value, int flags)
{
    return (int)MB_SYS(EVENTFD2, __NR_eventfd2, value, flags | O_CLOEXEC);
}

/* EINTR comes back, so that the caller looks at its clock again. */
static inline int mb_ppoll(struct pollfd *fds, unsigned count, const struct timespec *timeout)
{
    return (int)mb_raw(__NR_ppoll, (long)fds, (long)count, (long)timeout, 0, 8, 0);
}

/* ---- signals: sets are the kernel's own, bit n-1 for signal n ---- */

#define MB_ALL_SIGNALS (~UINT64_C(0))
#define MB_SIGNAL_BIT(signal) (UINT64_C(1) << ((signal) - 1))

static inline int mb_signalfd4(int fd, const uint64_t *set, int flags)
{
    return (int)MB_SYS(SIGNALFD4, __NR_signalfd4, fd, set, sizeof *set, flags | O_CLOEXEC);
}

static inline int mb_sigprocmask(int how, const uint64_t *set, uint64_t *old)
{
    return (int)MB_QUIET(__NR_rt_sigprocmask, how, set, old, sizeof *set);
}

/* The kernel's struct sigaction, on both architectures. */
struct mb_sigaction { void (*handler)(int); unsigned long flags; void *restorer; uint64_t mask; };

static inline int mb_sigaction(int signal, const struct mb_sigaction *new, struct mb_sigaction *old)
{
    return (int)MB_QUIET(__NR_rt_sigaction, signal, new, old, sizeof new->mask);
}

static inline int mb_kill(pid_t pid, int signal)
{
    return (int)MB_QUIET(__NR_kill, pid, signal);
}

/* ---- processes ---- */

static inline pid_t mb_clone3(const struct clone_args *arguments)
{
    return (pid_t)MB_SYS(CLONE3, __NR_clone3, arguments, sizeof *arguments);
}

static inline int mb_pidfd_open(pid_t pid, unsigned flags)
{
    return (int)MB_SYS(PIDFD_OPEN, __NR_pidfd_open, pid, flags);
}

static inline int mb_pidfd_send_signal(int pidfd, int signal)
{
    return (int)MB_SYS(PIDFD_SEND_SIGNAL, __NR_pidfd_send_signal, pidfd, signal, NULL, 0);
}

/* The raw call tells the usage of the one that was waited for. */
static inline int mb_waitid(int type, int id, siginfo_t *about, int options, struct rusage *usage)
{
    return (int)MB_SYS(WAITID, __NR_waitid, type, id, about, options, usage);
}

static inline pid_t mb_wait4(pid_t pid, int *status, int options, struct rusage *usage)
{
    return (pid_t)MB_QUIET(__NR_wait4, pid, status, options, usage);
}

static inline int mb_getrusage(int who, struct rusage *usage)
{
    return (int)MB_QUIET(__NR_getrusage, who, usage);
}

static inline int mb_execve(const char *path, char *const *argv, char *const *environment)
{
    return (int)MB_SYS(EXECVE, __NR_execve, path, argv, environment);
}

_Noreturn static inline void mb_exit(int status)
{
    for (;;)
        mb_raw(__NR_exit_group, status, 0, 0, 0, 0, 0);
}

static inline pid_t mb_getpid(void) { return (pid_t)MB_QUIET(__NR_getpid, 0); }
static inline pid_t mb_getppid(void) { return (pid_t)MB_QUIET(__NR_getppid, 0); }
static inline uid_t mb_geteuid(void) { return (uid_t)MB_QUIET(__NR_geteuid, 0); }
static inline gid_t mb_getegid(void) { return (gid_t)MB_QUIET(__NR_getegid, 0); }
static inline pid_t mb_getpgrp(void) { return (pid_t)MB_QUIET(__NR_getpgid, 0); }
static inline pid_t mb_setsid(void) { return (pid_t)MB_SYS(SETSID, __NR_setsid, 0); }

static inline int mb_setresuid(uid_t real, uid_t effective, uid_t saved)
{
    return (int)MB_SYS(SETRESUID, __NR_setresuid, real, effective, saved);
}

static inline int mb_setresgid(gid_t real, gid_t effective, gid_t saved)
{
    return (int)MB_SYS(SETRESGID, __NR_setresgid, real, effective, saved);
}

static inline int mb_setgroups(size_t count, const gid_t *groups)
{
    return (int)MB_SYS(SETGROUPS, __NR_setgroups, count, groups);
}

static inline int mb_prlimit64(pid_t pid, int resource, const struct rlimit *new, struct rlimit *old)
{
    return (int)MB_SYS(PRLIMIT64, __NR_prlimit64, pid, resource, new, old);
}

static inline int mb_sched_setaffinity(pid_t pid, size_t size, const uint64_t *mask)
{
    return (int)MB_SYS(SCHED_SETAFFINITY, __NR_sched_setaffinity, pid, size, mask);
}

/* The number of bytes of *mask* that the kernel fills. */
static inline int mb_sched_getaffinity(pid_t pid, size_t size, uint64_t *mask)
{
    return (int)MB_QUIET(__NR_sched_getaffinity, pid, size, mask);
}

/* *attr* in both: sched_setattr(2); 0 is the calling process. */
static inline int mb_sched_getattr(pid_t pid, struct sched_attr *attr)
{
    return (int)MB_QUIET(__NR_sched_getattr, pid, attr, sizeof *attr, 0);
}

static inline int mb_sched_setattr(pid_t pid, struct sched_attr *attr)
{
    return (int)MB_QUIET(__NR_sched_setattr, pid, attr, 0);
}

static inline int mb_prctl(int option, unsigned long a, unsigned long b, unsigned long c)
{
    return (int)MB_SYS(PRCTL, __NR_prctl, option, a, b, c, 0);
}

/* *header* and *data* as in linux/capability.h. */
static inline int mb_capget(void *header, void *data)
{
    return (int)MB_QUIET(__NR_capget, header, data);
}

static inline int mb_capset(const void *header, const void *data)
{
    return (int)MB_SYS(CAPSET, __NR_capset, header, data);
}

static inline mode_t mb_umask(mode_t mask)
{
    return (mode_t)MB_SYS(UMASK, __NR_umask, mask);
}

static inline int mb_chdir(const char *path)
{
    return (int)MB_SYS(CHDIR, __NR_chdir, path);
}

static inline int mb_fchdir(int fd)
{
    return (int)MB_SYS(FCHDIR, __NR_fchdir, fd);
}

static inline int mb_chroot(const char *path)
{
    return (int)MB_SYS(CHROOT, __NR_chroot, path);
}

static inline int mb_seccomp(unsigned operation, unsigned flags, const void *argument)
{
    return (int)MB_SYS(SECCOMP, __NR_seccomp, operation, flags, argument);
}

static inline int mb_landlock_create_ruleset(const void *attributes, size_t size, unsigned flags)
{
    return (int)MB_SYS(LANDLOCK_CREATE_RULESET, __NR_landlock_create_ruleset, attributes, size, flags);
}

static inline int mb_landlock_add_rule(int ruleset, int type, const void *rule, unsigned flags)
{
    return (int)MB_SYS(LANDLOCK_ADD_RULE, __NR_landlock_add_rule, ruleset, type, rule, flags);
}

static inline int mb_landlock_restrict_self(int ruleset, unsigned flags)
{
    return (int)MB_SYS(LANDLOCK_RESTRICT_SELF, __NR_landlock_restrict_self, ruleset, flags);
}

static inline long mb_keyctl(int operation, unsigned long a, unsigned long b, unsigned long c,
                             unsigned long d)
{
    return MB_SYS(KEYCTL, __NR_keyctl, operation, a, b, c, d);
}

/* ---- namespaces and mounts ---- */

static inline int mb_unshare(unsigned long flags)
{
    return (int)MB_SYS(UNSHARE, __NR_unshare, flags);
}

static inline int mb_setns(int fd, int kinds)
{
    return (int)MB_SYS(SETNS, __NR_setns, fd, kinds);
}

static inline int mb_sethostname(const char *name, size_t size)
{
    return (int)MB_SYS(SETHOSTNAME, __NR_sethostname, name, size);
}

static inline int mb_open_tree(int dir, const char *path, unsigned flags)
{
    return (int)MB_SYS(OPEN_TREE, __NR_open_tree, dir, path, flags | OPEN_TREE_CLOEXEC);
}

static inline int mb_move_mount(int from, const char *path, int to, const char *target, unsigned flags)
{
    return (int)MB_SYS(MOVE_MOUNT, __NR_move_mount, from, path, to, target, flags);
}

static inline int mb_mount_setattr(int dir, const char *path, unsigned flags,
                                   const struct mount_attr *attributes)
{
    return (int)MB_SYS(MOUNT_SETATTR, __NR_mount_setattr, dir, path, flags, attributes,
                       sizeof *attributes);
}

static inline int mb_fsopen(const char *type)
{
    return (int)MB_SYS(FSOPEN, __NR_fsopen, type, FSOPEN_CLOEXEC);
}

static inline int mb_fsconfig(int fd, unsigned command, const char *key, const void *value, int aux)
{
    return (int)MB_SYS(FSCONFIG, __NR_fsconfig, fd, command, key, value, aux);
}

static inline int mb_fsmount(int fd, unsigned attributes)
{
    return (int)MB_SYS(FSMOUNT, __NR_fsmount, fd, FSMOUNT_CLOEXEC, attributes);
}

static inline int mb_mount(const char *source, const char *target, const char *type,
                           unsigned long flags, const char *data)
{
    return (int)MB_SYS(MOUNT, __NR_mount, source, target, type, flags, data);
}

static inline int mb_umount2(const char *target, int flags)
{
    return (int)MB_SYS(UMOUNT2, __NR_umount2, target, flags);
}

static inline int mb_pivot_root(const char *new, const char *old)
{
    return (int)MB_SYS(PIVOT_ROOT, __NR_pivot_root, new, old);
}

/* ---- the rest ---- */

static inline ssize_t mb_getrandom(void *data, size_t size)
{
    return MB_SYS(GETRANDOM, __NR_getrandom, data, size, 0);
}

/* A real call, not the vDSO: without libc's set-up of it, and rare enough. */
static inline uint64_t mb_clock_ns(int clock)
{
    struct timespec now = {0};
    MB_QUIET(__NR_clock_gettime, clock, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}
