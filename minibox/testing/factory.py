"""The fixture `box`: run commands in boxes with the defaults of the test, and remember them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from minibox import box
from minibox.testing import asked

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from minibox.box import Argument, Process
    from minibox.result import AnyResult

DEFAULTS: Mapping[str, Any] = {"walltime": 60, "observe": True}
"""A test that hangs is to end, and to say so; and its times are to be trusted, or not."""

STREAMS = asked.STREAMS | {"capture_output", "check"}


class Boxes:
    """Runs commands in boxes: `box(argv, **options)` gives the Result when it has ended.

    options: of the test, overridden by those of each call; see `minibox.testing.asked`.  Output is
    captured as text unless a call says otherwise.  results: of all that have ended, in that order.
    runtime: what runs them, one of minibox.testing.elsewhere.NAMES.
    """

    def __init__(self, options: Mapping[str, Any] | None = None,
                 told: Callable[[AnyResult], None] | None = None,
                 runtime: str = "minibox") -> None:
        self.options = asked.merged(DEFAULTS, options or {})
        self.results: list[AnyResult] = []
        self.runtime = runtime
        self._told = told
        self._started: list[Process] = []

    def __call__(self, argv: Iterable[Argument], **options: Any) -> Any:
        """Run *argv* and wait for it; as `minibox.run`, but caps need no `Limits`.

        Its Result, or what stands for one with another runtime (minibox.testing.elsewhere).
        Errors: SpecError, HostError, StepError, CannotExpress, and with check BoxFailed.
        """
        check = options.pop("check", False)
        if self.runtime == "minibox":
            result: AnyResult = box.run(argv, **self._merged(options, captured=True))
        else:
            result = self._elsewhere(argv, options)
        self._keep(result)
        return result.check() if check else result

    def _elsewhere(self, argv: Iterable[Argument], options: dict[str, Any]) -> AnyResult:
        from minibox.testing import elsewhere

        asked.check(options, STREAMS)
        streams = {name: options.pop(name) for name in [*options] if name in STREAMS}
        capture = not streams.keys() & {"stdout", "stderr"}
        return elsewhere.run(
            self.runtime, argv, asked.merged(self.options, options), input=streams.get("input"),
            stdout=streams.get("stdout", box.PIPE if capture else None),
            stderr=streams.get("stderr", box.PIPE if capture else None),
            text=streams.get("text", not isinstance(streams.get("input"), bytes)))

    def popen(self, argv: Iterable[Argument], **options: Any) -> Process:
        """Start *argv* and return at once; as `subprocess.Popen`, with text streams.

        What still runs when the test is over is killed.
        """
        if self.runtime != "minibox":
            from minibox.testing.elsewhere import CannotExpress

            raise CannotExpress(self.runtime, "box.popen: it gives no minibox.Process")
        process = box.Process(argv, **self._merged(options, captured=False))
        self._started.append(process)
        return process

    def close(self) -> None:
        """Kill what still runs, and wait for its end."""
        while self._started:
            process = self._started.pop(0)
            process.abandon()
            if process.result is not None:
                self._keep(process.result)

    def _merged(self, options: dict[str, Any], captured: bool) -> dict[str, Any]:
        asked.check(options, STREAMS)
        merged = asked.split(asked.merged(self.options, options))
        if captured and not {"stdout", "stderr", "capture_output"} & options.keys():
            merged["capture_output"] = True
        if not {"encoding", "errors", "text"} & options.keys():
            merged["text"] = not isinstance(options.get("input"), bytes)
        return merged

    def _keep(self, result: AnyResult) -> None:
        self.results.append(result)
        if self._told:
            self._told(result)
