"""Run a command with one capability: python3 box.py --keep CAP_NAME COMMAND [ARGUMENT]..."""

import os
import sys

from minibox.syscalls import CLONE_NEWUSER, execve, unshare, write_id_map
from minibox.syscalls.flags import CAP

kept, command = CAP[sys.argv[2]], sys.argv[3:]
uid, gid = os.getuid(), os.getgid()
unshare(CLONE_NEWUSER)
write_id_map("self", [(0, uid, 1)], [(0, gid, 1)])

# 1. the bounding set has kept, and nothing else
# 2. user 0 gains nothing by exec: securebits, locked
# 3. effective, permitted and inheritable have kept, and nothing else
# 4. ambient too, or exec would lose it
# 5. no_new_privs

execve(command[0], command, dict(os.environ))
