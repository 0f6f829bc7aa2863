"""The engine's own system calls and plan checker: `minibox._core`, with errors raised.

    from minibox import core
    core.call("unshare", core.lib.CLONE_NEWUSER | core.lib.CLONE_NEWUTS)
    core.call("sethostname", b"box", 3)

Nothing that runs a box imports this; labs, tests and fuzzers do.
"""

from __future__ import annotations

import os

from minibox._core import ffi, lib

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["call", "ffi", "lib", "plan_error"]


def call(name: str, *arguments: Any) -> int:
    """What system call *name* returns. Arguments as in csrc/core_build.py; OSError on failure."""
    result = int(getattr(lib, f"mb_{name}")(*arguments))
    if result < 0:
        raise OSError(-result, f"{name}: {os.strerror(-result)}")
    return result


def plan_error(block: bytes) -> str | None:
    """What the engine would refuse in the plan's binary form *block*, in words; None: nothing."""
    wrong = lib.mb_plan_error(block, len(block))
    return None if wrong == ffi.NULL else ffi.string(wrong).decode()
