"""Results that were written as JSON, read again."""

from __future__ import annotations

from minibox.errors import ExecError, SpecError, StepError
from minibox.record import Record
from minibox.result import AnyResult, Receipt, Refused, StepOutcome, Usage
from minibox.surroundings import Surroundings

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Any, TypeVar

    R = TypeVar("R", bound=Record)


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
        try:
            known = {field: saved[field] for field in cls.__fields__ if field in saved}
            around, doubts = saved.get("surroundings"), saved.get("doubts")
            return cls(**known | {
                "args": tuple(saved["args"]), "usage": _record(Usage, saved["usage"]),
                "refused": _records(Refused, saved.get("refused", ())),
                "receipts": _records(Receipt, saved.get("receipts", ())),
                "steps": _records(StepOutcome, saved.get("steps", ())),
                "doubts": None if doubts is None else tuple(doubts),
                "surroundings": around and _record(
                    Surroundings, around | {"cpus": tuple(around["cpus"])})})
        except (KeyError, TypeError, AttributeError) as error:
            raise SpecError("result", saved, f"this is no result of a box ({error}): give what "
                            "to_dict gave") from error

    @classmethod
    def from_json(cls, text: str | bytes) -> SavedResult:
        """The result in *text*, such as `minibox run --result` writes. Errors: SpecError."""
        import json

        try:
            return cls.from_dict(json.loads(text))
        except ValueError as error:
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


def _record(kind: type[R], saved: Mapping[str, Any]) -> R:
    """One record of that kind; a figure that the file does not have was not measured."""
    return kind(**{field: saved.get(field) for field in kind.__fields__})


def _records(kind: type[R], saved: Iterable[Mapping[str, Any]]) -> tuple[R, ...]:
    return tuple(_record(kind, one) for one in saved)
