"""Each lab on its solution, on what is broken, and on what students hand in.

A file in wrong/LAB stands for a solution in which one file is replaced; its head says which, and
all that fails then, a check and a reason each:

    # file: box.py
    # fails: root-inside not-root
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from minibox import probe
from minibox.labs.classes import read_scores
from minibox.labs.finding import HOLDS, LEAKS, UNGRADABLE
from minibox.labs.grader import Score
from minibox.labs.lab import labs
from minibox.labs.observe import Subject, descendants, witnesses

WRONG = Path(__file__).with_name("wrong")

LABS = pytest.mark.parametrize("lab", labs(), ids=lambda lab: lab.name)


def expected(path: Path) -> tuple[str, set[tuple[str, str]]]:
    """Which file it replaces, and what fails."""
    text = path.read_text()
    file = re.search(r"^# file: (\S+)$", text, re.M)
    fails = re.findall(r"^# fails: (\S+) (\S+)$", text, re.M)
    assert file and fails, f"{path} does not say what it is"
    return file[1], set(fails)


def own(caller, path: Path) -> None:
    """Give *path* to the caller."""
    for one in (path, *path.rglob("*")):
        os.chown(one, caller.uid, caller.gid)


def a_class(caller, lab) -> Path:
    """The solution, the broken references and the wrong submissions, as a class hands them in."""
    where = caller.scratch / "class"
    where.mkdir()
    shutil.copytree(lab.solution, where / "solution")
    for name in {check.broken for check in lab.checks}:
        shutil.copytree(lab.folder / name, where / f"reference-{name}")
    for path in (WRONG / lab.name).glob("*.py"):
        shutil.copytree(lab.solution, where / path.stem)
        (where / path.stem / expected(path)[0]).write_bytes(path.read_bytes())
    own(caller, where)
    return where


def failed(score) -> set[tuple[str, str]]:
    return {(one.check, one.reason) for one in score.findings if one.state == LEAKS}


def graded(caller, lab) -> tuple[int, dict[str, Score]]:
    """The exit status of grading such a class, and its scores."""
    where = a_class(caller, lab)
    at_once = "2" if "cgroup.cpu" in lab.needs else "4"     # most wait more than they compute
    done = caller.minibox("lab", "grade", str(where), "--lab", str(lab.number),
                          "--parallel", at_once, timeout=1800)     # emulated
    assert done.returncode in (1, 2), done.stderr
    return done.returncode, {one.submission: one for one in read_scores(where / "results.jsonl")}


def hold_and_fail_as_they_must(lab, scores: dict[str, Score], cgroups: bool = True) -> None:
    """cgroups: whether there are any; else what needs them is judged by nobody, with the mend."""
    lacking = {one.check for one in scores["solution"].findings if one.state == UNGRADABLE}
    assert all("delegate" in one.evidence and not cgroups for one in scores["solution"].findings
               if one.state == UNGRADABLE), scores["solution"].findings
    assert {one.state for score in scores.values() for one in score.findings
            if one.check in lacking} <= {UNGRADABLE}
    assert {one.state for one in scores["solution"].findings} <= {HOLDS, UNGRADABLE}
    for check in lab.checks:
        found = scores[f"reference-{check.broken}"].findings
        states = [one.state for one in found if one.check == check.id]
        assert states == [UNGRADABLE if check.id in lacking else LEAKS]
    for path in (WRONG / lab.name).glob("*.py"):
        fails = {one for one in expected(path)[1] if one[0] not in lacking}
        assert failed(scores[path.stem]) == fails, (path.stem, scores[path.stem].findings)


@LABS
def test_each_submission_fails_for_its_own_reason(boxed, lab):
    _, scores = graded(boxed, lab)
    own_cgroups = boxed.name == "root" or os.geteuid() != 0
    hold_and_fail_as_they_must(lab, scores, cgroups=own_cgroups)


@pytest.mark.needs("delegation")
@pytest.mark.parametrize("lab", [lab for lab in labs() if lab.number in (7, 8, 12)],
                         ids=lambda lab: lab.name)
def test_a_user_to_whom_cgroups_are_delegated_is_graded_on_them(user_boxed, delegated, lab):
    hold_and_fail_as_they_must(lab, graded(user_boxed, lab)[1])


def test_what_a_witness_leaves_behind_is_no_witness():
    nonce, me = secrets.token_hex(16), os.getpid()

    def begun(*acts: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen([probe.program(), "--witness", nonce, *acts])

    def found(process: subprocess.Popen[bytes]) -> int:
        """How many witnesses there are in the end; whatever is left of them is killed."""
        left, until = [], time.monotonic() + 5
        while time.monotonic() < until and not (
                len(left) == 2 and len(witnesses(me, nonce)) < 2):
            left = [pid for pid in descendants(me) if Subject(pid).is_witness(nonce)]
        number = len(witnesses(me, nonce))
        for pid in left:
            os.kill(pid, signal.SIGKILL)
        process.wait()
        return number

    parent = begun("fork=2", "exit=0")
    parent.wait()
    assert found(parent) == 0                               # orphans, which the tests adopt
    assert found(begun("fork=1")) == 1                      # a child, beside its parent


@LABS
def test_every_leak_that_students_make_has_a_hint_of_its_own(lab):
    wrong = list((WRONG / lab.name).glob("*.py"))
    assert len(wrong) >= 3
    reasons = {reason for path in wrong for _, reason in expected(path)[1]}
    assert [reason for reason in reasons if not lab.hint(reason)] == []
    assert {check.id for check in lab.checks} >= {
        check for path in wrong for check, _ in expected(path)[1]}


@LABS
def test_a_lab_is_whole(lab):
    assert 20 <= lab.minutes <= 40 and lab.article and lab.man and lab.files
    assert (lab.folder / "starter").is_dir() and len(lab.text) > 2000
    for page in lab.man:
        assert re.fullmatch(r"[\w.-]+\([1-9]\)", page) and page.partition("(")[0] in lab.text
    assert len({check.id for check in lab.checks}) == len(lab.checks) >= 4
    assert all(check.claim and check.points > 0 for check in lab.checks)
    assert lab.hints and all(len(rows) == 3 for rows in lab.hints.values())


def test_the_labs_are_numbered_as_they_are_named():
    assert [int(lab.name[3:5]) for lab in labs()] == [lab.number for lab in labs()]
    assert len({lab.number for lab in labs()}) == len(labs())
