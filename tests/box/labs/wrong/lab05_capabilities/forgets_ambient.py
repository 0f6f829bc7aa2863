# file: box.py
# fails: effective lost
# fails: survives lost
"""Run a command with one capability: python3 box.py --keep CAP_NAME COMMAND [ARGUMENT]..."""

import os
import sys
from contextlib import suppress

from minibox.syscalls import (
    CLONE_NEWUSER,
    SECBIT_NO_SETUID_FIXUP,
    SECBIT_NO_SETUID_FIXUP_LOCKED,
    SECBIT_NOROOT,
    SECBIT_NOROOT_LOCKED,
    capset,
    clear_ambient,
    drop_bounding,
    execve,
    no_new_privs,
    set_securebits,
    unshare,
    write_id_map,
)
from minibox.syscalls.flags import CAP


def keep_only(kept: int) -> None:
    """Bounding and securebits first: to change them takes CAP_SETPCAP, which goes as well."""
    for number in range(64):
        if number != kept:
            with suppress(OSError):                 # the kernel has no more of them
                drop_bounding(number)
    clear_ambient()
    set_securebits(SECBIT_NOROOT | SECBIT_NOROOT_LOCKED         # user 0 gains nothing by exec
                   | SECBIT_NO_SETUID_FIXUP | SECBIT_NO_SETUID_FIXUP_LOCKED)
    capset([kept], [kept], [kept])
    no_new_privs()


kept, command = CAP[sys.argv[2]], sys.argv[3:]
uid, gid = os.getuid(), os.getgid()
unshare(CLONE_NEWUSER)                              # all capabilities, over what it will own
write_id_map("self", [(0, uid, 1)], [(0, gid, 1)])
keep_only(kept)
execve(command[0], command, dict(os.environ))
