"""Many runs from one process: `run_many`, its results file, and the executor beneath it."""

from __future__ import annotations

import ast
import itertools
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import minibox
from minibox import Job, Limits, SpecError, run_many

pytestmark = [pytest.mark.needs("userns"), pytest.mark.usefixtures("own_leases")]


def echo(*words):
    return [["echo", str(word)] for word in words]


def stdouts(runs):
    return [run.result.stdout for run in runs]


def lines(path):
    return [json.loads(line) for line in Path(path).read_bytes().splitlines()]


# ---- order, errors, ends -------------------------------------------------------------------------

def test_runs_come_in_the_order_of_their_jobs():
    slow_first = [["sh", "-c", f"sleep 0.{9 - 2 * n}; echo {n}"] for n in range(4)]
    with run_many(slow_first, parallel=4, text=True) as runs:
        assert stdouts(runs) == ["0\n", "1\n", "2\n", "3\n"]


def test_as_completed_gives_them_as_they_end():
    jobs = [["sh", "-c", "sleep 0.5; echo slow"], ["echo", "quick"]]
    with run_many(jobs, parallel=2, text=True) as runs:
        assert stdouts(runs.as_completed()) == ["quick\n", "slow\n"]


def test_endless_jobs_are_read_as_they_are_needed():
    read = []
    jobs = (read.append(n) or ["echo", str(n)] for n in itertools.count())
    with run_many(jobs, parallel=2, text=True) as runs:
        assert stdouts(itertools.islice(runs, 5)) == [f"{n}\n" for n in range(5)]
    assert len(read) < 5 + 2 + 64 + 2


def test_a_job_that_cannot_start_is_named_and_stops_no_other():
    jobs = [["true"], ["/no/such/program"], Job(["true"], limits=Limits(memory="1000TiB")),
            Job(["true"], colour="red"), Job(["true"], limits={"memory": "64M"}), [], ["true"]]
    with run_many(jobs) as runs:
        first, missing, large, wrong, plain, empty, last = runs
    assert first.result.returncode == last.result.returncode == 0
    assert isinstance(missing.error, minibox.ExecError) and "/no/such/program" in str(missing.error)
    assert isinstance(large.error, SpecError) and large.error.field == "memory"
    assert isinstance(wrong.error, SpecError) and "colour" in str(wrong.error)
    assert isinstance(plain.error, SpecError) and plain.error.field == "limits"
    assert isinstance(empty.error, SpecError) and empty.error.field == "command"
    assert [run.result for run in (missing, large, wrong, plain, empty)] == [None] * 5


def test_an_engine_killed_with_9_is_named_and_stops_no_other():
    # The engine is the parent of the box's init, which the box sees as its own process 1.
    jobs = [["sleep", "60"], ["true"], ["true"]]
    with run_many(jobs, parallel=2) as runs:
        completed = runs.as_completed()
        assert [next(completed).result.reason for _ in range(2)] == ["exited", "exited"]
        engine, = children("minibox-engine")
        os.kill(engine, 9)
        killed = next(completed)
    assert isinstance(killed.error, minibox.EngineError) and "-9" in str(killed.error)


def children(program):
    """Our own processes that run *program*."""
    listed = subprocess.run(["ps", "-o", "pid=,comm=", "--ppid", str(os.getpid())],
                            capture_output=True, text=True).stdout.split()
    pids = dict(zip(listed[::2], listed[1::2], strict=True))
    return [int(pid) for pid, name in pids.items() if program.startswith(name)]


def test_an_error_of_the_jobs_comes_after_the_runs_that_were_started():
    def jobs():
        yield ["echo", "1"]
        raise OSError("the list of submissions is torn")

    seen = []
    with run_many(jobs(), text=True) as runs, pytest.raises(OSError, match="is torn"):
        for run in runs:
            seen.append(run.result.stdout)
    assert seen == ["1\n"]


def test_cancel_kills_what_runs_and_keeps_what_has_ended():
    with run_many([["true"], *[["sleep", "60"]] * 9], parallel=3) as runs:
        assert next(runs).result.returncode == 0
        runs.cancel()
        assert list(runs) == []
    assert children("minibox-engine") == []


def test_runs_that_are_let_go_of_are_killed():
    for run in run_many(itertools.repeat(["sleep", "0.1"]), parallel=2):
        assert run.result.reason == "exited"
        break
    del run
    assert children("minibox-engine") == []


def test_a_program_that_ends_without_waiting_ends_its_boxes():
    code = ("import minibox\nruns = minibox.run_many([['true'], ['sleep', '60']], parallel=1)\n"
            "print(next(runs).result.reason)")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30)
    assert (done.stdout, done.stderr) == ("exited\n", "")


def test_a_jobs_limits_are_on_top_of_those_of_all():
    jobs = [Job(["sh", "-c", "ulimit -n"], limits=Limits(ulimits=["nofile=99"])), ["true"]]
    with run_many(jobs, text=True, limits=Limits(walltime=7, pids=5)) as runs:
        first, _second = runs
    assert first.result.stdout == "99\n"
    caps = {receipt.cap: receipt.in_force for receipt in first.result.receipts}
    assert (caps["timeout"], caps["pids"]) == (7, 5)


@pytest.mark.parametrize("options, field", [
    ({"parallel": 0}, "parallel"), ({"parallel": "2"}, "parallel"), ({"cores_per_run": 0.5},
                                                                     "cores_per_run"),
    ({"cores_per_run": 4096}, "cores_per_run"), ({"parallel": 10**6}, "parallel"),
    ({"parallel": 4096, "cores_per_run": 1}, "parallel"), ({"resume": True}, "resume")])
def test_what_cannot_be_is_refused_before_anything_runs(options, field):
    with pytest.raises(SpecError) as refused:
        run_many(iter([["true"]]), **options)
    assert refused.value.field == field


# ---- the results file ----------------------------------------------------------------------------

def test_results_are_lines_of_json(tmp_path):
    with run_many(echo("a", "b"), text=True, results=tmp_path / "r") as runs:
        assert len(list(runs)) == 2
    found = lines(tmp_path / "r")
    assert sorted(line["result"]["stdout"] for line in found) == ["a\n", "b\n"]
    assert found[0]["job"]["argv"][0] == "echo" and found[0]["error"] is None


def test_a_job_with_a_result_is_left_out_when_resumed(tmp_path):
    jobs = [Job(["echo", "a"], name="first"), ["echo", "b"], ["echo", "b"]]
    with run_many(jobs[:2], results=tmp_path / "r", text=True) as runs:
        assert stdouts(runs) == ["a\n", "b\n"]
    with run_many(jobs, results=tmp_path / "r", resume=True, text=True) as runs:
        assert stdouts(runs) == ["b\n"]
        assert runs.skipped == 2
    assert len(lines(tmp_path / "r")) == 3


def test_a_job_that_could_not_start_is_tried_again_when_resumed(tmp_path):
    program = tmp_path / "program"
    jobs = [Job(["/program"], name="it", volumes=[f"{program}:/program"])]
    for attempt, content in ((1, None), (2, "#!/bin/sh\necho now\n")):
        if content:
            program.write_text(content)
            program.chmod(0o755)
        with run_many(jobs, results=tmp_path / "r", resume=True, text=True) as runs:
            run, = runs
        assert run.attempt == attempt
        assert bool(run.error) == (content is None)
    assert run.result.stdout == "now\n"


KILLED = """
import minibox, sys
for run in minibox.run_many([["sh", "-c", "sleep 0.05; echo %d" % n] for n in range(40)],
                            parallel=2, text=True, results=sys.argv[1], resume=True):
    print(run.result.stdout, end="", flush=True)
"""


def test_after_kill_9_only_what_ran_is_run_again(tmp_path):
    path = tmp_path / "r"
    command = [sys.executable, "-c", KILLED, str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as harness:
        seen = [harness.stdout.readline() for _ in range(6)]
        harness.kill()
    kept = len(lines(path))
    assert kept >= len(seen) == 6
    again = subprocess.run(command, capture_output=True, text=True)
    assert again.stderr == ""
    assert len(again.stdout.split()) == 40 - kept
    assert {line["result"]["stdout"] for line in lines(path)} == {f"{n}\n" for n in range(40)}
    assert len(lines(path)) == 40


def test_a_torn_last_line_is_dropped_and_named(tmp_path):
    path = tmp_path / "r"
    list(run_many(echo("a", "b"), parallel=1, results=path))
    whole = path.read_bytes()
    path.write_bytes(whole[:-100])
    with pytest.warns(RuntimeWarning, match="line 2 was torn"):
        runs = run_many(echo("a", "b"), results=path, resume=True)
    with runs:
        assert [run.job.argv[1] for run in runs] == ["b"]
    assert len(lines(path)) == 2


def test_results_that_are_there_are_not_added_to_by_mistake(tmp_path):
    list(run_many(echo("a"), results=tmp_path / "r"))
    with pytest.raises(SpecError, match="it has results already"):
        run_many(echo("a"), results=tmp_path / "r")


@pytest.mark.parametrize("text", ["dear diary\n", "dear diary", '{"nam3'])
def test_a_file_that_is_no_results_is_left_alone(tmp_path, text):
    (tmp_path / "r").write_text(text)
    with pytest.raises(SpecError, match="line 1 is no result"):
        run_many(echo("a"), results=tmp_path / "r", resume=True)
    assert (tmp_path / "r").read_text() == text


def test_results_that_another_batch_writes_are_refused(tmp_path):
    with run_many([["sleep", "60"]], results=tmp_path / "r"), \
            pytest.raises(SpecError, match="another"):
        run_many(echo("a"), results=tmp_path / "r")


def test_a_name_stands_for_one_job(tmp_path):
    same = [Job(["true"], name="it"), Job(["false"], name="it")]
    with run_many(same, results=tmp_path / "r") as runs:
        first, second = runs
    assert first.error is None
    assert isinstance(second.error, SpecError) and "another job has it" in str(second.error)
    with run_many(same[1:], results=tmp_path / "r", resume=True) as runs:
        run, = runs
    assert "for another command" in str(run.error)


FULL = """
import minibox, os, sys
path, big = sys.argv[1], "x" * 10_000
jobs = [minibox.Job(["echo", big], name=str(n)) for n in range(50)]
given = []
try:
    for run in minibox.run_many(jobs, parallel=2, results=path):
        given.append(run.job.name)
except minibox.HostError as error:
    print(len(given), error)
os.unlink(path + ".ballast")
with minibox.run_many(jobs, parallel=2, results=path, resume=True) as runs:
    print(len(list(runs)), runs.skipped)
"""


def test_a_full_disk_under_the_results_is_named_and_loses_no_run(boxed):
    """On a tmpfs of its own, which ballast fills."""
    where = boxed.scratch / "small"
    where.mkdir()
    script = (f"mount -t tmpfs -o size=3m,mode=1777 small {where} && "
              f"head -c 2800k /dev/zero >{where}/r.ballast && exec \"$@\"")
    environment = boxed.environment | {"MINIBOX_LEASES": str(boxed.scratch / "leases")}
    user = () if boxed.uid == 0 else ("--user", "--map-root-user")
    done = boxed.command("unshare", *user, "--mount", "sh", "-c", script, "sh", *boxed.python, "-c",
                         FULL, f"{where}/r", env=environment)
    assert done.stderr == "", done.stderr
    first, second = done.stdout.splitlines()
    given, said = first.split(" ", 1)
    assert f"results: {where}/r: No space left on device" in said
    run_again, skipped = map(int, second.split())
    assert run_again + skipped == 50
    assert 0 < skipped <= int(given) <= skipped + 4         # what ran then was given, and not kept


# ---- thousands -----------------------------------------------------------------------------------

def resident_kib():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4


def test_ten_thousand_runs_need_no_more_memory_and_descriptors_than_one_thousand():
    with run_many(itertools.repeat(["true"], 10_000)) as runs:
        for _run in itertools.islice(runs, 1_000):
            assert _run.result.returncode == 0
        memory, count = resident_kib(), 1_000
        for _run in runs:
            assert _run.result.returncode == 0
            count += 1
            assert len(os.listdir("/proc/self/fd")) < 10 + 10 * (os.cpu_count() or 1) + 20
    assert count == 10_000
    assert resident_kib() < memory + 2048


# ---- the tutorial --------------------------------------------------------------------------------

SUBMISSIONS = {
    "anna": "a, b = map(int, input().split())\nprint(a * b)\n",
    "bob": "a, b = map(int, input().split())\nprint(a + b)\n",
    "carol": "while True: pass\n", "dave": "x = [bytearray(1 << 20) for _ in range(1 << 10)]\n",
    "erin": "import os\nwhile True: os.fork()\n",
    "frank": "print(open('/root/solution').read())\n"}


@pytest.mark.needs("cgroup.memory", "cgroup.pids")
def test_the_tutorials_grader_grades(tmp_path):
    page = (Path(__file__).parents[2] / "docs/many.md").read_text()
    grader = page.partition("```python\n")[2].partition("```")[0]
    (tmp_path / "submissions").mkdir()
    for name, program in SUBMISSIONS.items():
        (tmp_path / f"submissions/{name}.py").write_text(program)
    for _ in range(2):                                      # the second time from the file alone
        done = subprocess.run([sys.executable, "-c", grader], capture_output=True, text=True,
                              cwd=tmp_path, env=os.environ | {"PYTHONPATH": page_root()})
        assert done.stderr == ""
        assert ast.literal_eval(done.stdout) == {"right": 1, "wrong": 1, "failed": 2, "memory": 1,
                                                 "cputime": 1}


def page_root():
    return str(Path(minibox.__file__).parents[1])
