"""What the markers of a test say: `minibox` and `boxed`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from minibox.errors import SpecError
from minibox.request import box_spec
from minibox.testing import asked, needs

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pytest

NOT_OPTIONS = ("needs", "repeat")

OF_FILES = ("rootfs", "devices", "env_files", "security_opts", *(
    f"device_{way}_{unit}" for way in ("read", "write") for unit in ("bps", "iops")))
"""Options that name files, which a fixture may yet make."""


def check(item: pytest.Item) -> None:
    """Errors: SpecError if a marker of *item* says what cannot be."""
    for mark in _marks(item):
        if mark.args:
            raise SpecError(mark.name, mark.args[0], "options have names, such as memory=\"64MiB\"")
    found = {name: value for name, value in options(item).items() if name not in OF_FILES}
    box_spec(("true",), **asked.split(found))
    needed(item)


def options(item: pytest.Item) -> dict[str, Any]:
    """What is said of the boxes of *item*; a nearer marker overrides, `boxed` all others.

    Errors: SpecError.
    """
    found: dict[str, Any] = {}
    for mark in _marks(item):
        own = {name: value for name, value in mark.kwargs.items() if name not in NOT_OPTIONS}
        asked.check(own)
        found = asked.merged(found, own)
    return found


def needed(item: pytest.Item) -> frozenset[str]:
    """What *item* needs of this machine: by `needs`, and for its options. Errors: SpecError."""
    implied = frozenset(needs.OF_CAPS[name] for name, value in options(item).items()
               if name in needs.OF_CAPS and value is not None)
    return implied.union(*(needs.check("needs", mark.kwargs.get("needs", ()))
                           for mark in _marks(item)))


def _marks(item: pytest.Item) -> Iterator[pytest.Mark]:
    """From the farthest to the nearest."""
    for name in ("minibox", "boxed"):
        yield from reversed(list(item.iter_markers(name)))
