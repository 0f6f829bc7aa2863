"""Results that were written as JSON, read again."""

from __future__ import annotations

from minibox.errors import ExecError, SpecError, StepError
from minibox.record import Record
from minibox.report import REASONS
from minibox.result import AnyResult, Receipt, Refused, StepOutcome, Usage
from minibox.surroundings import Surroundings

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any, TypeVar

    R = TypeVar("R", bound=Record)
    T = TypeVar("T")


LATEST_S = 1 << 37
"""When a box may have started: a year of four digits has less seconds than that, since 1970."""


class SavedResult(AnyResult):
    """A `Result` as it was told: the same names and exports, without plan and report, which a file
    does not have. What was captured is text, and equal results are equal."""

    args: tuple[str, ...]
    reason: str
    exit_status: int
    returncode: int
    signal: int | None
    summary: str
    evidence: dict[str, Any]
    usage: Usage
    refused: tuple[Refused, ...]
    receipts: tuple[Receipt, ...]
    steps: tuple[StepOutcome, ...]
    started_s: float
    name: str
    stdout: str | None = None
    stderr: str | None = None
    doubts: tuple[str, ...] | None = None
    surroundings: Surroundings | None = None

    def __str__(self) -> str:
        return self.summary

    @classmethod
    def from_dict(cls, saved: Mapping[str, Any]) -> SavedResult:
        """The result that *saved*, of `to_dict`, tells of. What it does not have (the steps, in the
        results file of many runs) is empty; what this version does not know is left out.

        Errors: SpecError if it is something else.
        """
        told = _checked(saved, dict, "result")
        parts: dict[str, Any] = {"args": _items(told.get("args"), str, "args"),
                                 "usage": _record(Usage, told.get("usage"), "usage")}
        for name, kind in (("refused", Refused), ("receipts", Receipt), ("steps", StepOutcome)):
            parts[name] = tuple(_record(kind, one, name)
                                for one in _items(told.get(name, []), dict, name))
        if (around := told.get("surroundings")) is not None:
            cpus = _items(_checked(around, dict, "surroundings").get("cpus"), int, "cpus")
            parts["surroundings"] = _record(Surroundings, around | {"cpus": cpus}, "surroundings")
        if (doubts := told.get("doubts")) is not None:
            parts["doubts"] = _items(doubts, str, "doubts")
        result = _record(cls, told | parts, "result")
        if result.reason not in REASONS or result.reason == "setup" and not (
                {"step", "name", "call", "errno"} <= result.evidence.keys()):
            raise _wrong("reason", result.reason)
        if not 0 <= result.started_s < LATEST_S:
            raise _wrong("started_s", result.started_s)
        return result

    @classmethod
    def from_json(cls, text: str | bytes) -> SavedResult:
        """The result in *text*, such as `minibox run --result` writes. Errors: SpecError."""
        import json

        try:
            return cls.from_dict(json.loads(text))
        except (ValueError, RecursionError) as error:
            raise SpecError("result", text, f"this is no JSON: {error}") from error

    @property
    def error(self) -> StepError | None:
        """Why the program never ran, if it did not."""
        if self.reason != "setup":
            return None
        import errno

        told = self.evidence
        kind = ExecError if told["name"] == "exec" else SavedError
        return kind(told["step"], told["name"], told["call"],
                    getattr(errno, str(told["errno"]), 0), self.summary)


class SavedError(StepError):
    """A step that failed, of a result that was saved: *hint* is the whole sentence."""

    def __str__(self) -> str:
        return self.hint


KINDS = {"str": str, "int": int, "float": (int, float), "bool": bool, "None": type(None),
         "tuple": tuple, "dict": dict, "Usage": Usage, "Surroundings": Surroundings, "Any": object}
"""What the annotation of a field of these records stands for."""


def _record(kind: type[R], saved: Any, name: str) -> R:
    """One record of that kind; what the file does not have was not measured, where that may be."""
    told = _checked(saved, dict, name)
    values = {}
    for field, annotation in kind.__fields__.items():
        kinds: Any = tuple(KINDS[one.partition("[")[0]] for one in annotation.split(" | "))
        values[field] = value = told.get(field, kind.__defaults__.get(field))
        if not isinstance(value, kinds):
            raise _wrong(field, value)
    return kind(**values)


def _checked(value: Any, kind: type[T], name: str) -> T:
    if not isinstance(value, kind):
        raise _wrong(name, value)
    return value


def _items(value: Any, kind: type[T], name: str) -> tuple[T, ...]:
    return tuple(_checked(one, kind, name) for one in _checked(value, list, name))


def _wrong(name: str, value: object) -> SpecError:
    return SpecError(name if name == "result" else f"result {name}", value,
                     "this is no result of a box: give what to_dict gave")
