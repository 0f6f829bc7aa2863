"""Grade a submission: each check on the broken reference, on the solution, then on the submission.

The broken reference must leak and the solution must hold.  Else the check cannot tell one from the
other on this machine, so nobody passes it: it is "not gradable here".
"""

from __future__ import annotations

import time
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

from minibox import host
from minibox.errors import MiniboxError, SpecError
from minibox.labs.bench import Bench
from minibox.labs.finding import HOLDS, LEAKS, UNGRADABLE, Finding, Leak, Ungradable
from minibox.labs.lab import GENERAL, Lab, missing
from minibox.record import Record

if TYPE_CHECKING:
    from collections.abc import Callable

    from minibox.labs.finding import Check

USUAL_S = 0.3
"""How long a check of a solution usually takes; a machine that is slower gets more time."""

MOST_PATIENCE = 12.0

IN_VAIN = 0.5
"""How much of that time a broken reference gets: for many a leak it is waited in vain."""


class Score(Record):
    """What a submission came to. points, of: earned, and to be had here; ungradable: points of
    checks that this machine cannot judge, in neither; seconds: how long it took."""

    submission: str
    lab: int
    findings: tuple[Finding, ...]
    seconds: float

    @property
    def points(self) -> int:
        return sum(one.points for one in self.findings if one.state == HOLDS)

    @property
    def of(self) -> int:
        return sum(one.points for one in self.findings if one.state != UNGRADABLE)

    @property
    def ungradable(self) -> int:
        return sum(one.points for one in self.findings if one.state == UNGRADABLE)

    @property
    def held(self) -> int:
        return sum(one.state == HOLDS for one in self.findings)


class Reference(Record):
    """What the references of one check came to. why: the reason and mend if it cannot be graded,
    else ""; patience: how much more time this machine needs; leak: of the broken one."""

    why: str
    patience: float
    leak: Leak | None


class Grader:
    """Grades submissions of one lab; the references of each check run once for all of them."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self._known: dict[str, Reference] = {}
        self._locks = {check.id: Lock() for check in lab.checks}

    def grade(self, directory: Path, name: str = "",
              tell: Callable[[Finding], None] = lambda finding: None) -> Score:
        """Judge the submission in *directory*. tell: is called with each finding.

        Errors: SpecError where there is no submission.
        """
        began = time.monotonic()
        lacking = [file for file in self.lab.files if not (directory / file).is_file()]
        if not directory.is_dir() or len(lacking) == len(self.lab.files):
            raise SpecError("submission", str(directory),
                            f"it has none of the lab's files ({', '.join(self.lab.files)})")
        findings = []
        for check in self.lab.checks:
            findings.append(self._judge(check, directory, lacking))
            tell(findings[-1])
        return Score(submission=name or directory.name, lab=self.lab.number,
                     findings=tuple(findings), seconds=time.monotonic() - began)

    def reference(self, check: Check) -> Reference:
        """What the references of *check* do here, run once."""
        with self._locks[check.id]:
            if check.id not in self._known:
                self._known[check.id] = self._refer(check)
            return self._known[check.id]

    def _refer(self, check: Check) -> Reference:
        for need, reason, mend in missing(self.lab, host.find()):
            return Reference(why=f"{need}: {reason}. {mend}", patience=1.0, leak=None)
        try:
            began = time.monotonic()
            try:
                check.judge(Bench(self.lab, self.lab.solution, MOST_PATIENCE))
            except Leak as leak:
                return Reference(why=f"the solution itself leaks here ({leak})", patience=1.0,
                                 leak=None)
            took = time.monotonic() - began
            patience = min(max(1.0, took / USUAL_S), MOST_PATIENCE)
            try:
                check.judge(Bench(self.lab, self.lab.folder / check.broken, patience * IN_VAIN))
            except Leak as leak:
                why = (f"the broken reference does not even run here ({leak})"
                       if leak.reason in GENERAL else "")
                return Reference(why=why, patience=patience, leak=leak)
            return Reference(why="the broken reference does not leak here, so the check proves "
                             "nothing", patience=patience, leak=None)
        except Ungradable as lack:
            return Reference(why=str(lack), patience=1.0, leak=None)

    def _judge(self, check: Check, directory: Path, lacking: list[str]) -> Finding:
        known = self.reference(check)
        if known.why:
            return _finding(check, UNGRADABLE, "not-gradable", known.why)
        try:
            return _finding(check, HOLDS, "", check.judge(Bench(self.lab, directory,
                                                                known.patience)))
        except Leak as leak:
            reason, evidence = leak.reason, leak.evidence
        except Ungradable as lack:
            return _finding(check, UNGRADABLE, "not-gradable", str(lack))
        except MiniboxError as error:                       # its box could not be made
            reason, evidence = "never-ran", str(error)
        except (OSError, ValueError, LookupError) as error:
            # what it left was none of what a check can look at: that is the submission's doing,
            # since the references were looked at in the same way
            reason, evidence = "gone", f"{type(error).__name__}: {error}"
        if lacking:
            evidence = f"{evidence} (there is no {', '.join(lacking)})"
        return _finding(check, LEAKS, reason, evidence, self.lab.hint(reason))


def _finding(check: Check, state: str, reason: str, evidence: str, hint: str = "") -> Finding:
    return Finding(check=check.id, claim=check.claim, points=check.points, state=state,
                   reason=reason, evidence=evidence, hint=hint)
