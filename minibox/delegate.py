"""Give a user a subtree of cgroups where no systemd does: root's one-time act, until the next boot.

The user may then make cgroups beneath <hierarchy>/minibox/user-UID and divide what they get; the
subtree's own limits stay root's.  On v2 a process may only be moved between cgroups that share an
ancestor whose cgroup.procs is the user's, so the user's shell has to move in as well.
"""

from __future__ import annotations

import errno
import os

from minibox import claim, mends
from minibox.cgroups import SUBTREE, Hierarchy, available, current, handed_down, lines, read, write
from minibox.errors import HostError, SpecError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

SHELL = "shell"
"""The leaf that the user's own processes live in, on v2."""

GIVEN = ("", "/cgroup.procs", "/cgroup.subtree_control", "/cgroup.threads")
"""What is the user's of a delegated cgroup: /sys/kernel/cgroup/delegate on the kernels we know."""


def delegate(uid: int, gid: int, pid: int | None) -> list[str]:
    """Make the subtree of *uid*; on v2 move *pid*, or the caller's ancestor that is this user's.
    What was made, as sentences."""
    hierarchies = _hierarchies()
    done = []
    for one in hierarchies:
        subtree = f"{one.mount}/{SUBTREE % uid}"
        for directory in (os.path.dirname(subtree), subtree):
            os.makedirs(directory, mode=0o755, exist_ok=True)
            _inherit(one, directory)
        for name in GIVEN:
            if os.path.exists(subtree + name):
                os.chown(subtree + name, uid, gid)
        names = " ".join(one.controllers if one.version == 1 else handed_down(subtree))
        done.append(f"{subtree} is theirs to divide ({names})")
        if one.version == 2:
            done.append(_move_in(subtree, uid, gid, pid))
    return done


def undo(uid: int) -> list[str]:
    """Remove the subtree of *uid*; HostError while it is in use. What was removed, as sentences."""
    done = []
    for one in _hierarchies():
        subtree = f"{one.mount}/{SUBTREE % uid}"
        if not os.path.isdir(subtree):
            continue
        for directory in (f"{subtree}/{SHELL}", subtree):
            for pid in read(directory + "/cgroup.procs").split():
                write(f"{one.mount}/cgroup.procs", pid)
        if os.path.isdir(f"{subtree}/{SHELL}"):
            os.rmdir(f"{subtree}/{SHELL}")
        try:
            os.rmdir(subtree)
        except OSError as error:
            raise HostError("delegate", f"{subtree} is in use", "end that user's boxes first") \
                from error
        done.append(f"{subtree} is removed")
        try:
            os.rmdir(os.path.dirname(subtree))
        except OSError as error:
            if error.errno not in (errno.EBUSY, errno.ENOTEMPTY):       # another user's is there
                raise
    return done


def _hierarchies() -> list[Hierarchy]:
    """Those with controllers that boxes use; HostError where the subtree cannot be made."""
    if os.getuid() != 0:
        raise HostError("delegate", "only root can give cgroups away", "sudo minibox delegate ...")
    found = [one for one in current() if one.version == 1 or available(one.mount)]
    if any(one.version == 2 for one in found) and mends.systemd():
        raise HostError(
            "delegate", "systemd manages the cgroups of this host, and hands them out itself",
            "There is nothing to do for memory, pids and cpu: `minibox run` asks systemd for a "
            "scope. For cpuset and io: sudo systemctl edit user@.service, with the lines "
            "[Service] and Delegate=cpu cpuset io memory pids; then log in anew")
    if not found:
        raise HostError("delegate", "no cgroup file system is mounted",
                        "sudo mount -t cgroup2 cgroup2 /sys/fs/cgroup")
    return found


def _inherit(one: Hierarchy, directory: str) -> None:
    """Let *directory* and its children have what their parent has."""
    parent = os.path.dirname(directory)
    if one.version == 2:
        for above in (parent, directory):
            claim.switch_on_all(above, evacuate=above == one.mount)
    elif "cpuset" in one.controllers:
        for name in ("cpuset.cpus", "cpuset.mems"):
            write(f"{directory}/{name}", read(f"{parent}/{name}"))


def _move_in(subtree: str, uid: int, gid: int, pid: int | None) -> str:
    shell = f"{subtree}/{SHELL}"
    os.makedirs(shell, mode=0o755, exist_ok=True)
    for name in GIVEN:
        os.chown(shell + name, uid, gid)
    pid = pid or next(_ancestors_of(uid), None)
    if pid is None:
        return ("no process of that user is above this one: in the user's shell, run "
                "`sudo minibox delegate USER --pid $$` as well")
    try:
        write(f"{shell}/cgroup.procs", str(pid))
    except ProcessLookupError:
        raise SpecError("pid", pid, "there is no such process") from None
    return f"process {pid} moved there; what it starts from now on can run boxes with caps"


def _ancestors_of(uid: int) -> Iterator[int]:
    """The processes above this one that are wholly *uid*'s, the nearest first."""
    pid = os.getppid()
    while pid > 1:
        about = [line.partition(":") for line in lines(read(f"/proc/{pid}/status"))]
        status = {name: value.split() for name, _, value in about}
        if set(status.get("Uid", ())) == {str(uid)}:
            yield pid
        pid = int(status["PPid"][0]) if "PPid" in status else 0
