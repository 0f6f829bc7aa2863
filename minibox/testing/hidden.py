"""What a boxed test looked for and its box hides: which path, module, variable, address or call."""

from __future__ import annotations

import importlib.util
import os
import shutil
from errno import (
    EACCES,
    EADDRNOTAVAIL,
    EAFNOSUPPORT,
    ECONNREFUSED,
    EHOSTUNREACH,
    ENETDOWN,
    ENETUNREACH,
    ENOENT,
    ENOSPC,
    ENOTDIR,
    EPERM,
    EROFS,
    errorcode,
)
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pytest

    from minibox.result import Result

NO_ACCESS = (EACCES, ENOENT, ENOTDIR, EPERM, EROFS)
NO_NETWORK = (EADDRNOTAVAIL, EAFNOSUPPORT, ECONNREFUSED, EHOSTUNREACH, ENETDOWN, ENETUNREACH)

NETWORK = ("the box has no network: boxed(network=\"host\") gives it the host's, "
           "boxed(network=\"loopback\") one of its own")


def hints(item: pytest.Item, sought: list[dict[str, Any]], result: Result) -> list[str]:
    """A line for each thing that *sought* names, that is there outside, with the way to let it in.
    """
    found = [line for one in sought for line in (*_of(one), *_fixture(item, one.get("fixture")))]
    if any(one.call == "socket" for one in result.refused):
        found.append(NETWORK)
    found += _calls(result, {errorcode[one["errno"]] for one in sought
                             if one.get("errno") in errorcode})
    if result.usage.pids_refused:
        found.append(f"the cap on processes refused {result.usage.pids_refused} of them: "
                     "boxed(pids=...) raises it")
    if any(one.get("errno") == ENOSPC for one in sought):
        found.append("what the box writes is in memory: boxed(tmpfs_size=..., memory=...) gives "
                     "it more room")
    return list(dict.fromkeys(found))


def _fixture(item: pytest.Item, name: str | None) -> Iterator[str]:
    """A fixture that is known outside comes from a plugin that was never imported by its name."""
    known = getattr(item, "_fixtureinfo", None)
    for one in known.name2fixturedefs.get(name, ())[-1:] if known else ():
        yield (f"the fixture {name} ({one.func.__module__}) is there outside, from a plugin object "
               "that was handed to pytest.main: it cannot cross into a box; put it into a "
               "conftest.py, or name its module by -p")


def _calls(result: Result, errnos: set[str]) -> Iterator[str]:
    """Calls that the filter refused. A C library tries new ones, and takes ENOSYS for an answer."""
    for one in result.refused:
        if one.call not in (None, "socket") and (one.action != "ENOSYS" or "ENOSYS" in errnos):
            yield (f"the system call {one.call} is refused in this box ({one.action}, {one.count} "
                   "times): boxed(security_opts=[\"seccomp=FILE\"]) may allow it; why it is "
                   f"refused: `minibox seccomp show --syscall {one.call}`")


def _of(sought: dict[str, Any]) -> Iterator[str]:
    if "variable" in sought and sought["variable"] in os.environ:
        name = sought["variable"]
        yield (f"the environment variable {name} is set outside: boxed(env=[\"{name}\"]) hands it "
               "in")
    if sought.get("module"):
        yield from _module(sought["module"])
    for path in sought.get("paths", ()):
        if sought["errno"] in NO_ACCESS:
            yield from _path(path, sought["cwd"], sought["errno"])
    if sought.get("kind") == "gaierror" or sought.get("errno") in NO_NETWORK:
        yield NETWORK


def _path(name: str, cwd: str, errno: int) -> Iterator[str]:
    path = os.path.join(cwd, name)
    if "/" not in name and not os.path.lexists(path):       # perhaps a command, in no PATH there
        path = shutil.which(name) or path
    if errno in (EROFS, EACCES, EPERM) and os.access(os.path.dirname(path), os.W_OK):
        yield (f"{path} cannot be written in this box: take tmp_path for what the test writes, or "
               f"boxed(volumes=[\"{_parent(path)}:{_parent(path)}\"])")
    elif os.path.lexists(path):
        yield (f"{path} is there outside, and hidden in this box: "
               f"boxed(volumes=[\"{path}:{path}:ro\"]) lets it in")


def _parent(path: str) -> str:
    return path if os.path.isdir(path) else os.path.dirname(path)


def _module(name: str) -> Iterator[str]:
    try:
        spec = importlib.util.find_spec(name)
    except (ImportError, ValueError):
        return
    if spec and spec.origin and os.path.exists(spec.origin):
        yield (f"the module {name} is there outside, from {spec.origin}, which this box hides: "
               f"boxed(volumes=[\"{_parent(spec.origin)}:{_parent(spec.origin)}:ro\"]) lets it in")
