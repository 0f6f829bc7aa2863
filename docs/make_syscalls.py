#!/usr/bin/env python3
"""Write docs/syscalls.md: every function of minibox.syscalls, from its own docstring.

    python docs/make_syscalls.py [--check]

--check: only say, by the exit status, whether the page is as it would be written.
"""

from __future__ import annotations

import enum
import inspect
import os
import sys
from collections.abc import Callable, Iterator
from types import ModuleType

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.dirname(HERE))

from minibox.syscalls import flags, mounts, privileges, processes  # noqa: E402
from minibox.syscalls.errors import MEANINGS  # noqa: E402

HEAD = """# System calls, one function each

`minibox.syscalls` is for who makes a small container by hand, in Python, without root. All that it
takes is in this one module, also what Python's own `os` has; so every failure is a `SyscallError`,
an `OSError` with `call`, `arguments`, `errno` and `meaning` that says itself as strace would, and
what the errno means for this call:

```
sethostname("box", 3) = -1 EPERM: Operation not permitted. You lack CAP_SYS_ADMIN in the user
namespace that owns this UTS namespace: it is still the one outside.
```

Flags and numbers have the kernel's names: `from minibox.syscalls import CLONE_NEWUSER, unshare`.
Descriptors are closed by exec, but for those of `dup3`. What is no call says so: `write_id_map`
writes files, and the instructions of a filter are only data.

[examples/container.py](examples/container.py) is a container of 100 lines, for root and for users.

This page is made from `minibox/syscalls/` by `python docs/make_syscalls.py`.
"""

SUBJECTS = (processes, mounts, privileges)
SECTIONS = ("Errors", "Source", "Example")

CALLS = {"prlimit": "prlimit64", "join_session_keyring": "keyctl"}
"""The system call of a function, where that has another name."""


def signature(function: Callable[..., object]) -> str:
    """Names and defaults; the types are in the code."""
    shown = [one.replace(annotation=one.empty)
             for one in inspect.signature(function).parameters.values()]
    return str(inspect.Signature(shown))


def entry(name: str, function: Callable[..., object]) -> Iterator[str]:
    yield from (f"### `{name}{signature(function)}`", "")
    section, before = "", ""
    for line in inspect.cleandoc(function.__doc__ or "").splitlines():
        first, colon, text = line.partition(":")
        if colon and first in SECTIONS:
            if not section and before:
                yield ""                                    # a list begins after an empty line
            elif section == "Errors":
                yield from meanings(CALLS.get(name, name))
            section = first
            yield f"- {first}:{text}"
        else:
            yield f"  {line.strip()}" if section else line
        before = line
    yield ""


def meanings(call: str) -> Iterator[str]:
    for (of, errno), meaning in MEANINGS.items():
        if of == call:
            yield f"  - {errno}: {meaning}"


def chapter(subject: ModuleType) -> Iterator[str]:
    yield from (f"## {(subject.__doc__ or '').rstrip('.')}", "")
    for name in subject.__all__:
        yield from entry(name, getattr(subject, name))


def family(kind: type[enum.Enum]) -> Iterator[str]:
    shown = hex if max(one.value for one in kind) > 99 else str
    values = ", ".join(f"`{name}` {shown(one.value)}" for name, one in kind.__members__.items())
    yield from (f"**{kind.__name__}**: {kind.__doc__}  ", values, "")


def page() -> str:
    lines = [HEAD]
    for subject in SUBJECTS:
        lines += chapter(subject)
    lines += ["## Constants", ""]
    for kind in flags.FAMILIES:
        lines += family(kind)
    return "\n".join([*lines, f"`AT_FDCWD` {flags.AT_FDCWD}: in the place of a directory's "
                      "descriptor: the working directory.", ""])


def main() -> int:
    target = os.path.join(HERE, "syscalls.md")
    if "--check" in sys.argv[1:]:
        with open(target) as file:
            return file.read() != page()
    with open(target, "w") as file:
        file.write(page())
    return 0


if __name__ == "__main__":
    sys.exit(main())
