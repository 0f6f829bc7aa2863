"""What a test needs of this machine, as words: those that `minibox doctor` prints.

A test is skipped where one is missing, with the reason and the mend; `--minibox-require` makes
that a failure, so that a machine that is to run all tests cannot leave some out unnoticed.
"""

from __future__ import annotations

import difflib
from functools import cache
from typing import TYPE_CHECKING

from minibox import host
from minibox.claim import claim
from minibox.doctor import CAPS, MECHANISMS, WITHOUT_CGROUP
from minibox.errors import SpecError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from minibox.facts import Host

ALL = "all"
"""Of --minibox-require: whatever a test needs must be there."""

_FEATURES = {feature for feature, *_rest in MECHANISMS}
_CONTROLLERS = {name: controller for controller, name, _flag in CAPS}
_VERSIONS = {"cgroup.v1": ("v1", "hybrid"), "cgroup.v2": ("v2",)}

WORDS = frozenset({*_FEATURES, *_CONTROLLERS, *_VERSIONS, "root", "ranges", "swap"})

OF_CAPS = {"memory": "memory", "cpus": "cpus", "cpuset": "cpuset", "pids": "pids",
           "memory_swap": "swap", "time_offset": "time"}
"""What an option needs, if it needs anything."""


@cache
def machine() -> Host:
    """What this machine can do, once controllers that were to be had for the asking are there."""
    found = host.find()
    if not all(map(found.controller, _CONTROLLERS.values())) and claim():
        return host.find()
    return found


def check(field: str, words: Iterable[str], more: Iterable[str] = ()) -> frozenset[str]:
    """*words* as a set. more: known too. Errors: SpecError if one is none of WORDS."""
    if isinstance(words, str):
        raise SpecError(field, words, "give a set of words")
    known = WORDS.union(more)
    for word in words:
        if word not in known:
            near = difflib.get_close_matches(word, known, 3, 0.5) or sorted(known)
            raise SpecError(field, word, f"use {', '.join(near)}")
    return frozenset(words)


def lacking(word: str) -> str:
    """Why this machine has no *word*, and what would bring it; "" if it has one of WORDS."""
    found = machine()
    if word == "root":
        return "" if found.uid == 0 else "the caller is not root"
    if word in _VERSIONS:
        return "" if found.cgroup_mode in _VERSIONS[word] else f"cgroups are {found.cgroup_mode}"
    if word == "ranges":
        has = found.id_mapped_mounts if found.uid == 0 else found.uid_range is not None
    elif word in _CONTROLLERS:
        has = word in WITHOUT_CGROUP or found.controller(_CONTROLLERS[word]) is not None
    else:
        has = word in found.features or word in found.namespaces
    return "" if has else ": ".join(filter(None, found.mend(_CONTROLLERS.get(word, word))))
