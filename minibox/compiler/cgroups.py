"""Cgroups: caps on memory, CPU, processes and devices for the box as a whole, on v1 and v2."""

from __future__ import annotations

from minibox.errors import HostError
from minibox.facts import Controller, Host
from minibox.record import Record
from minibox.spec import BoxSpec, Limits
from minibox.steps import (
    FIGURES,
    GATE_CGROUP,
    Await,
    EnterCgroup,
    MakeCgroup,
    ReadCgroup,
    Release,
    RemoveCgroup,
    SetAffinity,
    Step,
    SweepCgroups,
    UnshareCgroup,
    WatchOom,
    WriteCgroup,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from minibox.compiler.draft import Draft

    Files = list[tuple[str, str]]

PERIOD_US = 100_000
"""Over which a share of CPU is counted, the kernel's own default."""

COUNTING = ("memory", "cpuacct", "pids")
"""Controllers that a box joins as soon as it has a cgroup at all, so that its figures are exact."""

CAPS = {"memory": "memory", "cpus": "cpu", "cpuset": "cpuset", "pids": "pids", "device-rates": "io"}
"""The controller that enforces each cap, by its name on v2; v1 calls io blkio."""

RATES = ("read_bps", "write_bps", "read_iops", "write_iops")
"""Kinds of a device's rate, as a request names them."""

FILES: dict[str, dict[int, tuple[str, ...]]] = {
    "memory": {1: ("memory.limit_in_bytes",), 2: ("memory.max", "memory.oom.group")},
    "memory-swap": {1: ("memory.memsw.limit_in_bytes",), 2: ("memory.swap.max",)},
    "cpus": {1: ("cpu.cfs_period_us", "cpu.cfs_quota_us"), 2: ("cpu.max",)},
    "cpuset": {1: ("cpuset.cpus", "cpuset.mems"), 2: ("cpuset.cpus",)},
    "pids": {1: ("pids.max",), 2: ("pids.max",)},
    "device-rates": {1: tuple(f"blkio.throttle.{kind}_device" for kind in RATES), 2: ("io.max",)},
}
"""The files that are each cap, on each version."""

READINGS: dict[tuple[str, int], tuple[tuple[str, str, str, int], ...]] = {
    ("memory", 1): (("memory.max_usage_in_bytes", "", "memory_peak_bytes", 1),
                    ("memory.oom_control", "oom_kill", "oom_kills", 1)),
    ("memory", 2): (("memory.peak", "", "memory_peak_bytes", 1),
                    ("memory.events", "oom_kill", "oom_kills", 1),
                    ("memory.swap.peak", "", "swap_peak_bytes", 1)),
    ("cpuacct", 1): (("cpuacct.usage", "", "cpu_ns", 1),
                     ("cpuacct.usage_user", "", "cpu_user_ns", 1),
                     ("cpuacct.usage_sys", "", "cpu_system_ns", 1)),
    ("cpu", 1): (("cpu.stat", "throttled_time", "throttled_ns", 1),),
    ("cpu", 2): (("cpu.stat", "throttled_usec", "throttled_ns", 1000),),
    ("pids", 1): (("pids.peak", "", "pids_peak", 1), ("pids.events", "max", "pids_refused", 1)),
    ("pids", 2): (("pids.peak", "", "pids_peak", 1), ("pids.events", "max", "pids_refused", 1)),
    ("blkio", 1): (("blkio.throttle.io_service_bytes", "Read", "io_read_bytes", 1),
                   ("blkio.throttle.io_service_bytes", "Write", "io_write_bytes", 1)),
    ("io", 2): (("io.stat", "rbytes", "io_read_bytes", 1),
                ("io.stat", "wbytes", "io_write_bytes", 1)),
}
"""What each controller (and version) can tell at the end: file, key, figure, scale."""

PER_DEVICE = ("blkio.throttle.io_service_bytes", "io.stat")
"""Files with a line for each device, of which there is none where there was no IO."""

TIMES = (("cpu.stat", "usage_usec", "cpu_ns", 1000), ("cpu.stat", "user_usec", "cpu_user_ns", 1000),
         ("cpu.stat", "system_usec", "cpu_system_ns", 1000))
"""What each cgroup of v2 can tell, without any controller."""

PRESSURE = tuple((f"{what}.pressure", "some total", f"{what}_pressure_ns", 1000)
                 for what in ("cpu", "memory", "io"))
"""And this, unless the kernel was told not to count it (psi=0)."""


def readings(version: int) -> tuple[tuple[str, str, str, int], ...]:
    """All that the cgroups of this version can tell."""
    of_controllers = tuple(one for (_, of), found in READINGS.items() if of == version
                           for one in found)
    return of_controllers + (TIMES + PRESSURE if version == 2 else ())


class Groups(Record):
    """The cgroups of a box. joined: their controllers; places: (version, parent) of each, by
    register; born: the register that init is born in, -1 if it moves there later."""

    joined: tuple[Controller, ...] = ()
    places: tuple[tuple[int, str], ...] = ()
    born: int = -1

    def controller(self, name: str) -> Controller | None:
        """The joined controller of that name on v2."""
        names = (name, "blkio") if name == "io" else (name,)
        return next((one for one in self.joined if one.name in names), None)

    def register(self, one: Controller) -> int:
        return self.places.index((one.version, one.parent))


def asked(limits: Limits) -> dict[str, object]:
    """The caps that were asked for, of those that want a cgroup."""
    values = {"memory": limits.memory_bytes, "cpus": limits.cpus, "cpuset": limits.cpuset,
              "pids": limits.pids, "device-rates": limits.device_rates or None}
    return {cap: value for cap, value in values.items() if value is not None}


def choose(spec: BoxSpec, host: Host) -> Groups:
    """The cgroups that the box joins; none when nothing needs one, for to join one of v1 may take
    10 ms.

    Errors: HostError when one is needed as such, and there is none to be had.
    """
    if spec.cgroups == "disabled":
        return Groups()
    wanted = {CAPS[cap] for cap in asked(spec.limits)}
    wanted |= {"blkio"} if "io" in wanted else set()
    if spec.limits.cputime_s is not None:
        wanted |= {one.name for one in host.controllers
                   if one.version == 2 or one.name == "cpuacct"}
    if spec.cgroups == "enabled" or "pid" in spec.share:
        wanted |= set(COUNTING)
    if spec.cgroups == "enabled":
        wanted.add("blkio")                         # for its figures; on v2 io is there anyway
    found = [one for one in host.controllers if one.name in wanted]
    if found:
        found += [one for one in host.controllers if one.name in COUNTING]
    elif spec.cgroups == "enabled":
        raise HostError("cgroups", *host.mend("pids"))
    places = tuple(dict.fromkeys((one.version, one.parent) for one in found))
    born = next((register for register, (version, _) in enumerate(places) if version == 2), -1)
    joined = tuple(one for one in host.controllers if (one.version, one.parent) in places)
    return Groups(joined=joined, places=places,
                  born=born if "clone_into_cgroup" in host.features else -1)


def create(draft: Draft) -> None:
    """Make the cgroups and write the caps; without a controller they are refused, or done
    otherwise."""
    groups, values = draft.groups, asked(draft.spec.limits)
    if "pid" in draft.spec.share and not groups.places:
        reason, mend = draft.host.mend("pids")
        raise HostError("pid host", f"only a cgroup can end all of such a box, and {reason}", mend)
    for register, (_, parent) in enumerate(groups.places):
        draft.prepare += [SweepCgroups(parent=parent), MakeCgroup(cgroup=register, parent=parent)]
    _check_cpus(draft)
    for cap, name in CAPS.items():
        one, value = groups.controller(name), values.get(cap)
        if value is None:
            _leave(draft, one, cap)
        elif one is None:
            _without(draft, cap, value)
        else:
            _enforce(draft, one, cap, value)


def _check_cpus(draft: Draft) -> None:
    for cpu in draft.spec.limits.cpuset or ():
        if cpu not in draft.host.cpus:
            raise HostError("cpuset-cpus", f"CPU {cpu} is not one that this process may use",
                            f"choose from {', '.join(map(str, draft.host.cpus))}")


def _leave(draft: Draft, one: Controller | None, cap: str) -> None:
    """A cap that was not asked for. rlimits has one for pids all the same."""
    if cap != "pids":
        draft.receipt(cap, None, None, "none")
    if one and one.name == "cpuset" and one.version == 1:   # an empty one could not be joined
        _write(draft, one, _cpuset(draft, 1, draft.host.cpus))


def _enforce(draft: Draft, one: Controller, cap: str, value: object) -> None:
    limits = draft.spec.limits
    note = ""
    if cap == "device-rates":
        files = _rates(one.version, limits)
        value = [f"{rate.path} {rate.kind} {rate.per_second}" for rate in limits.device_rates]
    elif cap == "cpuset":
        files = _cpuset(draft, one.version, limits.cpuset or ())
    elif cap == "cpus":
        files = _files(cap, one.version, _cpu(one.version, limits.cpus or 0))
    elif cap == "pids":
        files = _files(cap, one.version, (str((limits.pids or 0) + draft.spec.init),))
        note = "and one for init" if draft.spec.init else ""
    else:
        files = _files(cap, one.version, (str(limits.memory_bytes), "1"))
    _write(draft, one, files)
    draft.receipt(cap, value, value, ", ".join(dict.fromkeys(file for file, _ in files)), note)
    if cap == "memory":
        _swap(draft, one)
        if one.version == 1:
            draft.prepare.append(WatchOom(cgroup=draft.groups.register(one)))


def _write(draft: Draft, one: Controller, files: Files) -> None:
    draft.prepare += [WriteCgroup(cgroup=draft.groups.register(one), file=file, value=value)
                      for file, value in files]


def _files(cap: str, version: int, values: tuple[str, ...]) -> Files:
    """What is written for a cap; values that this version has no file for are left."""
    return list(zip(FILES[cap][version], values, strict=False))


def _swap(draft: Draft, one: Controller) -> None:
    """Swap on top of memory, none unless asked for. v1 caps the sum of both."""
    limits = draft.spec.limits
    swap = limits.swap_bytes or 0
    if swap < 0:
        draft.receipt("memory-swap", swap, "unlimited", "none")
    elif "swap" in draft.host.features:
        value = swap if one.version == 2 else (limits.memory_bytes or 0) + swap
        files = _files("memory-swap", one.version, (str(value),))
        _write(draft, one, files)
        draft.receipt("memory-swap", limits.swap_bytes, swap, files[0][0])
    elif limits.swap_bytes is None:
        draft.receipt("memory-swap", None, None, "none", "this kernel does not account for swap")
    else:
        draft.refuse("memory-swap", swap, "swap")


def _cpu(version: int, cpus: float) -> tuple[str, ...]:
    quota = max(1000, round(cpus * PERIOD_US))               # the kernel takes no less than 1 ms
    return (f"{quota} {PERIOD_US}",) if version == 2 else (str(PERIOD_US), str(quota))


def _cpuset(draft: Draft, version: int, cpus: tuple[int, ...]) -> Files:
    return _files("cpuset", version, (",".join(map(str, cpus)), draft.host.memory_nodes))


def _rates(version: int, limits: Limits) -> Files:
    files, names = [], FILES["device-rates"][version]
    for rate in limits.device_rates:
        what, unit = rate.kind.split("_")
        file, value = ((names[0], f"{what[0]}{unit}={rate.per_second}") if version == 2 else
                       (names[RATES.index(rate.kind)], str(rate.per_second)))
        files.append((file, f"{rate.major}:{rate.minor} {value}"))
    return files


def _without(draft: Draft, cap: str, value: object) -> None:
    """What can be done for a cap without its controller; rlimits looks after pids."""
    if cap == "cpuset":
        cpus = draft.spec.limits.cpuset or ()
        draft.app.append(SetAffinity(cpus=cpus))
        draft.receipt(cap, cpus, cpus, "sched_setaffinity",
                      "the application could widen it again, within what the caller has")
    elif cap == "device-rates":
        draft.refuse(cap, [rate.path for rate in draft.spec.limits.device_rates], "io")
    elif cap != "pids":
        draft.refuse(cap, value, CAPS[cap], "RLIMIT_DATA, and the engine watches what is resident"
                     if cap == "memory" else "none")


def move_init(draft: Draft) -> list[Step]:
    """Into the cgroups in which init was not born, as on v1."""
    groups = draft.groups
    return [EnterCgroup(cgroup=register) for register in range(len(groups.places))
            if register != groups.born]


def join_first(draft: Draft) -> None:
    """On v1 a user may move processes of the own id only; init gives it up for one of a range."""
    if draft.ids.how == "range":
        draft.prepare += move_init(draft)


def join(draft: Draft) -> None:
    """Else init is moved in while it mounts; then the box gets a view of cgroups of its own."""
    moves = [] if draft.ids.how == "range" else move_init(draft)
    if moves:
        draft.prepare += [*moves, Release(gate=GATE_CGROUP)]
        draft.enter.append(Await(gate=GATE_CGROUP))
    if draft.has("cgroup"):
        draft.enter.append(UnshareCgroup())


def _readings(draft: Draft, one: Controller) -> tuple[tuple[str, str, str, int], ...]:
    """What it can tell of this box; of the bytes of some disks only, nothing."""
    rated = {f"{rate.major}:{rate.minor}" for rate in draft.spec.limits.device_rates}
    if one.name == "blkio" and not rated.issuperset(draft.host.uncounted_disks):
        return ()
    return READINGS.get((one.name, one.version), ())


def read_and_remove(draft: Draft) -> None:
    """After the last process is dead: the figures, then nothing is left."""
    groups = draft.groups
    readings = [(groups.register(one), reading) for one in groups.joined
                for reading in _readings(draft, one)]
    more = PRESSURE if groups.controller("cpuacct") else TIMES + PRESSURE
    readings += [(register, reading) for register, (version, _) in enumerate(groups.places)
                 if version == 2 for reading in more]
    draft.finish += [
        ReadCgroup(cgroup=register, file=file, key=key, figure=FIGURES.index(figure), scale=scale,
                   per_device=file in PER_DEVICE)
        for register, (file, key, figure, scale) in readings]
    draft.finish += [RemoveCgroup(cgroup=register) for register in range(len(groups.places))]
