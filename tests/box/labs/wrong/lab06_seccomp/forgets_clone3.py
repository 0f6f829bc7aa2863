# file: filter.py
# fails: clone3 clone3
"""Run a command under a filter of system calls: python3 filter.py COMMAND [ARGUMENT]..."""

import errno
import os
import sys

from minibox.syscalls import (
    CLONE_NEWCGROUP,
    CLONE_NEWIPC,
    CLONE_NEWNET,
    CLONE_NEWNS,
    CLONE_NEWPID,
    CLONE_NEWTIME,
    CLONE_NEWUSER,
    CLONE_NEWUTS,
    SECCOMP_RET_ALLOW,
    SECCOMP_RET_ERRNO,
    SECCOMP_RET_KILL_PROCESS,
    audit_arch,
    execve,
    jump_if_equal,
    load,
    mask,
    no_new_privs,
    ret,
    seccomp,
    syscall_number,
)

ALLOW, KILL = ret(SECCOMP_RET_ALLOW), ret(SECCOMP_RET_KILL_PROCESS)
REFUSE, ABSENT = ret(SECCOMP_RET_ERRNO, errno.EPERM), ret(SECCOMP_RET_ERRNO, errno.ENOSYS)

NUMBER, ARCHITECTURE, FIRST, SECOND = 0, 4, 16, 24         # places of what the filter sees
NAMESPACES = (CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWIPC
              | CLONE_NEWUTS | CLONE_NEWCGROUP | CLONE_NEWTIME)
TIOCSTI = 0x5412                                            # types into the terminal of others


def program() -> list[tuple[int, int, int, int]]:
    """A number means another call on another architecture, so that is asked first."""
    rules = [load(ARCHITECTURE), jump_if_equal(audit_arch(), 1, 0), KILL, load(NUMBER)]
    for name, answer in (("unshare", REFUSE), ("setns", REFUSE), ("mount", REFUSE),
                         ("kexec_load", KILL)):
        rules += [jump_if_equal(syscall_number(name), 0, 1), answer]
    rules += [jump_if_equal(syscall_number("clone"), 0, 5), load(FIRST), mask(NAMESPACES),
              jump_if_equal(0, 0, 1), ALLOW, REFUSE]
    # The kernel reads 32 bits of this argument: what the upper half has must make no difference.
    rules += [jump_if_equal(syscall_number("ioctl"), 0, 4), load(SECOND),
              jump_if_equal(TIOCSTI, 0, 1), REFUSE, ALLOW]
    return [*rules, ALLOW]


no_new_privs()
seccomp(program())
execve(sys.argv[1], sys.argv[1:], dict(os.environ))
