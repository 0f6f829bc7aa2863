"""What only some machines have: hardware threads that share a core, NUMA nodes, swap."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter, defaultdict
from itertools import combinations

import pytest

from minibox import Limits, run, run_many
from minibox.testing import Killed
from minibox.testing.leases import machine

MIB = 1 << 20


def told_by_lscpu():
    """The CPUs of each core, and the node of each CPU, as another program reads them."""
    cores, nodes = defaultdict(set), {}
    done = subprocess.run(["lscpu", "--parse=CPU,CORE,NODE"], check=True, capture_output=True,
                          text=True)
    for line in done.stdout.splitlines():
        if not line.startswith("#"):
            cpu, core, node = (int(field or 0) for field in line.split(","))
            cores[core].add(cpu)
            nodes[cpu] = node
    return list(cores.values()), nodes


@pytest.mark.needs("smt", "numa")
def test_cores_and_nodes_are_those_that_lscpu_tells():
    cores, nodes = told_by_lscpu()
    found = machine()
    assert sorted(map(sorted, cores)) == sorted(sorted(one.cpus) for one in found)
    assert {cpu: one.node for one in found for cpu in one.cpus} == nodes


APP = """
import os, time
begin = time.monotonic()
time.sleep(0.3)
print(*sorted(os.sched_getaffinity(0)), sep=",")
print(begin, time.monotonic())
"""


@pytest.mark.needs("smt", "numa")
@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.usefixtures("own_leases")
def test_runs_have_whole_cores_and_of_one_node_where_it_has_so_many(count):
    cores, nodes = told_by_lscpu()
    most = max(Counter(nodes[min(core)] for core in cores).values())
    with run_many([["/usr/bin/python3", "-c", APP]] * 6, cores_per_run=count, text=True) as runs:
        found = list(runs)
    assert [run.error for run in found] == [None] * 6
    said = [run.result.stdout.splitlines() for run in found]
    had = [(set(map(int, cpus.split(","))), *map(float, times.split())) for cpus, times in said]
    for cpus, _, _ in had:
        inside = [core for core in cores if core & cpus]
        assert len(inside) == count and set.union(*inside) == cpus
        assert count > most or len({nodes[cpu] for cpu in cpus}) == 1
    beside = [(one, other) for (one, begin, end), (other, first, last) in combinations(had, 2)
              if begin < last and first < end]
    assert all(not one & other for one, other in beside)
    assert beside or count > len(cores) // 2


BURN = "import os\nos.sched_setaffinity(0, [{}])\nprint(flush=True)\nwhile True: pass"


@pytest.fixture
def burner():
    """Starts what keeps one CPU busy."""
    started = []

    def start(cpu):
        process = subprocess.Popen([sys.executable, "-c", BURN.format(cpu)],
                                   stdout=subprocess.PIPE)
        started.append(process)
        process.stdout.readline()

    yield start
    for process in started:
        process.kill()
        process.communicate()


@pytest.mark.needs("smt")
@pytest.mark.parametrize("shares", [True, False])
def test_a_neighbour_on_the_same_core_is_told(burner, shares):
    core, *_, other = told_by_lscpu()[0]
    cpu, sibling = sorted(core)
    burner(sibling if shares else min(other))
    result = run(["sleep", "1"], limits=Limits(cpuset=str(cpu)), observe=True)
    told = [doubt for doubt in result.doubts if "sibling threads" in doubt]
    assert bool(told) == shares, result.doubts
    assert (result.surroundings.sibling_busy_s > 0.5) == shares


TOUCH = ["/bin/sh", "-c", "head -c 40000000 /dev/zero | tail -c 40000000 | wc -c"]
"""Holds 40 MB at one time: tail keeps all that it is to print."""


@pytest.mark.needs("swap", "cgroup.memory")
def test_swap_is_given_only_to_who_asks_for_it():
    assert run(TOUCH, limits=Limits(memory="24M")) == Killed("memory")
    result = run(TOUCH, limits=Limits(memory="24M", memory_swap="96M"), observe=True,
                 capture_output=True, text=True)
    assert (result.stdout, result.exit_status) == ("40000000\n", 0)
    assert result.usage.memory_peak_bytes <= 24 * MIB
    peak = result.usage.swap_peak_bytes                     # None: Linux before 6.5
    assert peak is None or 12 * MIB < peak < 72 * MIB
    assert result.surroundings.swapped_bytes > 12 * MIB
    assert any("the machine swapped" in doubt for doubt in result.doubts)
    assert not result.reliable


@pytest.mark.needs("swap", "cgroup.memory")
def test_a_cap_on_swap_holds():
    assert run(TOUCH, limits=Limits(memory="24M", memory_swap="28M")) == Killed("memory")
