"""What boxes of this process have left at the end of a test session; it should be nothing."""

from __future__ import annotations

import glob
import os
from typing import TYPE_CHECKING

from minibox import cgroups, engine

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


def left(names: Iterable[str]) -> Iterator[str]:
    """Boxes that still run, and cgroups of those in *names*, which have ended; a line each."""
    program = os.path.realpath(engine.path())
    for pid in _children(os.getpid()):
        if _program(pid) == program:
            inner = [_command(one) for init in _children(pid) for one in _children(init)]
            yield f"a box that still runs, engine {pid}: {', '.join(inner) or 'nothing in it yet'}"
    parents = {place for one in cgroups.current() for place in (one.own, *cgroups.upwards(one))}
    known = set(names)
    for place in sorted(filter(None, parents)):
        for path in glob.glob(f"{glob.escape(place)}/minibox-*"):
            if os.path.basename(path).removeprefix("minibox-") in known:
                yield f"the cgroup of a box that has ended: {path}"


def _children(pid: int) -> list[int]:
    """Source: /proc/PID/task/TID/children, proc_pid_task(5)."""
    return [int(word) for path in glob.glob(f"/proc/{pid}/task/*/children")
            for word in cgroups.read(path).split()]


def _program(pid: int) -> str:
    try:
        return os.path.realpath(os.readlink(f"/proc/{pid}/exe"))
    except OSError:                                         # it has ended since
        return ""


def _command(pid: int) -> str:
    return cgroups.read(f"/proc/{pid}/cmdline").replace("\0", " ").strip()
