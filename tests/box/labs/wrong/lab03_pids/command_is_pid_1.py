# file: box.py
# fails: own-pids command-is-pid-1
# fails: reaps zombies
# fails: forwards signal-lost
# fails: status hangs
"""Run a command among processes of its own: python3 box.py COMMAND [ARGUMENT]..."""

import os
import signal
import sys

from minibox.syscalls import (
    CLONE_NEWNS,
    CLONE_NEWPID,
    CLONE_NEWUSER,
    MS_NODEV,
    MS_NOEXEC,
    MS_NOSUID,
    MS_PRIVATE,
    MS_REC,
    die_with_parent,
    execve,
    fork,
    mount,
    unshare,
    waitpid,
    write_id_map,
)


def pass_on(pid: int) -> None:
    """Who is asked to end asks the next one to."""
    signal.signal(signal.SIGTERM, lambda number, _frame: os.kill(pid, number))


def be_init(command: list[str]) -> int:
    """PID 1: reap whoever ends, and end with the command; the kernel then kills all the others."""
    die_with_parent(signal.SIGKILL)
    mount(None, "/", None, MS_REC | MS_PRIVATE)
    mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC)    # shows who mounts it
    execve(command[0], command, {"PATH": "/usr/bin:/bin"})


def main(command: list[str]) -> int:
    uid, gid = os.getuid(), os.getgid()
    unshare(CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID)
    write_id_map("self", [(0, uid, 1)], [(0, gid, 1)])
    pid = fork()                                    # unshare was for children: this one is PID 1
    if pid == 0:
        os._exit(be_init(command))
    pass_on(pid)
    return waitpid(pid)[1]


sys.exit(main(sys.argv[1:]))
