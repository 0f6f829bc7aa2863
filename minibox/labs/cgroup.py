"""Cgroups for a submission to divide: a directory that its box sees at /cgroup.

    PARENT/minibox-lab-RANDOM       ours alone (0700), with caps on all that a submission does
        box                         its box sees this: /cgroup, or on v1 /cgroup/CONTROLLER
            start                   where the submission is started

The submission has an id that is not known before (root's boxes lease theirs), so everybody may
write in `box`; only who passes the directory above, which nobody else does, gets there.  It is
started within, as on v2 a process may be moved only below an ancestor that the mover may write.
"""

from __future__ import annotations

import fcntl
import os
import secrets
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from minibox import claim, host
from minibox.cgroups import read, write
from minibox.labs.finding import Ungradable
from minibox.spec import Mount

if TYPE_CHECKING:
    from collections.abc import Iterator

PREFIX = "minibox-lab-"
START = "start"

CAPS = {("memory", 1): ("memory.limit_in_bytes", "512M"), ("memory", 2): ("memory.max", "512M"),
        ("pids", 1): ("pids.max", "256"), ("pids", 2): ("pids.max", "256")}
"""By controller and version: what all of a submission may use, whatever it makes of its cgroups."""


class Group:
    """What a submission got. version: of the cgroups; places: `box` on the host, by controller."""

    def __init__(self, version: int, places: dict[str, Path]) -> None:
        self.version, self.places = version, places

    @property
    def mounts(self) -> tuple[Mount, ...]:
        """How its box is to see them."""
        return tuple(dict.fromkeys(
            Mount(type="bind", source=str(place),
                  target="/cgroup" if self.version == 2 else f"/cgroup/{name}")
            for name, place in self.places.items()))

    def take(self, pid: int) -> None:
        """Have process *pid*, and so what it starts, begin in them."""
        for place in dict.fromkeys(self.places.values()):
            write(f"{place}/{START}/cgroup.procs", str(pid))

    def made(self, controller: str) -> tuple[str, ...]:
        """The cgroups that the submission has made itself, below its own, by name."""
        place = self.places[controller]
        return tuple(sorted(path.name for path in place.iterdir()
                            if path.is_dir() and path.name != START))

    def where(self, controller: str, pid: int) -> str:
        """In which of them process *pid* is, as a path below /cgroup; "" if in none."""
        rows = (line.split(":", 2) for line in read(f"/proc/{pid}/cgroup").splitlines())
        paths = {name: path for _, names, path in rows for name in names.split(",")}
        own = paths.get(controller if self.version == 1 else "", "")
        marker = f"/{self.places[controller].parent.name}/box/"
        return own.partition(marker)[2]

    def read(self, controller: str, name: str, file: str) -> str:
        """The text of *file* in the cgroup *name*, "" where there is none."""
        return read(str(self.places[controller] / name / file)).strip()

    def figure(self, controller: str, name: str, file: str, key: str = "") -> int | None:
        """The number in such a file, or in its line that begins with *key*."""
        for line in self.read(controller, name, file).splitlines():
            words = line.split()
            if words[:1] == [key] or not key:
                text = words[-1] if key else words[0]
                return int(text) if text.lstrip("-").isdecimal() else None
        return None


@contextmanager
def delegated(*controllers: str) -> Iterator[Group]:
    """Cgroups with these controllers, gone at the end with all that is in them.

    Errors: Ungradable where this user cannot make them.
    """
    here = host.find()
    if any(here.controller(name) is None for name in controllers) and claim.claim():
        here = host.find()
    for name in controllers:
        if here.controller(name) is None:
            raise Ungradable(f"cgroup.{name}", "{}. {}".format(*here.mend(name)))
    found = {name: one for name in controllers if (one := here.controller(name))}
    name = PREFIX + secrets.token_hex(8)
    with ExitStack() as stack:
        places: dict[str, Path] = {}
        for controller, one in found.items():
            if one.parent not in (str(place.parent.parent) for place in places.values()):
                _sweep(one.parent)
                stack.enter_context(_made(Path(one.parent, name)))
            places[controller] = Path(one.parent, name, "box")
        version = max(one.version for one in found.values())
        for controller, place in places.items():
            _cap(controller, version, place.parent)
        for place in dict.fromkeys(places.values()):
            _open(place, version, controllers)
        yield Group(version, places)


def _cap(controller: str, version: int, directory: Path) -> None:
    if version == 2:
        write(f"{directory}/cgroup.subtree_control", f"+{controller}")
    file, value = CAPS.get((controller, version), ("", ""))
    if file:
        write(f"{directory}/{file}", value)


def _open(place: Path, version: int, controllers: tuple[str, ...]) -> None:
    """Make `box`, and let whoever gets there divide it."""
    place.mkdir()
    if version == 2:
        write(f"{place}/cgroup.subtree_control", " ".join(f"+{name}" for name in controllers))
    (place / START).mkdir()
    for directory in (place, place / START):
        directory.chmod(0o777)
        for file in ("cgroup.procs", "cgroup.threads", "cgroup.subtree_control", "tasks"):
            with suppress(FileNotFoundError):
                (directory / file).chmod(0o666)


@contextmanager
def _made(directory: Path) -> Iterator[None]:
    """A new cgroup, held by a lock, as long as the context lasts."""
    fd = _claim(directory)
    try:
        yield
    finally:
        _remove(directory)
        os.close(fd)


def _claim(directory: Path) -> int:
    """Make *directory* and lock it; again, if a sweeper came between and removed it."""
    while True:
        directory.mkdir(mode=0o700)
        with suppress(FileNotFoundError):
            fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            fcntl.flock(fd, fcntl.LOCK_EX)
            with suppress(FileNotFoundError):
                if os.stat(directory).st_ino == os.fstat(fd).st_ino:
                    return fd
            os.close(fd)


def _sweep(parent: str) -> None:
    """Remove what a grader left that was killed: nobody holds its lock any more."""
    for directory in Path(parent).glob(PREFIX + "*"):
        with suppress(OSError):
            fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                _remove(directory)
            finally:
                os.close(fd)


def _remove(directory: Path) -> None:
    """Kill what is left in *directory*, and remove it with all below it."""
    below = [Path(path) for path, _, _ in os.walk(directory, topdown=False)]
    for _ in range(200):
        alive = [pidfd for path in below for pid in read(f"{path}/cgroup.procs").split()
                 if (pidfd := _opened(int(pid))) >= 0]
        if not alive:
            break
        for pidfd in alive:
            _end(pidfd)
    for path in below:
        with suppress(FileNotFoundError):
            path.rmdir()


def _opened(pid: int) -> int:
    try:
        return os.pidfd_open(pid)
    except ProcessLookupError:
        return -1


def _end(pidfd: int) -> None:
    import select
    import signal

    try:
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(pidfd, signal.SIGKILL)
        select.select([pidfd], [], [], 5)
    finally:
        os.close(pidfd)
