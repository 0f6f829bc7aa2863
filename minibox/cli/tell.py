"""Say what came of a box; the engine calls this when it has something to say.

    tell RESULT-FD REPORT-FD PLAN-FD

The verdict goes to stderr in one line, where a person reads it or no box was made at all; the
result goes to RESULT-FD as JSON, unless that is -1.
"""

from __future__ import annotations

import os
import sys

from minibox import plan, report
from minibox.result import Result, describe_refused
from minibox.steps import Exec, FilterCalls


def main() -> None:
    """Exits with the box's own exit status."""
    result_fd, report_fd, plan_fd = map(int, sys.argv[1:4])
    steps = plan.decode(_contents(plan_fd))
    program = next((step.argv for step in steps if isinstance(step, Exec)), ())
    result = Result(args=program, plan=steps, report=report.decode(_contents(report_fd)))
    status = result.exit_status
    if result.reason == "setup" or (result.reason != "exited" and os.isatty(2)):
        print(f"minibox: {result}", file=sys.stderr)
    if any(isinstance(step, FilterCalls) and step.log for step in steps):
        print(f"minibox: {describe_refused(result)}", file=sys.stderr)
    if result_fd >= 0:
        try:
            with open(result_fd, "w") as file:
                file.write(result.to_json(indent=2) + "\n")
        except OSError as error:
            print(f"minibox: the result cannot be written: {error.strerror}", file=sys.stderr)
            status = 125
    sys.exit(status)


def _contents(fd: int) -> bytes:
    return os.pread(fd, os.fstat(fd).st_size, 0)
