"""A lab: a folder with a text, a starter, a broken reference, a solution, hints and checks.

    minibox/labs/lab04_users/
        lab.toml        what is said of it (see Lab), and the hints of each reason
        text.md         what the student reads
        starter/        what the student begins with
        broken/         a program that leaks at every check; others, by a check's name, beside it
        solution/       one that holds
        checks.py       CHECKS, a tuple of Check
"""

from __future__ import annotations

import hashlib
import tomllib
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from minibox.errors import SpecError
from minibox.record import Record

if TYPE_CHECKING:
    from typing import Any

    from minibox.facts import Host
    from minibox.labs.finding import Check

HERE = Path(__file__).parent


class Lab(Record):
    """One lab. number: 1 to 12; name: of its folder; minutes: how long it takes; article: the claim
    of the article that it shows; needs: what the host must have: kinds of namespace,
    "cgroup.CONTROLLER", features of Host, "python.MODULE"; man: pages; command: how a submission is
    given the command to run in its container, with "{root}" for a root file system; files: what a
    submission has; picture: options of `minibox run` and the mechanisms that are drawn; hints: by
    reason, from a nudge to nearly the answer."""

    number: int
    name: str
    title: str
    minutes: int
    article: str
    needs: tuple[str, ...]
    man: tuple[str, ...]
    command: tuple[str, ...]
    files: tuple[str, ...]
    picture_options: tuple[str, ...]
    picture_mechanisms: tuple[str, ...]
    hints: dict[str, tuple[str, ...]]

    @property
    def folder(self) -> Path:
        return HERE / self.name

    @property
    def checks(self) -> tuple[Check, ...]:
        found: tuple[Check, ...] = import_module(f"minibox.labs.{self.name}.checks").CHECKS
        return found

    @property
    def text(self) -> str:
        return (self.folder / "text.md").read_text()

    @property
    def solution(self) -> Path:
        return self.folder / "solution"

    def hint(self, reason: str, level: int = 0) -> str:
        """The hint on *reason*, "" if there is none; a higher level says more."""
        rows = self.hints.get(reason) or GENERAL.get(reason, ())
        return rows[min(level, len(rows) - 1)] if rows else ""

    def digest(self) -> str:
        """Another word for any other lab, so that old results are not taken for new ones."""
        made = hashlib.sha256()
        for path in sorted(self.folder.rglob("*")):
            if path.is_file() and "__pycache__" not in path.parts:
                made.update(str(path.relative_to(self.folder)).encode() + path.read_bytes())
        return made.hexdigest()[:16]


GENERAL: dict[str, tuple[str, ...]] = {
    "never-ran": ("Run it by hand, with /bin/true in the place of the command. The last line that "
                  "it printed is shown above.",),
    "hangs": ("Something waits for what never comes: a child that is not reaped, a pipe whose "
              "other end is still open. Run it under strace -f and look at the last lines.",),
    "twice": ("The command is to run once: where is the second one started?",),
    "floods": ("Print less. A loop that reports an error for ever?",),
    "memory-hog": ("It used more memory than a lab needs. Does something grow without end?",),
    "fork-bomb": ("A fork in a loop that never ends? A child that goes on where only its parent "
                  "should makes children of its own: end each by os._exit or an exec.",),
    "forged": ("Something ran the grader's own witness to tell of an end that there was not.",),
    "gone": ("The command ended, or hid, before anyone could look at it.",),
}
"""Hints for what can happen in any lab."""


@cache
def labs() -> tuple[Lab, ...]:
    """All labs, by number."""
    found = [_read(path.parent) for path in HERE.glob("*/lab.toml")]
    return tuple(sorted(found, key=lambda lab: lab.number))


def find(word: str) -> Lab:
    """The lab with that number or name. Errors: SpecError."""
    for lab in labs():
        if word in (str(lab.number), lab.name, lab.name.partition("_")[2]):
            return lab
    raise SpecError("lab", word, f"give one of 1 to {len(labs())}; `minibox lab list` shows them")


def _read(folder: Path) -> Lab:
    with open(folder / "lab.toml", "rb") as file:
        told: dict[str, Any] = tomllib.load(file)
    hints = {reason: (rows,) if isinstance(rows, str) else tuple(rows)
             for reason, rows in told.get("hints", {}).items()}
    picture = told["picture"]
    return Lab(number=told["number"], name=folder.name, title=told["title"],
               minutes=told["minutes"], article=told["article"], needs=tuple(told["needs"]),
               man=tuple(told["man"]), command=tuple(told.get("command", ())),
               files=tuple(told["files"]), picture_options=tuple(picture["options"]),
               picture_mechanisms=tuple(picture["mechanisms"]), hints=hints)


def missing(lab: Lab, host: Host) -> tuple[tuple[str, str, str], ...]:
    """What *lab* needs and *host* lacks: rows of (need, reason, how to get it)."""
    return tuple(row for need in lab.needs if (row := _lacks(need, host)))


def _lacks(need: str, host: Host) -> tuple[str, str, str] | None:
    kind, _, name = need.partition(".")
    if kind == "python":
        from importlib.util import find_spec

        return None if find_spec(name) else (
            need, f"the Python module {name} is not installed", "pip install 'minibox[labs]'")
    if kind == "cgroup":
        there = host.controller(name) is not None
        return None if there else (need, *host.mend(name))
    there = need in host.namespaces or need in host.features
    return None if there else (need, *host.mend(need))
