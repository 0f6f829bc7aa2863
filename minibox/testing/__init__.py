"""The room of experimenters and testers: many runs, pytest, experiments.

    from minibox.testing import Exited, Killed, Refused
    assert box(["sort", "big.txt"], memory="64MiB") == Killed("memory")
"""

from __future__ import annotations

_HOMES = {"Boxes": "factory", "Exited": "assertions", "Killed": "assertions",
          "Neighbour": "neighbour", "Refused": "assertions"}

__all__ = ["Boxes", "Exited", "Killed", "Neighbour", "Refused"]

TYPE_CHECKING = False
if TYPE_CHECKING:
    from minibox.testing.assertions import Exited, Killed, Refused
    from minibox.testing.factory import Boxes
    from minibox.testing.neighbour import Neighbour


def __getattr__(name: str) -> object:
    """Load them when they are touched: pytest loads this package wherever minibox is installed."""
    if name in _HOMES:
        module = __import__(f"minibox.testing.{_HOMES[name]}", fromlist=[name])
        return getattr(module, name)
    raise AttributeError(f"module 'minibox.testing' has no attribute {name!r}")
