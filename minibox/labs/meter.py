"""How far the grading of a class is, as a line on a terminal; and its scores as a table."""

from __future__ import annotations

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
from rich.table import Table

from minibox.errors import visible
from minibox.labs.finding import HOLDS, LEAKS, UNGRADABLE

if TYPE_CHECKING:
    from minibox.labs.grader import Score
    from minibox.labs.lab import Lab

MARKS = {HOLDS: "+", UNGRADABLE: "?"}


class Meter:
    """The line, while it is shown; without a terminal a line for each submission."""

    def __init__(self, total: int) -> None:
        console = Console(stderr=True)
        self._plain = not console.is_terminal
        self._progress = Progress(
            BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[last]}", markup=False),
            TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn(),
            console=console, disable=self._plain)
        self._task = self._progress.add_task("submissions", total=total, last="")

    def __enter__(self) -> Meter:
        self._progress.start()
        return self

    def __exit__(self, *_exception: object) -> None:
        self._progress.stop()

    def graded(self, score: Score, fresh: bool) -> None:
        """One more has its score."""
        last = f"{visible(score.submission)}: {score.points}/{score.of}"
        self._progress.update(self._task, advance=1, last=last)
        if self._plain:
            self._progress.console.print(last + ("" if fresh else " (graded before)"),
                                         markup=False, highlight=False, soft_wrap=True)


def table(lab: Lab, scores: tuple[Score, ...]) -> None:
    """Print who has what: + holds, ? not gradable here, else the reason of the leak."""
    shown = Table(title=f"Lab {lab.number}, {lab.title}")
    shown.add_column("submission", overflow="fold")
    shown.add_column("points", justify="right")
    for check in lab.checks:
        shown.add_column(check.id, overflow="fold")
    for score in scores:
        states = {one.check: MARKS.get(one.state, one.reason) for one in score.findings}
        shown.add_row(visible(score.submission), f"{score.points}/{score.of}",
                      *(states.get(check.id, "") for check in lab.checks))
    console = Console()
    console.print(shown, markup=False)
    leaks = [one.reason for score in scores for one in score.findings if one.state == LEAKS]
    for reason in sorted(set(leaks), key=leaks.count, reverse=True)[:5]:
        console.print(f"{leaks.count(reason)} times {reason}: {lab.hint(reason) or 'no hint'}",
                      markup=False, highlight=False, soft_wrap=True)
