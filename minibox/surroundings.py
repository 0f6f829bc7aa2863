"""What went on around a box while it ran, and whether its figures can be trusted for all that.

Two looks at what the kernel counts anyway, one before the engine starts and one when its report is
there; what grew in between is what happened.  A look reads some ten small files, 50 to 100 us.
BenchExec watches heat and swap in the same way, and calls such results unreliable.
"""

from __future__ import annotations

import os
from functools import lru_cache
from time import CLOCK_BOOTTIME, CLOCK_MONOTONIC, clock_gettime_ns, process_time

from minibox import cgroups, parse
from minibox.record import Record
from minibox.steps import MakeCgroup, SetAffinity, WriteCgroup

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from minibox.plan import Plan
    from minibox.result import Usage

    Look = dict[str, int]       # what was counted by then, by name; what cannot be read is missing

GOOD_CLOCKS = ("tsc", "kvm-clock", "xen", "hyperv_clocksource_tsc_page", "arch_sys_counter",
               "riscv_clocksource", "timebase", "tod")
"""Clock sources that a process reads in some 20 ns, without the kernel; hpet or acpi_pm take up to
microseconds, and a virtual machine's exit."""

NOTABLE = 0.05
"""The share of the time, or of the clock rate, from which on something is worth a doubt."""

TICKS_S = 0.03
"""/proc/stat counts by ticks of (mostly) 10 ms: less than this is none."""

MOST_CPUS = 64
"""The frequency of each CPU is asked for, at up to 1 ms each; of more than this not at all."""


class Surroundings(Record):
    """What was counted outside the box. Seconds and bytes; None is "not measured", never 0.

    observed_s: between the two looks, to which all else refers; a little more than wall_s, much
    more if the caller waited long for a box that had ended.  cpus: where the box might run.
    busy_s, stolen_s: CPU time of those that anybody used, the box included, and that the hypervisor
    gave to others.  sibling_busy_s: what was used of the other hardware threads of their cores.
    cpu_pressure_s, memory_pressure_s, io_pressure_s: for how long a thread of this machine, the
    box's included, waited for them (PSI).  throttled_s: how long CPU caps of the cgroups that the
    box is in, not its own, held them back.  swapped_bytes: moved to or from swap by this machine.
    overheated: how often those CPUs slowed down for heat.  suspended_s: that the machine slept.
    slowest_hz, fastest_hz: the highest clock rate of those CPUs, at the look where it was lower,
    and at the other.  clock_source: what the kernel reads the time from.
    """

    observed_s: float
    cpus: tuple[int, ...] = ()
    busy_s: float | None = None
    stolen_s: float | None = None
    sibling_busy_s: float | None = None
    cpu_pressure_s: float | None = None
    memory_pressure_s: float | None = None
    io_pressure_s: float | None = None
    throttled_s: float | None = None
    swapped_bytes: int | None = None
    overheated: int | None = None
    suspended_s: float | None = None
    slowest_hz: int | None = None
    fastest_hz: int | None = None
    clock_source: str | None = None


class Place(Record):
    """What there is to look at, which is the same for all boxes of a plan. throttles, heats: files
    of cgroups, and of CPUs; rates: files with their clock rates."""

    proc: str
    sys: str
    cpus: tuple[int, ...]
    siblings: tuple[int, ...]
    throttles: tuple[str, ...]
    heats: tuple[str, ...]
    rates: tuple[str, ...]


class Observer:
    """Looks now, and again at the `end`.

    plan: of the box that starts now; first: a look of another process at the same place.
    """

    def __init__(self, plan: Plan, first: Look | None = None, *, proc: str = "/proc",
                 sys: str = "/sys") -> None:
        self._place = place(plan, proc, sys)
        self._began_here = first is None
        self.first = look(self._place) if first is None else first

    def end(self) -> Surroundings:
        """What happened since."""
        last = look(self._place)
        if not self._began_here and "busy_ticks" in last:   # all of this process is only to tell
            last["busy_ticks"] -= int(process_time() * os.sysconf("SC_CLK_TCK"))
        return between(self._place, self.first, last)


# ---- where to look ------------------------------------------------------------------------------

def place(plan: Plan, proc: str = "/proc", sys: str = "/sys") -> Place:
    """What to look at for boxes of *plan*."""
    parents = tuple(step.parent for step in plan.prepare if isinstance(step, MakeCgroup))
    return _place(_cpus(plan), parents, cgroups.read(f"{proc}/self/cgroup"), proc, sys)


def _cpus(plan: Plan) -> tuple[int, ...]:
    """Those that the box is put on, else all that this process may use."""
    for step in plan:
        if isinstance(step, SetAffinity):
            return step.cpus
        if isinstance(step, WriteCgroup) and step.file == "cpuset.cpus":
            return parse.cpus("cpuset-cpus", step.value)
    return tuple(sorted(os.sched_getaffinity(0)))


@lru_cache(maxsize=16)
def _place(cpus: tuple[int, ...], parents: tuple[str, ...], cgroup: str, proc: str,
           sys: str) -> Place:
    each = [f"{sys}/devices/system/cpu/cpu{cpu}" for cpu in cpus]
    threads: set[int] = set()
    for cpu in each:
        if text := cgroups.read(f"{cpu}/topology/thread_siblings_list").strip():
            threads.update(parse.cpus("thread_siblings_list", text))
    rates = tuple(filter(os.path.exists, (f"{cpu}/cpufreq/scaling_cur_freq" for cpu in each)))
    return Place(
        proc=proc, sys=sys, cpus=cpus, siblings=tuple(sorted(threads - set(cpus))),
        throttles=tuple(_throttles(parents, cgroups.read(f"{proc}/self/mountinfo"), cgroup)),
        heats=tuple(path for cpu in each for name in ("core", "package")
                    if os.path.exists(path := f"{cpu}/thermal_throttle/{name}_throttle_count")),
        rates=rates if len(rates) <= MOST_CPUS else ())


def _throttles(parents: tuple[str, ...], mountinfo: str, cgroup: str) -> Iterator[str]:
    """cpu.stat of the cgroups that the box will be in, but its own, as far as they are shown."""
    for one in cgroups.hierarchies(mountinfo, cgroup):
        if one.version == 2 or "cpu" in one.controllers:
            within = f"{one.mount}/"
            directory = next((parent for parent in parents if f"{parent}/".startswith(within)),
                             one.own)
            while f"{directory}/".startswith(within):
                if os.path.exists(f"{directory}/cpu.stat"):
                    yield f"{directory}/cpu.stat"
                directory = os.path.dirname(directory)


# ---- looking ------------------------------------------------------------------------------------

def look(at: Place) -> Look:
    """What was counted by now."""
    found = {"monotonic_ns": clock_gettime_ns(CLOCK_MONOTONIC),
             "boottime_ns": clock_gettime_ns(CLOCK_BOOTTIME)}
    for what in ("cpu", "memory", "io"):
        _add(found, f"{what}_pressure_us", _first(f"{at.proc}/pressure/{what}", "total"))
    _look_at_cpus(found, at)
    vmstat = cgroups.read(f"{at.proc}/vmstat")
    for key in ("pswpin", "pswpout"):
        _add(found, "swapped_pages", _number(vmstat, f"\n{key} "))
    for path in at.throttles:
        text = cgroups.read(path)
        micro = _number(text, "\nthrottled_usec ")
        _add(found, "throttled_ns", _number(text, "\nthrottled_time ") if micro is None
             else micro * 1000)
    for path in at.heats:
        _add(found, "overheated", _number(cgroups.read(path), ""))
    rates = [rate for path in at.rates if (rate := _number(cgroups.read(path), "")) is not None]
    if rates:
        found["rate_khz"] = max(rates)
    return found


def _look_at_cpus(found: Look, at: Place) -> None:
    """Ticks of /proc/stat: user, nice, system, idle, iowait, irq, softirq, steal, and parts."""
    ours, siblings = ({f"cpu{cpu}" for cpu in cpus} for cpus in (at.cpus, at.siblings))
    for line in cgroups.lines(cgroups.read(f"{at.proc}/stat")):
        if not line.startswith("cpu"):
            break
        name, *ticks = line.split()
        if name in ours or name in siblings:
            counts = list(map(int, ticks))
            busy = sum(counts[:3]) + sum(counts[5:7])
            _add(found, "busy_ticks" if name in ours else "sibling_ticks", busy)
            if name in ours and len(counts) > 7:
                _add(found, "stolen_ticks", counts[7])


def _add(found: Look, name: str, count: int | None) -> None:
    if count is not None:
        found[name] = found.get(name, 0) + count


def _first(path: str, key: str) -> int | None:
    """Of the line "some" of a file of pressure stalls, which is the first."""
    return _number(cgroups.read(path).partition("\n")[0], f" {key}=")


def _number(text: str, key: str) -> int | None:
    """The number after *key*."""
    _, there, rest = (f"\n{text}").partition(key) if key else ("", "there", text)
    words = rest.split(None, 1)
    return int(words[0]) if there and words and words[0].isdecimal() else None


# ---- what it means ------------------------------------------------------------------------------

def between(at: Place, first: Look, last: Look) -> Surroundings:
    """What happened between two looks."""
    grown = {name: last[name] - first[name] for name in last if name in first}
    tick = 1 / os.sysconf("SC_CLK_TCK")

    def counted(name: str, unit: float) -> float | None:
        return grown[name] * unit if name in grown else None

    rates = sorted(one["rate_khz"] * 1000 for one in (first, last) if "rate_khz" in one)
    pages = grown.get("swapped_pages")
    return Surroundings(
        observed_s=grown["monotonic_ns"] / 1e9, cpus=at.cpus,
        busy_s=counted("busy_ticks", tick), stolen_s=counted("stolen_ticks", tick),
        sibling_busy_s=counted("sibling_ticks", tick),
        cpu_pressure_s=counted("cpu_pressure_us", 1e-6),
        memory_pressure_s=counted("memory_pressure_us", 1e-6),
        io_pressure_s=counted("io_pressure_us", 1e-6),
        throttled_s=counted("throttled_ns", 1e-9),
        swapped_bytes=None if pages is None else pages * os.sysconf("SC_PAGE_SIZE"),
        overheated=grown.get("overheated"),
        suspended_s=(grown["boottime_ns"] - grown["monotonic_ns"]) / 1e9,
        slowest_hz=rates[0] if len(rates) == 2 else None,
        fastest_hz=rates[1] if len(rates) == 2 else None,
        clock_source=cgroups.read(f"{at.sys}/devices/system/clocksource/clocksource0/"
                                  "current_clocksource").strip() or None)


def doubts(around: Surroundings, usage: Usage) -> tuple[str, ...]:
    """Reasons not to trust times of a box that used *usage*, in one line each."""
    return (*_of_cpus(around, usage), *_of_waiting(around, usage), *_of_the_machine(around))


def _notable(count: float | None, around: Surroundings) -> bool:
    """Are that many seconds to be taken seriously?"""
    return count is not None and count > max(NOTABLE * around.observed_s, TICKS_S)


def _of_cpus(around: Surroundings, usage: Usage) -> Iterator[str]:
    if around.throttled_s:
        yield (f"the CPU cap of a cgroup around the box held it back for "
               f"{around.throttled_s:.3g} s")
    if around.busy_s is not None and usage.cpu_s is not None:
        others = around.busy_s - usage.cpu_s
        if _notable(others, around) and _waited_for_cpus(around, usage):
            yield f"others used {others:.3g} s of its CPUs, and it may have waited for them"
    if _notable(around.sibling_busy_s, around):
        yield (f"others used the sibling threads of its CPUs, on the same cores, for "
               f"{around.sibling_busy_s:.3g} s")
    if _notable(around.stolen_s, around):
        yield f"the hypervisor gave {around.stolen_s:.3g} s of its CPUs to others"


def _waited_for_cpus(around: Surroundings, usage: Usage) -> bool:
    if usage.cpu_pressure_s is not None:        # counts what its own cap held back as well
        return _notable(usage.cpu_pressure_s - (usage.throttled_s or 0), around)
    if around.cpu_pressure_s is not None:
        return _notable(around.cpu_pressure_s, around)
    assert around.busy_s is not None
    return around.busy_s > 0.9 * around.observed_s * len(around.cpus)


def _of_waiting(around: Surroundings, usage: Usage) -> Iterator[str]:
    """Whose waiting it was is known on v2 only."""
    for what, anybody, box in (
            ("memory", around.memory_pressure_s, usage.memory_pressure_s),
            ("IO", around.io_pressure_s, usage.io_pressure_s)):
        if anybody is not None and _notable(others := anybody - (box or 0), around):
            who = "some process" if box is None else "a process outside the box"
            yield f"{who} waited for {what} for {others:.3g} s"


def _of_the_machine(around: Surroundings) -> Iterator[str]:
    from minibox.result import size

    if around.swapped_bytes:
        yield f"the machine swapped {size(around.swapped_bytes)} in or out"
    if around.overheated:
        yield f"its CPUs slowed down for heat ({around.overheated} times)"
    if around.suspended_s and around.suspended_s > 0.001:
        yield f"the machine slept for {around.suspended_s:.3g} s"
    slow, fast = around.slowest_hz, around.fastest_hz
    if slow and fast and slow < (1 - NOTABLE) * fast:
        yield f"the clock rate of its CPUs went between {slow / 1e9:.2f} and {fast / 1e9:.2f} GHz"
    if around.clock_source and around.clock_source not in GOOD_CLOCKS:
        yield f"the clock source {around.clock_source} takes long to read"
