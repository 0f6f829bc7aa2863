"""This Python, in a box: what it needs to see there, and how it is started."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

from minibox.errors import SpecError
from minibox.spec import Mount
from minibox.testing import needs

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


def command(module: str, function: str) -> tuple[str, ...]:
    """A command line that calls a function with the modules that can be imported here."""
    code = f"import sys; sys.path[:] = {sys.path!r}; from {module} import {function}; {function}()"
    flags: list[str] = subprocess._args_from_interpreter_flags()    # type: ignore[attr-defined]
    return (sys.executable, *flags, "-P", "-c", code)


def interpreter(more: Iterable[str] = ()) -> tuple[Mount, ...]:
    """Mounts that show Python, all its modules, and the paths *more*, as they are here, read-only.

    Errors: SpecError if that would be the whole machine.
    """
    import minibox

    wanted = (sys.prefix, sys.exec_prefix, sys.base_prefix, sys.base_exec_prefix,
              os.path.dirname(os.path.dirname(os.path.realpath(sys.executable))), *sys.path,
              os.path.dirname(os.path.abspath(minibox.__file__)), *more)
    return mounts_of(wanted)


def mounts_of(paths: Iterable[str]) -> tuple[Mount, ...]:
    """Mounts that show *paths* of the host as they are there, read-only, and none of them twice.

    Errors: SpecError if one is the whole machine.
    """
    return tuple(Mount(type="bind", source=path, target=path, read_only=True)
                 for path in _outermost(paths))


def within(path: str, directories: Iterable[str]) -> bool:
    """Whether *path* is one of *directories*, or in one."""
    return any(path == one or path.startswith(f"{one}/") for one in directories)


def _outermost(wanted: Iterable[str]) -> Iterator[str]:
    """Those that are not shown anyway, and not within others; each as it is and as it is called."""
    shown = [one.path for one in needs.machine().system_paths if one.kind != "file"]
    for one in sorted({form for path in wanted if path and os.path.exists(path)
                       for form in (os.path.abspath(path), os.path.realpath(path))}):
        if one == "/":
            raise SpecError("rootdir", one, "a boxed test would see the whole machine: give "
                            "--rootdir, and start pytest in a directory of the project")
        if not within(one, shown):
            shown.append(one)
            yield one
