"""The network: none, a loopback of the box's own, or the host's."""

from __future__ import annotations

from minibox.compiler.draft import Draft
from minibox.spec import BoxSpec
from minibox.steps import BringUpLoopback


def has_network(spec: BoxSpec) -> bool:
    """May the box use internet sockets at all?"""
    return spec.loopback or "net" in spec.share


def bring_up(draft: Draft) -> None:
    if "net" not in draft.spec.share:
        draft.enter.append(BringUpLoopback())
    draft.receipt("network", None, "host" if "net" in draft.spec.share else
                  "loopback" if draft.spec.loopback else "none",
                  "network namespace, seccomp, Landlock",
                  "" if has_network(draft.spec) else "internet sockets are refused")
