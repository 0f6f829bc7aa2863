"""What can go wrong, split by whose move it is.

What the boxed program does is never an exception: it is `Result.reason`.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from minibox.result import Result


def visible(text: str) -> str:
    """*text*, with names of the box in it, without what would steer the terminal that shows it."""
    return text if text.isprintable() else "".join(
        c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


class MiniboxError(Exception):
    """Base of all errors that minibox raises on purpose."""


def shown(value: object) -> str:
    """*value* as code, cut short: it may be as long as anybody likes."""
    try:
        text = repr(value)
    except ValueError:                                      # an int of more than 4300 digits
        text = f"<{type(value).__name__}>"
    return text if len(text) <= 120 else text[:100] + f"... ({len(text)} characters)"


class SpecError(MiniboxError):
    """You asked for what cannot be: *field* has *value*, and *hint* says what would do."""

    def __init__(self, field: str, value: object, hint: str) -> None:
        super().__init__(field, value, hint)
        self.field, self.value, self.hint = field, value, hint

    def __str__(self) -> str:
        return f"{self.field}: {shown(self.value)}: {self.hint}"


class HostError(MiniboxError):
    """This machine cannot: *feature* is missing, *probe* is what said so, *hint* is the mend."""

    def __init__(self, feature: str, probe: str, hint: str) -> None:
        super().__init__(feature, probe, hint)
        self.feature, self.probe, self.hint = feature, probe, hint

    def __str__(self) -> str:
        return f"{self.feature}: {self.probe}. {self.hint}"


class StepError(MiniboxError):
    """The kernel refused one step of a plan, so the program never ran.

    index: the step's number in the plan, as `minibox plan` prints it; step: its name;
    call: the system call inside it; errno: a number as in `errno`; hint: cause and mend;
    sentence: what the step was to do; result: what came of the box otherwise.
    """

    sentence = ""
    result: Result | None = None

    def __init__(self, index: int, step: str, call: str, errno: int, hint: str) -> None:
        super().__init__(index, step, call, errno, hint)
        self.index, self.step, self.call, self.errno, self.hint = index, step, call, errno, hint

    def __str__(self) -> str:
        from errno import errorcode

        name = errorcode.get(self.errno, str(self.errno))
        call = "" if self.call == "none" else f" from {self.call}"
        act = f"step {self.index}, {self.step}"
        if self.sentence:
            act = (f"cannot {self.sentence[0].lower()}{self.sentence[1:].rstrip('.')} "
                   f"(step {self.index})")
        return visible(f"{act}: {name}{call}: {self.hint}".rstrip(": "))


class ExecError(StepError):
    """The program cannot be executed; *hint* says on which file that hangs, and what to do."""

    def __str__(self) -> str:
        return self.hint


class BoxFailed(MiniboxError):
    """A box did not exit with 0, and its caller had asked to be told by an exception.

    result: what came of it, output included.
    """

    def __init__(self, result: Result) -> None:
        super().__init__(result)
        self.result = result

    def __str__(self) -> str:
        command = " ".join(self.result.args)
        shown = command if len(command) <= 80 else command[:77] + "..."
        return f"{shown}: {self.result}"


class EngineError(MiniboxError):
    """Our bug: the engine ended without a report, or with one that contradicts itself."""
