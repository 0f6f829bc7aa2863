"""The room of experimenters and testers: many runs, pytest, experiments.

    from minibox.testing import Exited, Killed, Refused
    assert box(["sort", "big.txt"], memory="64MiB") == Killed("memory")
"""

from __future__ import annotations

from minibox.testing.assertions import Exited, Killed, Refused

__all__ = ["Exited", "Killed", "Refused"]
