"""The engine's own system calls and plan checker, as they are in C: `minibox._core`.

Nothing that runs a box imports this. `minibox.syscalls` has the calls with errors raised.
"""

from __future__ import annotations

from minibox._core import ffi, lib

__all__ = ["ffi", "lib", "plan_error"]


def plan_error(block: bytes) -> str | None:
    """What the engine would refuse in the plan's binary form *block*, in words; None: nothing."""
    wrong = lib.mb_plan_error(block, len(block))
    return None if wrong == ffi.NULL else ffi.string(wrong).decode()
