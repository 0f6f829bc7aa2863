"""Run a command on a root of its own: python3 box.py ROOT COMMAND [ARGUMENT]..."""

import os
import sys

from minibox.syscalls import CLONE_NEWNS, CLONE_NEWUSER, execve, unshare, write_id_map

root, command = sys.argv[1], sys.argv[2:]
uid, gid = os.getuid(), os.getgid()

unshare(CLONE_NEWUSER | CLONE_NEWNS)
write_id_map("self", [(0, uid, 1)], [(0, gid, 1)])

# 1. let no mount of yours be seen outside
# 2. make ROOT a mount point, read-only, without set-user-ID programs and devices
# 3. a tmpfs on its /tmp, of 4 MiB
# 4. pivot_root, and leave the old root
# 5. take the old root away

execve(root + command[0], command, {"PATH": "/bin"})
