# file: box.py
# fails: own-mounts shared-propagation
"""Run a command on a root of its own: python3 box.py ROOT COMMAND [ARGUMENT]..."""

import os
import sys

from minibox.syscalls import (
    CLONE_NEWNS,
    CLONE_NEWUSER,
    MNT_DETACH,
    MS_BIND,
    MS_NODEV,
    MS_NOSUID,
    MS_RDONLY,
    MS_REC,
    MS_REMOUNT,
    chdir,
    execve,
    mount,
    pivot_root,
    umount2,
    unshare,
    write_id_map,
)

root, command = sys.argv[1], sys.argv[2:]
uid, gid = os.getuid(), os.getgid()

unshare(CLONE_NEWUSER | CLONE_NEWNS)                # a mount table of its own: a copy of ours
write_id_map("self", [(0, uid, 1)], [(0, gid, 1)])

mount(root, root, None, MS_BIND | MS_REC)           # pivot_root wants a mount point
mount(None, root, None, MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV)
mount("tmpfs", f"{root}/tmp", "tmpfs", MS_NOSUID | MS_NODEV, "size=4m")

pivot_root(root, f"{root}/old")                     # the old root is now below the new one
chdir("/")
umount2("/old", MNT_DETACH)

execve(command[0], command, {"PATH": "/bin"})
