"""Get a place for boxes' cgroups where there is none yet: only what is this user's own is changed.

On cgroup v2 a cgroup with processes in it cannot hand its controllers down, so there are three
things to do, each where it applies: ask systemd for a scope that is ours to manage, move the
processes of a container's own root into a leaf, switch controllers on for what lies beneath.
v1 has no such rule: what cannot be written there, only `minibox delegate` can give.
"""

from __future__ import annotations

import os
import subprocess
import time
from _thread import allocate_lock

from minibox import cgroups
from minibox.cgroups import Hierarchy, handed_down, may_parent, read, write
from minibox.mends import systemd

SCOPE = "minibox-"
"""How our scopes' names begin."""

LEAF = "init"
"""Where the processes go that were in a cgroup which is to hand its controllers down."""

SCOPE_S = 5.0
"""How long systemd may take to move us; it takes some 10 ms."""


_alone = allocate_lock()


def claim() -> bool:
    """Do what it takes to make cgroups for boxes; True if there are controllers to use then.

    Call it when a cap lacks its controller, then look again by `host.find()`. Under systemd this
    process itself moves, into a scope of its own: a box's cgroup must share a writable ancestor
    with its caller's.
    """
    with _alone:                                            # one scope for all threads
        unified = _unified()
        if unified and systemd() and not _delegated(unified) and enter_scope():
            unified = _unified()
        if unified:
            hand_down(unified)
        return bool(cgroups.controllers(cgroups.current(), os.getuid()))


def _unified() -> Hierarchy | None:
    return next((one for one in cgroups.current() if one.version == 2 and one.own), None)


def _delegated(unified: Hierarchy) -> str:
    """The caller's unit, if systemd leaves all beneath it to the caller, else "".

    systemd says so by an attribute, but systemd 252 does not for a user's units: our own we know
    by their name.
    """
    for directory in (unified.own, os.path.dirname(unified.own)):
        name = os.path.basename(directory)
        ours = name.startswith(SCOPE) and name.endswith(".scope")
        if (ours or _attribute(directory) == b"1") and may_parent(directory):
            return directory
    return ""


def _attribute(directory: str) -> bytes:
    try:
        return os.getxattr(directory, "user.delegate")
    except OSError:
        return b""


def enter_scope() -> bool:
    """Ask systemd to move this process into a new scope whose cgroup is ours to divide.

    By busctl, which comes with systemd: no D-Bus library to carry, and unlike `systemd-run
    --scope` it needs no new start of this program, so it serves a Python caller as well.
    """
    before = read("/proc/self/cgroup")
    pid = str(os.getpid())
    command = ["busctl", *([] if os.getuid() == 0 else ["--user"]), "--quiet", "call",
               "org.freedesktop.systemd1", "/org/freedesktop/systemd1",
               "org.freedesktop.systemd1.Manager", "StartTransientUnit", "ssa(sv)a(sa(sv))",
               f"{SCOPE}{pid}-{os.urandom(4).hex()}.scope", "fail",
               "3", "PIDs", "au", "1", pid, "Delegate", "b", "true",
               "Description", "s", "boxes of minibox", "0"]
    environment = {"XDG_RUNTIME_DIR": f"/run/user/{os.getuid()}"} | os.environ
    try:
        asked = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True,
                               env=environment, timeout=SCOPE_S)
    except (OSError, subprocess.TimeoutExpired):
        return False
    deadline = time.monotonic() + SCOPE_S
    while asked.returncode == 0 and time.monotonic() < deadline:
        if read("/proc/self/cgroup") != before:
            return True
        time.sleep(0.001)           # the reply says "queued"; that we were moved, only the kernel
    return False


def hand_down(unified: Hierarchy) -> None:
    """Switch on, for the children of one cgroup of ours, all controllers that it has."""
    unit = _delegated(unified)
    places = [unit] if unit else [] if systemd() else [
        directory for directory in cgroups.upwards(unified) if may_parent(directory)]
    best = max(places, key=lambda place: len(cgroups.available(place)), default="")
    if best:
        switch_on_all(best, evacuate=best in (unit, unified.mount))


def switch_on_all(directory: str, evacuate: bool) -> None:
    """Hand all controllers of *directory* down. evacuate: its own processes may be moved.

    They are moved first: memory and io would refuse, but cpu and pids would take it for a wish for
    a threaded cgroup, beneath which no process can live.
    """
    missing = set(cgroups.available(directory)) - set(handed_down(directory))
    if missing and evacuate:
        _evacuate(directory)
    for name in missing:
        try:
            write(directory + "/cgroup.subtree_control", "+" + name)
        except OSError:
            continue                                        # that one stays as it is


def _evacuate(directory: str) -> None:
    """Move all processes of *directory* into a leaf, until a look finds none left."""
    if not os.path.exists(directory + "/cgroup.type"):
        return                                              # the kernel's own root may keep them
    leaf = f"{directory}/{LEAF}"
    os.makedirs(leaf, exist_ok=True)
    for _ in range(100):                                    # they may fork while we move them
        pids = read(directory + "/cgroup.procs").split()
        if not pids:
            return
        for pid in pids:
            try:
                write(leaf + "/cgroup.procs", pid)
            except ProcessLookupError:
                continue
