"""The runs that a results file tells of, read again.

    slow = [run.name for run in minibox.load_runs("results.jsonl")
            if run.result and run.result.usage.cpu_s > 1]
"""

from __future__ import annotations

import json
import os
import warnings
from typing import TYPE_CHECKING, Any

from minibox.errors import SpecError
from minibox.record import Record
from minibox.saved import SavedResult

if TYPE_CHECKING:
    from collections.abc import Iterator


class SavedRun(Record):
    """One line of a results file. name: the job's, None if it had none; job: as it was given, with
    its argv; either result or, if the program never ran, error: its message; lease: the CPUs and
    the memory_bytes that it had for itself; attempt: 1, or more when earlier ones ended by an
    error."""

    name: str | None
    job: dict[str, Any]
    result: SavedResult | None
    error: str | None
    lease: dict[str, Any]
    attempt: int


def load_runs(path: str | os.PathLike[str]) -> Iterator[SavedRun]:
    """The runs in the file at *path*, in the order in which they ended; read line by line.

    A last line that was torn is dropped, and a RuntimeWarning tells.

    Errors: OSError if it cannot be opened; SpecError for a line that is no run's.
    """
    with open(path, "rb") as file:
        for number, line in enumerate(file, 1):
            if line.endswith(b"\n"):
                yield _run(os.fspath(path), number, line)
            else:
                warnings.warn(f"{os.fspath(path)}: line {number} was torn after {len(line)} bytes, "
                              "and is dropped", RuntimeWarning, stacklevel=2)


def _run(path: str, number: int, line: bytes) -> SavedRun:
    try:
        saved = json.loads(line)
        result, error = saved["result"], saved["error"]
        return SavedRun(
            name=saved["name"], job=saved["job"], lease=saved["lease"], attempt=saved["attempt"],
            result=None if result is None else SavedResult.from_dict(result),
            error=None if error is None else error["message"])
    except (ValueError, KeyError, TypeError, SpecError) as error:
        raise SpecError("results", path, f"line {number} is no result of a run: name another "
                        "file") from error
