"""Facts about one host and one user, immutable: what the compiler may know of where a box will run.

`minibox.host` finds them, by doing; tests give made-up ones.
"""

from __future__ import annotations

from minibox.record import Record


class Controller(Record):
    """A cgroup controller that this user can use. version: 1 or 2; parent: the directory in which
    boxes' cgroups can be made."""

    name: str
    version: int
    parent: str


class IdRange(Record):
    """Ids that this user may map, as /etc/subuid grants them."""

    first: int
    count: int


class SystemPath(Record):
    """A part of the host that its own view shows. kind: "dir" or "file" (bound or copied), "link"
    (to is its text). Files are copied, directories are bound."""

    path: str
    kind: str
    to: str = ""


class Host(Record):
    """What works here, found by doing; each missing feature has its reason and mend in `why`.

    kernel: release as (6, 18); uid, gid: the caller's, on the host; groups: the caller's others.
    namespaces: kinds that can be made.  controllers: cgroup controllers that can be used.
    cgroup_mode: "v1", "v2", "hybrid" or "none".  uid_range, gid_range with helper paths: None
    where newuidmap cannot be used.  id_mapped_mounts: of /usr, by root.  features: words such as
    "overlay", "proc" (a new proc can be mounted), "devpts", "cgroup.kill", "memory.peak",
    "swap" (swap is accounted), "clone_into_cgroup", "lease" (ids of nobody's may be mapped: the
    host's own root may, a container's may not).  uncounted_disks: "MAJOR:MINOR" of those in use
    whose bytes blkio of v1 does not count.  cpus: CPU numbers this process may use;
    memory_nodes: NUMA nodes it may, as cpuset.mems takes them ("0", "0-1").
    why: (feature, reason, mend) for what is missing.
    """

    kernel: tuple[int, ...] = (0,)
    machine: str = "x86_64"
    uid: int = 0
    gid: int = 0
    groups: tuple[int, ...] = ()
    namespaces: tuple[str, ...] = ()
    cgroup_mode: str = "none"
    controllers: tuple[Controller, ...] = ()
    uid_range: IdRange | None = None
    gid_range: IdRange | None = None
    uid_helper: str = ""
    gid_helper: str = ""
    id_mapped_mounts: bool = False
    lease_file: str = "/run/minibox/ids"
    features: tuple[str, ...] = ()
    uncounted_disks: tuple[str, ...] = ()
    cpus: tuple[int, ...] = ()
    memory_nodes: str = "0"
    memory_bytes: int = 0
    system_paths: tuple[SystemPath, ...] = ()
    why: tuple[tuple[str, str, str], ...] = ()

    def controller(self, name: str) -> Controller | None:
        """The controller of this name, None where it cannot be used."""
        return next((one for one in self.controllers if one.name == name), None)

    def mend(self, feature: str) -> tuple[str, str]:
        """Why *feature* is missing here, and what would bring it."""
        for name, reason, mend in self.why:
            if name == feature:
                return reason, mend
        return "this host has none", "see `minibox doctor`"
