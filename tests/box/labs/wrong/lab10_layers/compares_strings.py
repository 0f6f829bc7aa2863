# file: layers.py
# fails: names-inside dotdot
# fails: links-inside through-link
# fails: links-followed not-followed
"""Layers, by hand:

    python3 layers.py unpack ROOT LAYER.tar...          a root file system, made of its layers
    python3 layers.py run LOWER PLACE COMMAND...        a command above LOWER, which stays as it is
"""

import os
import shutil
import sys
import tarfile

from minibox.syscalls import (
    CLONE_NEWNS,
    CLONE_NEWUSER,
    mount,
    unshare,
    write_id_map,
)

WHITEOUT, OPAQUE = ".wh.", ".wh..wh..opq"


def inside(root, name):
    path = os.path.normpath(os.path.join(root, name))
    if not path.startswith(root):
        sys.exit(f"layers.py: {name} is outside")
    return path


def remove(path):
    if os.path.isdir(path) and not os.path.islink(path):
        shutil.rmtree(path)
    elif os.path.lexists(path):
        os.unlink(path)


def white_out(root, name):
    above, marker = os.path.split(name)
    names = [marker.removeprefix(WHITEOUT)]
    if marker == OPAQUE:
        names = os.listdir(inside(root, above))
    for one in names:
        remove(inside(root, os.path.join(above, one)))


def make(root, tar, member):
    path = inside(root, member.name)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    if member.isdir() and os.path.isdir(path):
        return
    remove(path)
    if member.isdir():
        os.mkdir(path)
    elif member.issym():
        os.symlink(member.linkname, path)
    elif member.islnk():
        os.link(inside(root, member.linkname), path)
    elif member.isfile():
        with open(path, "wb") as file:
            shutil.copyfileobj(tar.extractfile(member), file)


def unpack(root, *layers):
    os.makedirs(root, exist_ok=True)
    for layer in layers:
        with tarfile.open(layer) as tar:
            members = tar.getmembers()
            marks = [one for one in members if os.path.basename(one.name).startswith(WHITEOUT)]
            for member in marks:
                white_out(root, member.name)
            for member in members:
                if member not in marks:
                    make(root, tar, member)


def run(lower: str, place: str, *command: str) -> None:
    """An overlay: reads come from below, writes go to PLACE/upper, and both show in the middle."""
    uid, gid = os.getuid(), os.getgid()
    unshare(CLONE_NEWUSER | CLONE_NEWNS)
    write_id_map("self", [(0, uid, 1)], [(0, gid, 1)])
    upper, work, merged = (f"{place}/{name}" for name in ("upper", "work", "merged"))
    for name in (upper, work, merged):
        os.makedirs(name, exist_ok=True)
    # userxattr: marks are kept in "user." attributes; "trusted." ones need root of the host
    mount("overlay", merged, "overlay", 0,
          f"lowerdir={lower},upperdir={upper},workdir={work},userxattr")
    os.execvp(command[0], command)


verb, *arguments = sys.argv[1:]
try:
    unpack(*arguments) if verb == "unpack" else run(*arguments)
except (OSError, tarfile.TarError) as error:
    sys.exit(f"layers.py: {error}")
