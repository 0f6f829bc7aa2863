"""What a result says of a box is what happened, on each version of cgroups."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest

import minibox
from minibox import cgroups

pytestmark = pytest.mark.needs("userns")

SPIN = "i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done"
PRESSURES = ("cpu_pressure_s", "memory_pressure_s", "io_pressure_s")


@pytest.fixture
def capped(boxed, request):
    """A caller whose cgroups can be used: root, or a user with a delegated subtree."""
    if boxed.name == "user":
        request.getfixturevalue("delegated")
    return boxed


@pytest.mark.needs("cgroup.cpu", "cgroup.pids", "psi")
def test_waiting_for_a_cpu_is_told_as_pressure_on_v2(capped):
    """Two that want the same CPU: all the time one of them waits."""
    usage = capped("--cpuset-cpus", "0", "--", "/bin/sh", "-c",
                   f"({SPIN}) & {SPIN}; wait").result["usage"]
    assert 0.2 * usage["wall_s"] <= usage["cpu_pressure_s"] <= usage["wall_s"], usage
    assert usage["memory_pressure_s"] is not None and usage["io_pressure_s"] is not None, usage
    assert [usage["measured_by"][name] for name in PRESSURES] == [
        f"cgroup {what}.pressure some total" for what in ("cpu", "memory", "io")]


def test_what_no_cgroup_counted_is_not_measured(boxed):
    usage = boxed("--cgroups", "disabled", "--", "/bin/true").result["usage"]
    for name in (*PRESSURES, "memory_peak_bytes", "swap_peak_bytes", "pids_peak", "throttled_s"):
        assert usage[name] is None and name not in usage["measured_by"], name


@pytest.mark.needs("cgroup.memory", "cgroup.cpu", "cgroup.pids")
def test_every_figure_has_its_source_and_nothing_else_has(capped):
    done = capped("-m", "64M", "--cpus", "1", "--pids-limit", "9", "--output-limit", "1M", "--",
                  "/bin/echo", "said")
    usage = done.result["usage"]
    sources = usage.pop("measured_by")
    assert {name for name, value in usage.items() if value is not None} == sources.keys()
    assert all(sources[name].startswith("cgroup ") for name in (
        "cpu_s", "cpu_user_s", "cpu_system_s", "throttled_s", "memory_peak_bytes", "pids_peak")), \
        sources
    assert all(sources.values())


@pytest.fixture
def on_disk():
    """A directory on a disk, where there is one."""
    for parent in ("/tmp", "/var/tmp"):
        if subprocess.check_output(["stat", "-f", "-c", "%T", parent], text=True) != "tmpfs\n":
            with tempfile.TemporaryDirectory(dir=parent) as directory:
                yield Path(directory)
            return
    pytest.skip("temporary files lie in memory here")


@pytest.mark.needs("root", "cgroup.io")
def test_a_box_without_io_used_0_bytes_of_it_and_one_with_some_as_many(root_boxed, on_disk):
    # a rate, since v1 may count none of a disk's bytes before its first one
    asked = ("--cgroups", "enabled", "--device-write-bps", f"{on_disk}:10G")
    calm = root_boxed(*asked, "--", "/bin/true").result["usage"]
    assert calm["io_write_bytes"] == 0 and calm["io_read_bytes"] is not None, calm
    (on_disk / "file").write_bytes(bytes(1 << 20))
    os.sync()
    busy = root_boxed(*asked, "-v", f"{on_disk}:/data", "--", "/bin/dd", "bs=64k",
                      "if=/data/file", "of=/data/copy", "iflag=direct", "oflag=direct")
    usage = busy.result["usage"]
    assert busy.status == 0 and 1 << 20 <= usage["io_read_bytes"] < 1 << 22, busy
    assert 1 << 20 <= usage["io_write_bytes"] < 1 << 22, usage


def test_how_long_a_box_outlived_its_cap_is_told(boxed):
    done = boxed("--timeout", "0.2", "--", "/bin/sleep", "60")
    told = done.result["evidence"]
    assert told["wall_limit_s"] == 0.2
    assert told["overshoot_s"] == pytest.approx(told["wall_s"] - 0.2) and told["overshoot_s"] >= 0


def exported(boxed, form, *arguments):
    done = boxed.minibox("run", "--result", "fd:1", "--result-format", form, *arguments)
    separator = {"benchexec": "=", "isolate": ":"}[form]
    return dict(line.split(separator, 1) for line in done.stdout.splitlines()), done.returncode


def test_a_box_has_a_result_in_the_words_of_benchexec_and_isolate(boxed):
    failing = "--", "/bin/sh", "-c", "exit 3"
    told, status = exported(boxed, "benchexec", *failing)
    assert (told["returnvalue"], status) == ("3", 3) and told["walltime"].endswith("s")
    assert float(told["cputime"][:-1]) > 0 and "terminationreason" not in told
    told, status = exported(boxed, "isolate", *failing)
    assert (told["status"], told["exitcode"], status) == ("RE", "3", 3)
    told, status = exported(boxed, "isolate", "--timeout", "0.1", "--", "/bin/sleep", "60")
    assert (told["status"], told["killed"], status) == ("TO", "1", 124)
    assert 0.1 <= float(told["time-wall"]) < 5
    told, status = exported(boxed, "benchexec", "--timeout", "0.1", "--", "/bin/sleep", "60")
    assert (told["terminationreason"], told["exitsignal"]) == ("walltime", "9")
    told, status = exported(boxed, "benchexec", "--", "/no/such/program")
    assert (told, status) == ({"terminationreason": "failed"}, 127)


@pytest.mark.parametrize(("arguments", "said"), [
    (("--result", "fd:1", "--result-format", "xml"), "use json, benchexec, isolate"),
    (("--result-format", "isolate"), "name the file by --result")])
def test_a_format_that_there_is_not_or_of_no_file_is_refused(root_boxed, arguments, said):
    done = root_boxed.minibox("run", *arguments, "--", "/bin/true")
    assert done.returncode == 125 and "result-format" in done.stderr and said in done.stderr


@pytest.fixture
def hog():
    """A process that takes all it gets of CPU 0."""
    process = subprocess.Popen(
        [sys.executable, "-c", "import os; os.sched_setaffinity(0, [0])\nwhile True: pass"])
    yield process
    process.kill()
    process.wait()


SPIN_A_WHILE = f"{SPIN}; {SPIN}; {SPIN}"


@pytest.mark.needs("root", "cgroup.cpuset", "cgroup.memory")
def test_a_box_beside_a_hog_is_not_reliable_and_says_why(root_boxed, hog):
    result = root_boxed("--observe", "--cpuset-cpus", "0", "--", "/bin/sh", "-c",
                        SPIN_A_WHILE).result
    assert result["reliable"] is False
    assert any("others used" in doubt for doubt in result["doubts"]), result
    around, usage = result["surroundings"], result["usage"]
    assert around["cpus"] == [0] and around["observed_s"] >= usage["wall_s"]
    assert around["busy_s"] - usage["cpu_s"] > 0.3 * usage["wall_s"], result


@pytest.fixture
def throttled_caller(root_boxed):
    """A caller in a cgroup that gets a fifth of a CPU, and so do its boxes."""
    one = next(one for one in cgroups.current() if one.version == 2 or "cpu" in one.controllers)
    parent = one.own if one.version == 1 else os.path.dirname(one.own)
    outer = inner = Path(tempfile.mkdtemp(prefix="outer-", dir=parent))
    if one.version == 1:
        (outer / "cpu.cfs_quota_us").write_text("20000")
    else:
        inner = outer / "caller"
        (outer / "cpu.max").write_text("20000 100000")
        names = cgroups.available(str(outer))               # with fewer, boxes would go above it
        (outer / "cgroup.subtree_control").write_text(" ".join(f"+{name}" for name in names))
        inner.mkdir()
    enter = f'echo $$ >{inner}/cgroup.procs && exec "$@"'
    yield replace(root_boxed, prefix=("/bin/sh", "-c", enter, "sh"))
    for directory in dict.fromkeys((inner, outer)):
        directory.rmdir()


@pytest.mark.needs("root", "cgroup.memory", "cgroup.cpu")
def test_a_box_below_a_cgroup_with_a_cap_is_not_reliable(throttled_caller):
    result = throttled_caller("--observe", "-m", "64M", "--", "/bin/sh", "-c", SPIN).result
    assert any("cgroup around the box" in doubt for doubt in result["doubts"]), result


def test_python_observes_on_request_only(boxed):
    program = ("import minibox, sys; quiet = minibox.run(['true']); "
               "seen = minibox.run(['true'], observe=True); "
               "print(quiet.reliable, quiet.surroundings, type(seen.reliable).__name__, "
               "seen.surroundings.observed_s >= seen.usage.wall_s)")
    done = boxed.command(*boxed.python, "-c", program)
    assert done.stdout.split() == ["None", "None", "bool", "True"], done


def test_doubts_are_told_on_stderr_where_no_file_gets_them(boxed):
    """A machine that is always in doubt would say so each time, one that is sure never."""
    done = boxed.minibox("run", "--observe", "--", "/bin/sh", "-c", "echo out; exit 4")
    assert (done.stdout, done.returncode) == ("out\n", 4)
    assert all(line.startswith("minibox: not reliable: ") for line in done.stderr.splitlines())


@pytest.mark.needs("root")
def test_many_runs_are_observed_unless_they_are_not_to_be(root_boxed, tmp_path):
    jobs = tmp_path / "jobs.jsonl"
    jobs.write_text('{"name": "seen", "argv": ["true"]}\n'
                    '{"name": "not", "argv": ["true"], "observe": false}\n')
    done = root_boxed.minibox("run-many", "--quiet", "--results", str(tmp_path / "runs"), str(jobs))
    assert done.returncode == 0, done
    found = {run.name: run.result for run in minibox.load_runs(tmp_path / "runs")}
    assert found["seen"].reliable in (True, False) and found["seen"].surroundings.observed_s > 0
    assert found["not"].reliable is None and found["not"].surroundings is None
