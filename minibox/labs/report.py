"""Scores as text, CSV, JUnit XML and Gradescope's results.json."""

from __future__ import annotations

import csv
import io
import json
import xml.etree.ElementTree as ET
from typing import TYPE_CHECKING, Any

from minibox.errors import visible
from minibox.labs.finding import HOLDS, LEAKS, UNGRADABLE
from minibox.record import as_dict

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from minibox.labs.finding import Finding
    from minibox.labs.grader import Score
    from minibox.labs.lab import Lab

WORDS = {HOLDS: "holds", LEAKS: "LEAKS", UNGRADABLE: "not gradable here"}


def lines_of(finding: Finding) -> Iterator[str]:
    """One finding, for people."""
    earned = finding.points if finding.state == HOLDS else 0
    count = "-" if finding.state == UNGRADABLE else f"{earned}/{finding.points}"
    yield f"{WORDS[finding.state]:18}{count:>5}  {finding.check}: {finding.claim}"
    if finding.evidence:
        yield f"{'':25}{'seen' if finding.state == HOLDS else finding.reason}: " \
              f"{visible(finding.evidence)}"
    if finding.hint:
        yield f"{'':25}hint: {finding.hint}"


def summary(score: Score) -> str:
    """What it came to, in one line."""
    judged = sum(one.state != UNGRADABLE for one in score.findings)
    text = f"{score.held} of {judged} checks hold, {score.points} of {score.of} points"
    if score.ungradable:
        text += (f"; {len(score.findings) - judged} checks ({score.ungradable} points) are not "
                 "gradable here")
    return text


def to_csv(scores: Iterable[Score], lab: Lab) -> str:
    """One row for each submission, one column for each check."""
    checks = [check.id for check in lab.checks]
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(["submission", "points", "of", "not gradable", "seconds", *checks])
    for score in scores:
        states = {one.check: one.state if one.state != LEAKS else one.reason
                  for one in score.findings}
        table.writerow([_plain(score.submission), score.points, score.of, score.ungradable,
                        round(score.seconds, 2), *(states.get(name, "") for name in checks)])
    return text.getvalue()


def _plain(name: str) -> str:
    """A name that no spreadsheet takes for a formula."""
    return f"'{name}" if name[:1] in ("=", "+", "-", "@") else name


def to_junit(scores: Iterable[Score], lab: Lab) -> str:
    """JUnit XML: a suite for each submission, a case for each check."""
    root = ET.Element("testsuites", name=f"minibox lab {lab.number}")
    for score in scores:
        count = {state: sum(one.state == state for one in score.findings) for state in WORDS}
        suite = ET.SubElement(root, "testsuite", name=_legal(score.submission),
                              tests=str(len(score.findings)), failures=str(count[LEAKS]),
                              skipped=str(count[UNGRADABLE]), time=f"{score.seconds:.3f}")
        for one in score.findings:
            case = ET.SubElement(suite, "testcase", name=one.check,
                                 classname=f"{lab.name}.{_legal(score.submission)}")
            if one.state == LEAKS:
                ET.SubElement(case, "failure", type=one.reason,
                              message=_legal(one.evidence)).text = _legal(one.hint)
            elif one.state == UNGRADABLE:
                ET.SubElement(case, "skipped", message=_legal(one.evidence))
    ET.indent(root)
    return ET.tostring(root, encoding="unicode") + "\n"


def _legal(text: str) -> str:
    """*text* without what XML may not have."""
    return visible(text).encode("utf-8", "replace").decode()


def to_gradescope(score: Score) -> str:
    """The results.json that Gradescope reads (its "autograder specifications")."""
    tests: list[dict[str, Any]] = []
    for one in score.findings:
        judged = one.state != UNGRADABLE
        output = visible(f"{one.reason}: {one.evidence}" if one.state != HOLDS else one.evidence)
        tests.append({
            "name": f"{one.check}: {one.claim}", "output": f"{output}\n{one.hint}".strip(),
            "score": one.points if one.state == HOLDS else 0,
            "max_score": one.points if judged else 0,
            "status": "passed" if one.state == HOLDS else "failed", "visibility": "visible"})
    return json.dumps({"score": score.points, "execution_time": round(score.seconds, 2),
                       "output": summary(score), "tests": tests}, indent=2) + "\n"


def to_dict(score: Score) -> dict[str, Any]:
    """As a line of the results of a class has it."""
    return as_dict(score) | {"findings": [as_dict(one) for one in score.findings],
                             "points": score.points, "of": score.of}
