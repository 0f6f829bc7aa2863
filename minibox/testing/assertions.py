"""What a test may expect of a box, and why a box is not so: `assert result == Killed("memory")`.

An expectation equals every result that meets it.  Where one does not, the plugin for pytest shows
what `unmet` and `account` say: the verdict, what it rests on, and the last that the program wrote.
"""

from __future__ import annotations

from minibox.errors import SpecError, visible
from minibox.record import Record
from minibox.report import REASONS
from minibox.result import AnyResult

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Any

ENDED_BY_ITSELF = ("exited", "setup")
KILLED = tuple(reason for reason in REASONS if reason not in ENDED_BY_ITSELF)
"""Reasons that a box ended for, other than that its program wanted to."""

LAST_LINES = 10
LINE_WIDTH = 200


class Expectation(Record):
    """Base of what can be expected: it equals all results that it is met by."""

    def unmet(self, result: Any) -> str:
        """Why *result* is not as expected, "" if it is."""
        raise NotImplementedError

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Expectation):
            return type(self) is type(other) and super().__eq__(other)
        return not self.unmet(other) if isinstance(other, AnyResult) else NotImplemented

    __hash__ = Record.__hash__


class Exited(Expectation):
    """The program ended by itself, with *status* or, if that is None, with any.

    Exited(0), Exited(3), Exited().
    """

    status: int | None = None

    def __init__(self, status: int | None = None) -> None:
        if status is not None and (type(status) is not int or not 0 <= status <= 255):
            raise SpecError("Exited", status, "a program exits with 0 to 255 (_exit(2)); leave it "
                            "out for any")
        super().__init__(status=status)

    def __repr__(self) -> str:
        return f"Exited({'' if self.status is None else self.status})"

    def unmet(self, result: Any) -> str:
        if result.reason != "exited":
            return f"it did not exit by itself: {result}"
        if self.status not in (None, result.exit_status):
            return f"it exited with {result.exit_status}, not with {self.status}"
        return ""


class Killed(Expectation):
    """The box, or its program, was killed: for *reason*, by *signal*; None is any.

    reason: memory, walltime, cputime, output, stopped, seccomp or signaled; signal: a number.
    Killed("memory"), Killed(signal=SIGSEGV), Killed().
    """

    reason: str | None = None
    signal: int | None = None

    def __init__(self, reason: str | None = None, *, signal: int | None = None) -> None:
        if reason is not None and reason not in KILLED:
            raise SpecError("Killed", reason, f"a box is killed for one of {', '.join(KILLED)}")
        super().__init__(reason=reason, signal=None if signal is None else int(signal))

    def __repr__(self) -> str:
        words = [] if self.reason is None else [repr(self.reason)]
        return f"Killed({', '.join(words + [f'signal={self.signal}'] * (self.signal is not None))})"

    def unmet(self, result: Any) -> str:
        if result.reason not in KILLED:
            return f"it was not killed: {result}"
        if result.reason == "signaled" and self.reason not in (None, "signaled", "walltime"):
            _must_tell(result, repr(self))
        if self.reason not in (None, result.reason):
            return f"it was killed for {result.reason}, not for {self.reason}"
        if self.signal not in (None, result.signal):
            return f"it was killed by signal {result.signal}, not by {self.signal}"
        return ""


class Refused(Expectation):
    """The filter of system calls refused *call*, or, if that is None, any.

    A refusal that is answered by an error is counted only in a box with seccomp_log=True; one that
    the program is killed for, always.  Refused("ptrace"), Refused().
    """

    call: str | None = None

    def __init__(self, call: str | None = None) -> None:
        from minibox.seccomp.numbers import MACHINES, names

        if call is not None and not any(call in names(one).values() for one in MACHINES):
            raise SpecError("Refused", call, "give a system call by its name, such as ptrace "
                            "(syscalls(2))")
        super().__init__(call=call)

    def __repr__(self) -> str:
        return f"Refused({'' if self.call is None else repr(self.call)})"

    def unmet(self, result: Any) -> str:
        _must_tell(result, repr(self))
        found = [one.call for one in result.refused]
        if (found and self.call is None) or self.call in found:
            return ""
        if found:
            return f"{self.call} was not refused, but {', '.join(map(str, found))}"
        if result.reason == "seccomp":
            called = result.evidence.get("call")
            return "" if self.call in (None, called) else f"it was killed for {called}"
        return ("no refused call was counted, which takes seccomp_log=True where the call is "
                "answered by an error")


def _must_tell(result: Any, what: str) -> None:
    """Errors: CannotExpress for the result of another runtime, which does not tell such a thing."""
    if runtime := getattr(result, "runtime", ""):
        from minibox.testing.elsewhere import CannotExpress

        raise CannotExpress(runtime, f"{what}: it does not tell why")


def compared(op: str, left: object, right: object, full: bool) -> list[str] | None:
    """Why the assertion `left op right` does not hold, if it is about a box; else None.

    In eight lines, of which pytest shows no more, unless *full*.
    """
    if op not in ("==", "!="):
        return None
    result: Any
    if isinstance(left, AnyResult) and isinstance(right, Expectation):
        result, expected = left, right
    elif isinstance(right, AnyResult) and isinstance(left, Expectation):
        result, expected = right, left
    else:
        return None
    reason = expected.unmet(result)
    what = f"{expected!r}: {reason}" if op == "==" else f"other than {expected!r}, which it is"
    lines = account(result) if full else [
        f"verdict:  {result}", f"evidence: {_pairs(result.evidence)}",
        *last_lines("stdout", result.stdout, 1), *last_lines("stderr", result.stderr, 1)]
    return [f"a box is to be {what}", *lines]


def account(result: Any, streams: Iterable[str] = ("stdout", "stderr")) -> list[str]:
    """*result* in a few lines, for people: command, verdict, evidence, figures, last output."""
    lines = [f"command:  {_shortened(' '.join(result.args))}", f"verdict:  {result}"]
    if result.evidence:
        lines.append(f"evidence: {_pairs(result.evidence)}")
    usage = {name: value for name in ("cpu_s", "wall_s", "memory_peak_bytes", "pids_peak")
             if (value := getattr(result.usage, name)) is not None}
    lines.append(f"used:     {_pairs(usage)}")
    lines += [f"doubt:    {one}" for one in result.doubts or ()]
    if result.refused:
        lines.append("refused:  " + ", ".join(f"{one.call} x{one.count}" for one in result.refused))
    for name in streams:
        lines += last_lines(name, getattr(result, name))
    return lines


def last_lines(name: str, text: bytes | str | None, count: int = LAST_LINES) -> Iterator[str]:
    """The last *count* lines of what was captured of the stream *name*, under a heading."""
    if not text:
        yield f"{name}:   {'not captured' if text is None else 'empty'}"
        return
    if isinstance(text, bytes):
        text = text.decode("utf-8", "replace")
    found = text.splitlines()
    last = "the last line" if count == 1 else f"the last {count}"
    cut = f", {last} of {len(found)}" if len(found) > count else ""
    yield f"{name}{cut}:"
    for line in found[-count:]:
        yield f"    {visible(_shortened(line))}"


def _shortened(text: str) -> str:
    return text if len(text) <= LINE_WIDTH else f"{text[:LINE_WIDTH]}... ({len(text)} characters)"


def _pairs(values: dict[str, Any]) -> str:
    return ", ".join(f"{name} {round(value, 4) if isinstance(value, float) else value}"
                     for name, value in values.items())
