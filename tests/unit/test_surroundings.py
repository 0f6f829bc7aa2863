"""What went on around a box, of files that look like the kernel's, and what is doubted for it."""

from __future__ import annotations

import os

import pytest
import reports

from minibox.plan import Plan
from minibox.record import as_dict
from minibox.result import Result, Usage
from minibox.steps import MakeCgroup, SetAffinity, WriteCgroup
from minibox.surroundings import NOTABLE, Observer, Surroundings, doubts, place

TICK_S = 1 / os.sysconf("SC_CLK_TCK")


def plan(*prepare, app=()):
    return Plan(prepare=prepare, enter=(), app=app, finish=(), notes="")


PINNED = plan(WriteCgroup(cgroup=0, file="cpuset.cpus", value="0,2"))

FILES = {
    "proc/self/cgroup": "0::/user.slice/job\n",
    "proc/self/mountinfo": "30 20 0:26 / {root}/cgroup rw - cgroup2 cgroup2 rw\n",
    "proc/stat": "cpu  9 9 9 9 9 9 9 9 9 9\n" + "".join(
        f"cpu{n} 100 10 20 5000 7 1 2 3 50 5\n" for n in range(4)) + "intr 1\n",
    "proc/vmstat": "nr_free_pages 1\npswpin 100\npswpout 200\npswpin_more 9\n",
    **{f"proc/pressure/{what}": "some avg10=9.00 avg60=0.00 avg300=0.00 total=1000\n"
       "full avg10=0.00 avg60=0.00 avg300=0.00 total=7\n" for what in ("cpu", "memory", "io")},
    "cgroup/user.slice/cpu.stat": "usage_usec 5\nnr_throttled 1\nthrottled_usec 4000\n",
    "cgroup/user.slice/job/cpu.stat": "usage_usec 5\nnr_throttled 1\nthrottled_usec 4000\n",
    "sys/devices/system/clocksource/clocksource0/current_clocksource": "tsc\n",
    **{f"sys/devices/system/cpu/cpu{n}/topology/thread_siblings_list": siblings + "\n"
       for n, siblings in enumerate(("0-1", "0-1", "2-3", "2-3"))},
    **{f"sys/devices/system/cpu/cpu{n}/thermal_throttle/{what}_throttle_count": "5\n"
       for n in range(4) for what in ("core", "package")},
    **{f"sys/devices/system/cpu/cpu{n}/cpufreq/scaling_cur_freq": f"{rate}\n"
       for n, rate in enumerate((800000, 4000000, 3000000, 800000))},
}


class Machine:
    """A directory that looks like /proc and /sys."""

    def __init__(self, root):
        self.root = root
        for name, text in FILES.items():
            self.write(name, text.replace("{root}", str(root)))

    def write(self, name, text):
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def change(self, name, old, new):
        text = (self.root / name).read_text()
        assert old in text
        self.write(name, text.replace(old, new))

    def remove(self, *names):
        for name in names:
            (self.root / name).unlink()

    def observer(self, plan=PINNED):
        return Observer(plan, proc=f"{self.root}/proc", sys=f"{self.root}/sys")


@pytest.fixture
def machine(tmp_path):
    return Machine(tmp_path)


def test_what_did_not_happen_is_0(machine):
    around = machine.observer().end()
    assert around.observed_s > 0 and around.cpus == (0, 2) and around.clock_source == "tsc"
    for name in ("busy_s", "stolen_s", "sibling_busy_s", "cpu_pressure_s", "memory_pressure_s",
                 "io_pressure_s", "throttled_s", "swapped_bytes", "overheated"):
        assert getattr(around, name) == 0, name
    assert (around.slowest_hz, around.fastest_hz) == (3_000_000_000, 3_000_000_000)


def test_each_figure_is_what_grew_in_its_own_file(machine):
    observer = machine.observer()
    machine.change("proc/stat", "cpu2 100 10 20 5000 7 1 2 3", "cpu2 107 11 22 9999 9 2 3 8")
    machine.change("proc/stat", "cpu3 100", "cpu3 104")
    for n, what in enumerate(("cpu", "memory", "io"), 1):
        machine.change(f"proc/pressure/{what}", "total=1000", f"total={1000 + n * 500_000}")
    machine.change("proc/vmstat", "pswpin 100", "pswpin 102")
    machine.change("proc/vmstat", "pswpout 200", "pswpout 201")
    machine.change("cgroup/user.slice/cpu.stat", "throttled_usec 4000", "throttled_usec 254000")
    machine.change("sys/devices/system/cpu/cpu2/thermal_throttle/core_throttle_count", "5", "7")
    machine.change("sys/devices/system/cpu/cpu2/cpufreq/scaling_cur_freq", "3000000", "2000000")
    around = observer.end()
    assert around.busy_s == pytest.approx(12 * TICK_S)
    assert around.stolen_s == pytest.approx(5 * TICK_S)
    assert around.sibling_busy_s == pytest.approx(4 * TICK_S)
    assert [around.cpu_pressure_s, around.memory_pressure_s, around.io_pressure_s] \
        == pytest.approx([0.5, 1.0, 1.5])
    assert around.swapped_bytes == 3 * os.sysconf("SC_PAGE_SIZE")
    assert around.throttled_s == pytest.approx(0.25) and around.overheated == 2
    assert (around.slowest_hz, around.fastest_hz) == (2_000_000_000, 3_000_000_000)


def test_what_a_machine_does_not_tell_is_none_and_not_doubted(machine):
    for name in FILES:
        if name != "proc/self/mountinfo":
            machine.remove(name)
    around = machine.observer().end()
    given = as_dict(around)
    assert [name for name, value in given.items() if value is not None] \
        == ["observed_s", "cpus", "suspended_s"]
    assert doubts(around, reports.result().usage) == ()


def test_all_cgroups_around_the_box_are_watched_and_not_its_own(machine):
    top = f"{machine.root}/cgroup"
    machine.write("cgroup/cpu.stat", "usage_usec 5\n")
    for parents, watched in (
            ((f"{top}/user.slice",), [f"{top}/user.slice", top]), ((top,), [top]),
            (("/elsewhere", top + "-like"), [f"{top}/user.slice/job", f"{top}/user.slice", top]),
            ((), [f"{top}/user.slice/job", f"{top}/user.slice", top])):
        asked = plan(*(MakeCgroup(cgroup=0, parent=parent) for parent in parents))
        at = place(asked, f"{machine.root}/proc", f"{machine.root}/sys")
        assert at.throttles == tuple(f"{directory}/cpu.stat" for directory in watched), parents


def test_throttling_is_read_on_v1_as_well(machine):
    machine.write("proc/self/cgroup", "2:cpu,cpuacct:/job\n")
    machine.write("proc/self/mountinfo",
                  f"30 20 0:26 / {machine.root}/v1 rw - cgroup cgroup rw,cpu,cpuacct\n")
    machine.write("v1/job/cpu.stat", "nr_periods 5\nnr_throttled 1\nthrottled_time 1000\n")
    observer = machine.observer()
    machine.change("v1/job/cpu.stat", "throttled_time 1000", "throttled_time 500001000")
    assert observer.end().throttled_s == pytest.approx(0.5)


@pytest.mark.parametrize(("asked", "cpus"), [
    (PINNED, (0, 2)), (plan(app=(SetAffinity(cpus=(1,)),)), (1,)),
    (plan(), tuple(sorted(os.sched_getaffinity(0))))])
def test_a_box_is_watched_where_it_may_run(asked, cpus):
    assert place(asked).cpus == cpus


def usage(**given):
    return Usage(**dict.fromkeys(Usage.__fields__) | {"cpu_s": 1.0, "measured_by": {}} | given)


def around(**given):
    """Of a box that had a CPU for itself for a second."""
    return Surroundings(**{"observed_s": 1.0, "cpus": (0,), "busy_s": 1.0, "stolen_s": 0.0,
                           "sibling_busy_s": 0.0, "cpu_pressure_s": 0.0, "memory_pressure_s": 0.0,
                           "io_pressure_s": 0.0, "throttled_s": 0.0, "swapped_bytes": 0,
                           "overheated": 0, "suspended_s": 0.0, "slowest_hz": 3_000_000_000,
                           "fastest_hz": 3_000_000_000, "clock_source": "tsc"} | given)


V2 = {"cpu_pressure_s": 0.0, "memory_pressure_s": 0.0, "io_pressure_s": 0.0}


@pytest.mark.parametrize(("seen", "used", "said"), [
    ({"throttled_s": 0.01}, {}, "the CPU cap of a cgroup around the box held it back for 0.01 s"),
    ({"busy_s": 1.5, "cpu_pressure_s": 0.4}, {},
     "others used 0.5 s of its CPUs, and it may have waited for them"),
    ({"busy_s": 1.5}, V2 | {"cpu_pressure_s": 0.4},
     "others used 0.5 s of its CPUs, and it may have waited for them"),
    ({"busy_s": 1.0, "cpu_pressure_s": None}, {"cpu_s": 0.5},
     "others used 0.5 s of its CPUs, and it may have waited for them"),
    ({"sibling_busy_s": 0.5}, {},
     "others used the sibling threads of its CPUs, on the same cores, for 0.5 s"),
    ({"stolen_s": 0.5}, {}, "the hypervisor gave 0.5 s of its CPUs to others"),
    ({"memory_pressure_s": 0.5}, {}, "some process waited for memory for 0.5 s"),
    ({"io_pressure_s": 0.5}, V2, "a process outside the box waited for IO for 0.5 s"),
    ({"swapped_bytes": 1 << 20}, {}, "the machine swapped 1 MiB in or out"),
    ({"overheated": 2}, {}, "its CPUs slowed down for heat (2 times)"),
    ({"suspended_s": 7.0}, {}, "the machine slept for 7 s"),
    ({"slowest_hz": 2_000_000_000}, {},
     "the clock rate of its CPUs went between 2.00 and 3.00 GHz"),
    ({"clock_source": "hpet"}, {}, "the clock source hpet takes long to read")])
def test_each_reason_for_doubt_is_one_sentence(seen, used, said):
    assert doubts(around(**seen), usage(**used)) == (said,)


@pytest.mark.parametrize(("seen", "used"), [
    ({}, {}), ({}, V2),
    # others had a CPU of their own
    ({"cpus": (0, 1), "busy_s": 1.9}, {}), ({"cpus": (0, 1), "busy_s": 1.9}, V2),
    # its own threads waited for each other
    ({"cpu_pressure_s": 0.9}, {}), ({}, V2 | {"cpu_pressure_s": 0.9}),
    # its own cap made it wait, which the kernel calls pressure as well
    ({"busy_s": 0.6}, V2 | {"cpu_s": 0.5, "throttled_s": 0.5, "cpu_pressure_s": 0.5}),
    # its own waiting
    ({"memory_pressure_s": 0.5, "io_pressure_s": 0.5},
     V2 | {"memory_pressure_s": 0.5, "io_pressure_s": 0.5}),
    # less than can be told from nothing
    ({"observed_s": 0.02, "busy_s": 0.03, "stolen_s": 0.02, "sibling_busy_s": 0.02},
     {"cpu_s": 0.01}),
    ({"slowest_hz": int(3e9 * (1 - NOTABLE / 2))}, {}),
    ({"clock_source": "kvm-clock"}, {})])
def test_what_is_the_boxs_own_doing_or_next_to_nothing_is_not_doubted(seen, used):
    assert doubts(around(**seen), usage(**used)) == ()


@pytest.mark.parametrize("field", ["swapped_bytes", "overheated"])
def test_doubts_add_up(field):
    seen = around(throttled_s=0.5, clock_source="hpet", **{field: 4096})
    assert len(doubts(seen, usage())) == 3


def test_a_result_that_nobody_looked_around_for_is_neither_reliable_nor_not():
    result = reports.result()
    assert (result.reliable, result.doubts, result.to_dict()["surroundings"]) == (None, None, None)
    looked = Result(**as_dict(result) | {"surroundings": around()})
    assert (looked.reliable, looked.doubts) == (True, ())
    looked = Result(**as_dict(result) | {"surroundings": around(overheated=1, swapped_bytes=4096)})
    assert looked.reliable is False and looked.doubts and len(looked.doubts) == 2
