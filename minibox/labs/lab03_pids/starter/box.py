"""Run a command among processes of its own: python3 box.py COMMAND [ARGUMENT]..."""

import os
import sys

from minibox.syscalls import CLONE_NEWNS, CLONE_NEWPID, CLONE_NEWUSER, execve, unshare, write_id_map

command = sys.argv[1:]
uid, gid = os.getuid(), os.getgid()
unshare(CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID)
write_id_map("self", [(0, uid, 1)], [(0, gid, 1)])

# 1. the next child is PID 1 of the new namespace; you wait for it
# 2. PID 1 mounts a /proc of its own (let no mount be seen outside), and forks the command
# 3. PID 1 reaps whoever ends, until the command itself has ended, and ends as it did
# 4. SIGTERM to you reaches the command
# 5. when you are killed, PID 1 is too

execve(command[0], command, {"PATH": "/usr/bin:/bin"})
