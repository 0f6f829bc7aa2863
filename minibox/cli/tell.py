"""Say what came of a box; the engine calls this when it has something to say.

    tell RESULT-FD FORMAT FIRST-LOOK REPORT-FD PLAN-FD

The verdict goes to stderr in one line, where a person reads it or no box was made at all; the
result goes to RESULT-FD in FORMAT, unless that is -1.  FIRST-LOOK is JSON, of what was around the
box before it began, or empty: then nobody looks.
"""

from __future__ import annotations

import os
import sys

from minibox import plan, report
from minibox.result import Result, describe_refused
from minibox.steps import Exec, FilterCalls

TYPE_CHECKING = False
if TYPE_CHECKING:
    from minibox.plan import Plan
    from minibox.surroundings import Surroundings


def main() -> None:
    """Exits with the box's own exit status."""
    form, first = sys.argv[2:4]
    result_fd, report_fd, plan_fd = map(int, (sys.argv[1], *sys.argv[4:6]))
    steps = plan.decode(_contents(plan_fd))
    result = Result(args=program(steps), plan=steps, report=report.decode(_contents(report_fd)),
                    surroundings=_surroundings(steps, first) if first else None)
    sys.exit(say(result, result_fd, form))


def say(result: Result, result_fd: int, form: str) -> int:
    """Tell of *result* as said above; the exit status."""
    status = result.exit_status
    if result.reason == "setup" or (result.reason != "exited" and os.isatty(2)):
        print(f"minibox: {result}", file=sys.stderr)
    if any(isinstance(step, FilterCalls) and step.log for step in result.plan):
        print(f"minibox: {describe_refused(result)}", file=sys.stderr)
    if result_fd < 0 or os.isatty(2):
        for doubt in result.doubts or ():
            print(f"minibox: not reliable: {doubt}", file=sys.stderr)
    if result_fd >= 0:
        from minibox.exports import text

        try:
            with open(result_fd, "w") as file:
                file.write(text(result, form))
        except OSError as error:
            print(f"minibox: the result cannot be written: {error.strerror}", file=sys.stderr)
            status = 125
    return status


def program(plan: Plan) -> tuple[str, ...]:
    """The command that *plan* runs."""
    return next((step.argv for step in plan if isinstance(step, Exec)), ())


def _surroundings(steps: Plan, first: str) -> Surroundings:
    import json

    from minibox.surroundings import Observer

    return Observer(steps, json.loads(first)).end()


def _contents(fd: int) -> bytes:
    return os.pread(fd, os.fstat(fd).st_size, 0)
