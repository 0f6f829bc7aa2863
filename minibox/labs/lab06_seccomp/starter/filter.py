"""Run a command under a filter of system calls: python3 filter.py COMMAND [ARGUMENT]..."""

import os
import sys

from minibox.syscalls import SECCOMP_RET_ALLOW, execve, ret


def program() -> list[tuple[int, int, int, int]]:
    """A list of instructions; every way through it must end in ret(...)."""
    # 1. another architecture than audit_arch(): kill
    # 2. unshare, setns, mount: EPERM                 4. kexec_load: kill
    # 3. clone3: ENOSYS                               5. clone with a namespace: EPERM
    # 6. ioctl TIOCSTI (0x5412): EPERM, whatever the upper half of the argument has
    return [ret(SECCOMP_RET_ALLOW)]


# 7. what is needed before a filter may be loaded? then load it

execve(sys.argv[1], sys.argv[1:], dict(os.environ))
