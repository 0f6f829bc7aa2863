"""The room of experimenters and testers: many runs, pytest, experiments.

    from minibox.testing import Exited, Killed, Refused
    assert box(["sort", "big.txt"], memory="64MiB") == Killed("memory")
"""

from __future__ import annotations

__all__ = ["Exited", "Killed", "Refused"]

TYPE_CHECKING = False
if TYPE_CHECKING:
    from minibox.testing.assertions import Exited, Killed, Refused


def __getattr__(name: str) -> object:
    """Load them when they are touched: pytest loads this package wherever minibox is installed."""
    if name in __all__:
        from minibox.testing import assertions

        return getattr(assertions, name)
    raise AttributeError(f"module 'minibox.testing' has no attribute {name!r}")
