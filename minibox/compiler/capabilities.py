"""Capabilities: the application has none, whatever its user id, and can never gain any."""

from __future__ import annotations

from minibox.compiler.draft import Draft
from minibox.steps import DropCapabilities, NoNewPrivileges


def drop(draft: Draft) -> None:
    draft.app += [DropCapabilities(keep=0), NoNewPrivileges()]
    draft.receipt("capabilities", "none", "none", "capset, PR_CAPBSET_DROP, securebits")
    draft.receipt("no_new_privs", True, True, "PR_SET_NO_NEW_PRIVS")
