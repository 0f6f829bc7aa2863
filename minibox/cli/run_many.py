"""minibox run-many: a box for each line of a file."""

from __future__ import annotations

import json
import sys
import warnings
from collections import Counter
from typing import TYPE_CHECKING, Any

from minibox.cli import run
from minibox.cli.options import UsageError, parse
from minibox.errors import SpecError, visible
from minibox.parse import integer
from minibox.request import Limits, box_spec
from minibox.testing.ledger import line_of
from minibox.testing.many import Job, run_many
from minibox.testing.progress import told, verdict

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from minibox.cli.options import Values

PAGE = """\
usage: minibox run-many [OPTION]... FILE|-

Run each line of FILE in a box of its own, several at a time. A line is a JSON object:

  {"name": "anna", "argv": ["python3", "anna.py"], "input": "6 7", "limits": {"memory": "64M"}}

name is what its result is known by; argv the command; the rest as `minibox.run` takes it. Each
option of `minibox run` may be given here as well, for all lines that do not say otherwise. Results
are lines of JSON too, on stdout or in a file. The exit status is 1 when a program could not start.

      --results FILE            write them there, each as soon as it ends
      --resume                  go on: leave out the lines whose results are in that file
      --parallel NUMBER         how many at a time [as many as there are CPUs, or leases]
      --cores NUMBER            physical cores that each has for itself, among all processes of
                                yours that run boxes so [they share all cores]
      --quiet                   show no progress
  -h, --help                    show this

minibox run-many --cores 1 --timeout 10 -m 256M --results results.jsonl --resume jobs.jsonl
"""

NOT_FOR_MANY = ("result", "result-format", "observe", "interactive", "tty")
"""Options of `minibox run` that are about one box and a person before it. Many are observed
anyway."""


STREAMS = ("input", "text", "encoding", "errors", "observe")
"""What a job may have besides: of subprocess's arguments, and of `minibox.run`'s own."""


class JobFile:
    """Jobs from a file of JSON Lines, checked before the first of them runs."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._count = sum(1 for _ in self)

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Job]:
        try:
            with open(self._path, "rb") as file:
                yield from jobs(self._path, file)
        except OSError as error:
            raise SpecError("file", self._path, f"it cannot be read: {error.strerror}") from error


def main(argv: Sequence[str]) -> int:
    """Do as *argv* says; 1 if a program could not start."""
    options, paths = parse(PAGE + run.PAGE, argv)
    if options.get("help"):
        print(PAGE, end="")
        return 0
    if len(paths) != 1:
        raise UsageError("name one file of jobs, or - for stdin")
    for name in NOT_FOR_MANY:
        if name in options:
            raise UsageError(f"--{name} is for one box: leave it out")
    warnings.showwarning = _warn
    # Not sys.stdin: its lock would be held by a thread that waits for a line when Python ends.
    source = (jobs("-", open(0, "rb", closefd=False)) if paths[0] == "-"            # noqa: SIM115
              else JobFile(paths[0]))
    counts = _run(source, options)
    return 1 if counts["error"] else 0


def _run(source: Any, options: Values) -> Counter[str]:
    counts: Counter[str] = Counter()
    results = options.get("results")
    with run_many(source, results=results, resume="resume" in options,
                  parallel=_number(options, "parallel"), cores_per_run=_number(options, "cores"),
                  progress="quiet" not in options, **run.arguments(options)) as runs:
        for one in runs if results is None else runs.as_completed():
            counts[verdict(one)] += 1
            if one.error:
                who = visible(one.job.name or " ".join(one.job.argv))
                print(f"minibox: {who}: {one.error}", file=sys.stderr)
            if results is None:
                print(line_of(one), flush=True)
        skipped = f", {runs.skipped} had their result" if runs.skipped else ""
    print(f"minibox: {counts.total()} runs: {told(counts) or 'none'}{skipped}", file=sys.stderr)
    return counts


def _number(options: Values, name: str) -> int | None:
    return integer(name, options[name]) if name in options else None


def jobs(path: str, lines: Any) -> Iterator[Job]:
    """The jobs of *lines*. Errors: SpecError names the line that is none."""
    for number, line in enumerate(lines, 1):
        if line.strip():
            yield _job(f"{path}:{number}", line)


def _job(where: str, line: bytes) -> Job:
    try:
        found = json.loads(line)
    except ValueError as error:
        raise SpecError("job", where, f"it is no JSON: {error}") from error
    if not isinstance(found, dict):
        raise SpecError("job", where, 'give an object, such as {"argv": ["ls", "-l"]}')
    checked: dict[str, Callable[[Any], bool]] = {"argv": _texts, "name": _name, "limits": _object}
    for key, fits in checked.items():
        if key in found and not fits(found[key]):
            raise SpecError(f"job {key}", found[key], f"in {where}: {_FORMS[key]}")
    if "argv" not in found:
        raise SpecError("job", where, f"it has no argv: {_FORMS['argv']}")
    if "limits" in found:
        found["limits"] = _limits(where, found["limits"])
    try:
        box_spec(found["argv"], **{key: value for key, value in found.items()
                                   if key not in ("name", "argv", *STREAMS)})
    except SpecError as error:
        raise SpecError(f"job {error.field}", error.value, f"in {where}: {error.hint}") from error
    except (TypeError, ValueError, AttributeError) as error:
        raise SpecError("job", where, str(error)) from error
    found.setdefault("text", True)
    return Job(**found)


_FORMS = {"argv": 'give the command as a list of texts, such as ["ls", "-l"]',
          "name": "give a text", "limits": 'give an object, such as {"memory": "64M"}'}


def _texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(one, str) for one in value)


def _name(value: Any) -> bool:
    return value is None or isinstance(value, str)


def _object(value: Any) -> bool:
    return isinstance(value, dict)


def _limits(where: str, given: dict[str, Any]) -> Limits:
    try:
        return Limits(**given)
    except SpecError as error:
        raise SpecError(f"job {error.field}", error.value, f"in {where}: {error.hint}") from error
    except TypeError as error:                              # a cap that there is not
        from difflib import get_close_matches

        known = sorted(run.LIMITS.values())
        wrong = next((name for name in given if name not in known), "limits")
        near = get_close_matches(wrong, known, 1)
        hint = f"did you mean {near[0]}?" if near else f"use {', '.join(known)}"
        raise SpecError("job limits", wrong, f"in {where}: {hint}") from error


def _warn(message: Warning | str, *_where: object, **_more: object) -> None:
    print(f"minibox: warning: {message}", file=sys.stderr)
