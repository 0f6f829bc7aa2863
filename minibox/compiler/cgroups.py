"""Cgroups: caps on memory, CPU, processes and devices for the box as a whole, on v1 and v2."""

from __future__ import annotations

from minibox.compiler.draft import Draft
from minibox.errors import HostError
from minibox.facts import Controller
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
    SweepCgroups,
    UnshareCgroup,
    WatchOom,
    WriteCgroup,
)

PERIOD_US = 100_000
"""Over which a share of CPU is counted, the kernel's own default."""

COUNTED = ("memory", "cpu", "cpuacct", "pids")
"""Controllers that every cgroup of ours joins where they are to be had, so that figures are exact."""

FILES: dict[str, dict[int, tuple[tuple[str, str, str, int], ...]]] = {
    "memory": {1: (("memory.max_usage_in_bytes", "", "memory_peak_bytes", 1),
                   ("memory.oom_control", "oom_kill", "oom_kills", 1)),
               2: (("memory.peak", "", "memory_peak_bytes", 1),
                   ("memory.events", "oom_kill", "oom_kills", 1))},
    "cpuacct": {1: (("cpuacct.usage", "", "cpu_ns", 1),
                    ("cpuacct.usage_user", "", "cpu_user_ns", 1),
                    ("cpuacct.usage_sys", "", "cpu_system_ns", 1)), 2: ()},
    "cpu": {1: (("cpu.stat", "throttled_time", "throttled_ns", 1),),
            2: (("cpu.stat", "usage_usec", "cpu_ns", 1000),
                ("cpu.stat", "user_usec", "cpu_user_ns", 1000),
                ("cpu.stat", "system_usec", "cpu_system_ns", 1000),
                ("cpu.stat", "throttled_usec", "throttled_ns", 1000))},
    "pids": {1: (("pids.peak", "", "pids_peak", 1), ("pids.events", "max", "pids_refused", 1)),
             2: (("pids.peak", "", "pids_peak", 1), ("pids.events", "max", "pids_refused", 1))},
}
"""What can be read at the end: file, key, figure, scale; by controller and version."""


def asked(draft: Draft) -> dict[str, object]:
    """The caps that were asked for and want a cgroup, by controller."""
    limits = draft.spec.limits
    caps: dict[str, object] = {"memory": limits.memory_bytes, "cpu": limits.cpus,
                               "cpuset": limits.cpuset, "pids": limits.pids,
                               "io": limits.device_rates or None}
    return {name: value for name, value in caps.items() if value is not None}


def find(draft: Draft, name: str) -> Controller | None:
    """The controller that does this here; v1 calls io blkio."""
    if draft.spec.cgroups == "disabled":
        return None
    return draft.host.controller(name) or (draft.host.controller("blkio") if name == "io" else None)


def used(draft: Draft) -> tuple[Controller, ...]:
    """The controllers that the box joins: none when no cap needs one."""
    wanted = asked(draft)
    needed = [one for one in (find(draft, name) for name in wanted) if one]
    always = draft.spec.cgroups == "enabled" or "pid" in draft.spec.share
    if not needed and not always:
        return ()
    counted = [one for one in (find(draft, name) for name in COUNTED) if one]
    found = {one.name: one for one in (*counted, *needed)}
    if always and not found:
        what = "cgroups" if draft.spec.cgroups == "enabled" else "sharing the host's processes"
        reason, mend = draft.host.mend("pids")
        raise HostError(what, f"it needs a cgroup to end all of the box, and {reason}", mend)
    return tuple(found.values())


def enforces(draft: Draft, name: str) -> bool:
    """Is there a cgroup that holds this cap, which was asked for?"""
    return name in asked(draft) and any(one.name == name for one in used(draft))


def places(draft: Draft) -> dict[tuple[int, str], int]:
    """A register for each directory to be made: by version and parent."""
    found: dict[tuple[int, str], int] = {}
    for one in used(draft):
        found.setdefault((one.version, one.parent), len(found))
    return found


def birthplace(draft: Draft) -> int:
    """The v2 cgroup in which init is born; -1: none."""
    if "clone_into_cgroup" not in draft.host.features:
        return -1
    return next((number for (version, _), number in places(draft).items() if version == 2), -1)


def create(draft: Draft) -> None:
    """Make the cgroups and write the caps; what no controller holds is refused or done otherwise."""
    registers = places(draft)
    for (_, parent), number in registers.items():
        draft.prepare += [SweepCgroups(parent=parent), MakeCgroup(cgroup=number, parent=parent)]
    for one in used(draft):
        _write(draft, one, registers[one.version, one.parent])
    for name, value in asked(draft).items():
        if find(draft, name) is None:
            _otherwise(draft, name, value)


def _write(draft: Draft, one: Controller, register: int) -> None:
    limits = draft.spec.limits
    writers = {"memory": _memory, "cpu": _cpu, "cpuset": _cpuset, "pids": _pids, "io": _rates,
               "blkio": _rates}
    name = "io" if one.name == "blkio" else one.name
    if name not in asked(draft):
        return
    files = writers[one.name](draft, one.version)
    draft.prepare += [WriteCgroup(cgroup=register, file=file, value=value, optional=optional)
                      for file, value, optional in files]
    if one.name == "memory" and one.version == 1:
        draft.prepare.append(WatchOom(cgroup=register))
    value = asked(draft)[name]
    shown = [f"{rate.kind} {rate.path} {rate.per_second}" for rate in limits.device_rates]
    draft.receipt({"cpu": "cpus", "io": "device rates"}.get(name, name),
                  shown if name == "io" else value, shown if name == "io" else value,
                  ", ".join(file for file, _, _ in files),
                  "one more for init" if name == "pids" and draft.spec.init else "")


def _memory(draft: Draft, version: int) -> list[tuple[str, str, bool]]:
    memory, swap = draft.spec.limits.memory_bytes or 0, draft.spec.limits.swap_bytes or 0
    unseen = "swap" not in draft.host.features
    if version == 2:
        return [("memory.max", str(memory), False),
                ("memory.swap.max", "max" if swap < 0 else str(swap), unseen),
                ("memory.oom.group", "1", False)]
    both = -1 if swap < 0 else memory + swap
    return [("memory.limit_in_bytes", str(memory), False),
            ("memory.memsw.limit_in_bytes", str(both), unseen)]


def _cpu(draft: Draft, version: int) -> list[tuple[str, str, bool]]:
    quota = max(1000, round((draft.spec.limits.cpus or 0) * PERIOD_US))
    if version == 2:
        return [("cpu.max", f"{quota} {PERIOD_US}", False)]
    return [("cpu.cfs_period_us", str(PERIOD_US), False), ("cpu.cfs_quota_us", str(quota), False)]


def _cpuset(draft: Draft, version: int) -> list[tuple[str, str, bool]]:
    cpus = ",".join(map(str, draft.spec.limits.cpuset or ()))
    if version == 2:
        return [("cpuset.cpus", cpus, False)]
    return [("cpuset.cpus", cpus, False), ("cpuset.mems", draft.host.memory_nodes, False)]


def _pids(draft: Draft, version: int) -> list[tuple[str, str, bool]]:
    return [("pids.max", str((draft.spec.limits.pids or 0) + draft.spec.init), False)]


def _rates(draft: Draft, version: int) -> list[tuple[str, str, bool]]:
    words = {"read_bps": ("rbps", "read_bps_device"), "write_bps": ("wbps", "write_bps_device"),
             "read_iops": ("riops", "read_iops_device"), "write_iops": ("wiops", "write_iops_device")}
    files = []
    for rate in draft.spec.limits.device_rates:
        new, old = words[rate.kind]
        device = f"{rate.major}:{rate.minor}"
        files.append(("io.max", f"{device} {new}={rate.per_second}", False) if version == 2 else
                     (f"blkio.throttle.{old}", f"{device} {rate.per_second}", False))
    return files


def _otherwise(draft: Draft, name: str, value: object) -> None:
    """What can be done for a cap without its controller. pids: rlimits does it."""
    if name == "cpuset":
        cpus = draft.spec.limits.cpuset or ()
        missing = [cpu for cpu in cpus if cpu not in draft.host.cpus]
        if missing:
            raise HostError("cpuset-cpus", f"CPU {missing[0]} is not ours to use",
                            f"choose from {', '.join(map(str, draft.host.cpus))}")
        draft.app.append(SetAffinity(cpus=cpus))
        draft.receipt("cpuset", cpus, cpus, "sched_setaffinity",
                      "the application could widen it again, within what the caller has")
    elif name == "memory" and draft.spec.best_effort:
        reason, _ = draft.host.mend("memory")
        draft.receipt("memory", value, None, "RLIMIT_DATA, watched by init", f"not exact: {reason}")
    elif name != "pids":
        draft.refuse({"cpu": "cpus", "io": "device rates"}.get(name, name), value, name)


def join(draft: Draft) -> None:
    """On v1 init is moved in while it mounts; then the box gets a view of cgroups of its own."""
    born = birthplace(draft)
    later = [number for number in places(draft).values() if number != born]
    if later:
        draft.prepare += [EnterCgroup(cgroup=number) for number in later]
        draft.prepare.append(Release(gate=GATE_CGROUP))
        draft.enter.append(Await(gate=GATE_CGROUP))
    draft.enter.append(UnshareCgroup())


def read_and_remove(draft: Draft) -> None:
    registers = places(draft)
    draft.finish += [
        ReadCgroup(cgroup=registers[one.version, one.parent], file=file, key=key,
                   figure=FIGURES.index(figure), scale=scale)
        for one in used(draft) for file, key, figure, scale in FILES.get(one.name, {}).get(one.version, ())]
    draft.finish += [RemoveCgroup(cgroup=number) for number in registers.values()]
