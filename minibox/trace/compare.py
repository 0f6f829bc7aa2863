"""Two traces beside each other: steps of only one, times, and what they changed otherwise."""

from __future__ import annotations

import os
import re
from difflib import SequenceMatcher

from minibox.errors import visible
from minibox.trace import words
from minibox.trace.text import INDENT, duration, failure

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from minibox.trace.record import Trace, Traced

    Pair = tuple[Traced | None, Traced | None]

CHANCE = re.compile(r"(?<=\[)\d+(?=\])|(?<=minibox-)[0-9a-f]{15}|(?<=^fd )\d{1,9}$")
"""What differs from run to run: numbers of sockets, pipes and descriptors, names of cgroups."""


def compare(one: Trace, other: Trace, name: str = "A", other_name: str = "B") -> Iterator[str]:
    """For people, line by line."""
    yield visible(f"A {os.path.basename(name)}: {' '.join(one.args)}: {one.summary}")
    yield visible(f"B {os.path.basename(other_name)}: {' '.join(other.args)}: {other.summary}")
    for first, second in pairs(taken(one), taken(other)):
        yield from _beside(first, second)
    sums = [sum(step.ns or 0 for step in taken(trace) if not step.waits) for trace in (one, other)]
    yield f"{'all':>10} {duration(sums[0]):>8} {duration(sums[1]):>8} {ratio(*sums):>7}"


def taken(trace: Trace) -> list[Traced]:
    return [step for step in trace.steps if step.state != "not_reached"]


def pairs(one: Sequence[Traced], other: Sequence[Traced]) -> Iterator[Pair]:
    """The steps of both, in order; those that say the same belong together, and of the others those
    of one kind that stand at the same place."""
    matcher = SequenceMatcher(None, [*map(_key, one)], [*map(_key, other)], autojunk=False)
    for what, i1, i2, j1, j2 in matcher.get_opcodes():
        if what == "equal":
            yield from zip(one[i1:i2], other[j1:j2], strict=True)
        else:
            yield from _by_name(one[i1:i2], other[j1:j2])


def _key(step: Traced) -> tuple[str, str]:
    return step.part, step.sentence


def _by_name(one: Sequence[Traced], other: Sequence[Traced]) -> Iterator[Pair]:
    names = [(step.part, step.name) for step in one], [(step.part, step.name) for step in other]
    matcher = SequenceMatcher(None, *names, autojunk=False)
    for what, i1, i2, j1, j2 in matcher.get_opcodes():
        if what == "equal":
            yield from zip(one[i1:i2], other[j1:j2], strict=True)
        else:
            yield from ((step, None) for step in one[i1:i2])
            yield from ((None, step) for step in other[j1:j2])


def _beside(one: Traced | None, other: Traced | None) -> Iterator[str]:
    step = one or other
    assert step is not None
    times = [duration(each.ns) if each else "-" for each in (one, other)]
    if one is None or other is None:
        which, mark = ("A", "<") if one else ("B", ">")
        yield visible(f"{mark} {step.by:8} {times[0]:>8} {times[1]:>8}  only {which}  "
                      f"{step.sentence}{failure(step)}")
        return
    same = one.sentence == other.sentence and _outcome(one) == _outcome(other)
    yield visible(f"{' ' if same else '~'} {step.by:8} {times[0]:>8} {times[1]:>8} "
                  f"{ratio(one.ns, other.ns):>7}  {one.sentence}{failure(one)}")
    if not same:
        yield visible(f"{' ' * (INDENT + 32)}B: {other.sentence}{failure(other)}")
    mine, theirs = (dict.fromkeys(map(str, words.lines(plain(each)))) for each in (one, other))
    yield from (f"{' ' * INDENT}A {line}" for line in mine if line not in theirs)
    yield from (f"{' ' * INDENT}B {line}" for line in theirs if line not in mine)


def _outcome(step: Traced) -> tuple[str, str]:
    return step.state, step.errno


def plain(step: Traced) -> Traced:
    """*step* without what chance gave: a namespace is new or not, whatever its number."""
    from minibox.record import replace

    if step.changes is None:
        return step
    found = []
    for one in step.changes:
        if one.what.startswith("ns/"):
            one = replace(one, before="shared", after="new")
        elif one.what in ("NSpid", "session", "process group"):
            continue
        else:
            one = replace(one, what=_same(one.what) or "", before=_same(one.before),
                          after=_same(one.after))
        found.append(one)
    return replace(step, changes=tuple(found))


def _same(text: str | None) -> str | None:
    return None if text is None else CHANCE.sub("#", text)


def ratio(one: int | None, other: int | None) -> str:
    """How many times as long the other took."""
    return f"x{other / one:.2f}" if one and other is not None else ""
