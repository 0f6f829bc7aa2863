"""Namespaces: a view of its own, for the box, of each thing that is global on the host."""

from __future__ import annotations

from minibox.compiler.draft import Draft
from minibox.errors import HostError, SpecError
from minibox.record import replace
from minibox.spec import SHAREABLE, BoxSpec
from minibox.steps import CloneInit, LimitNamespaces, OffsetClocks, OpenLimits, SetHostname

AT_CLONE = ("user", "mnt", "pid", "net", "ipc", "uts")
"""Made together with init. The others are for what init starts: its cgroup and clocks differ."""

SHARED_NOTES = {
    "net": "the box reaches what the host reaches, its loopback and abstract sockets too",
    "pid": "the box sees the host's processes, and may signal those of its own user id",
    "ipc": "System V and POSIX queues are the host's",
    "uts": "the host's name is seen",
}


def shared(spec: BoxSpec) -> BoxSpec:
    """To leave a namespace out is to share the host's."""
    more = tuple(kind for kind in SHAREABLE if kind in spec.without and kind not in spec.share)
    return replace(spec, share=spec.share + more) if more else spec


def create(draft: Draft) -> None:
    """Start init in all namespaces but those that stay the host's."""
    spec, host = draft.spec, draft.host
    wanted = [kind for kind in AT_CLONE if kind not in spec.share]
    extra = ["cgroup"] * draft.has("cgroup") + ["time"] * offset_asked(spec)
    for kind in (*wanted, *extra):
        if kind not in host.namespaces:
            raise HostError(f"{kind} namespace", *host.mend(kind))
    draft.need("calls")
    draft.prepare.append(CloneInit(namespaces=tuple(wanted), cgroup=draft.groups.born))
    for kind in (*wanted, *extra):
        draft.receipt(f"{kind} namespace", "new", "new", "clone3" if kind in wanted else "unshare")
    for kind in spec.share:
        draft.receipt(f"{kind} namespace", "host", "host", "none", SHARED_NOTES[kind])


def offset_asked(spec: BoxSpec) -> bool:
    return spec.boottime_offset_s is not None or spec.monotonic_offset_s is not None


def name_and_time(draft: Draft) -> None:
    """The box's own host name and, where asked for, its own clocks."""
    spec = draft.spec
    if "uts" not in spec.share:
        draft.enter.append(SetHostname(name=spec.hostname))
    elif spec.hostname != BoxSpec.__defaults__["hostname"]:
        raise SpecError("hostname", spec.hostname, "the host's own name is not changed: "
                        "leave --uts host out")
    if offset_asked(spec):
        boottime, monotonic = (round((value or 0) * 1e9) for value in
                               (spec.boottime_offset_s, spec.monotonic_offset_s))
        draft.enter.append(OffsetClocks(monotonic_ns=monotonic, boottime_ns=boottime))
        draft.receipt("time-offset", [spec.monotonic_offset_s, spec.boottime_offset_s],
                      [monotonic / 1e9, boottime / 1e9], "/proc/self/timens_offsets")


def open_limits(draft: Draft) -> None:
    if draft.has("namespace-limit"):
        draft.enter.append(OpenLimits())


def allow_no_more(draft: Draft) -> None:
    """But the application's own user namespace, which set-up makes after this."""
    if draft.has("namespace-limit"):
        nested = draft.spec.init and draft.has("nested-user")
        draft.enter.append(LimitNamespaces(more_user=int(nested)))
        draft.receipt("namespace-limit", None, 0, "/proc/sys/user/max_*_namespaces")
