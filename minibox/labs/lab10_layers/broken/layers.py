"""Unpack every entry where it says, and run a command on the image itself."""

import os
import sys
import tarfile
from contextlib import suppress
from tarfile import TarFile, TarInfo

from minibox.syscalls import CLONE_NEWNS, CLONE_NEWUSER, MS_BIND, mount, unshare, write_id_map


def make(root: str, tar: TarFile, member: TarInfo) -> None:
    path = os.path.join(root, member.name)              # of an absolute name: that name
    if member.isdir():
        os.makedirs(path, exist_ok=True)
    elif member.issym():
        os.symlink(member.linkname, path)
    elif member.islnk():
        os.link(os.path.join(root, member.linkname), path)
    elif content := tar.extractfile(member):
        with open(path, "wb") as file:
            file.write(content.read())


def unpack(root: str, *layers: str) -> None:
    os.makedirs(root, exist_ok=True)
    for layer in layers:
        with tarfile.open(layer) as tar:
            for member in tar:
                with suppress(OSError):
                    make(root, tar, member)


def run(lower: str, place: str, *command: str) -> None:
    uid, gid = os.getuid(), os.getgid()
    unshare(CLONE_NEWUSER | CLONE_NEWNS)
    write_id_map("self", [(0, uid, 1)], [(0, gid, 1)])
    for name in ("upper", "work", "merged"):
        os.makedirs(f"{place}/{name}")
    mount(lower, f"{place}/merged", None, MS_BIND)
    os.execvp(command[0], command)


verb, *arguments = sys.argv[1:]
unpack(*arguments) if verb == "unpack" else run(*arguments)
