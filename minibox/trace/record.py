"""A trace: what each step of one box took and changed; saved as JSON, and read again."""

from __future__ import annotations

from minibox.errors import SpecError
from minibox.record import Record, as_dict

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, TypeVar

    R = TypeVar("R", bound=Record)

FORMAT = 1
ROLES = ENGINE, INIT, APP = ("engine", "init", "app")
"""Who takes steps."""

ROLE_OF = {"prepare": ENGINE, "enter": INIT, "app": APP, "finish": ENGINE}
STATES = ("not_reached", "begun", "done", "failed")


class Change(Record):
    """Something that is otherwise after a step. of: the process that has it, by its role, or
    "cgroup"; what: as /proc calls it, such as "ns/pid", "CapEff", "mount /proc", "fd 3"; before,
    after: as /proc shows it, None: it was not, or is no more, there."""

    of: str
    what: str
    before: str | None
    after: str | None


class Traced(Record):
    """One step. number: in the plan; by: one of ROLES; name, mechanism, sentence: as the plan has
    them; state: one of STATES; call, errno: by name, what the kernel refused; begin_ns, end_ns:
    since the engine's start, with all the time in which processes waited for the tracer, None
    where nobody saw it; waits: it only waited for another process; changes: None if nobody could
    look; note: what is to be known of this look."""

    number: int
    part: str
    by: str
    name: str
    mechanism: str
    sentence: str
    state: str
    call: str
    errno: str
    begin_ns: int | None
    end_ns: int | None
    waits: bool
    changes: tuple[Change, ...] | None
    note: str = ""

    @property
    def ns(self) -> int | None:
        """How long it took."""
        if self.begin_ns is None or self.end_ns is None:
            return None
        return self.end_ns - self.begin_ns


class Trace(Record):
    """All steps of one box, in the plan's order. minibox: the version that ran it; args: the
    program; kernel, uid: of the host, and of who ran it there; reason, exit_status, summary: as in
    its result; exec_ns, end_ns: when the application began and ended, 0 if it never did."""

    minibox: str
    args: tuple[str, ...]
    kernel: str
    uid: int
    started_s: float
    reason: str
    exit_status: int
    summary: str
    exec_ns: int
    end_ns: int
    steps: tuple[Traced, ...]

    def to_dict(self) -> dict[str, Any]:
        """In types that JSON has."""
        steps = [as_dict(one) | {"changes": one.changes and [*map(as_dict, one.changes)]}
                 for one in self.steps]
        return {"minibox_trace": FORMAT} | as_dict(self) | {"args": [*self.args], "steps": steps}


def to_json(trace: Trace) -> str:
    import json

    return json.dumps(trace.to_dict(), indent=1) + "\n"


def load(path: str) -> Trace:
    """The trace in the file *path*, of `to_json`. Errors: SpecError."""
    import json

    try:
        with open(path, encoding="utf-8") as file:
            told = json.load(file)
    except OSError as error:
        raise SpecError("trace", path, f"it cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise SpecError("trace", path, "this is no trace: make one by "
                        "`minibox trace --json FILE run ...`") from error
    try:
        return from_dict(told)
    except (TypeError, ValueError) as error:
        raise SpecError("trace", path, f"this is no trace of this version: {error}") from error


def from_dict(told: Any) -> Trace:
    """Errors: TypeError, ValueError: it is no trace."""
    form = _one_of(told, dict, "it").get("minibox_trace")
    if form != FORMAT:
        raise ValueError(f"format {form!r}, and not {FORMAT}")
    steps = tuple(_record(Traced, one, changes=_changes) for one in _list(told, "steps"))
    trace = _record(Trace, told, args=lambda args: tuple(_one_of(one, str, "args") for one in args),
                    steps=lambda _: steps)
    for place, one in enumerate(steps):
        if (one.number, one.by, one.state in STATES) != (place, ROLE_OF.get(one.part), True):
            raise ValueError(f"step {place} contradicts itself")
    return trace


# ---- checking what a file has ----

KINDS: dict[str, Any] = {"str": str, "int": int, "float": (int, float), "bool": bool,
                         "None": type(None), "tuple": tuple}


def _record(kind: type[R], told: Any, **special: Callable[[Any], Any]) -> R:
    saved = _one_of(told, dict, kind.__name__)
    values = {}
    for field, annotation in kind.__fields__.items():
        value = saved.get(field, kind.__defaults__.get(field))
        if field in special and value is not None:
            value = special[field](value)
        allowed = tuple(KINDS[one.partition("[")[0]] for one in annotation.split(" | "))
        if not any(isinstance(value, one) for one in allowed):
            raise TypeError(f"{field} is {value!r}")
        values[field] = value
    return kind(**values)


def _changes(told: Any) -> tuple[Change, ...]:
    return tuple(_record(Change, one) for one in _one_of(told, list, "changes"))


def _list(told: dict[str, Any], name: str) -> list[Any]:
    found: list[Any] = _one_of(told.get(name), list, name)
    return found


def _one_of(value: Any, kind: type, name: str) -> Any:
    if not isinstance(value, kind):
        raise TypeError(f"{name} is {value!r:.60}")
    return value
