"""`minibox lab`: what a student and an instructor type, and what goes wrong."""

from __future__ import annotations

import csv
import json
import os
import re
import signal
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from minibox.labs.bench import Bench
from minibox.labs.lab import find

LAB = find("4")
SOLUTION = (LAB.solution / "box.py").read_text()


def submission(where: Path, caller, text: str) -> Path:
    where.mkdir(parents=True)
    (where / "box.py").write_text(text)
    for one in (where.parent, where, where / "box.py"):
        os.chown(one, caller.uid, caller.gid)
    return where


def test_a_lab_starts_with_its_text_a_picture_and_what_to_begin_with(boxed):
    where = boxed.scratch / "lab"
    done = boxed.minibox("lab", "start", "4", str(where))
    assert done.returncode == 0 and "box.py" in done.stdout, done.stderr
    assert sorted(path.name for path in where.iterdir()) == ["README.md", "box.py", "picture.svg"]
    assert ET.parse(where / "picture.svg").getroot().tag.endswith("svg")
    again = boxed.minibox("lab", "start", "4", str(where))
    assert again.returncode == 125 and "is not empty" in again.stderr


@pytest.mark.needs("vm")
def test_the_capstone_measures_boxes_beside_a_machine(boxed):
    where = boxed.scratch / "lab"
    assert boxed.minibox("lab", "start", "12", str(where)).returncode == 0
    (where / "box.py").write_text("print('not yet')")
    done = boxed.command(*boxed.python, "measure.py", "3", cwd=where)
    assert done.returncode == 1 and "nothing to measure yet" in done.stderr
    (where / "box.py").write_text((find("12").solution / "box.py").read_text())
    done = boxed.command(*boxed.python, "measure.py", "3", cwd=where)
    assert (done.returncode, done.stderr) == (0, "")
    start_ms, box_mib, start_s, machine_mib = map(float, re.search(
        r"a box, .*: median ([0-9.]+) ms of 3\n3 boxes at once: ([0-9.]+) MiB each\n"
        r"(?:a machine \(kvm\) did not boot in 20 s\n)?"
        r"a machine \((?:kvm|tcg)\), .*: ([0-9.]+) s, ([0-9]+) MiB\n$", done.stdout).groups())
    assert start_s * 1000 > 2 * start_ms > 0 and machine_mib > 3 * box_mib > 0


def test_the_course_is_listed_with_what_this_machine_lacks(boxed):
    done = boxed.minibox("lab", "list")
    assert done.returncode == 0 and LAB.title in done.stdout


def test_hints_say_more_at_each_level(boxed):
    levels = [boxed.minibox("lab", "hint", "4", "setgroups", "--level", str(n)).stdout
              for n in (1, 2, 3)]
    assert len(set(levels)) == 3 and "deny" in levels[2]
    assert "no-group" in boxed.minibox("lab", "hint", "4", "nonsense").stderr


@pytest.mark.parametrize(("words", "said"), [
    (("chek", "4"), "did you mean check"), (("check", "99"), "give one of 1 to"),
    (("check", "4", "/no/such"), "it has none of the lab's files"),
    (("grade", "/no/such", "--lab", "4"), "cannot be read"), (("grade", "/etc"), "name the lab"),
    (("check",), "see --help"), (("report", "/etc/passwd"), "is no score"),
    (("hint", "4", "--level", "7"), "from 1 to 3"), (("start", "4", "/proc/x"), "cannot be")])
def test_a_wrong_word_is_named(root_boxed, words, said):
    done = root_boxed.minibox("lab", *words)
    assert done.returncode == 125 and said in done.stderr, done.stderr
    assert "Traceback" not in done.stderr


def test_a_check_tells_in_text_junit_and_gradescopes_json(boxed):
    text = SOLUTION.replace("[(0, uid, 1)]", "[(uid, uid, 1)]")
    where = submission(boxed.scratch / "class" / "ann", boxed, text)
    junit, scope = boxed.scratch / "junit.xml", boxed.scratch / "results.json"
    done = boxed.minibox("lab", "check", "4", str(where), "--junit", str(junit),
                         "--gradescope", str(scope))
    assert done.returncode == 1, done.stderr
    assert "not-root" in done.stdout and LAB.hint("not-root") in done.stdout
    failures = ET.parse(junit).getroot().findall(".//failure")
    assert "not-root" in {one.get("type") for one in failures}
    told = json.loads(scope.read_text())
    assert told["score"] == sum(one["score"] for one in told["tests"])
    assert {one["status"] for one in told["tests"]} == {"passed", "failed"}
    assert all(set(one) >= {"name", "score", "max_score", "output"} for one in told["tests"])


HARM = {
    "hangs": "import time; time.sleep(1000)",
    "crashes": "raise RuntimeError('no')",
    "floods": "while True: print('x' * 1000, flush=True)",
    "bombs": "import os\nwhile True:\n    try: os.fork()\n    except OSError: pass",
    "hogs": "held = [bytearray(10 << 20) for _ in range(1000)]",
    "reads_the_solution": (
        "import os, sys\nfound = []\nfor top in ('/lab', '/usr', '/', '/tmp'):\n"
        "    for path, _, names in os.walk(top):\n"
        "        if 'lab04_users' in path: found.append(path)\n"
        "if found: os.execvp(sys.argv[1], sys.argv[1:])\n"),
    "unmounts_what_hides_it": (
        "import os\nfrom minibox.syscalls import *\n"
        "uid, gid = os.getuid(), os.getgid()\nunshare(CLONE_NEWUSER | CLONE_NEWNS)\n"
        "write_id_map('self', [(0, uid, 1)], [(0, gid, 1)])\n"
        "try: umount2('/lab/lib/minibox/labs', MNT_DETACH)\n"
        "except SyscallError: raise SystemExit(3)\n"
        "import sys; os.execvp(sys.argv[1], sys.argv[1:])\n"),
    "kills_everything": "import os, signal\nos.kill(-1, signal.SIGKILL)",
}


@pytest.mark.parametrize("name", HARM)
def test_one_that_does_harm_loses_its_own_points_only(boxed, name):
    where = boxed.scratch / "class"
    submission(where / "good", boxed, SOLUTION)
    submission(where / "harm", boxed, HARM[name])
    os.chown(where, boxed.uid, boxed.gid)
    table = boxed.scratch / "scores.csv"
    done = boxed.minibox("lab", "grade", str(where), "--lab", "4", "--csv", str(table), timeout=300)
    assert done.returncode == 1, done.stderr
    rows = {row["submission"]: row for row in csv.DictReader(table.read_text().splitlines())}
    assert rows["good"]["points"] == rows["good"]["of"]
    assert int(rows["harm"]["points"]) == 0, rows["harm"]


@pytest.mark.needs("cgroup.memory")                         # else it may be a hog of memory first
def test_a_fork_bomb_is_named_by_every_check(root_boxed):
    where = submission(root_boxed.scratch / "class" / "eve", root_boxed, HARM["bombs"])
    junit = root_boxed.scratch / "junit.xml"
    done = root_boxed.minibox("lab", "check", "4", str(where), "--junit", str(junit), timeout=300)
    failures = ET.parse(junit).getroot().findall(".//failure")
    assert [one.get("type") for one in failures] == ["fork-bomb"] * len(LAB.checks), done.stdout
    assert LAB.hint("fork-bomb") in done.stdout


TWO_BURNERS = """
import os, time
os.fork()
end = time.monotonic() + 1
while time.monotonic() < end: pass
"""


@pytest.mark.needs("cgroup.cpu")
def test_a_submission_has_one_cpu(root_boxed):
    where = submission(root_boxed.scratch / "class" / "eve", root_boxed, TWO_BURNERS)
    with Bench(LAB, where).run("box.py") as session:
        done = session.end()
    assert (done.returncode, done.stdout) == (0, "")
    assert done.usage.cpu_s / done.usage.wall_s < 1.2


FORGED = """
import os, re, sys
with open(f"/proc/{os.getppid()}/cmdline") as file:
    nonce = re.search("--witness ([0-9a-f]+) read=", file.read())[1]
os.execv("/lab/bin/witness", ["witness", "--witness", nonce, "read=/status/5"])
"""


def test_nobody_else_tells_how_a_submission_ended(root_boxed):
    lab = find("3")
    where = submission(root_boxed.scratch / "class" / "eve", root_boxed, FORGED)
    done = root_boxed.minibox("lab", "check", "3", str(where))
    assert done.returncode == 1 and "0 of 7 checks hold" in done.stdout, done.stdout
    assert lab.hint("forged") in done.stdout


def test_what_is_graded_is_not_graded_again_until_it_changes(root_boxed):
    where = root_boxed.scratch / "class"
    for name in ("ann", "bob"):
        submission(where / name, root_boxed, SOLUTION)
    first = root_boxed.minibox("lab", "grade", str(where), "--lab", "4")
    assert first.returncode == 0 and "graded before" not in first.stderr, first.stderr
    (where / "bob/box.py").write_text("raise SystemExit(1)\n")
    again = root_boxed.minibox("lab", "grade", str(where), "--lab", "4")
    assert again.stderr.count("graded before") == 1 and again.returncode == 1
    told = root_boxed.minibox("lab", "report", str(where / "results.jsonl"))
    assert told.returncode == 1 and "bob" in told.stdout and "never-ran" in told.stdout


def test_a_grader_that_is_killed_goes_on_where_it_was(root_boxed):
    where = root_boxed.scratch / "class"
    for number in range(6):
        submission(where / f"s{number}", root_boxed, SOLUTION)
    command = [sys.executable, "-m", "minibox", "lab", "grade", str(where), "--lab", "4",
               "--parallel", "1"]
    own = {"TMPDIR": str(root_boxed.scratch)}               # who is killed leaves his there
    process = subprocess.Popen(command, cwd="/", env=root_boxed.environment | own,
                               stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    process.stderr.readline()                               # the first has its score
    process.send_signal(signal.SIGKILL)
    process.communicate()
    done = root_boxed.minibox("lab", "grade", str(where), "--lab", "4")
    assert done.returncode == 0 and "graded before" in done.stderr, done.stderr
    assert len((where / "results.jsonl").read_text().splitlines()) == 6


def test_two_graders_do_not_write_one_file(root_boxed, tmp_path):
    import fcntl

    where = root_boxed.scratch / "class"
    submission(where / "ann", root_boxed, SOLUTION)
    with open(where / "results.jsonl", "a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        done = root_boxed.minibox("lab", "grade", str(where), "--lab", "4")
    assert done.returncode == 125 and "another process writes it" in done.stderr


def test_two_hundred_submissions_are_one_command(root_boxed):
    where = root_boxed.scratch / "class"
    for number in range(200):
        submission(where / f"student{number:03}", root_boxed, SOLUTION)
    table = root_boxed.scratch / "scores.csv"
    done = root_boxed.minibox("lab", "grade", str(where), "--lab", "4", "--csv", str(table),
                              timeout=600)
    assert done.returncode == 0, done.stderr
    rows = list(csv.DictReader(table.read_text().splitlines()))
    assert len(rows) == 200 and {row["points"] for row in rows} == {rows[0]["of"]}
