"""What a check says: it holds, or something leaks, or this machine cannot tell."""

from __future__ import annotations

from typing import TYPE_CHECKING

from minibox.record import Record

if TYPE_CHECKING:
    from collections.abc import Callable

    from minibox.labs.bench import Bench

HOLDS, LEAKS, UNGRADABLE = "holds", "leaks", "not gradable here"


class Leak(Exception):
    """What a check found wrong. reason: a word, by which the lab has its hints; evidence: what was
    seen, from outside."""

    def __init__(self, reason: str, evidence: str) -> None:
        super().__init__(f"{reason}: {evidence}")
        self.reason, self.evidence = reason, evidence


class Ungradable(Exception):
    """This machine lacks something, so that nobody can tell. mend: how to get it."""

    def __init__(self, lacks: str, mend: str) -> None:
        super().__init__(f"{lacks}: {mend}")
        self.lacks, self.mend = lacks, mend


class Check(Record):
    """One thing that a lab asks for. claim: in one sentence, what must hold; broken: which of the
    lab's broken references must leak it; judge: returns what was seen if it holds, raises Leak."""

    id: str
    claim: str
    points: int
    broken: str
    judge: Callable[[Bench], str]


class Finding(Record):
    """What came of one check. state: HOLDS, LEAKS or UNGRADABLE; reason, evidence: of a leak, or
    why it cannot be graded; hint: what to look at."""

    check: str
    claim: str
    points: int
    state: str
    reason: str = ""
    evidence: str = ""
    hint: str = ""


def check(id: str, *, points: int = 1, broken: str = "broken") -> Callable[
        [Callable[[Bench], str]], Check]:
    """Make a check of a function, whose docstring is the claim.

        @check("own-pids", points=2)
        def own_pids(bench):
            \"\"\"The command is process 1 of a PID namespace of its own.\"\"\"
    """
    def make(judge: Callable[[Bench], str]) -> Check:
        claim = " ".join((judge.__doc__ or "").split())
        return Check(id=id, claim=claim, points=points, broken=broken, judge=judge)
    return make


def expect(holds: bool, reason: str, evidence: str) -> None:
    """Leak *reason* unless it *holds*."""
    if not holds:
        raise Leak(reason, evidence)
