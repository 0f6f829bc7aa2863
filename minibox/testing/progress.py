"""How far many runs are: a line on a terminal, with the time that is left."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

if TYPE_CHECKING:
    from minibox.testing.many import Run


def verdict(run: Run) -> str:
    """What a run counts as: a reason of report.REASONS, "failed" for another exit status than 0,
    "error" when it never ran."""
    if run.result is None:
        return "error"
    return "failed" if run.result.reason == "exited" and run.result.exit_status else \
        run.result.reason


def told(counts: Counter[str]) -> str:
    """The counts of verdicts, for people."""
    return ", ".join(f"{count} {name}" for name, count in counts.most_common())


class Meter:
    """The line, while it is shown. total: how many runs there will be, None if nobody knows."""

    def __init__(self, total: int | None) -> None:
        self._counts: Counter[str] = Counter()
        console = Console(stderr=True)
        self._progress = Progress(
            BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[counts]}", markup=False),
            TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn(),
            console=console, disable=not (console.is_terminal or console.is_jupyter))
        self._task = self._progress.add_task("runs", total=total, counts="")
        self._progress.start()

    def ended(self, run: Run) -> None:
        """One more has ended."""
        self._counts[verdict(run)] += 1
        self._progress.update(self._task, advance=1, counts=told(self._counts))

    def skip(self) -> None:
        """One has its result already; it says nothing of the time that is left."""
        total = self._progress.tasks[0].total
        if total is not None:
            self._progress.update(self._task, total=total - 1)

    def close(self) -> None:
        self._progress.stop()
