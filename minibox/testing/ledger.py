"""The results of many runs as JSON Lines: one for each run, written when it ends.

A line is written whole by one call, so that after SIGKILL at most the last one is torn; it is cut
off when the file is opened again, and its job runs again.  A line that finds no room is kept until
there is some.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import warnings
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple

from minibox.errors import HostError, SpecError
from minibox.record import Record, as_dict

if TYPE_CHECKING:
    from minibox.testing.many import Job, Run


BEGIN = b'{"name": '
"""How each line begins: what begins otherwise was written by somebody else."""


class Entry:
    """What the file, and this batch, know of one job."""

    __slots__ = ("attempts", "digest", "done", "seen")

    def __init__(self, digest: str) -> None:
        self.digest, self.attempts, self.done, self.seen = digest, 0, False, False


class Place(NamedTuple):
    """Where in the file a run belongs."""

    key: str
    digest: str
    attempt: int


class Ledger:
    """The results file at *path*, for this process alone while it is open.

    Errors: SpecError when it has results and is not to be resumed, when somebody else writes it,
    or when it is something else; HostError when it cannot be opened.
    """

    def __init__(self, path: str, *, resume: bool) -> None:
        self._path = path
        self._entries: dict[str, Entry] = {}
        self._unnamed: dict[str, int] = {}
        self._pending = b""
        try:
            self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o666)
        except OSError as error:
            raise HostError("results", f"{path}: {error.strerror}", "name a file that can be "
                            "written") from error
        try:
            self._open(resume)
        except BaseException:
            os.close(self._fd)
            raise

    def _open(self, resume: bool) -> None:
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise SpecError("results", self._path, "another process writes it") from None
        if os.fstat(self._fd).st_size and not resume:
            raise SpecError("results", self._path, "it has results already: go on with them by "
                            "resume, or name another file")
        whole = 0
        with open(self._path, "rb") as file:
            for number, line in enumerate(file, 1):
                if not line.endswith(b"\n"):
                    self._cut(number, whole, line)
                    break
                self._learn(number, line)
                whole += len(line)

    def _cut(self, number: int, whole: int, torn: bytes) -> None:
        if not torn.startswith(BEGIN[:len(torn)]):
            raise self._no_result(number)
        os.ftruncate(self._fd, whole)
        warnings.warn(f"{self._path}: line {number} was torn after {len(torn)} bytes, and is "
                      "dropped: its job runs again", RuntimeWarning, stacklevel=5)

    def _no_result(self, number: int) -> SpecError:
        return SpecError("results", self._path, f"line {number} is no result of a run: name "
                         "another file")

    def _learn(self, number: int, line: bytes) -> None:
        try:
            found = json.loads(line)
            key, digest, attempt = found["key"], found["digest"], found["attempt"]
            done = found["result"] is not None
        except (ValueError, KeyError, TypeError) as error:
            raise self._no_result(number) from error
        entry = self._entries.setdefault(key, Entry(digest))
        entry.digest, entry.attempts, entry.done = digest, attempt, entry.done or done

    def admit(self, job: Job, options: dict[str, Any]) -> Place | None:
        """The place of the next attempt at *job*, None if its result is there.

        Errors: SpecError when its name stands for something else.
        """
        digest = digest_of(job, options)
        key = job.name
        if key is None:                                     # the n-th of those that are alike
            number = self._unnamed[digest] = self._unnamed.get(digest, 0) + 1
            key = f"{digest}#{number}"
        entry = self._entries.setdefault(key, Entry(digest))
        if entry.seen:
            raise SpecError("name", key, "another job has it: names tell results apart")
        entry.seen = True
        if entry.digest != digest:
            raise SpecError("name", key, f"{self._path} has it for another command or other "
                            "options: give it another name, or name another file")
        return None if entry.done else Place(key, digest, entry.attempts + 1)

    def write(self, place: Place, run: Run) -> None:
        """Add the line of *run*. Errors: HostError when there is no room for it."""
        self._pending += line_of(run, key=place.key, digest=place.digest).encode() + b"\n"
        self._flush()

    def _flush(self) -> None:
        """Write what is pending; of what finds no room, nothing but whole lines stay."""
        done = 0
        try:
            while done < len(self._pending):
                done += os.write(self._fd, self._pending[done:])
        except OSError as error:
            whole = self._pending.rfind(b"\n", 0, done) + 1
            os.ftruncate(self._fd, os.fstat(self._fd).st_size - (done - whole))
            done = whole
            raise HostError("results", f"{self._path}: {error.strerror}", "make room, then go on "
                            "by resume: what is written is whole") from error
        finally:
            self._pending = self._pending[done:]

    def close(self) -> None:
        """Write what found no room before, if it does now; let others have the file."""
        fd, self._fd = self._fd, -1
        if fd < 0:
            return
        self._fd = fd
        with suppress(HostError):
            self._flush()
        self._fd = -1
        os.close(fd)


def line_of(run: Run, **more: str) -> str:
    """One run as JSON: the job as it was given, and `Result.to_dict` without the steps of its
    set-up, which are most of it and nearly the same for all."""
    result = None
    if run.result:
        result = run.result.to_dict()
        del result["steps"]
    error = run.error and {"type": type(run.error).__name__, "message": str(run.error)}
    return json.dumps({"name": run.job.name, "attempt": run.attempt, **more,
                       "job": {"argv": run.job.argv, **run.job.options}, "lease": run.lease,
                       "result": result, "error": error}, default=_plain)


def digest_of(job: Job, options: dict[str, Any]) -> str:
    """What tells *job* from others: its command and all its options."""
    text = json.dumps([job.argv, options], sort_keys=True, default=_plain)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _plain(value: Any) -> Any:
    """*value* as JSON has it; a file by its name."""
    if isinstance(value, Record):
        return as_dict(value)
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, (set, frozenset)):
        return sorted(value)
    if isinstance(value, bytes):
        return value.decode("utf-8", "surrogateescape")
    return str(getattr(value, "name", value))
