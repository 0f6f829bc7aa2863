"""Whatever could make a process is killed for."""

import os
import sys

from minibox.syscalls import (
    SECCOMP_RET_ALLOW,
    SECCOMP_RET_KILL_PROCESS,
    execve,
    jump_if_equal,
    load,
    no_new_privs,
    ret,
    seccomp,
    syscall_number,
)

no_new_privs()
seccomp([load(0), jump_if_equal(syscall_number("clone"), 0, 1), ret(SECCOMP_RET_KILL_PROCESS),
         jump_if_equal(syscall_number("clone3"), 0, 1), ret(SECCOMP_RET_KILL_PROCESS),
         ret(SECCOMP_RET_ALLOW)])
execve(sys.argv[1], sys.argv[1:], dict(os.environ))
