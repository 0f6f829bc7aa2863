"""What --minibox-report writes: every box of a test session as JSON Lines, and as one page.

boxes.jsonl: a line that says what this is, then one for each box and for each outcome of a test, in
the order of their ends; workers of pytest-xdist write to it too.  index.html: the same for people.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from minibox import __version__
from minibox.errors import SpecError
from minibox.record import Record

if TYPE_CHECKING:
    from collections.abc import Iterator

    from minibox.result import AnyResult

LINES, PAGE = "boxes.jsonl", "index.html"
FORMAT = 1
MOST_TEXT = 1 << 16
"""Characters of a stream that are kept: its last."""


class Told(Record):
    """What a report says. boxes, outcomes: as they were written; torn: lines that make no sense."""

    head: dict[str, Any]
    boxes: tuple[dict[str, Any], ...]
    outcomes: dict[str, str]
    torn: int


class Book:
    """The report in *directory*. begin: make it, or make it anew; else go on with it.

    Errors: SpecError where the directory has anything else in it, or cannot be written.
    """

    def __init__(self, directory: str, begin: bool, worker: str = "") -> None:
        self.directory = os.path.abspath(directory)
        self.complaints: dict[str, None] = {}               # each once, in order
        self._worker = worker
        self._path = f"{self.directory}/{LINES}"
        try:
            if begin:
                self._begin()
            self._fd = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
        except OSError as error:
            raise SpecError("--minibox-report", directory,
                            f"it cannot be written: {error.strerror}") from error

    def _begin(self) -> None:
        os.makedirs(self.directory, exist_ok=True)
        found = os.listdir(self.directory)
        if found and (not {*found} <= {LINES, PAGE} or LINES not in found
                      or not _head(self._path)):
            raise SpecError("--minibox-report", self.directory, "it is not empty, and no report "
                            f"of ours (it has {', '.join(sorted(found)[:3])}): name another "
                            "directory")
        head = {"minibox_report": FORMAT, "version": __version__, "started_s": time.time(),
                "kernel": os.uname().release, "machine": os.uname().machine, "uid": os.getuid()}
        with open(self._path, "w") as file:
            file.write(json.dumps(head) + "\n")

    def add(self, test: str, kind: str, result: AnyResult) -> None:
        """A box has ended. kind: "box", "boxed" or "neighbour"."""
        told = result.to_dict()
        told.pop("steps", None)                             # most of it, and nearly always the same
        for name in ("stdout", "stderr"):
            told[name] = told[name] and told[name][-MOST_TEXT:]
        self._write({"test": test, "kind": kind, "worker": self._worker, "result": told})

    def outcome(self, test: str, outcome: str) -> None:
        """A test has ended."""
        self._write({"test": test, "outcome": outcome})

    def _write(self, line: dict[str, Any]) -> None:
        """Whole lines only, one at a time; where there is no room, say so once and go on."""
        data = json.dumps(line).encode() + b"\n"
        fcntl.flock(self._fd, fcntl.LOCK_EX)
        size = os.fstat(self._fd).st_size
        try:
            done = os.write(self._fd, data)
            while done < len(data):
                done += os.write(self._fd, data[done:])
        except OSError as error:
            os.ftruncate(self._fd, size)
            self.complaints[f"--minibox-report: {self._path}: {error.strerror}: some boxes are "
                            "missing there"] = None
        finally:
            fcntl.flock(self._fd, fcntl.LOCK_UN)

    def finish(self) -> None:
        """Write the page of all that is there."""
        from minibox.testing.book_page import page

        os.close(self._fd)
        path = f"{self.directory}/{PAGE}"
        try:
            with open(f"{path}.new", "w", encoding="utf-8") as file:
                file.write(page(read(self._path)))
            os.replace(f"{path}.new", path)
        except OSError as error:
            self.complaints[f"--minibox-report: {path}: {error.strerror}"] = None
            with suppress(OSError):
                os.unlink(f"{path}.new")

    def close(self) -> None:
        """Somebody else finishes it."""
        os.close(self._fd)


def _head(path: str) -> bool:
    try:
        with open(path) as file:
            return bool(json.loads(file.readline())["minibox_report"] == FORMAT)
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _lines(path: str) -> Iterator[dict[str, Any] | None]:
    with open(path, encoding="utf-8") as file:
        for line in file:
            try:
                found = json.loads(line)
            except ValueError:
                found = None
            yield found if isinstance(found, dict) else None


def read(path: str) -> Told:
    """A report's lines, by what they tell."""
    head, *lines = list(_lines(path)) or [None]
    return Told(head=head or {},
                boxes=tuple(one for one in lines if one and "result" in one),
                outcomes={one["test"]: one["outcome"] for one in lines if one and "outcome" in one},
                torn=sum(one is None for one in lines))
