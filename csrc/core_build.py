"""The extension `minibox._core`: the engine's own system calls and plan checker, for Python.

One function for one system call, returning a negative errno on failure as the kernel does, so that
whoever studies a mechanism can do it by hand.  `minibox.syscalls` makes exceptions of the errors.
mb_clone3 without a stack returns twice, as fork does: call it from a process with one thread.
"""

import os

from cffi import FFI

HERE = os.path.relpath(os.path.dirname(os.path.abspath(__file__)))

STRUCTURES = """
struct clone_args { uint64_t flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size,
                    tls, set_tid, set_tid_size, cgroup; ...; };
struct open_how { uint64_t flags, mode, resolve; ...; };
struct mount_attr { uint64_t attr_set, attr_clr, propagation, userns_fd; ...; };
struct sock_filter { uint16_t code; uint8_t jt, jf; uint32_t k; ...; };
struct sock_fprog { unsigned short len; struct sock_filter *filter; ...; };
struct rlimit { uint64_t rlim_cur, rlim_max; ...; };
struct __user_cap_header_struct { uint32_t version; int pid; ...; };
struct __user_cap_data_struct { uint32_t effective, permitted, inheritable; ...; };
"""

FUNCTIONS = """
const char *mb_plan_error(const void *block, size_t size);

int mb_clone3(const struct clone_args *arguments);
int mb_unshare(unsigned long flags);
int mb_setns(int fd, int kinds);
int mb_pidfd_open(int pid, unsigned flags);
int mb_pidfd_send_signal(int pidfd, int signal);
int mb_close_range(unsigned first, unsigned last, unsigned flags);

int mb_dup3(int from, int to, int flags);
int mb_memfd_create(const char *name, unsigned flags);
int mb_setsid(void);
int mb_setresuid(unsigned real, unsigned effective, unsigned saved);
int mb_setresgid(unsigned real, unsigned effective, unsigned saved);
int mb_setgroups(size_t count, const unsigned *groups);
int mb_prlimit64(int pid, int resource, const struct rlimit *new, struct rlimit *old);
int mb_sched_setaffinity(int pid, size_t size, const uint64_t *mask);
unsigned mb_umask(unsigned mask);
int mb_chroot(const char *path);

int mb_openat2(int dir, const char *path, const struct open_how *how);
int mb_open_tree(int dir, const char *path, unsigned flags);
int mb_move_mount(int from, const char *path, int to, const char *target, unsigned flags);
int mb_mount_setattr(int dir, const char *path, unsigned flags,
                     const struct mount_attr *attributes);
int mb_fsopen(const char *type);
int mb_fsconfig(int fd, unsigned command, const char *key, const void *value, int aux);
int mb_fsmount(int fd, unsigned attributes);
int mb_mount(const char *source, const char *target, const char *type, unsigned long flags,
             const char *data);
int mb_umount2(const char *target, int flags);
int mb_pivot_root(const char *new_root, const char *old);
int mb_sethostname(const char *name, size_t size);

int mb_prctl(int option, unsigned long a, unsigned long b, unsigned long c);
int mb_capget(void *header, void *data);
int mb_capset(const void *header, const void *data);
int mb_seccomp(unsigned operation, unsigned flags, const void *argument);
int mb_landlock_create_ruleset(const void *attributes, size_t size, unsigned flags);
int mb_landlock_add_rule(int ruleset, int type, const void *rule, unsigned flags);
int mb_landlock_restrict_self(int ruleset, unsigned flags);
long mb_keyctl(int operation, unsigned long a, unsigned long b, unsigned long c, unsigned long d);
"""

CONSTANTS = """
_LINUX_CAPABILITY_VERSION_3 SECCOMP_SET_MODE_FILTER
LANDLOCK_CREATE_RULESET_VERSION LANDLOCK_RULE_PATH_BENEATH
"""
"""All others are in minibox/syscalls/flags.py, as enums, so that an error can name them."""

ffibuilder = FFI()
ffibuilder.cdef(STRUCTURES + FUNCTIONS
                + "".join(f"#define {name} ...\n" for name in CONSTANTS.split()))
ffibuilder.set_source(
    "minibox._core", '#include "core.h"',
    sources=[os.path.join(HERE, "core.c"), os.path.join(HERE, "plan.c")], include_dirs=[HERE],
    extra_compile_args=["-std=c17", "-D_GNU_SOURCE"], py_limited_api=True)

if __name__ == "__main__":
    ffibuilder.compile(verbose=True)
