# file: layers.py
# fails: names-inside hard-link
# fails: links-inside hard-link
"""Layers, by hand:

    python3 layers.py unpack ROOT LAYER.tar...          a root file system, made of its layers
    python3 layers.py run LOWER PLACE COMMAND...        a command above LOWER, which stays as it is
"""

import os
import shutil
import sys
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from tarfile import TarFile, TarInfo

from minibox.syscalls import (
    AT_FDCWD,
    CLONE_NEWNS,
    CLONE_NEWUSER,
    RESOLVE_IN_ROOT,
    mount,
    openat2,
    unshare,
    write_id_map,
)

WHITEOUT, OPAQUE = ".wh.", ".wh..wh..opq"


@contextmanager
def directory(root: int, parts: list[str]) -> Iterator[int]:
    """A descriptor of a directory of the image. The kernel walks there, and takes ROOT for "/":
    so no link leads out, neither "/etc" nor "../../etc", whoever made it."""
    fd = openat2(root, "/".join(parts) or ".", os.O_PATH | os.O_DIRECTORY, RESOLVE_IN_ROOT)
    try:
        yield fd
    finally:
        os.close(fd)


def parse(name: str) -> list[str]:
    """A name as a list of parts. What is asked for by ".." is nothing that an image needs."""
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if ".." in parts:
        sys.exit(f"layers.py: {name} leads out of the image")
    return parts


def remove(above: int, name: str) -> None:
    try:
        os.unlink(name, dir_fd=above)                   # of a link: the link itself
    except IsADirectoryError:
        shutil.rmtree(name, dir_fd=above)
    except FileNotFoundError:
        pass


def is_directory(above: int, name: str) -> bool:
    try:
        os.close(os.open(name, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=above))
        return True
    except OSError:
        return False


def white_out(root: int, parts: list[str]) -> None:
    """Remove what a marker stands for; what is not there needs no removal."""
    *above, marker = parts
    with suppress(FileNotFoundError), directory(root, above) as parent:
        if marker == OPAQUE:
            listed = os.open(".", os.O_RDONLY, dir_fd=parent)
            names = os.listdir(listed)
            os.close(listed)
        else:
            names = [marker.removeprefix(WHITEOUT)]
            if names[0] in ("", ".", ".."):             # ".wh..." would remove what is above
                sys.exit(f"layers.py: {marker} leads out of the image")
        for name in names:
            remove(parent, name)


def make(root: int, tar: TarFile, member: TarInfo, parts: list[str]) -> None:
    *above, name = parts
    for depth, part in enumerate(above):                # a layer need not name every directory
        with directory(root, above[:depth]) as parent, suppress(FileExistsError):
            os.mkdir(part, dir_fd=parent)
    with directory(root, above) as parent:
        if member.isdir() and is_directory(parent, name):
            return                                      # what the layers below have there stays
        remove(parent, name)                            # else the new one takes its place
        if member.isdir():
            os.mkdir(name, dir_fd=parent)
        elif member.issym():
            os.symlink(member.linkname, name, dir_fd=parent)    # just a text, wherever it points
        elif member.islnk():
            os.link(member.linkname, name, src_dir_fd=root, dst_dir_fd=parent)
        elif content := tar.extractfile(member):
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
            # & 0o777: nothing here becomes set-user-ID
            fd = os.open(name, flags, member.mode & 0o777, dir_fd=parent)
            with open(fd, "wb") as file:
                shutil.copyfileobj(content, file)
        # no devices: a user cannot make them, and whoever runs the image makes a /dev of its own


def apply(root: int, layer: str) -> None:
    """Markers first: they are about the layers below, wherever in the layer they stand."""
    with tarfile.open(layer) as tar:
        entries = [(member, parts) for member in tar if (parts := parse(member.name))]
        marks = [parts for _, parts in entries if parts[-1].startswith(WHITEOUT)]
        for parts in marks:
            white_out(root, parts)
        for member, parts in entries:
            if parts not in marks:
                make(root, tar, member, parts)


def unpack(where: str, *layers: str) -> None:
    os.makedirs(where, exist_ok=True)
    root = openat2(AT_FDCWD, where, os.O_PATH | os.O_DIRECTORY)
    for layer in layers:
        apply(root, layer)


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
