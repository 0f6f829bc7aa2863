"""Root file systems that mean harm, and what lies outside of them and must stay as it is.

A `Tree` says what stands at each place that set-up touches; `plant` makes it.  `Outside` is a
directory full of canaries: names, content, modes, owners and times are taken before and after.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import socket
import stat
from dataclasses import dataclass
from pathlib import Path

from hypothesis import strategies as st

BUSYBOX = "/bin/busybox"

PLACES = ("/", "/dev", "/dev/pts", "/dev/pts/ptmx", "/dev/shm", "/dev/null", "/dev/tty",
          "/dev/ptmx", "/dev/fd", "/dev/console", "/proc", "/proc/self", "/proc/sys",
          "/proc/sys/user", "/proc/kcore", "/proc/self/fd", "/sys", "/etc", "/etc/passwd",
          "/etc/group", "/etc/hosts", "/etc/resolv.conf", "/etc/hostname", "/etc/gai.conf", "/tmp",
          "/run", "/root", "/home", "/home/box", "/work", "/work/deep", "/mnt", "/mnt/inner",
          "/mnt/inner/most", "/var", "/lower", "/upper", "/usr", "/lib", "/lib64")
"""Where set-up makes, mounts, covers or looks for something, and what lies on the way."""

KINDS = ("directory", "file", "link", "fifo", "socket", "device", "set-id", "hard link")

OUT = "@OUT@"
"""In the text of a link: where the canaries are."""

LINKS = ("/", ".", "..", "../../../../../../..", "/dev", "/etc", "/proc", "/proc/self/root",
         "/proc/1/root", "/proc/self/cwd", "/proc/self/exe", "/proc/self/fd/3", "/proc/self/fd/9",
         "/proc/1/fd/3", "/proc/thread-self/root", "/dev/null", "/dev/pts/ptmx", "/dev/shm",
         "/work", "/mnt/inner", "/tmp/../../..", "loop", "/etc/passwd", "/nowhere",
         "/nowhere/deep/er", "/tmp/new", "n" * 255, "d/" * 1000 + "end",
         "odd\n\x1b[31m\udcff name", OUT, OUT + "/secret", OUT + "/directory", OUT + "/new",
         "../../.." + OUT + "/directory",
         "/../../../.." + OUT + "/program")


@dataclass(frozen=True)
class Thing:
    """What stands at one place. to: of a link; mode: of a file or directory."""

    kind: str
    to: str = ""
    mode: int = 0o755


@dataclass(frozen=True)
class Tree:
    """One hostile root file system. owner: "caller", "root" or "other" (where root plants it)."""

    things: tuple[tuple[str, Thing], ...]
    owner: str = "caller"
    linked: bool = False


@dataclass(frozen=True)
class Request:
    """How the box is asked for. keep: what the directory of --keep is like."""

    mode: str = "overlay"
    root_by: str = "pivot_root"
    workdir: str = "/"
    targets: tuple[str, ...] = ()
    tmpfs: tuple[str, ...] = ()
    user: int = 0
    terminal: bool = False
    network: str = "none"
    keep: tuple[tuple[str, Thing], ...] = ()


links = st.builds(lambda to: Thing("link", to=to), st.sampled_from(LINKS))
things = links | st.builds(
    Thing, kind=st.sampled_from([kind for kind in KINDS if kind != "link"]),
    mode=st.sampled_from((0o755, 0o000, 0o700, 0o555, 0o1777, 0o644, 0o6755)))
trees = st.builds(
    Tree, things=st.dictionaries(st.sampled_from(PLACES), things, max_size=8).map(
        lambda found: tuple(sorted(found.items()))),
    owner=st.sampled_from(("caller", "caller", "root", "other")), linked=st.booleans())
_targets = st.sampled_from(("/mnt", "/mnt/inner", "/mnt/inner/most", "/etc/passwd", "/etc", "/work",
                            "/tmp", "/dev/shm", "/dev/extra", "/run/x/y", "/odd\n\x1b[1m", "/sys",
                            "/root", "/var/" + "long" * 60))
requests = st.builds(
    Request, mode=st.sampled_from(("overlay", "overlay", "--read-only", "--rw", "--keep")),
    root_by=st.sampled_from(("pivot_root", "pivot_root", "chroot")),
    workdir=st.sampled_from(("/", "/work", "/work/deep", "/work/../work", "/tmp", "/etc/passwd",
                             "/proc/self/fd/4", "/dev/fd/5", "/proc/self/root", "/new/work")),
    targets=st.lists(_targets, max_size=3, unique=True).map(tuple),
    tmpfs=st.lists(_targets, max_size=1).map(tuple), user=st.sampled_from((0, 0, 1000)),
    terminal=st.booleans(), network=st.sampled_from(("none", "none", "host")),
    keep=st.dictionaries(
        st.sampled_from(("/upper", "/work", "/work/work", "/upper/etc", "/upper/dev")), things,
        max_size=2).map(lambda found: tuple(sorted(found.items()))))


def plant(tree: Tree, root: Path, out: Path, uid: int, gid: int) -> Path:
    """Make *tree* at *root*; what to give to --rootfs."""
    root.mkdir()
    _put_all(tree.things, root, out)
    program = Path(root, BUSYBOX[1:])
    if not os.path.lexists(program):
        program.parent.mkdir(exist_ok=True)
        shutil.copy(BUSYBOX, program)
    own(root, *{"caller": (uid, gid), "root": (0, 0), "other": (12345, 12345)}[tree.owner])
    if not tree.linked:
        return root
    link = root.with_name(root.name + "-link")
    link.symlink_to(root)
    return link


def plant_keep(things: tuple[tuple[str, Thing], ...], keep: Path, out: Path, uid: int,
               gid: int) -> None:
    """A directory for --keep, as an earlier box or somebody else may have left it."""
    keep.mkdir()
    _put_all(things, keep, out)
    own(keep, uid, gid)


def _put_all(found: tuple[tuple[str, Thing], ...], root: Path, out: Path) -> None:
    for path, thing in found:
        if path == "/":
            if thing.kind == "directory":
                root.chmod(thing.mode)
        elif _reachable(root, path):
            put(root, path, thing, out)


def _reachable(root: Path, path: str) -> bool:
    """Make the directories on the way, as long as nothing else stands there."""
    at = root
    for name in path.split("/")[1:-1]:
        at = at / name
        if not os.path.lexists(at):
            at.mkdir(0o755)
        if not stat.S_ISDIR(at.lstat().st_mode):
            return False
    return True


def put(root: Path, path: str, thing: Thing, out: Path) -> None:
    """Place *thing* at *path* of *root*."""
    place = Path(root, path[1:])
    if os.path.lexists(place):
        return
    if thing.kind == "directory":
        place.mkdir()
    elif thing.kind == "link":
        to = place.name if thing.to == "loop" else thing.to.replace(OUT, str(out))
        place.symlink_to(to)
        return
    elif thing.kind == "fifo":
        os.mkfifo(place)
    elif thing.kind == "socket":
        _make_socket(place)
    elif thing.kind == "device" and os.geteuid() == 0:
        os.mknod(place, stat.S_IFCHR | 0o666, os.makedev(1, 5))
    elif thing.kind == "hard link" and Path(root, "hard").exists():
        os.link(Path(root, "hard"), place)
        return
    else:
        place.write_bytes(b"mine\n")
    place.chmod(0o6755 if thing.kind == "set-id" else thing.mode)


def _make_socket(place: Path) -> None:
    """By its directory's descriptor: the path may be longer than a socket's address."""
    directory = os.open(place.parent, os.O_PATH)
    try:
        with socket.socket(socket.AF_UNIX) as one:
            one.bind(f"/proc/self/fd/{directory}/{place.name}")
    finally:
        os.close(directory)


def own(root: Path, uid: int, gid: int) -> None:
    """Give all of *root* to this user, links themselves included; set-id bits stay."""
    if os.geteuid() != 0:
        return
    for place in (root, *_below(root)):
        mode = place.lstat().st_mode
        os.chown(place, uid, gid, follow_symlinks=False)
        if not stat.S_ISLNK(mode):
            place.chmod(stat.S_IMODE(mode))


def _below(root: Path) -> list[Path]:
    return [Path(where, name) for where, directories, files in os.walk(root)
            for name in (*directories, *files)]


def remove(root: Path) -> None:
    """Remove a tree whose directories may have any mode."""
    if not os.path.lexists(root):
        return
    if root.is_symlink():
        root.unlink()
        return
    root.chmod(0o700)
    for where, directories, _files in os.walk(root):
        for name in directories:
            if not os.path.islink(f"{where}/{name}"):
                os.chmod(f"{where}/{name}", 0o700)
    shutil.rmtree(root)


def shape(root: Path) -> dict[str, tuple[object, ...]]:
    """All about each file below *root* but when it was read: what must not change."""
    return {str(place): _about(place) for place in (root, *sorted(_below(root)))}


def _about(place: Path) -> tuple[object, ...]:
    found = place.lstat()
    content = ""
    if stat.S_ISREG(found.st_mode):
        content = hashlib.sha256(place.read_bytes()).hexdigest()
    elif stat.S_ISLNK(found.st_mode):
        content = os.readlink(place)
    return (found.st_mode, found.st_uid, found.st_gid, found.st_size, found.st_nlink, found.st_ino,
            found.st_rdev, found.st_mtime_ns, found.st_ctime_ns, content)


HOST = ("/", "/bin", "/dev/null", "/dev/ptmx", "/dev/zero", "/etc", "/etc/hostname", "/etc/hosts",
        "/etc/resolv.conf", "/home", "/proc", "/root", "/sys", "/usr", "/usr/bin", "/var")


class Outside:
    """Canaries in a directory that the caller owns, so that nothing but the walls protects them."""

    def __init__(self, place: Path, uid: int, gid: int) -> None:
        self.place = place
        place.mkdir()
        (place / "directory").mkdir()
        (place / "directory/file").write_text("canary in a directory\n")
        (place / "empty").mkdir(0o700)
        (place / "secret").write_text("canary-secret\n")
        (place / "secret").chmod(0o600)
        (place / "passwd").write_text("root:x:0:0:canary:/:/bin/sh\n")
        (place / "program").write_bytes(b"#!/bin/sh\necho canary\n")
        (place / "program").chmod(0o755)
        (place / "link").symlink_to("secret")
        own(place, uid, gid)
        self.before = self._now()

    def _now(self) -> dict[str, tuple[object, ...]]:
        host = {path: _host(path) for path in HOST}
        return shape(self.place) | host

    def changes(self) -> list[str]:
        """What is not as it was, a line each."""
        now = self._now()
        return [f"{path}: {self.before.get(path)} became {now.get(path)}"
                for path in sorted(now.keys() | self.before.keys())
                if now.get(path) != self.before.get(path)]


def _host(path: str) -> tuple[object, ...]:
    """What a wrong step would change of the host's own."""
    if not os.path.exists(path):
        return ()
    found = os.stat(path)
    content = Path(path).read_bytes() if stat.S_ISREG(found.st_mode) else b""
    names = sorted(os.listdir(path)) if path in ("/", "/home") else []
    return found.st_mode, found.st_uid, found.st_gid, found.st_rdev, content, *names
