"""The network: none but a loopback of the box's own, or the host's."""

from __future__ import annotations

from minibox.compiler.draft import Draft
from minibox.steps import BringUpLoopback


def bring_up(draft: Draft) -> None:
    if "net" not in draft.spec.share:
        draft.enter.append(BringUpLoopback())
