# file: box.py
# fails: effective too-much
# fails: bounding bounding
# fails: root root-gains
# fails: no-new-privs no-new-privs
"""Run a command with one capability: python3 box.py --keep CAP_NAME COMMAND [ARGUMENT]..."""

import os
import sys

from minibox.syscalls import (
    CLONE_NEWUSER,
    capset,
    clear_ambient,
    execve,
    raise_ambient,
    unshare,
    write_id_map,
)
from minibox.syscalls.flags import CAP


def keep_only(kept: int) -> None:
    """Bounding and securebits first: to change them takes CAP_SETPCAP, which goes as well."""
    clear_ambient()
    capset([kept], [kept], [kept])
    raise_ambient(kept)                             # which is what goes through exec


kept, command = CAP[sys.argv[2]], sys.argv[3:]
uid, gid = os.getuid(), os.getgid()
unshare(CLONE_NEWUSER)                              # all capabilities, over what it will own
write_id_map("self", [(0, uid, 1)], [(0, gid, 1)])
keep_only(kept)
execve(command[0], command, dict(os.environ))
