"""Run a command with a network, a host name and IPC of its own, and one cable to us:

    python3 box.py --hostname NAME --outside ADDRESS --inside ADDRESS COMMAND [ARGUMENT]...
"""

import os
import sys

from minibox.syscalls import CLONE_NEWNET, CLONE_NEWUSER, execve, unshare, write_id_map

NAME, OUTSIDE, INSIDE, COMMAND = sys.argv[2], sys.argv[4], sys.argv[6], sys.argv[7:]

uid, gid = os.getuid(), os.getgid()
unshare(CLONE_NEWUSER | CLONE_NEWNET)
write_id_map("self", [(0, uid, 1)], [(0, gid, 1)])

# 1. fork; the child makes its own network, UTS and IPC namespaces, and sets its host name
# 2. when it has (a pipe tells), make a veth pair with one end in the child's network: pyroute2
# 3. addresses on both ends, 24 bits of prefix, and both ends up; lo in the child as well
# 4. the child executes the command; you wait, and exit as it did

execve(COMMAND[0], COMMAND, {"PATH": "/usr/bin:/bin"})
