"""Boxes behind concurrent.futures: an executor of boxes, and other executors that carry them."""

from __future__ import annotations

import subprocess
import sys
from concurrent import futures

import pytest

import minibox
from minibox import BoxExecutor

pytestmark = [pytest.mark.needs("userns"), pytest.mark.usefixtures("own_leases")]


def test_a_future_has_the_result_or_the_error():
    with BoxExecutor(2, text=True) as executor:
        good = executor.submit(["echo", "1"], capture_output=True)
        bad = executor.submit(["/no/such/program"])
    assert good.result().stdout == "1\n"
    assert isinstance(bad.exception(), minibox.ExecError)


def test_map_gives_results_in_order():
    with BoxExecutor(3, capture_output=True, text=True) as executor:
        found = executor.map(["echo", word] for word in "123")
        assert [one.stdout for one in found] == ["1\n", "2\n", "3\n"]


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


FEW = """
import minibox, resource
resource.setrlimit(resource.RLIMIT_NOFILE, (77, 77))
minibox.testing.leases.machine = lambda: tuple(
    minibox.testing.leases.Core(cpus=(cpu,)) for cpu in range(64))
with minibox.run_many([["true"]] * 30) as runs:
    print(sum(run.result.returncode == 0 for run in runs))
try:
    minibox.run_many([["true"]], parallel=3)
except minibox.SpecError as error:
    print(error)
"""


def test_no_more_run_at_a_time_than_there_are_descriptors_for():
    done = subprocess.run([sys.executable, "-c", "import minibox.testing.leases" + FEW],
                          capture_output=True, text=True)
    assert done.stdout.splitlines() == ["30", "parallel: 3: open files are enough for 2 boxes: "
                                        "raise RLIMIT_NOFILE (ulimit -n)"], done.stderr


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
    assert "BrokenProcessPool" in str(lost[0].error) and ".." not in str(lost[0].error)
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
