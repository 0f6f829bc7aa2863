"""What works on this machine, what does not, why, and the mend: `examine()`.

Everything is tried anew, and last of all a box is run.
"""

from __future__ import annotations

import os

from minibox import host
from minibox.errors import MiniboxError
from minibox.record import Record, as_dict

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Any

    from minibox.facts import Host

NEEDED, USEFUL, CAP = "needed", "useful", "cap"
"""Kinds of check: without the first no box runs; each of the last is a flag of `minibox run`."""

MECHANISMS = (
    ("user", NEEDED, "user namespaces", "root of a box is nobody outside"),
    ("user.nested", NEEDED, "nested user namespaces", "init stands above the application"),
    ("mnt", NEEDED, "mount namespaces", "files of its own"),
    ("pid", NEEDED, "pid namespaces", "processes of its own"),
    ("net", NEEDED, "network namespaces", "no network but a loopback of its own"),
    ("ipc", NEEDED, "ipc namespaces", "shared memory and message queues of its own"),
    ("uts", NEEDED, "uts namespaces", "a host name of its own"),
    ("cgroup", NEEDED, "cgroup namespaces", "it does not see where its cgroup lies"),
    ("time", USEFUL, "time namespaces", "for --time-offset"),
    ("calls", NEEDED, "system calls", "clone3, openat2, mount_setattr and the others are there"),
    ("tmpfs", NEEDED, "tmpfs", "a place to write that ends with the box"),
    ("proc", NEEDED, "a new /proc", "it shows the box's processes only"),
    ("devpts", NEEDED, "a new /dev/pts", "terminals of its own, for -t"),
    ("overlay", USEFUL, "overlay", "any file may be changed, the root file system stays as it is"),
    ("landlock", USEFUL, "Landlock", "a second wall around files"),
    ("seccomp", NEEDED, "seccomp", "a filter on system calls"),
    ("seccomp.notify", USEFUL, "seccomp's notices", "for --seccomp-log"),
)

CAPS = (("memory", "memory", "-m, --memory"), ("cpu", "cpus", "--cpus"),
        ("cpuset", "cpuset", "--cpuset-cpus"), ("pids", "pids", "--pids-limit"))

WITHOUT_CGROUP = {"cpuset": "by sched_setaffinity, as there is no cgroup for it",
                  "pids": "by RLIMIT_NPROC, which counts per user namespace"}
"""Caps that hold all the same, and how."""


SAMPLE: dict[str, Any] = {"memory": "64M", "cpus": 0.5, "pids": 50}
"""Caps for the box that doctor runs."""


class Check(Record):
    """One thing that was tried. works: whether; detail: how, or why not; mend: what to do."""

    kind: str
    name: str
    works: bool
    detail: str
    mend: str = ""


class Findings(Record):
    """All of it. runs: a box ran."""

    host: Host
    checks: tuple[Check, ...]
    runs: bool

    def caps(self, works: bool) -> tuple[str, ...]:
        """The names of the caps that can be enforced, or of those that cannot."""
        return tuple(c.name for c in self.checks if c.kind == CAP and c.works == works)

    def as_json(self) -> dict[str, Any]:
        """For a machine to read: numbers, texts, lists of them."""
        return {"runs": self.runs, "kernel": os.uname().release, "machine": self.host.machine,
                "uid": self.host.uid, "cgroups": self.host.cgroup_mode,
                "caps": list(self.caps(True)), "checks": [as_dict(one) for one in self.checks]}


def examine(refresh: bool = True) -> Findings:
    """Try everything. refresh: do not believe what is remembered from last time."""
    found = host.find(refresh)
    if not all(map(found.controller, ("memory", "pids", "cpu"))):
        from minibox.claim import claim

        if claim():
            found = host.find()
    checks = [*_mechanisms(found), _ids(found), *_caps(found)]
    box = _box([one.name for one in checks if one.kind == CAP and one.works])
    return Findings(host=found, checks=(*checks, box), runs=box.works)


def _mechanisms(found: Host) -> Iterator[Check]:
    works = {*found.namespaces, *found.features}
    for feature, kind, name, use in MECHANISMS:
        if feature in works:
            yield Check(kind=kind, name=name, works=True, detail=use)
        else:
            reason, mend = found.mend(feature)
            yield Check(kind=kind, name=name, works=False, detail=reason, mend=mend)


def _ids(found: Host) -> Check:
    if found.uid == 0:
        missing = "idmap" if "lease" in found.features else "lease"
        works, (reason, mend) = found.id_mapped_mounts, found.mend(missing)
        detail = f"65536 for each box, leased in {found.lease_file}; owners of files are shifted"
    else:
        works, (reason, mend) = found.uid_range is not None, found.mend("ranges")
        detail = ""
        if found.uid_range:
            detail = f"{found.uid_range.count} from {found.uid_range.first}, by {found.uid_helper}"
        reason = f"{reason}; boxes have one id, root's or another"
    return Check(kind=USEFUL, name="a range of ids", works=works,
                 detail=detail if works else reason, mend="" if works else mend)


def _caps(found: Host) -> Iterator[Check]:
    for controller, name, flag in CAPS:
        one = found.controller(controller)
        reason, mend = found.mend(controller)
        if one:
            yield Check(kind=CAP, name=name, works=True,
                        detail=f"{flag}: cgroup v{one.version}, below {one.parent}")
        elif controller in WITHOUT_CGROUP:
            yield Check(kind=CAP, name=name, works=True,
                        detail=f"{flag}: {WITHOUT_CGROUP[controller]}")
        else:
            yield Check(kind=CAP, name=name, works=False, detail=reason, mend=mend)
    if found.controller("memory"):
        yield Check(kind=CAP, name="swap", works="swap" in found.features,
                    detail="--memory-swap" if "swap" in found.features else
                    "this kernel does not count swap, so what does not fit may go there",
                    mend="" if "swap" in found.features else "sudo swapoff -a")
    if found.controller("blkio"):
        works, (reason, mend) = not found.uncounted_disks, found.mend("io figures")
        yield Check(kind=USEFUL, name="disk figures", works=works, mend="" if works else mend,
                    detail="bytes read and written, on request" if works else reason)
    yield Check(kind=CAP, name="time, output", works=True,
                detail="--timeout, --cpu-time, --output-limit: the engine itself measures")


def _box(caps: Sequence[str]) -> Check:
    """The proof: run one, under all *caps* that are said to hold."""
    from minibox import box
    from minibox.request import Limits

    asked: dict[str, Any] = {name: value if name in caps else None
                             for name, value in SAMPLE.items()}
    try:
        result = box.run(["true"], limits=Limits(walltime=10, **asked))
    except MiniboxError as error:
        return Check(kind=NEEDED, name="a box", works=False, detail=str(error),
                     mend="mend what is named above; if nothing is, report this")
    setup, wall = result.usage.setup_s or 0, result.usage.wall_s or 0
    return Check(kind=NEEDED, name="a box", works=result.exit_status == 0,
                 detail=f"`true`, under these caps: {result}, {1000 * (setup + wall):.1f} ms")
