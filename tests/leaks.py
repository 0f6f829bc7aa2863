"""What a box could leave behind: processes, mounts, cgroups, descriptors of the caller."""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import os
import select
from dataclasses import dataclass
from pathlib import Path

import psutil

PR_SET_CHILD_SUBREAPER = 36
PATIENCE_S = 5.0
"""How long the kernel may take to end what was killed; a wait for its end, not a sleep."""


def adopt_orphans() -> None:
    """Become the parent of whatever a test's processes leave behind, so that it is found."""
    assert ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0


def _children() -> frozenset[int]:
    """Whichever thread started them: one that ends meanwhile takes its list of them along."""
    return frozenset(child.pid for child in psutil.Process().children())


def _cgroups() -> frozenset[str]:
    return frozenset(str(Path(base, name)) for base, names, _ in os.walk("/sys/fs/cgroup")
                     for name in names if name.startswith("minibox-"))


def _descriptors() -> frozenset[tuple[int, str]]:
    """Number and target; the one that lists them is gone when its target is read."""
    found = set()
    for name in os.listdir("/proc/self/fd"):
        try:
            found.add((int(name), os.readlink(f"/proc/self/fd/{name}")))
        except FileNotFoundError:
            continue
    return frozenset(found)


@dataclass(frozen=True)
class State:
    """All of it at one moment."""

    children: frozenset[int]
    mounts: frozenset[str]
    cgroups: frozenset[str]
    descriptors: frozenset[tuple[int, str]]


def _mounts() -> frozenset[str]:
    """All but those of other programs: in /tmp, such as one that makes a root file system there,
    and those that firejail leaves when it first starts."""
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    return frozenset(line for line in lines
                     if not line.split()[4].startswith(("/tmp/", "/run/firejail/"))
                     or line.split()[4].startswith(("/tmp/pytest-of-", "/tmp/minibox-")))


def state() -> State:
    return State(_children(), _mounts(), _cgroups(), _descriptors())


def _survives(pid: int) -> str:
    """What *pid* is if it lives on; an adopted one that ends is waited for."""
    try:
        pidfd = os.pidfd_open(pid)
    except ProcessLookupError:
        return ""
    try:
        if not select.select([pidfd], [], [], PATIENCE_S)[0]:
            return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
        os.waitid(os.P_PIDFD, pidfd, os.WEXITED)
    except ChildProcessError:                               # its own parent was quicker
        pass
    finally:
        os.close(pidfd)
    return ""


def end_since(before: State) -> None:
    """Kill the processes that a test has left, so that they are no other test's."""
    for child in psutil.Process().children():
        if child.pid not in before.children:
            with contextlib.suppress(psutil.NoSuchProcess):
                for one in (*child.children(recursive=True), child):
                    one.kill()


def _abandoned(cgroup: str) -> bool:
    """Whether nobody has the lock that an engine holds on its cgroups while it lives."""
    try:
        fd = os.open(cgroup, os.O_RDONLY | os.O_DIRECTORY)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(fd)
    return True


def left_since(before: State) -> list[str]:
    """What is there now and was not then, a line each."""
    left = [f"process {pid}: {what}" for pid in _children() - before.children
            if (what := _survives(pid))]
    now = state()
    left += [f"mount {line}" for line in now.mounts - before.mounts]
    left += [f"cgroup {path}" for path in now.cgroups - before.cgroups if _abandoned(path)]
    left += [f"descriptor {fd}: {to}" for fd, to in now.descriptors - before.descriptors]
    return sorted(left)
