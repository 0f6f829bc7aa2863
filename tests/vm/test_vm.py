"""Box tests again under a Linux with cgroup v2 and nothing else, as root and as a user with a
delegated cgroup; the machine is emulated, so this is the slow part of the tests."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections.abc import Iterable
from pathlib import Path
from threading import Lock, Thread

import pytest

from minibox.labs.lab import labs

pytestmark = pytest.mark.needs("vm")

HERE = Path(__file__).parent
VM_RUN = HERE / "vm-run"
BOXES = ("box/test_caps.py", "box/test_namespaces.py", "box/test_ids.py", "box/test_filesystem.py",
         "box/test_doctor.py", "box/test_delegate.py", "box/test_walls.py", "box/test_seccomp.py",
         "box/test_probes.py", "box/test_abuse.py", "box/test_many.py", "box/test_leases.py",
         "box/test_result.py", "box/test_accuracy.py", "box/test_trace_cgroups.py",
         "box/test_explain.py", "fault")
"""Tests where the version of cgroups, or of the kernel, makes a difference."""

ALIKE = (
    "size_that_is_none", "ulimits", "ids_asked_for", "is_named", "shown", "common_programs",
    "thousand", "cache", "from_outside", "filler_of_inodes", "alone_holds", "open_on_the_host",
    "only_the_hosts_root", "changes_nothing", "hogs_of_memory", "vforked", "stops_itself",
    # emulated, a box begins and ends ten times slower: goals in ms are for a machine of its own
    "over_by_at_most_10_ms", "holds_within_30_ms", "what_the_load_used", "of_children_is_counted",
    "half_a_cpu", "used_up_its_share", "does_not_see",
    # what they show is arithmetic on locks and JSON, the same under any cgroup
    "however_long_set_up_takes", "workers_of_xdist", "tutorials_grader", "beside_a_hog",
    "do_not_know_share_cores", "words_of_benchexec",
    # strace doubles what emulation costs; the calls on cgroups stay
    "calls_that_are_explained", "explained_that_is_never", "not_explained_is_noticed",
    "those_of_a_range_of_ids")


def but(*names: str) -> str:
    """What to choose: no test that has one of these in its name, nor what is the same everywhere,
    as emulation is slow."""
    return " and ".join(f"not {name}" for name in (*names, *ALIKE))


ROOT = but("[user")
USER = but("[root")


def of_labs(test: str, caller: str, *numbers: int) -> tuple[str, ...]:
    """A test of labs, for those of these numbers; `make vm-labs` has all, and takes long."""
    return tuple(f"box/labs/{test}[{caller}-{lab.name}]" for lab in labs()
                 if lab.number in numbers)


LABS = {
    "": of_labs("test_labs.py::test_each_submission_fails_for_its_own_reason", "root", 7, 8),
    "tester": of_labs(
        "test_labs_on_v2.py::test_the_solution_holds_and_the_broken_reference_leaks", "user",
        1, 2, 4, 5, 6, 7, 8, 12)}
"""Those on cgroups, whole; others that are quick, with their references."""

EVERYWHERE = ("user", "userns", "timens", "landlock", "overlay", "subids", "delegation", "busybox",
              "cgroup.v2", "cgroup.memory", "cgroup.pids", "cgroup.cpu", "cgroup.cpuset", "psi")
"""What must be there inside, for root and for the user."""

MACHINES = {"": (ROOT, (*EVERYWHERE, "root", "idmap", "cgroup.io")), "tester": (USER, EVERYWHERE)}
"""By user, "" for root: which tests, and what must be there."""


def start(results: Path, options: Iterable[str], tests: Iterable[str],
          required: Iterable[str]) -> subprocess.Popen[str]:
    """Begin *tests*, as pytest is told, in a machine of their own, whose results come to
    *results*. options: of vm-run."""
    results.chmod(0o777)
    command = [sys.executable, "-m", "pytest", "-v", "-p", "no:cacheprovider", "--no-header",
               f"--junit-xml={results}/results.xml", *tests]
    # the temporary directories of the tests inside are the machine's own
    environment = {name: value for name, value in os.environ.items() if name != "TMPDIR"}
    return subprocess.Popen(
        [VM_RUN, "--timeout", "2000", "--share", results, *options, "--", *command],
        cwd=HERE.parents[1], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True, errors="replace",
        env=environment | {"MINIBOX_REQUIRE": ",".join(required), "ACCURACY_RUNS": "3"})


@pytest.fixture(scope="module")
def machines(request, tmp_path_factory):
    """The machines that are asked for, by user: all at once, as each keeps one CPU busy."""
    users = {item.callspec.params["user"] for item in request.session.items
             if getattr(item, "originalname", "") == "test_boxes_do_under_cgroup_v2_what_they_must"}
    capture, one_at_a_time = request.config.pluginmanager.getplugin("capturemanager"), Lock()

    def show(user: str, process: subprocess.Popen[str]) -> None:
        assert process.stdout
        for line in process.stdout:                         # it takes minutes
            with one_at_a_time, capture.global_and_fixture_disabled():
                print(f"{user or 'root'}: {line}", end="", flush=True)

    with contextlib.ExitStack() as stack:
        begun = {}
        for user in users:
            results = tmp_path_factory.mktemp("shared")
            chosen, required = MACHINES[user]
            tests = ["-k", chosen, *(f"tests/{name}" for name in (*BOXES, *LABS[user]))]
            process = stack.enter_context(
                start(results, ["--user", user] if user else [], tests, required))
            reader = Thread(target=show, args=(user, process))
            reader.start()
            stack.callback(reader.join)
            stack.callback(process.terminate)
            begun[user] = process, results
        yield begun


@pytest.mark.parametrize("user", MACHINES, ids=lambda user: user or "root")
def test_boxes_do_under_cgroup_v2_what_they_must(user, machines):
    assert failed(*machines[user], least=51) == []


def failed(process: subprocess.Popen[str], results: Path, least: int) -> list[str]:
    """Which tests of a machine did, when it is over. least: how many there must be."""
    status = process.wait()
    cases = ET.parse(results / "results.xml").getroot().findall(".//testcase")
    wrong = [f"{case.get('classname')}::{case.get('name')}" for case in cases
             if case.find("failure") is not None or case.find("error") is not None]
    assert wrong or (status, len(cases) >= least) == (0, True)
    return wrong


def test_where_threads_share_cores_and_memory_has_nodes_and_is_swapped(tmp_path):
    tests = ["tests/box/test_topology.py", *(f"tests/{one}" for one in of_labs(
        "test_labs_on_v2.py::test_the_solution_holds_and_the_broken_reference_leaks", "root", 7))]
    with start(tmp_path, ["--topology", "2,2,2", "--swap", "256"], tests,
               ("smt", "numa", "swap", "cgroup.v2", "cgroup.memory")) as process:
        try:
            print(process.communicate()[0])                 # shown if it fails, in any way
        finally:
            process.terminate()
        assert failed(process, tmp_path, least=9) == []


@pytest.mark.parametrize(("command", "status", "out"), [
    ("exit 7", 7, b""), ("kill -9 $$", 137, b""),
    ("stat -fc %T /sys/fs/cgroup; head -c 1000000 /dev/zero", 0, b"cgroup2fs\n" + bytes(1000000))])
def test_the_machine_hands_on_status_and_output(command, status, out):
    done = subprocess.run([VM_RUN, "--timeout", "60", "--", "sh", "-c", command],
                          stdin=subprocess.DEVNULL, capture_output=True)
    assert (done.returncode, done.stdout) == (status, out), done.stderr


def test_a_machine_that_takes_too_long_is_ended():
    done = subprocess.run([VM_RUN, "--timeout", "6", "--", "sleep", "60"], stdin=subprocess.DEVNULL,
                          capture_output=True)
    assert done.returncode == 124 and b"its time over" in done.stderr
