"""A trace for people: a line for each step, below it what it changed; on a terminal a waterfall."""

from __future__ import annotations

from minibox.errors import visible
from minibox.trace import words
from minibox.trace.timeline import without_waits

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import TextIO

    from minibox.trace.record import Trace, Traced

BLOCKS = " \u258f\u258e\u258d\u258c\u258b\u258a\u2589\u2588"
NARROW, INDENT = 60, 6


def show(steps: Sequence[Traced], file: TextIO) -> None:
    """The *steps* that were taken, as *file* can show them."""
    shown = [one for one in steps if one.state != "not_reached"]
    if not file.isatty():
        for one in shown:
            print(line(one), file=file)
            for text in below(one):
                print(" " * INDENT + text, file=file)
        file.flush()
        return
    from rich.console import Console
    from rich.text import Text

    console = Console(file=file, highlight=False)
    width = console.width
    bars = waterfall(shown, max(8, width // 4)) if width >= NARROW else [""] * len(shown)
    for one, bar in zip(shown, bars, strict=True):
        style = "bold red" if one.state == "failed" else "bold" if one.changes else ""
        console.print(Text(line(one, bar), style), no_wrap=True, overflow="ellipsis", crop=True)
        for text in below(one):
            console.print(Text(" " * INDENT + text, COLOURS.get(text[:2], "dim")), no_wrap=True,
                          overflow="ellipsis", crop=True)


COLOURS = {"+ ": "green", "- ": "red", "~ ": "yellow"}


def line(step: Traced, bar: str = "") -> str:
    """One step: its number, who takes it, its own time, its sentence."""
    between = f" {bar} " if bar else "  "
    return visible(f"{step.number:3} {step.by:6} {duration(step.ns):>8}{between}"
                   f"{step.sentence}{failure(step)}")


def failure(step: Traced) -> str:
    if step.state == "failed":
        return f" {step.errno}" + (f" from {step.call}" if step.call != "none" else "")
    return " (it did not end)" if step.state == "begun" else ""


def below(step: Traced) -> Iterator[str]:
    yield from map(str, words.lines(step))
    if remark := words.remark(step):
        yield f". {remark}"


def duration(ns: int | None) -> str:
    """Four places at most, with a unit."""
    if ns is None:
        return "?"
    for unit, size in (("s", 10**9), ("ms", 10**6), ("\u00b5s", 10**3)):
        if ns >= size:
            return f"{ns / size:.3g} {unit}" if ns < 1000 * size else f"{ns / size:.0f} {unit}"
    return f"{ns} ns"


def placed(steps: Sequence[Traced]) -> dict[int, tuple[int, int]]:
    """Begin and end of each step that has both, on a time line without the tracer's own time."""
    timed = [one for one in steps if one.ns is not None]
    places = without_waits([(one.begin_ns or 0, one.end_ns or 0, one.waits) for one in timed])
    return {one.number: place for one, place in zip(timed, places, strict=True)}


def waterfall(steps: Sequence[Traced], width: int) -> list[str]:
    """A bar of *width* for each step, on one time line."""
    places = placed(steps)
    first = min((begin for begin, _ in places.values()), default=0)
    whole = max((end for _, end in places.values()), default=0) - first
    bars = []
    for one in steps:
        if one.number not in places or not whole:
            bars.append(" " * width)
            continue
        begin, end = ((moment - first) * width / whole for moment in places[one.number])
        bars.append(_bar(min(int(begin), width - 1), end, width, one.waits))
    return bars


def _bar(cell: int, end: float, width: int, faint: bool) -> str:
    eighths = max(1, min(round((end - cell) * 8), (width - cell) * 8))
    full, rest = divmod(eighths, 8)
    drawn = "\u00b7" * max(1, full) if faint else "\u2588" * full + (BLOCKS[rest] if rest else "")
    return (" " * cell + drawn).ljust(width)


def summary(trace: Trace) -> str:
    """The last lines: what it was, and what making the box took."""
    setup = [one.ns for one in trace.steps
             if one.ns is not None and one.part != "finish" and not one.waits]
    what = trace.summary if trace.reason == "setup" else f"{' '.join(trace.args)}: {trace.summary}"
    return visible(f"{what}; {len(setup)} steps, {duration(sum(setup))} in all")
