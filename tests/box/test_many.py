"""Many runs from one process: `run_many`, its results file, and the executor beneath it."""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import sys
from concurrent import futures
from pathlib import Path

import pytest

import minibox
from minibox import BoxExecutor, HostError, Job, Limits, SpecError, run_many
from minibox.testing.leases import Core, Leases

pytestmark = pytest.mark.needs("userns")


@pytest.fixture(autouse=True)
def own_leases(tmp_path, monkeypatch):
    """Leases of this test alone: others on this machine may run boxes too."""
    monkeypatch.setenv("MINIBOX_LEASES", str(tmp_path / "leases"))
    return tmp_path / "leases"


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
            Job(["true"], colour="red"), [], ["true"]]
    with run_many(jobs) as runs:
        first, missing, large, wrong, empty, last = runs
    assert first.result.returncode == last.result.returncode == 0
    assert isinstance(missing.error, minibox.ExecError) and "/no/such/program" in str(missing.error)
    assert isinstance(large.error, SpecError) and large.error.field == "memory"
    assert isinstance(wrong.error, SpecError) and "colour" in str(wrong.error)
    assert isinstance(empty.error, SpecError) and empty.error.field == "command"
    assert [run.result for run in (missing, large, wrong, empty)] == [None] * 4


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


# ---- leases --------------------------------------------------------------------------------------

def test_each_run_has_its_cores_for_itself_and_sees_no_others():
    with run_many([["nproc"]] * 6, cores_per_run=1, text=True) as runs:
        found = list(runs)
    for run in found:
        assert len(run.lease.cpus) == int(run.result.stdout)
        assert run.result.plan.notes and str(run.lease.cpus[0]) in run.result.plan.notes


CLAIM = """
import minibox, os, sys
claim = "mkdir /claims/$0 && sleep 0.05 && rmdir /claims/$0 || echo shared"
take = "cpu=$(taskset -p $$ | sed 's/.* //'); exec sh -c '%s' $cpu" % claim
with minibox.run_many([["sh", "-c", take]] * 12, cores_per_run=1, text=True,
                      volumes=[sys.argv[1] + ":/claims"]) as runs:
    for run in runs:
        assert run.result.stdout == "" and run.result.returncode == 0, run
"""


def test_no_core_is_shared_among_processes(boxed):
    claims = boxed.scratch / "claims"
    claims.mkdir()
    os.chown(claims, boxed.uid, boxed.gid)
    environment = boxed.environment | {"MINIBOX_LEASES": str(boxed.scratch / "leases")}
    command = [*boxed.prefix, *boxed.python, "-c", CLAIM, str(claims)]
    both = [subprocess.Popen(command, env=environment, cwd="/", stderr=subprocess.PIPE, text=True)
            for _ in range(2)]
    assert [one.communicate(timeout=60)[1] for one in both] == ["", ""]


def test_no_memory_is_promised_twice(own_leases, monkeypatch):
    monkeypatch.setattr("minibox.testing.leases.available_bytes", lambda: 100 << 20)
    one, other = (Leases(str(own_leases), [Core(cpus=(0,))]) for _ in range(2))
    held = one.take(0, 60 << 20)
    monkeypatch.setattr("minibox.testing.leases.available_bytes", lambda: 40 << 20)     # it is used
    assert other.take(0, 50 << 20) is None
    more = other.take(0, 40 << 20)
    assert more.lease.memory_bytes == 40 << 20
    held.release()
    more.release()
    with pytest.raises(SpecError, match="41943040 bytes are available"):
        other.take(0, 50 << 20)


def test_the_lease_of_a_process_that_was_killed_is_free_again(own_leases):
    code = ("import sys\nfrom minibox.testing.leases import Leases\n"
            "held = Leases(sys.argv[1]).take(1, 4096)\nprint(held.lease.cpus, flush=True)\n"
            "sys.stdin.read()")
    cores = len(Leases(str(own_leases)).cores)
    holder = subprocess.Popen([sys.executable, "-c", code, str(own_leases)], text=True,
                              stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    with holder:
        assert holder.stdout.readline()
        leases = Leases(str(own_leases))
        assert leases.take(cores, 0) is None
        holder.kill()
        holder.wait()
        held = leases.take(cores, 0)
        assert len(held.lease.cpus) >= cores
        held.release()
    assert [path.name for path in own_leases.iterdir() if path.name.startswith("lease-")] == []


def test_a_directory_of_leases_that_others_may_write_is_refused(tmp_path):
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o777)
    with pytest.raises(HostError, match="not yours alone"):
        Leases(str(tmp_path / "open"))


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


def test_a_file_that_is_no_results_is_left_alone(tmp_path):
    (tmp_path / "r").write_text("dear diary\n")
    with pytest.raises(SpecError, match="line 1 is no result"):
        run_many(echo("a"), results=tmp_path / "r", resume=True)
    assert (tmp_path / "r").read_text() == "dear diary\n"


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


# ---- the executor --------------------------------------------------------------------------------

def test_a_future_has_the_result_or_the_error():
    with BoxExecutor(2, text=True) as executor:
        good = executor.submit(["echo", "1"], capture_output=True)
        bad = executor.submit(["/no/such/program"])
    assert good.result().stdout == "1\n"
    assert isinstance(bad.exception(), minibox.ExecError)


def test_map_gives_results_in_order():
    with BoxExecutor(3, capture_output=True, text=True) as executor:
        assert [one.stdout for one in executor.map(echo(1, 2, 3))] == ["1\n", "2\n", "3\n"]


def test_the_standard_librarys_waits_know_its_futures():
    with BoxExecutor(2) as executor:
        quick, slow = executor.submit(["true"]), executor.submit(["sleep", "60"])
        done, pending = futures.wait([quick, slow], return_when=futures.FIRST_COMPLETED)
        assert (done, pending) == ({quick}, {slow})
        executor.kill()
    assert isinstance(slow.exception(), futures.CancelledError)


def test_shutdown_cancels_what_waits_and_awaits_what_runs():
    executor = BoxExecutor(1)
    running, waiting = executor.submit(["sleep", "0.3"]), executor.submit(["true"])
    while not running.running():
        assert not running.done()
    executor.shutdown(cancel_futures=True)
    assert running.result().reason == "exited"
    assert waiting.cancelled()
    with pytest.raises(RuntimeError):
        executor.submit(["true"])


CARRIED = """
import multiprocessing, os, sys
from concurrent import futures

import minibox

def alike_and_wrong(executor):
    jobs = [["sh", "-c", "cat /proc/sys/kernel/random/uuid"]] * 20 + [["/no/such/program"]]
    with minibox.run_many(jobs, executor=executor, cores_per_run=1, text=True) as runs:
        *good, bad = runs
    assert len({run.result.stdout for run in good}) == 20   # none was taken for another's
    assert all(run.lease.cpus for run in good)
    assert isinstance(bad.error, minibox.ExecError) and "/no/such/program" in str(bad.error)

def processes(workers):
    spawned = multiprocessing.get_context("spawn")
    return futures.ProcessPoolExecutor(workers, mp_context=spawned)

def dask():
    from distributed import Client, LocalCluster

    with LocalCluster(n_workers=2, threads_per_worker=1, processes=True,
                      dashboard_address=None) as cluster, Client(cluster) as client:
        alike_and_wrong(client.get_executor())
        result = client.submit(minibox.run, ("echo", "1"), capture_output=True).result()
        assert result.stdout == b"1\\n"

def process_pool():
    with processes(2) as executor:
        alike_and_wrong(executor)

def killed_worker():
    jobs = [["echo", "a"], ["sleep", "0.5"], ["echo", "b"]]
    with processes(1) as executor:
        with minibox.run_many(jobs, executor=executor, results=sys.argv[2]) as runs:
            first = next(runs)
            for pid in executor._processes:
                os.kill(pid, 9)
            lost = list(runs)
    assert first.error is None and len(lost) == 2
    assert {type(run.error) for run in lost} == {minibox.HostError}
    assert "BrokenProcessPool" in str(lost[0].error)
    with minibox.run_many(jobs, results=sys.argv[2], resume=True) as runs:
        assert [(run.attempt, run.error) for run in runs] == [(2, None)] * 2
        assert runs.skipped == 1

if __name__ == "__main__":
    globals()[sys.argv[1]]()
"""


@pytest.mark.parametrize("by", ["dask", "process_pool", "killed_worker"])
def test_another_executor_carries_boxes_to_its_workers(by, tmp_path):
    """In a process of its own: multiprocessing leaves a tracker in the one that uses it. Jobs that
    are alike all run, one that cannot start is named; a killed worker's are named and resumed."""
    script = tmp_path / "carried.py"
    script.write_text(CARRIED)
    done = subprocess.run([sys.executable, str(script), by, str(tmp_path / "r")],
                          capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stderr) == (0, "")


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


# ---- the command ---------------------------------------------------------------------------------

@pytest.fixture
def many(boxed):
    """`minibox run-many` on lines of JSON, by root and by a user."""
    def run(jobs, *arguments, **options):
        path = boxed.scratch / "jobs.jsonl"
        path.write_text("".join(job if isinstance(job, str) else json.dumps(job) + "\n"
                                for job in jobs))
        options["env"] = boxed.environment | {"MINIBOX_LEASES": str(boxed.scratch / "leases")}
        return boxed.minibox("run-many", *arguments, options.pop("file", str(path)), **options)
    run.results = boxed.scratch / "results.jsonl"
    return run


def test_run_many_gives_a_line_for_each_job_in_order(many):
    done = many([{"name": "a", "argv": ["cat"], "input": "6 7"},
                 {"name": "b", "argv": ["sleep", "60"], "limits": {"walltime": 0.1}},
                 {"name": "c", "argv": ["sh", "-c", "exit 3"]}], "--cores", "1")
    assert done.returncode == 0
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert [line["name"] for line in found] == ["a", "b", "c"]
    assert [line["result"]["reason"] for line in found] == ["exited", "walltime", "exited"]
    assert found[0]["result"]["stdout"] == "6 7"
    assert found[2]["result"]["exit_status"] == 3
    assert len(found[0]["lease"]["cpus"]) >= 1
    assert "3 runs: 1 exited, 1 walltime, 1 failed" in done.stderr


def test_run_many_resumes(many):
    jobs = [{"argv": ["true"]}, {"argv": ["/no/such/program"], "name": "typo"}]
    command = "--quiet", "--results", str(many.results), "--resume"
    first, second = many(jobs, *command), many(jobs, *command)
    assert (first.returncode, second.returncode) == (1, 1)
    assert "minibox: typo: /no/such/program" in first.stderr and first.stdout == ""
    assert "1 runs: 1 error, 1 had their result" in second.stderr


def test_run_many_reads_a_pipe_and_answers_at_once(boxed):
    command = [*boxed.prefix, *boxed.python, "-m", "minibox", "run-many", "--quiet", "-"]
    environment = boxed.environment | {"MINIBOX_LEASES": str(boxed.scratch / "leases")}
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                          stderr=subprocess.PIPE, env=environment, cwd="/") as served:
        for word in ("one", "two"):
            served.stdin.write(json.dumps({"argv": ["echo", word]}) + "\n")
            served.stdin.flush()
            assert json.loads(served.stdout.readline())["result"]["stdout"] == word + "\n"
        served.stdin.close()
        assert served.wait(30) == 0


@pytest.mark.parametrize("line, said", [
    ("nonsense", "2': it is no JSON"), ("[]", "2': give an object"),
    ('{"argv": "ls"}', "job argv: 'ls': in "), ("{}", "2': it has no argv"),
    ('{"argv": ["ls"], "name": 5}', "job name: 5: in "),
    ('{"argv": ["ls"], "limits": {"memroy": "1M"}}', "did you mean memory?"),
    ('{"argv": ["ls"], "limits": {"memory": "lots"}}', "job memory: 'lots': in "),
    ('{"argv": ["ls"], "volumes": ["data:/data"]}', "job mount source: 'data': in "),
    ('{"argv": ["ls"], "env": 5}', "2': "),
    ('{"argv": ["ls"], "netwrok": "none"}', "netwrok")])
def test_a_line_that_is_no_job_is_named_before_anything_runs(many, line, said):
    done = many([{"argv": ["true"]}, line + "\n"])
    assert done.returncode == 125
    assert done.stdout == ""
    assert said in done.stderr and done.stderr.startswith("minibox: job") \
        and len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("arguments, said", [
    (("--parallel", "many"), "parallel: 'many'"), (("--tty",), "--tty is for one box"),
    (("--resume",), "resume: True: name the file"), (("--memory", "x"), "memory: 'x'"),
    (("--coers", "1"), "did you mean --cores")])
def test_options_of_run_many_are_checked(many, arguments, said):
    done = many([{"argv": ["true"]}], *arguments)
    assert (done.returncode, done.stdout) == (125, "")
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_file_that_is_not_there_is_named(many):
    done = many([], file="/no/such/file")
    assert done.returncode == 125
    assert "/no/such/file" in done.stderr and "No such file" in done.stderr


def test_ctrl_c_ends_run_many_and_all_its_boxes(boxed):
    command = [*boxed.prefix, *boxed.python, "-m", "minibox", "run-many", "--quiet", "-"]
    environment = boxed.environment | {"MINIBOX_LEASES": str(boxed.scratch / "leases")}
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                          stderr=subprocess.PIPE, env=environment, cwd="/") as served:
        served.stdin.write('{"argv": ["echo"]}\n{"argv": ["sleep", "60"]}\n')
        served.stdin.flush()
        served.stdout.readline()
        served.send_signal(signal.SIGINT)
        assert served.wait(30) == 130
        assert "Traceback" not in served.stderr.read()
