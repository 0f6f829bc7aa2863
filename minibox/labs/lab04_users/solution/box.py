"""Run a command as root of a user namespace of its own: python3 box.py COMMAND [ARGUMENT]..."""

import os
import sys

from minibox.syscalls import CLONE_NEWUSER, CLONE_NEWUTS, unshare, write_id_map

uid, gid = os.getuid(), os.getgid()                 # afterwards 65534, until they are mapped
unshare(CLONE_NEWUSER | CLONE_NEWUTS)               # the user namespace first: it owns the other
write_id_map("self", [(0, uid, 1)], [(0, gid, 1)])  # and denies setgroups first
os.execvp(sys.argv[1], sys.argv[1:])
