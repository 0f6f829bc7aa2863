"""Leases of cores and memory among processes, as boxes see them."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from pathlib import Path

import pytest

from minibox import BoxExecutor, HostError, SpecError, host, run_many
from minibox.testing.leases import Core, Leases

pytestmark = [pytest.mark.needs("userns"), pytest.mark.usefixtures("own_leases")]


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
        print(run.error or run.result.stdout + run.result.stderr)
"""
"""Each run claims its CPU in a directory that all share, for a while: no two may have one."""


def claims(boxed, *leases):
    """What runs of several processes say who claim CPUs at the same time."""
    shared = boxed.scratch / "claims"
    shared.mkdir()
    os.chown(shared, boxed.uid, boxed.gid)
    command = [*boxed.prefix, *boxed.python, "-c", CLAIM, str(shared)]
    directories = [{"MINIBOX_LEASES": str(boxed.scratch / one)} for one in leases]
    started = [subprocess.Popen(command, cwd="/", stdout=subprocess.PIPE, text=True,
                                env=boxed.environment | directory) for directory in directories]
    return [one.communicate(timeout=60)[0].split("\n") for one in started]


def test_no_core_is_shared_among_processes(boxed):
    for said in claims(boxed, "leases", "leases"):
        assert said == [""] * 13


def test_leases_of_which_others_do_not_know_share_cores(boxed):
    """The same where it must fail, else it would prove nothing."""
    assert "shared" in itertools.chain(*claims(boxed, "one", "other"))


WORKERS = """
import minibox, minibox.testing.leases, pytest

@pytest.mark.parametrize("number", range(4))
def test_all_cores(number):
    cores = len(minibox.testing.leases.machine())
    claim = ["sh", "-c", "mkdir /claims/all && sleep 0.05 && rmdir /claims/all"]
    with minibox.run_many([claim] * 3, cores_per_run=cores, text=True,
                          volumes=["{claims}:/claims"]) as runs:
        assert [(run.result.exit_status, run.result.stderr) for run in runs] == [(0, "")] * 3
"""


def test_no_core_is_shared_among_workers_of_xdist(tmp_path):
    (tmp_path / "claims").mkdir()
    (tmp_path / "test_claims.py").write_text(
        WORKERS.replace("{claims}", str(tmp_path / "claims")))
    command = [sys.executable, "-m", "pytest", "-q", "-n", "2", "-c", os.devnull,
               "--rootdir", str(tmp_path), "-p", "no:cacheprovider", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=120)
    assert done.returncode == 0 and "4 passed" in done.stdout, done.stdout + done.stderr


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


@pytest.fixture
def holder(own_leases):
    """Another process, that holds all cores until it is ended."""
    code = ("import sys\nfrom minibox.testing.leases import Leases\nleases = Leases(sys.argv[1])\n"
            "held = leases.take(len(leases.cores), 4096)\nprint(held.lease.cpus, flush=True)\n"
            "sys.stdin.read()\nheld.release()")
    with subprocess.Popen([sys.executable, "-c", code, str(own_leases)], text=True,
                          stdin=subprocess.PIPE, stdout=subprocess.PIPE) as held:
        assert held.stdout.readline().startswith("(")
        yield held


@pytest.mark.parametrize("end", ["release", "kill"])
def test_a_run_waits_for_cores_that_another_process_has(holder, own_leases, end):
    leases = Leases(str(own_leases))
    assert leases.take(1, 0) is None
    leases.pass_turn()
    with BoxExecutor(cores_per_run=1) as executor:
        future = executor.submit(["true"])
        assert future.lease is None
        if end == "release":
            holder.stdin.close()
        else:
            holder.kill()
        assert future.result(timeout=30).returncode == 0
    holder.wait()
    assert [path.name for path in own_leases.iterdir() if path.name.startswith("lease-")] == []


@pytest.mark.needs("root", "cgroup.memory")
def test_the_limit_of_the_cgroup_that_we_are_in_is_all_there_is_to_promise():
    controller = host.find().controller("memory")
    group = Path(controller.parent, f"minibox-limit-{os.getpid()}")
    group.mkdir()
    try:
        name = {1: "memory.limit_in_bytes", 2: "memory.max"}[controller.version]
        (group / name).write_text(str(96 << 20))
        code = "from minibox.testing.leases import available_bytes; print(available_bytes())"
        found = subprocess.run(["sh", "-c", 'echo $$ >"$0/cgroup.procs"; exec "$@"', str(group),
                                sys.executable, "-c", code], capture_output=True, text=True)
        assert 48 << 20 < int(found.stdout) < 96 << 20
    finally:
        group.rmdir()


def test_a_directory_of_leases_that_others_may_write_is_refused(tmp_path):
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o777)
    with pytest.raises(HostError, match="not yours alone"):
        Leases(str(tmp_path / "open"))
