"""What can go wrong, split by whose move it is.

What the boxed program does is never an exception: it is `Result.reason`.
"""

from __future__ import annotations


class MiniboxError(Exception):
    """Base of all errors that minibox raises on purpose."""


class SpecError(MiniboxError):
    """You asked for something that cannot be: *field* has *value*, and *hint* says what would do."""

    def __init__(self, field: str, value: object, hint: str) -> None:
        super().__init__(field, value, hint)
        self.field, self.value, self.hint = field, value, hint

    def __str__(self) -> str:
        shown = repr(self.value)
        if len(shown) > 120:
            shown = shown[:100] + f"... ({len(shown)} characters)"
        return f"{self.field}: {shown}: {self.hint}"


class HostError(MiniboxError):
    """This machine cannot: *feature* is missing, *probe* is what said so, *hint* is the mend."""

    def __init__(self, feature: str, probe: str, hint: str) -> None:
        super().__init__(feature, probe, hint)
        self.feature, self.probe, self.hint = feature, probe, hint

    def __str__(self) -> str:
        return f"{self.feature}: {self.probe}. {self.hint}"


class StepError(MiniboxError):
    """The kernel refused one step of a plan.

    index: the step's number in the plan, as `minibox plan` prints it; step: its name;
    call: the system call inside it; errno: a number as in `errno`; hint: cause and mend.
    """

    def __init__(self, index: int, step: str, call: str, errno: int, hint: str) -> None:
        super().__init__(index, step, call, errno, hint)
        self.index, self.step, self.call, self.errno, self.hint = index, step, call, errno, hint

    def __str__(self) -> str:
        from errno import errorcode

        name = errorcode.get(self.errno, str(self.errno))
        return f"step {self.index}, {self.step}: {self.call}: {name}. {self.hint}".rstrip()


class EngineError(MiniboxError):
    """Our bug: the engine ended without a report, or with one that contradicts itself."""
