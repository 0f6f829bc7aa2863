"""A naive jail: python3 jailer.py ROOT ESCAPE COMMAND..., as many a guide has it.

It changes its root, calls escape() of the file ESCAPE there, as root of its user namespace, then
executes COMMAND, which is not in ROOT.  So COMMAND runs only if that function has got out.
"""

import os
import sys

from minibox.syscalls import CLONE_NEWUSER, chdir, chroot, execve, unshare, write_id_map

root, file, command = sys.argv[1], sys.argv[2], sys.argv[3:]
with open(file) as opened:
    code = compile(opened.read(), file, "exec")
uid, gid = os.getuid(), os.getgid()
unshare(CLONE_NEWUSER)
write_id_map("self", [(0, uid, 1)], [(0, gid, 1)])
chroot(root)
chdir("/")
names: dict[str, object] = {"__name__": "escape"}
exec(code, names)
names["escape"]()                                           # type: ignore[operator]
execve(command[0], command, {})
