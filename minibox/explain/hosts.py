"""Facts about a host as JSON, so that a plan can be made for it, and explained, anywhere."""

from __future__ import annotations

import os

from minibox.errors import SpecError
from minibox.facts import Controller, Host, IdRange, SystemPath
from minibox.record import Record, as_dict

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, TypeVar

    R = TypeVar("R", bound=Record)

FORMAT = 1
RECORDS: dict[str, type[Record]] = {
    "controllers": Controller, "system_paths": SystemPath, "uid_range": IdRange,
    "gid_range": IdRange}
"""Fields of a Host that are records, or tuples of them."""

KNOWN = ("v1-root", "v2-root", "v2-user")
"""Hosts as they commonly are, which come along: Linux 6.1 with cgroups of v1 or of v2, for root or
for a user to whom systemd delegates cpu, memory and pids."""

PLAIN: dict[str, type] = {"int": int, "str": str, "bool": bool}


def to_json(host: Host) -> str:
    import json

    return json.dumps({"minibox_host": FORMAT} | as_dict(host), default=as_dict, indent=1) + "\n"


def save(host: Host, path: str) -> None:
    """Errors: SpecError: it cannot be written."""
    try:
        with open(path, "w", encoding="utf-8") as file:
            file.write(to_json(host))
    except OSError as error:
        raise SpecError("save-host", path, f"it cannot be written: {error.strerror}") from error


def load(path: str) -> Host:
    """The host whose facts are in *path*, or one of KNOWN. Errors: SpecError."""
    if path in KNOWN:
        path = f"{os.path.dirname(__file__)}/known/{path}.json"
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            return from_json(path, file.read())
    except OSError as error:
        raise SpecError("host", path, f"it cannot be read: {error.strerror}; these come with "
                        f"minibox: {', '.join(KNOWN)}") from error


def from_json(path: str, text: str) -> Host:
    """The host whose facts are *text*, which came from *path*. Errors: SpecError."""
    import json

    try:
        told = json.loads(text)
        if not isinstance(told, dict) or told.pop("minibox_host", None) != FORMAT:
            raise ValueError(f"it does not begin with \"minibox_host\": {FORMAT}")
        host = _record(Host, told)
        if strange := [one.version for one in host.controllers if one.version not in (1, 2)]:
            raise ValueError(f"there is no version {strange[0]} of cgroups")
    except (RecursionError, TypeError, ValueError) as error:
        raise SpecError("host", path, f"these are no facts of a host ({shorter(error)}): make them "
                        "there by `minibox explain --save-host FILE`") from error
    return host


def shorter(error: Exception) -> str:
    """What is wrong, in some words: the file may hold anything, of any length."""
    return str(error)[:200]


def _record(kind: type[R], told: Any) -> R:
    """Errors: TypeError, ValueError."""
    if not isinstance(told, dict):
        raise TypeError(f"a {kind.__name__} is {told!r:.60}")
    if unknown := sorted(told.keys() - kind.__fields__.keys()):
        raise ValueError(f"a {kind.__name__} has no {unknown[0]!r:.60}")
    return kind(**{field: _value(field, kind.__fields__[field], value)
                   for field, value in told.items()})


def _value(field: str, of: str, value: Any) -> Any:
    """What JSON has for a field that is declared as *of*."""
    if value is None and of.endswith(" | None"):
        return None
    of = of.removesuffix(" | None")
    if of.startswith("tuple["):
        if not isinstance(value, list):
            raise TypeError(f"{field} is {value!r:.60}")
        items = of[len("tuple["):-1]
        if items.endswith(", ..."):
            return tuple(_value(field, items.removesuffix(", ..."), one) for one in value)
        kinds = items.split(", ")
        if len(kinds) != len(value):
            raise ValueError(f"{field} has {value!r:.60}")
        return tuple(_value(field, kind, one) for kind, one in zip(kinds, value, strict=True))
    if field in RECORDS:
        return _record(RECORDS[field], value)
    if type(value) is not PLAIN[of]:
        raise TypeError(f"{field} is {value!r:.60}")
    return value
