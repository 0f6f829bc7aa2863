"""The time in which something was done, without that in which all waited for the tracer."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    Interval = tuple[int, int, bool]
    """Begin, end, and whether it is one of waiting only."""


def without_waits(intervals: Sequence[Interval]) -> list[tuple[int, int]]:
    """*intervals*, in the same order, on a time line that stands still while all of them wait.

    No two moments change their order, and an interval that is none of waiting keeps its length.
    """
    busy: list[list[int]] = []
    for begin, end, _ in sorted(one for one in intervals if not one[2]):
        if busy and begin <= busy[-1][1]:
            busy[-1][1] = max(busy[-1][1], end)
        else:
            busy.append([begin, end])

    def place(moment: int) -> int:
        return sum(max(0, min(end, moment) - begin) for begin, end in busy)

    return [(place(begin), place(end)) for begin, end, _ in intervals]
