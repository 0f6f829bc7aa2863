# file: jail.py
# fails: nothing-outside cwd-outside
"""Run a command with another root: python3 jail.py ROOT COMMAND [ARGUMENT]..."""

import os
import sys

from minibox.syscalls import (
    CLONE_NEWUSER,
    capset,
    chroot,
    close_range,
    execve,
    fork,
    no_new_privs,
    unshare,
    waitpid,
    write_id_map,
)


def run_in_jail(root: str, command: list[str]) -> None:
    """In the child: everything after fork changes only the child."""
    uid, gid = os.getuid(), os.getgid()
    unshare(CLONE_NEWUSER)                          # chroot takes a capability, and this gives it
    write_id_map("self", [(uid, uid, 1)], [(gid, gid, 1)])      # nobody's root, inside as outside
    chroot(root)
    close_range(3)                                  # and so would an open directory
    capset([], [], [])                              # who may chroot again gets out
    no_new_privs()
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
