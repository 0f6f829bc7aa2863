"""Raw samples: JSON Lines, the experiment and its host first, then a line for each run.

A run's line is written by one call when it has ended, so that a file whose writer was killed has
all but the run of that moment; a last line that was torn is cut off.
"""

from __future__ import annotations

import fcntl
import json
import os
import platform
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from minibox import __version__
from minibox.errors import HostError, SpecError
from minibox.record import Record
from minibox.testing.experiment.description import parse

if TYPE_CHECKING:
    from minibox.testing.experiment.description import Experiment


class Sample(Record):
    """One run. cell: level by factor; figures: by metric, None if not measured; series: points of
    each metric that has some; open: of probes, those that were; error: why it could not run, "" if
    it could; doubts: why its times may be wrong; ended: how, and what it said last, if the workload
    did not exit with 0."""

    cell: dict[str, str]
    repetition: int
    figures: dict[str, float | None]
    series: dict[str, list[list[float]]]
    open: list[str]
    error: str
    doubts: list[str]
    ended: str = ""

    @property
    def key(self) -> str:
        return "/".join(f"{name}={level}" for name, level in self.cell.items()) \
            + f"#{self.repetition}"


class Samples:
    """The file at *path*, of one experiment; for this process alone while it is open to write.

    Errors: SpecError when it belongs to another experiment, or to another process; HostError when
    it cannot be written.
    """

    def __init__(self, path: str, asked: Experiment) -> None:
        self.path = path
        try:
            self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o666)
        except OSError as error:
            raise HostError("samples", f"{path}: {error.strerror}",
                            "name a file that can be written") from error
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.fstat(self._fd).st_size == 0:
                self._write({"experiment": asked.text, "digest": asked.digest, "host": host()})
            self._check(asked)                              # before anything of it is cut off
            os.ftruncate(self._fd, whole(path))
            self.had = {one.key for one in read(path)[1]}
        except BlockingIOError:
            os.close(self._fd)
            raise SpecError("samples", path, "another process writes it") from None
        except BaseException:
            os.close(self._fd)
            raise

    def _check(self, asked: Experiment) -> None:
        head = header(self.path)
        if head["digest"] != asked.digest:
            raise SpecError("samples", self.path, "it belongs to another experiment, or to an "
                            "earlier text of this one: name another file")
        if head["host"] != host():
            raise SpecError("samples", self.path, f"it was begun on another host, {head['host']}: "
                            "name another file, and give both to the report")

    def __enter__(self) -> Samples:
        return self

    def __exit__(self, *_exception: object) -> None:
        os.close(self._fd)

    def add(self, sample: Sample) -> None:
        """Errors: HostError when there is no room for it."""
        from minibox.record import as_dict

        self._write(as_dict(sample) | {"at": round(time.time(), 3)})

    def _write(self, what: dict[str, Any]) -> None:
        line = json.dumps(what).encode() + b"\n"
        size = os.fstat(self._fd).st_size
        try:
            if os.write(self._fd, line) == len(line):
                return
            reason = "no space left"
        except OSError as error:
            reason = error.strerror or str(error)
        os.ftruncate(self._fd, size)
        raise HostError("samples", f"{self.path}: {reason}", "make room, and run it again: it goes "
                        "on where it was")


def whole(path: str) -> int:
    """The length of a file without a last line that was torn."""
    with open(path, "rb") as file:
        return sum(len(line) for line in file if line.endswith(b"\n"))


def host() -> dict[str, str]:
    """What tells this host from others."""
    from minibox import host as this

    cgroups = this.find().cgroup_mode
    return {"kernel": platform.release(), "machine": platform.machine(),
            "cpus": str(os.cpu_count()), "cgroups": cgroups, "uid": str(os.geteuid()),
            "minibox": __version__}


def header(path: str) -> dict[str, Any]:
    """Errors: SpecError."""
    try:
        with open(path, encoding="utf-8") as file:
            line = file.readline()
            found = json.loads(line)
            if (isinstance(found, dict) and {"experiment", "digest", "host"} <= found.keys()
                    and line.endswith("\n")):
                return found
    except OSError as error:
        raise SpecError("samples", path, error.strerror or str(error)) from error
    except ValueError:
        pass
    raise SpecError("samples", path, "it has no samples of an experiment")


def read(path: str) -> tuple[Experiment, list[Sample]]:
    """An experiment and its samples. Errors: SpecError names the line that is none."""
    asked = parse(header(path)["experiment"])
    return asked, list(lines(path))


def lines(path: str) -> Iterator[Sample]:
    with open(path, encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            if number == 1 or not line.endswith("\n"):
                continue
            try:
                found = json.loads(line)
                found.pop("at")
                yield Sample(**found)
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                raise SpecError("samples", f"{path}:{number}", "this line is no sample") from error
