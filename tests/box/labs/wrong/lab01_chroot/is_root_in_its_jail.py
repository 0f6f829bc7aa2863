# file: jail.py
# fails: no-way-back can-chroot
"""Run a command with another root: python3 jail.py ROOT COMMAND [ARGUMENT]..."""

import os
import sys

from minibox.syscalls import (
    CLONE_NEWUSER,
    capset,
    chdir,
    chroot,
    close_range,
    execve,
    fork,
    unshare,
    waitpid,
    write_id_map,
)


def run_in_jail(root: str, command: list[str]) -> None:
    """In the child: everything after fork changes only the child."""
    uid, gid = os.getuid(), os.getgid()
    unshare(CLONE_NEWUSER)                          # chroot takes a capability, and this gives it
    write_id_map("self", [(0, uid, 1)], [(0, gid, 1)])
    chroot(root)
    chdir("/")                                      # or "." would still be outside
    close_range(3)                                  # and so would an open directory
    capset([], [], [])                              # who may chroot again gets out
    execve(command[0], command, {"PATH": "/bin"})   # an environment of its own, too


pid = fork()
if pid == 0:
    try:
        run_in_jail(sys.argv[1], sys.argv[2:])
    except OSError as error:
        os.write(2, f"jail.py: {error}\n".encode())
    os._exit(127)
_, status = waitpid(pid)
sys.exit(status if status >= 0 else 128 - status)
