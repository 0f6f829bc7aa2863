"""How a call is made: arguments to C, the result or an error back."""

from __future__ import annotations

import os

from minibox.core import ffi, lib
from minibox.syscalls.errors import SyscallError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, TypeVar

    T = TypeVar("T")

Path = str | bytes | os.PathLike[str]


def call(name: str, *arguments: Any, given: tuple[Any, ...] | None = None) -> int:
    """System call *name* by the engine's own wrapper (csrc/sys.h), which gives -errno.

    given: the arguments as an error is to show them, where those for C are structures.
    """
    result = int(getattr(lib, f"mb_{name}")(*map(_for_c, arguments)))
    if result < 0:
        raise SyscallError(name, arguments if given is None else given, -result)
    return result


def _for_c(argument: Any) -> Any:
    if argument is None:
        return ffi.NULL
    if isinstance(argument, (str, os.PathLike)):
        return os.fsencode(argument)
    return argument


def by_python(name: str, function: Callable[..., T], *arguments: Any,
              given: tuple[Any, ...] | None = None) -> T:
    """A call that Python must know of, such as fork, with the same error."""
    try:
        return function(*arguments)
    except OSError as error:
        shown = arguments if given is None else given
        raise SyscallError(name, shown, error.errno or 0) from None
