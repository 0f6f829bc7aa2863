"""Which cores a run gets, on machines that are described as sysfs describes them."""

from __future__ import annotations

import pytest

from minibox.testing.leases import Core, Lease, Leases, choose, machine


@pytest.fixture
def described(tmp_path):
    """Makes a description: threads of each core, CPUs of each node."""
    def describe(siblings, nodes):
        for threads in siblings:
            for cpu in threads.split(","):
                place = tmp_path / f"cpu/cpu{cpu}/topology"
                place.mkdir(parents=True)
                (place / "thread_siblings_list").write_text(threads + "\n")
        for number, cpus in enumerate(nodes):
            (tmp_path / f"node/node{number}").mkdir(parents=True)
            (tmp_path / f"node/node{number}/cpulist").write_text(cpus + "\n")
        return str(tmp_path)
    return describe


def test_hardware_threads_of_a_core_are_leased_together(described):
    system = described(["0,2", "1,3"], ["0-3"])
    assert machine(system, range(4)) == (Core(cpus=(0, 2)), Core(cpus=(1, 3)))


def test_a_cpu_that_this_process_may_not_use_is_not_leased(described):
    system = described(["0,2", "1,3"], ["0-3"])
    assert machine(system, (0, 1, 3)) == (Core(cpus=(0,)), Core(cpus=(1, 3)))


def test_without_a_description_each_cpu_is_a_core(tmp_path):
    assert machine(str(tmp_path), (0, 5)) == (Core(cpus=(0,)), Core(cpus=(5,)))


TWO_NODES = tuple(Core(cpus=(cpu,), node=cpu // 4) for cpu in range(8))


def test_the_cores_of_one_run_come_from_one_node():
    assert choose(TWO_NODES, {0, 1}, 3) == (4, 5, 6)


def test_a_small_run_leaves_the_fuller_node_whole():
    assert choose(TWO_NODES, {4}, 1) == (5,)


def test_cores_of_two_nodes_are_better_than_none():
    assert choose(TWO_NODES, {0, 4}, 4) == (1, 2, 3, 5)


def test_a_core_is_taken_when_one_of_its_threads_is():
    cores = (Core(cpus=(0, 2)), Core(cpus=(1, 3)))
    assert choose(cores, {2}, 1) == (1, 3)
    assert choose(cores, {2}, 2) is None


@pytest.fixture
def pair(tmp_path):
    """Two who lease of the same machine, of three cores."""
    cores = tuple(Core(cpus=(cpu,)) for cpu in range(3))
    return tuple(Leases(str(tmp_path / "leases"), cores) for _ in range(2))


def test_no_core_is_leased_twice(pair):
    one, other = pair
    first, second = one.take(2, 0), other.take(1, 0)
    assert {first.lease.cpus, second.lease.cpus} == {(0, 1), (2,)}
    assert one.take(1, 0) is None
    one.pass_turn()
    first.release()
    again = other.take(2, 0)
    assert again.lease == Lease(cpus=(0, 1))
    for held in (second, again):
        held.release()


def test_who_waits_for_many_cores_is_not_passed_by_who_wants_few(pair):
    one, other = pair
    held = one.take(1, 0)
    assert other.take(3, 0) is None
    assert one.take(1, 0) is None                           # there are two, but it is not our turn
    one.pass_turn()
    held.release()
    won = other.take(3, 0)
    assert won.lease.cpus == (0, 1, 2)
    won.release()
