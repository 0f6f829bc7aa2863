"""Where cgroups of boxes can be made: read from /proc, never guessed.

v1: beneath the caller's own cgroup in each hierarchy, else in a subtree that `minibox delegate`
made.  v2: in the nearest directory above the caller's own processes that is the caller's to write
and hands its controllers down.  Finding changes nothing; `claim` does, and only what is ours.
"""

from __future__ import annotations

import os

from minibox.facts import Controller
from minibox.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection

WANTED = ("memory", "pids", "cpu", "cpuacct", "cpuset", "blkio", "io")
"""The controllers that boxes have a use for; cpuacct and blkio on v1, io on v2."""

SUBTREE = "minibox/user-%d"
"""What `minibox delegate` makes beneath the root of a hierarchy, by user id."""


class Hierarchy(Record):
    """One mounted cgroup hierarchy. own: the caller's cgroup, as a directory ("" if the mount does
    not show it); controllers: of WANTED, none for v2, where each directory has its own."""

    version: int
    controllers: tuple[str, ...]
    mount: str
    own: str


def read(path: str) -> str:
    """The text of a small file, "" if it cannot be read."""
    try:
        with open(path, "rb", buffering=0) as file:
            return os.fsdecode(file.readall())
    except OSError:
        return ""


def write(path: str, text: str) -> None:
    """Write *text* to a control file, in one call: the kernel takes it whole or not at all."""
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, text.encode())
    finally:
        os.close(fd)


def _unescape(field: str) -> str:
    """mountinfo writes blanks and backslashes of a path as octal."""
    if "\\" not in field:
        return field
    first, *rest = field.split("\\")
    return first + "".join(chr(int(part[:3], 8)) + part[3:] for part in rest)


def lines(text: str) -> list[str]:
    """The lines of a file of /proc: a name in them may have whatever else ends a line elsewhere."""
    return [line for line in text.split("\n") if line]


def _own(mount: str, root: str, path: str) -> str:
    """The directory of the cgroup *path* on *mount*, which shows the hierarchy from *root* on."""
    root = root.rstrip("/")
    if path != root and not path.startswith(root + "/") or "/.." in path:
        return ""
    return (mount + path[len(root):]).rstrip("/")


def hierarchies(mountinfo: str, cgroup: str) -> tuple[Hierarchy, ...]:
    """What is mounted, from the texts of /proc/self/mountinfo and /proc/self/cgroup."""
    paths: dict[str, tuple[tuple[str, ...], str]] = {}
    for line in lines(cgroup):
        number, names, path = line.split(":", 2)
        for name in names.split(","):
            paths[name] = tuple(n for n in names.split(",") if n in WANTED), path
    found: dict[tuple[str, ...], Hierarchy] = {}
    for line in lines(mountinfo):
        if " - cgroup" not in line:
            continue
        before, after = line.split(" - ", 1)
        _, _, _, root, mount = before.split(" ")[:5]
        kind, _, options = after.split(" ", 2)
        name = next((n for n in options.split(",") if n in paths), "") if kind == "cgroup" else ""
        if name not in paths:
            continue
        controllers, path = paths[name]
        if not name or controllers:
            one = Hierarchy(version=1 if name else 2, controllers=controllers,
                            mount=_unescape(mount), own=_own(_unescape(mount), root, path))
            if controllers not in found or not found[controllers].own:
                found[controllers] = one
    return tuple(found.values())


def mode(found: tuple[Hierarchy, ...]) -> str:
    """"v1", "v2", "hybrid" or "none"."""
    versions = {one.version for one in found}
    return {(): "none", (1,): "v1", (2,): "v2"}.get(tuple(versions), "hybrid")


def writable(directory: str) -> bool:
    """May this user make directories there? Asks the kernel, which knows of read-only mounts."""
    return bool(directory) and os.access(directory, os.W_OK | os.X_OK)


def upwards(hierarchy: Hierarchy) -> list[str]:
    """The caller's own cgroup and those above it, as far as the mount shows them."""
    found = [hierarchy.own] if hierarchy.own else []
    while found and found[-1] != hierarchy.mount:
        found.append(os.path.dirname(found[-1]))
    return found


def available(directory: str) -> tuple[str, ...]:
    """The controllers of v2 that *directory* has, and could hand down."""
    return tuple(n for n in read(directory + "/cgroup.controllers").split() if n in WANTED)


def handed_down(directory: str) -> tuple[str, ...]:
    """The controllers of v2 that children of *directory* get."""
    return tuple(n for n in read(directory + "/cgroup.subtree_control").split() if n in WANTED)


def may_parent(directory: str) -> bool:
    """v2: may this user make cgroups in *directory*, and move processes of its own into them? The
    caller is beneath it, so it is the common ancestor whose cgroup.procs must be writable."""
    return (writable(directory) and os.access(directory + "/cgroup.procs", os.W_OK)
            and "threaded" not in read(directory + "/cgroup.type"))


def _v2_parent(hierarchy: Hierarchy) -> tuple[str, tuple[str, ...]]:
    best: tuple[str, tuple[str, ...]] = "", ()
    for directory in upwards(hierarchy):
        if may_parent(directory):
            names = handed_down(directory)
            if len(names) > len(best[1]):
                best = directory, names
    return best


def controllers(found: tuple[Hierarchy, ...], uid: int) -> tuple[Controller, ...]:
    """The controllers that can be used as things are, each with the parent for boxes' cgroups."""
    usable = []
    for one in found:
        if one.version == 2:
            parent, names = _v2_parent(one)
        else:
            subtree = f"{one.mount}/{SUBTREE % uid}"
            parent = next(filter(writable, (one.own, subtree)), "")
            names = one.controllers if parent else ()
        usable += [Controller(name=name, version=one.version, parent=parent) for name in names]
    return tuple(usable)


def uncounted_disks(service_bytes: str, diskstats: str, disks: Collection[str]
                    ) -> tuple[str, ...]:
    """v1: disks in use whose bytes blkio does not count, "MAJOR:MINOR" each. Linux 6.10 begins to
    count those of a disk when it gets its first rate, in any cgroup.

    service_bytes: blkio.throttle.io_service_bytes of the root, which has a line for each disk that
    is counted; diskstats: /proc/diskstats; disks: names in /sys/block, where partitions are not.
    """
    counted = {line.split(" ")[0] for line in lines(service_bytes)}
    rows = [line.split() for line in lines(diskstats)]
    return tuple(number for row in rows if row[2].replace("/", "!") in disks
                 and (row[3], row[7]) != ("0", "0")         # reads, writes
                 and (number := f"{row[0]}:{row[1]}") not in counted)


def current() -> tuple[Hierarchy, ...]:
    """The hierarchies as this process sees them now."""
    return hierarchies(read("/proc/self/mountinfo"), read("/proc/self/cgroup"))
