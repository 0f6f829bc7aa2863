"""minibox trace: the steps by which a box is made, taken one by one and looked at."""

from __future__ import annotations

import os
import signal
import sys
from contextlib import suppress

from minibox.cli.options import UsageError, names, parse
from minibox.errors import SpecError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import FrameType
    from typing import TextIO

    from minibox.cli.options import Values
    from minibox.plan import Plan
    from minibox.result import Result
    from minibox.trace.beside import Stepper
    from minibox.trace.live import Live
    from minibox.trace.record import Trace, Traced

OPTIONS = """\
  -o, --output FILE     the trace as text there [stderr, as a waterfall on a terminal]
      --json FILE       save the trace, for show and --diff
      --html FILE       a page that stands alone
      --perfetto FILE   trace events, for https://ui.perfetto.dev or chrome://tracing
      --step            stop before each step: go on, quit, or open a shell beside the box
      --break NAME ...  stop only before steps of this name, such as pivot-root; several with commas
      --diff            compare two saved traces
"""
"""Of trace itself; they may stand before `run` or after it."""

PAGE = f"""\
usage: minibox trace [OPTION]... run [OPTION]... [--] PROGRAM [ARGUMENT]...
       minibox trace [OPTION]... show FILE
       minibox trace --diff FILE FILE

Run PROGRAM in a box as `minibox run` does, and show each step by which the box is made: who takes
it, how long it takes, and what it changes, as seen in /proc from outside. Nothing is slower, or
otherwise, in a box that is not traced.

{OPTIONS}  -h, --help            show this; `minibox run --help` shows the options of run

minibox trace --break pivot-root run -m 64M -- true
"""

INTERRUPTED = 130


def main(argv: Sequence[str]) -> int:
    """Do as *argv* says; the exit status."""
    options, rest = parse(PAGE, argv)
    if options.get("help"):
        print(PAGE, end="")
        return 0
    if "diff" in options:
        return _diff(rest)
    if rest[:1] == ["show"] and len(rest) == 2:
        from minibox.trace.record import load

        _refuse(options, "show", "step", "break")
        outputs = Outputs(options, sys.stdout)
        trace = load(rest[1])
        outputs.steps(trace.steps)
        outputs.rest(trace, ())
        return 0
    if rest[:1] != ["run"]:
        raise UsageError("say what to trace, such as: minibox trace run -- /bin/true; or what to "
                         "show: minibox trace show FILE")
    return _run(options, rest[1:])


def _refuse(options: Values, verb: str, *names: str) -> None:
    for name in names:
        if name in options:
            raise UsageError(f"--{name} is for `minibox trace run`, not for {verb}")


def _diff(files: Sequence[str]) -> int:
    from minibox.trace.compare import compare
    from minibox.trace.record import load

    if len(files) != 2:
        raise UsageError("--diff compares two files that `minibox trace --json FILE` saved")
    one, other = map(load, files)
    for line in compare(one, other, *files):
        print(line)
    return 0


class Outputs:
    """Where a trace goes: opened before anything runs, so that none is lost at the end.

    text: for the trace as text, unless the options name a file.
    """

    def __init__(self, options: Values, text: TextIO) -> None:
        self._places = {name: options[name] for name in ("output", "json", "html", "perfetto")
                        if name in options}
        self._files = {name: _opened(where, name) for name, where in self._places.items()}
        self._text = self._files.get("output", text)
        self._shown = 0

    def steps(self, steps: Sequence[Traced]) -> None:
        """As text."""
        from minibox.trace.text import show

        show(steps, self._text)
        self._shown += len(steps)

    def rest(self, trace: Trace, shown: Sequence[int]) -> None:
        """All that is not *shown* yet, and the whole trace in the other forms."""
        from minibox.trace.text import summary

        if self._shown != len(trace.steps):
            self.steps([one for one in trace.steps if one.number not in shown])
        print(summary(trace), file=self._text)
        for name, file in self._files.items():
            try:
                if name != "output":
                    file.write(_form(name, trace))
                file.close()
            except OSError as error:
                with suppress(OSError):
                    file.close()
                raise SpecError(name, self._places[name],
                                f"it cannot be written: {error.strerror}") from error


def _form(name: str, trace: Trace) -> str:
    if name == "json":
        from minibox.trace.record import to_json

        return to_json(trace)
    if name == "html":
        from minibox.trace.page import of_trace

        return of_trace(trace)
    from minibox.trace.perfetto import events

    return events(trace)


def _opened(where: str, option: str) -> TextIO:
    from minibox.cli.run import open_result

    fd = open_result(where, option)
    os.set_inheritable(fd, False)
    return os.fdopen(fd, "w", encoding="utf-8", errors="backslashreplace")


# ---- run ----

def _run(options: Values, argv: Sequence[str]) -> int:
    from minibox.cli import run
    from minibox.trace.live import Live

    plan, asked = run.planned(f"{run.PAGE}\nOf trace\n{OPTIONS}", argv)
    if plan is None:
        return 0
    options = options | {name: asked[name] for name in names(OPTIONS) if name in asked}
    if "diff" in options:
        raise UsageError("--diff compares two saved traces: minibox trace --diff FILE FILE")
    form = asked.get("result-format", "json")
    if form not in run.FORMATS:
        raise SpecError("result-format", form, f"use {', '.join(run.FORMATS)}")
    stepper = _stepper(options)
    outputs = Outputs(options, sys.stderr)
    result_fd = run.open_result(asked["result"]) if "result" in asked else -1
    if result_fd >= 0:
        os.set_inheritable(result_fd, False)
    shown: list[int] = []

    def ready() -> None:
        """The program writes to the terminal from here on: all that is known is told before."""
        found = [one for one in live.steps if one.end_ns is not None]
        outputs.steps(found)
        shown.extend(one.number for one in found)

    live = Live(plan, stepper or (lambda number: None), ready)
    if stepper:
        stepper.live = live
    trace, result = _traced(live, plan, observe="observe" in asked)
    if stepper:
        stepper.close()
    outputs.rest(trace, shown)
    return _told(trace, result, result_fd, form)


def _stepper(options: Values) -> Stepper | None:
    if "step" not in options and "break" not in options:
        return None
    from minibox.trace.beside import Stepper

    return Stepper([name for names in options.get("break", ()) for name in names.split(",")])


def _told(trace: Trace, result: Result, result_fd: int, form: str) -> int:
    from minibox.cli.tell import say

    if trace.exit_status == INTERRUPTED and trace.reason == "stopped":
        print(f"minibox: {trace.summary}", file=sys.stderr)
        return INTERRUPTED
    return say(result, result_fd, form)


def _traced(live: Live, plan: Plan, observe: bool) -> tuple[Trace, Result]:
    from minibox.record import replace

    observer = None
    if observe:
        from minibox.surroundings import Observer

        observer = Observer(plan)
    before = {number: signal.signal(number, _passing(live)) for number in
              (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP, signal.SIGTERM)}
    try:
        trace, result = live.run()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    return trace, result if observer is None else replace(result, surroundings=observer.end())


def _passing(live: Live) -> Callable[[int, FrameType | None], None]:
    """What a signal does: it ends a box that is being made; a program that runs hears of it."""
    from minibox.engine import SIGNAL, STOP

    def handle(number: int, _frame: FrameType | None) -> None:
        if not live.running_program:
            raise KeyboardInterrupt
        if number == signal.SIGTERM:
            live.ask(STOP, -1)
        elif number == signal.SIGHUP or not _at_terminal():
            live.ask(SIGNAL, number)                        # a key reaches the engine by itself

    return handle


def _at_terminal() -> bool:
    try:
        os.close(os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY))
    except OSError:
        return False
    return True
