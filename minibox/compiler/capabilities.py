"""Capabilities: the application has none, whatever its user id, and can never gain any."""

from __future__ import annotations

from minibox.compiler.draft import Draft
from minibox.spec import CAPABILITIES
from minibox.steps import DropCapabilities, NoNewPrivileges


def forbid_gaining(draft: Draft) -> None:
    if draft.has("no-new-privs"):
        draft.app.append(NoNewPrivileges())
        draft.receipt("no-new-privs", True, True, "PR_SET_NO_NEW_PRIVS")


def drop(draft: Draft) -> None:
    if not draft.has("capabilities"):
        return
    kept = draft.spec.capabilities
    draft.app.append(DropCapabilities(keep=sum(1 << CAPABILITIES.index(name) for name in kept)))
    draft.receipt("capabilities", kept or "none", kept or "none",
                  "capset, PR_CAPBSET_DROP, securebits",
                  "in the application's own user namespace only" if kept else "")
