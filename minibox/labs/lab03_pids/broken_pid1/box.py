"""The command itself is PID 1: what `unshare --pid --fork` does."""

import os
import sys

from minibox.syscalls import CLONE_NEWPID, CLONE_NEWUSER, execve, fork, unshare, waitpid

unshare(CLONE_NEWUSER | CLONE_NEWPID)
pid = fork()
if pid == 0:
    execve(sys.argv[1], sys.argv[1:], dict(os.environ))
waitpid(pid)
