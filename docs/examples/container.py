"""A small container, without root: python3 container.py COMMAND [ARGUMENT]...

Its own users, mounts, processes, network, IPC, cgroup view and host name; of the host's files only
/usr, read-only; no capability, none to gain, and no system call to mount or to make namespaces.
"""

import errno
import os
import signal
import sys

from minibox.syscalls import *  # what is not Python's is the kernel's

NAMESPACES = (CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWIPC
              | CLONE_NEWUTS | CLONE_NEWCGROUP)
REFUSED = ("mount umount2 pivot_root chroot open_tree move_mount fsopen fsconfig mount_setattr "
           "unshare setns ptrace keyctl add_key request_key bpf perf_event_open userfaultfd "
           "io_uring_setup open_by_handle_at")


def bind(source, target):
    """Show *source* at *target* too, with all that is mounted below it, read-only."""
    tree = open_tree(AT_FDCWD, source, OPEN_TREE_CLONE | AT_RECURSIVE)
    mount_setattr(tree, "", AT_EMPTY_PATH | AT_RECURSIVE, set=MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID)
    move_mount(tree, AT_FDCWD, target)


def build_root():
    mount(None, "/", None, MS_REC | MS_PRIVATE)         # what is mounted from here on stays here
    mount("tmpfs", "/tmp", "tmpfs", MS_NOSUID | MS_NODEV, "size=16m,mode=755")
    chdir("/tmp")                                       # the new root; the old one is still around
    for name in ("usr", "proc", "dev", "tmp"):
        os.mkdir(name)
    bind("/usr", "usr")
    for name in ("bin", "sbin", "lib", "lib64"):
        os.symlink(f"usr/{name}", name)
    for name in ("null", "zero", "full", "random", "urandom"):
        open(f"dev/{name}", "x").close()                # mknod is for root; what is there, is not
        bind(f"/dev/{name}", f"dev/{name}")
    mount("proc", "proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC)
    pivot_root(".", ".")                                # the old root now lies on top of the new
    umount2(".", MNT_DETACH)


def refuse_calls():
    refused = ret(SECCOMP_RET_ERRNO, errno.EPERM)
    program = [load(4), jump_if_equal(audit_arch(), 1, 0), ret(SECCOMP_RET_KILL_PROCESS), load(0),
               jump_if_equal(syscall_number("clone3"), 1, 0),       # its flags lie in memory
               jump_if_at_least(0x40000000, 0, 1), ret(SECCOMP_RET_ERRNO, errno.ENOSYS)]    # x32
    for name in REFUSED.split():
        program += [jump_if_equal(syscall_number(name), 0, 1), refused]
    seccomp([*program, jump_if_equal(syscall_number("clone"), 0, 3), load(16), mask(NAMESPACES),
             jump_if_equal(0, 0, 1), ret(SECCOMP_RET_ALLOW), refused])


def become(command):
    """What the process of the command does last, in an order that each next step still allows."""
    setsid()                                            # no terminal whose input it could fake
    join_session_keyring()
    no_new_privs()
    last = int(os.read(os.open("/proc/sys/kernel/cap_last_cap", os.O_RDONLY), 9))
    for capability in range(last + 1):
        drop_bounding(capability)
    capset([], [], [])
    refuse_calls()
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)       # which Python ignores, and exec keeps so
    close_range(3)
    execve("/usr/bin/env", ["env", *command], {"PATH": "/usr/bin:/usr/sbin", "HOME": "/tmp"})


def main(command):
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    os.getuid() or setgroups([])                        # a user cannot leave the own groups
    uid, gid = os.getuid() or 2**31 - 2, os.getgid() or 2**31 - 2   # never root outside
    gate, opens = os.pipe()
    child = clone3(NAMESPACES)
    if child == 0:                                      # PID 1; without ids yet
        os.close(opens)
        os.read(gate, 1) or os._exit(125)               # the parent could not map them
        setresgid(0, 0, 0)
        setresuid(0, 0, 0)
        die_with_parent(signal.SIGKILL)                 # and with PID 1, all
        sethostname("container")
        build_root()
        child = fork() or become(command)               # which does not return
    else:
        write_id_map(child, [(0, uid, 1)], [(0, gid, 1)])
        os.write(opens, b"go")
    while (ended := waitpid(-1))[0] != child:           # also those whose parents are gone
        pass
    return ended[1] if ended[1] >= 0 else 128 - ended[1]        # 128 + the signal


if __name__ == "__main__":
    try:
        status = main(sys.argv[1:])
    except OSError as error:
        print(f"container: {error}", file=sys.stderr, flush=True)
        status = 125
    os._exit(status)                                    # of all three: none unwinds another's
