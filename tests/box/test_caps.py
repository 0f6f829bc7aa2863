"""A cap that was asked for is in force; what hits it gets the right verdict, and only that."""

from __future__ import annotations

import os
import statistics
import time

import pytest

pytestmark = pytest.mark.needs("userns")

HOG = "import sys; held = []\nwhile True: held.append(bytearray(1 << 20))"


@pytest.fixture
def capped(boxed, request):
    """A caller whose cgroups can be used: root, or a user with a delegated subtree."""
    if boxed.name == "user":
        request.getfixturevalue("delegated")
    return boxed


@pytest.mark.needs("cgroup.memory")
def test_a_memory_hog_is_reported_as_memory_not_signal(capped):
    done = capped("-m", "32M", "--", "python3", "-c", HOG)
    assert (done.reason, done.status) == ("memory", 137), done
    assert 24 << 20 <= done.result["usage"]["memory_peak_bytes"] <= 33 << 20
    receipt = done.receipt("memory")
    assert (receipt["asked"], receipt["in_force"]) == (32 << 20, 32 << 20), receipt


@pytest.mark.needs("cgroup.memory")
def test_tmpfs_counts_as_memory(capped):
    done = capped("-m", "32M", "--", "/bin/sh", "-c", "head -c 100000000 /dev/zero >/tmp/full")
    assert (done.reason, done.status) == ("memory", 137), done


@pytest.mark.needs("cgroup.memory")
def test_a_memory_hog_in_a_child_ends_the_whole_box(capped):
    done = capped("-m", "32M", "--timeout", "60", "--", "/bin/sh", "-c",
                  f"python3 -c '{HOG}'; sleep 50; echo survived")
    assert done.reason == "memory" and "survived" not in done.out, done


@pytest.mark.needs("cgroup.memory")
def test_a_box_within_its_memory_simply_exits(capped):
    done = capped("-m", "64M", "--", "python3", "-c", "held = bytearray(8 << 20)")
    assert (done.reason, done.status) == ("exited", 0), done
    assert done.result["usage"]["memory_peak_bytes"] >= 8 << 20


@pytest.mark.needs("cgroup.pids")
@pytest.mark.parametrize("limit", [1, 5, 20])
def test_the_pids_cap_is_exact(capped, limit):
    """So many processes and no more, the first one counted and init not."""
    script = ("import os, time\nmade = 1\ntry:\n"
              "    while os.fork(): made += 1\n    time.sleep(60)\nexcept OSError: print(made)")
    done = capped("--pids-limit", str(limit), "--timeout", "30", "--", "python3", "-c", script)
    assert (done.reason, done.out) == ("exited", f"{limit}\n"), done


def test_the_default_pids_cap_stops_a_fork_bomb(boxed):
    script = ("import os, time\nmade = 1\ntry:\n"
              "    while os.fork(): made += 1\n    time.sleep(60)\nexcept OSError: print(made)")
    done = boxed("--timeout", "60", "--", "python3", "-c", script)
    assert done.reason == "exited" and 16 <= int(done.out) <= 4096, done


@pytest.mark.needs("cgroup.cpu")
def test_the_cpu_cap_holds_over_a_second(capped):
    burn = "import time; end = time.monotonic() + 1\nwhile time.monotonic() < end: pass"
    done = capped("--cpus", "0.25", "--", "python3", "-c", burn)
    usage = done.result["usage"]
    assert done.status == 0 and usage["cpu_s"] / usage["wall_s"] < 0.40, usage


@pytest.mark.needs("cgroup.cpuset")
def test_the_cpuset_cap_is_what_the_box_sees(capped):
    cpu = min(os.sched_getaffinity(0))
    done = capped("--cpuset-cpus", str(cpu), "--", "python3", "-c",
                  "import os; print(os.sched_getaffinity(0))")
    assert done.out == f"{{{cpu}}}\n", done


def test_wall_time_ends_the_box_within_10_ms_and_is_reported(boxed):
    done = boxed("--timeout", "0.5", "--", "/bin/sleep", "60")
    assert (done.reason, done.status) == ("walltime", 124), done
    assert 0.5 <= done.result["usage"]["wall_s"] < 0.75


def test_wall_time_is_the_applications_however_long_set_up_takes(boxed):
    """Most boxes are not at exec a millisecond after their process began."""
    for _ in range(20):
        done = boxed("--timeout", "0.001", "--", "/bin/sleep", "60")
        assert (done.reason, done.result["usage"]["wall_s"] >= 0.001) == ("walltime", True), done


def test_wall_time_ends_a_process_that_ignores_every_signal(boxed):
    script = ("import signal, time\nfor n in range(1, 65):\n"
              "    try: signal.signal(n, signal.SIG_IGN)\n    except (OSError, ValueError): pass\n"
              "time.sleep(60)")
    start = time.monotonic()
    done = boxed("--timeout", "1", "--", "python3", "-c", script)
    assert done.reason == "walltime" and time.monotonic() - start < 10


@pytest.mark.needs("cgroup.cpu")
@pytest.mark.parametrize("timeout", [0.15, 0.25])
def test_wall_time_ends_a_box_that_has_used_up_its_share_of_cpu(capped, timeout):
    """It would get its next 10 ms only when the next period of 100 ms begins; median of 5, as
    others may keep this machine busy."""
    usages = []
    for _ in range(5):
        done = capped("--cpus", "0.1", "--timeout", str(timeout), "--", "/bin/sh", "-c",
                      "while :; do :; done")
        assert (done.reason, done.receipt("cpus")["in_force"]) == ("walltime", 0.1), done
        usages.append(done.result["usage"])
    assert statistics.median(one["throttled_s"] for one in usages) > 0.05, usages
    assert statistics.median(one["wall_s"] for one in usages) - timeout < 0.02, usages


def test_cpu_time_is_counted_over_all_processes(boxed):
    script = "import os\nos.fork()\nwhile True: pass"
    done = boxed("--cpu-time", "0.5", "--timeout", "30", "--", "python3", "-c", script)
    assert (done.reason, done.status) == ("cputime", 124), done
    assert 0.45 <= done.result["usage"]["cpu_s"] < 1.0


UNAWAITED = """
import os, signal, time
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
while True:
    if not os.fork():
        while time.process_time() < 0.01: pass
        os._exit(0)
    try: os.wait()
    except ChildProcessError: pass
"""
"""It burns in children that the kernel reaps without adding up what they used, see times(2)."""


@pytest.mark.needs("cgroup.cpu")
def test_cpu_time_of_children_that_nobody_waits_for_counts_in_a_cgroup(capped):
    done = capped("--cgroups", "enabled", "--cpu-time", "0.3", "--timeout", "10", "--",
                  "python3", "-c", UNAWAITED)
    assert done.reason == "cputime" and done.receipt("cpu-time")["note"] == "", done
    assert 0.3 <= done.result["usage"]["cpu_s"] < 0.5


def test_a_cap_on_cpu_time_without_a_cgroup_says_what_it_does_not_see(boxed):
    done = boxed("--cgroups", "disabled", "--cpu-time", "0.3", "--timeout", "1", "--",
                 "python3", "-c", UNAWAITED)
    assert done.reason == "walltime" and done.result["usage"]["cpu_s"] < 0.3, done
    assert "SIGCHLD" in done.receipt("cpu-time")["note"]


def test_the_output_cap_keeps_the_first_bytes_and_counts_the_rest(boxed):
    done = boxed("--output-limit", "1000", "--timeout", "30", "--", "/bin/sh", "-c",
                 "while :; do echo 0123456789; done")
    assert done.reason == "output" and len(done.out) == 1000, done
    assert done.result["usage"]["stdout_bytes"] >= 1000


@pytest.mark.parametrize(("limit", "shown"), [
    ("nofile=64:128", "64"), ("core=0", "0"), ("fsize=4096", "4")])
def test_ulimits_are_set(boxed, limit, shown):
    letter = {"nofile": "n", "core": "c", "fsize": "f"}[limit.split("=")[0]]
    # dash counts fsize in blocks of 512 bytes
    done = boxed("--ulimit", limit, "--", "/bin/sh", "-c", f"ulimit -S -{letter}")
    assert done.status == 0 and done.out.strip() in (shown, "8"), done


@pytest.mark.needs("cgroup.memory")
def test_a_user_without_a_subtree_is_refused_with_the_mend(user_boxed):
    done = user_boxed.minibox("run", "-m", "64M", "--", "/bin/true")
    if done.returncode == 0:
        pytest.skip("needs a host that delegates nothing to users")
    assert done.returncode == 125 and "memory" in done.stderr and "delegate" in done.stderr


def test_best_effort_says_what_is_not_in_force(user_boxed):
    done = user_boxed("--best-effort", "-m", "64M", "--cpus", "0.5", "--", "/bin/true")
    assert done.status == 0, done
    if done.receipt("cpus")["in_force"] is None:
        assert "cpus" in done.err, "a warning names it"


@pytest.mark.parametrize("size", ["-1", "1e99", "64Q", "", "nan", "0", "12MM"])
def test_a_size_that_is_none_is_refused_by_name(boxed, size):
    done = boxed.minibox("run", f"--memory={size}", "--", "/bin/true")
    assert done.returncode == 125 and "memory" in done.stderr, done
    assert "Traceback" not in done.stderr


WRITES = """
import os, time
file = os.open("/disk/file", os.O_WRONLY | os.O_CREAT | os.O_DSYNC)
os.unlink("/disk/file")
begin = time.monotonic()
for _ in range(16):
    os.write(file, bytes(1 << 18))
print(time.monotonic() - begin)
"""


@pytest.mark.needs("root", "cgroup.io")
def test_a_rate_of_the_disk_that_a_directory_is_on_holds(root_boxed):
    directory = root_boxed.scratch / "disk"
    directory.mkdir()
    options = ("-v", f"{directory}:/disk", "--", "python3", "-c", WRITES)
    free = root_boxed(*options)
    capped = root_boxed("--device-write-bps", f"{directory}:4M", *options)
    assert float(capped.out) > 0.8 > float(free.out), (free, capped)    # 4 MiB, at 4 MiB/s


def test_a_directory_that_is_on_no_disk_is_named(boxed):
    done = boxed.minibox("run", "--device-write-bps", "/proc:1M", "--", "true")
    assert done.returncode == 125 and "on no block device" in done.stderr
