"""A copy of the root in memory, which anyone may write."""

import os
import shutil
import sys

from minibox.syscalls import (
    CLONE_NEWNS,
    CLONE_NEWUSER,
    MNT_DETACH,
    MS_NODEV,
    MS_NOSUID,
    MS_PRIVATE,
    MS_REC,
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
mount(None, "/", None, MS_REC | MS_PRIVATE)         # nothing goes out, nothing comes in

mount("tmpfs", "/mnt", "tmpfs", 0, "size=16m")
shutil.copytree(root, "/mnt", dirs_exist_ok=True)
root = "/mnt"
mount("tmpfs", f"{root}/tmp", "tmpfs", MS_NOSUID | MS_NODEV, "size=4m")

pivot_root(root, f"{root}/old")                     # the old root is now below the new one
chdir("/")
umount2("/old", MNT_DETACH)                         # and now it is nowhere

execve(command[0], command, {"PATH": "/bin"})
