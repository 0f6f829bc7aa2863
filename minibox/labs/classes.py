"""A class: many submissions, several at a time, their scores as JSON Lines to go on with.

A submission loses its own points only: each runs in boxes of its own, and whatever its grading
raises becomes its own score.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import TYPE_CHECKING, Any

from minibox.errors import HostError, MiniboxError, SpecError
from minibox.labs.finding import LEAKS, Finding
from minibox.labs.grader import Grader, Score
from minibox.labs.report import to_dict

if TYPE_CHECKING:
    from collections.abc import Iterator

    from minibox.labs.lab import Lab

MOST_FILES, MOST_BYTES = 1000, 16 << 20
"""What is read of one submission, to tell whether it has changed."""


def submissions(directory: Path) -> tuple[Path, ...]:
    """The directories in *directory*, a submission each, by name. Errors: SpecError."""
    try:
        found = sorted(path for path in directory.iterdir()
                       if path.is_dir() and not path.is_symlink() and path.name[0] != ".")
    except OSError as error:
        raise SpecError("class", str(directory), f"it cannot be read: {error.strerror}") from error
    if not found:
        raise SpecError("class", str(directory), "it has no directories: give each submission one, "
                        "named as its student")
    return tuple(found)


def digest(submission: Path, lab: Lab) -> str:
    """What tells this state of a submission, and of the lab, from others."""
    made, count, size = hashlib.sha256(lab.digest().encode()), 0, 0
    for folder, names, files in os.walk(submission):
        names.sort()
        for name in sorted(files):
            path = Path(folder, name)
            about = path.lstat()
            count, size = count + 1, size + about.st_size
            if count > MOST_FILES or size > MOST_BYTES:
                return made.hexdigest()[:16]
            made.update(f"{path.relative_to(submission)}\0{about.st_mode}\0".encode(
                errors="surrogateescape"))
            if path.is_file() and not path.is_symlink():
                made.update(path.read_bytes())
    return made.hexdigest()[:16]


class Book:
    """The scores of a class, in a file of JSON Lines, for this process alone while it is open.

    A line is written whole when its submission is graded; one that was torn by SIGKILL or a full
    disk is dropped when the file is opened again, and its submission is graded again.
    Errors: SpecError, HostError.
    """

    def __init__(self, path: Path, lab: Lab) -> None:
        self._path, self._lab = path, lab
        self.known: dict[tuple[str, str], Score] = {}
        try:
            self._file = open(path, "a+b", buffering=0)                             # noqa: SIM115
        except OSError as error:
            raise HostError("results", f"{path}: {error.strerror}",
                            "name a file that can be written") from error
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._read()
        except BlockingIOError:
            self.close()
            raise SpecError("results", str(path), "another process writes it") from None
        except BaseException:
            self.close()
            raise

    def _read(self) -> None:
        self._file.seek(0)
        whole = 0
        for number, line in enumerate(self._file, 1):
            if not line.endswith(b"\n"):
                self._file.truncate(whole)
                return
            whole += len(line)
            key, score = read_line(str(self._path), number, line)
            if score.lab != self._lab.number:
                raise SpecError("results", str(self._path), f"line {number} is of lab {score.lab}: "
                                "name another file")
            self.known[score.submission, key] = score

    def add(self, score: Score, key: str) -> None:
        line = json.dumps({"digest": key, **to_dict(score)}).encode() + b"\n"
        end = self._file.seek(0, os.SEEK_END)
        try:
            done = self._file.write(line)
            if done != len(line):
                raise OSError(28, "no space is left")
        except OSError as error:
            self._file.truncate(end)
            raise HostError("results", f"{self._path}: {error.strerror}",
                            "make room, then give the same command again: it goes on") from error
        self.known[score.submission, key] = score

    def close(self) -> None:
        self._file.close()


def read_line(path: str, number: int, line: bytes) -> tuple[str, Score]:
    """The digest and score of one line. Errors: SpecError."""
    try:
        told: dict[str, Any] = json.loads(line)
        findings = tuple(Finding(**one) for one in told["findings"])
        score = Score(submission=str(told["submission"]), lab=int(told["lab"]), findings=findings,
                      seconds=float(told["seconds"]))
        return str(told["digest"]), score
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise SpecError("results", path, f"line {number} is no score: name the results of "
                        "`minibox lab grade`") from error


def read_scores(path: Path) -> tuple[Score, ...]:
    """The last score of each submission in a file of results. Errors: SpecError."""
    found: dict[str, Score] = {}
    try:
        with open(path, "rb") as file:
            for number, line in enumerate(file, 1):
                if line.endswith(b"\n"):
                    _, score = read_line(str(path), number, line)
                    found[score.submission] = score
    except OSError as error:
        raise SpecError("results", str(path), f"it cannot be read: {error.strerror}") from error
    if not found:
        raise SpecError("results", str(path), "it has no scores")
    return tuple(found[name] for name in sorted(found))


def grade_all(lab: Lab, directories: tuple[Path, ...], book: Book, parallel: int
              ) -> Iterator[tuple[Score, bool]]:
    """Grade each directory, *parallel* at a time; scores as they come, and whether each is new."""
    grader = Grader(lab)
    left = []
    for directory in directories:
        key = digest(directory, lab)
        known = book.known.get((directory.name, key))
        if known:
            yield known, False
        else:
            left.append((directory, key))
    with ThreadPoolExecutor(parallel) as pool:
        try:
            running = {pool.submit(_grade, grader, directory): key for directory, key in left}
            for done in as_completed(running):
                score = done.result()
                book.add(score, running[done])
                yield score, True
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _grade(grader: Grader, directory: Path) -> Score:
    """The score of one; what cannot even be looked at has none of the points."""
    try:
        return grader.grade(directory)
    except (MiniboxError, OSError) as error:
        return Score(submission=directory.name, lab=grader.lab.number, seconds=0.0, findings=tuple(
            Finding(check=check.id, claim=check.claim, points=check.points, state=LEAKS,
                    reason="no-submission", evidence=str(error))
            for check in grader.lab.checks))
