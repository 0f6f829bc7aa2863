"""What a test asks of its boxes: by the marker `minibox`, by `boxed`, and at each call.

Caps and other options stand side by side, as on the command line:

    @pytest.mark.minibox(memory="64MiB", pids=16, network="loopback", needs={"overlay"})
    box(["make"], walltime=30, cwd="/src")
"""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

from minibox.box import Process
from minibox.errors import SpecError
from minibox.request import Limits, box_spec

if TYPE_CHECKING:
    from collections.abc import Mapping


def _keywords(function: Any) -> frozenset[str]:
    return frozenset(name for name, one in inspect.signature(function).parameters.items()
                     if one.kind is inspect.Parameter.KEYWORD_ONLY)


RENAMED = {"tmpfs_size": "tmpfs"}
"""Caps that have another name beside all other options, where `tmpfs` is a list of mounts."""

CAPS = _keywords(Limits.__init__) - {*RENAMED.values()} | {*RENAMED}
"""Options that are a cap each; together they are what `limits` says as well."""

STREAMS = _keywords(Process.__init__) - {"observe"} | {"input"}
OPTIONS = (_keywords(box_spec) | {"hostname", "read_only", "writable", "root_by", "ids", "cgroups",
                                  "best_effort", "init", "seccomp_log", "observe"})
"""All others that say what a box is."""



def check(asked: Mapping[str, Any], more: frozenset[str] = frozenset()) -> None:
    """Errors: SpecError if an option is unknown, or a cap is asked for twice. more: known too."""
    known = CAPS | OPTIONS | more
    for name, value in asked.items():
        if name not in known:
            raise SpecError(name, value, f"there is no such option: use {_near(name, known)}")
    if asked.get("limits") is not None and (twice := sorted(CAPS & asked.keys())):
        raise SpecError(twice[0], asked[twice[0]], "limits says what all caps are: leave one of "
                        "them out")


def merged(before: Mapping[str, Any], asked: Mapping[str, Any]) -> dict[str, Any]:
    """*before*, overridden by *asked*; where that has `limits`, no cap stays of what was before."""
    if "limits" in asked:
        before = {name: value for name, value in before.items() if name not in CAPS}
    elif CAPS & asked.keys() and before.get("limits") is not None:
        raise SpecError("limits", before["limits"], "the marker says what all caps are: write them "
                        "one by one, so that a call can change one")
    return {**before, **asked}


def split(asked: Mapping[str, Any]) -> dict[str, Any]:
    """*asked* as `minibox.run` takes it: the caps together as limits. Errors: SpecError."""
    caps = {RENAMED.get(name, name): value for name, value in asked.items() if name in CAPS}
    options = {name: value for name, value in asked.items() if name not in CAPS}
    if caps:
        options["limits"] = Limits(**caps)
    return options


def _near(name: str, known: frozenset[str]) -> str:
    import difflib

    return " or ".join(difflib.get_close_matches(name, known, 3, 0.5)) or ", ".join(sorted(known))
