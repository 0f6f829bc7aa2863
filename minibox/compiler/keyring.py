"""Keys: a session keyring of the box's own."""

from __future__ import annotations

from minibox.compiler.draft import Draft
from minibox.steps import JoinKeyring


def join(draft: Draft) -> None:
    if draft.has("keyring"):
        draft.app.append(JoinKeyring())
        draft.receipt("keyring", None, "new", "KEYCTL_JOIN_SESSION_KEYRING")
