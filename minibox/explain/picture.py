"""A picture of a box, as SVG, drawn from its plan: who is who, and what is around whom."""

from __future__ import annotations

from shlex import join

from minibox.compiler import cgroups
from minibox.compiler.ids import MEANING
from minibox.compiler.namespaces import SHARED_NOTES
from minibox.errors import SpecError
from minibox.explain import mounts
from minibox.explain.frames import Frame, Line, draw
from minibox.result import seconds, signal_name, size
from minibox.spec import CAPABILITIES, NAMESPACES, Ulimit
from minibox.steps import (
    KINDS,
    BringUpLoopback,
    ChangeDir,
    ChangeRoot,
    CloneApp,
    CloneInit,
    CloseFiles,
    DieWithParent,
    DropCapabilities,
    EnterCgroup,
    Exec,
    FilterCalls,
    JoinKeyring,
    LeaseIds,
    LimitNamespaces,
    MakeCgroup,
    MapIds,
    MapIdsWithHelpers,
    NewSession,
    NoNewPrivileges,
    OffsetClocks,
    OpenStreams,
    RestrictLandlock,
    SetAffinity,
    SetHostname,
    SetIds,
    SetOomScore,
    SetRlimit,
    StopPropagation,
    StopWith,
    UnshareCgroup,
    Watch,
    WriteCgroup,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Any, TypeVar

    from minibox.facts import Host
    from minibox.plan import Plan
    from minibox.steps import Step

    S = TypeVar("S", bound=Step)

MECHANISMS = tuple(sorted({kind.mechanism for kind in KINDS}))
CHIPS = 3
"""How many namespaces stand beside each other."""

LONGEST = 160
"""Letters of a command line that are shown."""

BYTES = ("fsize", "data", "stack", "core", "rss", "memlock", "as", "msgqueue")
"""Resource limits that count bytes."""

WALLS_OF = {"seccomp", "landlock"}
"""Receipts that a wall of the picture shows already."""


def svg(plan: Plan, host: Host | None, mechanisms: Iterable[str] = ()) -> str:
    """The picture of the box that *plan* makes, as a text of SVG that stands alone.

    host: which it was made for, None if that is not known.  mechanisms: modules of
    minibox/compiler/ that are to stand out, the others pale; all alike by default.

    Errors: SpecError for a mechanism that there is not.
    """
    lit = tuple(mechanisms)
    for name in lit:
        if name not in MECHANISMS:
            raise SpecError("mechanism", name, f"use {', '.join(MECHANISMS)}")
    return draw(whole(plan, host), f"A box for {_command(plan)}", lit)


def whole(plan: Plan, host: Host | None) -> Frame:
    """What is drawn: the host, and in it the box."""
    return _Picture(plan, host).whole()


def _command(plan: Plan) -> str:
    words = join(next((step.argv for step in plan.app if isinstance(step, Exec)), ()))
    return words if len(words) <= LONGEST else words[:LONGEST] + "…"


def _line(text: str, mechanism: str) -> Line:
    return Line(text=text, mechanism=mechanism)


class _Picture:
    """The frames of one plan."""

    def __init__(self, plan: Plan, host: Host | None) -> None:
        import json

        self.plan, self.host = plan, host
        notes = json.loads(plan.notes) if plan.notes else {}
        self.receipts: dict[str, dict[str, Any]] = {
            one["cap"]: one for one in notes.get("receipts", ())}

    def all(self, kind: type[S], part: str = "") -> list[S]:
        steps = getattr(self.plan, part) if part else self.plan
        return [step for step in steps if isinstance(step, kind)]

    def one(self, kind: type[S], part: str = "") -> S | None:
        return next(iter(self.all(kind, part)), None)

    def told(self, receipt: str, key: str) -> Any:
        return self.receipts.get(receipt, {}).get(key)

    # ---- the host, and what is the host's --------------------------------------------------------

    def whole(self) -> Frame:
        own, hosts = self.namespaces()
        rows = [(self.engine(), *self.cgroups())]
        rows += _rows(hosts)
        if missing := self.missing():
            rows.append((missing,))
        rows.append((self.box(own),))
        return Frame(title=self.host_name(), kind="host", rows=tuple(rows))

    def host_name(self) -> str:
        if self.host is None:
            return "The host"
        kernel = ".".join(map(str, self.host.kernel))
        return f"The host: Linux {kernel}, cgroups {self.host.cgroup_mode}"

    def engine(self) -> Frame:
        lines = []
        if self.host is not None:
            who = "root" if self.host.uid == 0 else f"user {self.host.uid}"
            lines.append(_line(f"{who}, in the host's namespaces", "process"))
        if watch := self.one(Watch):
            for value, text in ((watch.walltime_ns, "of wall time"),
                                (watch.cputime_ns, "of CPU time")):
                if value:
                    lines.append(_line(f"ends the box after {seconds(value / 1e9)} {text}",
                                       "process"))
            for value, text in ((watch.output_bytes, "of output"),
                                (watch.rss_bytes, "of resident memory")):
                if value:
                    lines.append(_line(f"ends the box above {size(value)} {text}", "process"))
        if stop := self.one(StopWith):
            lines.append(_line(f"stops it by {signal_name(stop.signal)}, SIGKILL "
                               f"{seconds(stop.timeout_ns / 1e9)} later", "process"))
        if streams := self.one(OpenStreams):
            lines += [_line(text, "process") for text in _streams(streams)]
        return Frame(title="engine", kind="process", mechanism="process", lines=tuple(lines))

    def cgroups(self) -> Iterator[Frame]:
        """One for each hierarchy that the box is in."""
        made = self.all(MakeCgroup)
        init = self.one(CloneInit)
        for step in made:
            lines = [*self.caps(step.cgroup)] or ["no cap: it counts what the box uses"]
            if init and init.cgroup == step.cgroup:
                lines.append("init is born in it (CLONE_INTO_CGROUP)")
            if any(enter.cgroup == step.cgroup for enter in self.all(EnterCgroup)):
                lines.append("init moves into it, before the application starts")
            yield Frame(title=f"{self.hierarchy(step)}: a cgroup in {step.parent}", kind="cgroup",
                        mechanism="cgroups", lines=tuple(_line(one, "cgroups") for one in lines))
        if not made:
            yield Frame(title="no cgroup of its own", kind="host", mechanism="cgroups", lines=(
                _line("the box stays in the cgroups of its caller", "cgroups"),))

    def hierarchy(self, step: MakeCgroup) -> str:
        controllers = self.host.controllers if self.host else ()
        here = [one for one in controllers if one.parent == step.parent]
        names = " ".join(one.name for one in here)
        return f"cgroup v{here[0].version}, {names}" if here else "cgroup"

    def caps(self, register: int) -> Iterator[str]:
        """What is written to a cgroup, by the cap it is for."""
        cap_of = {file: cap for cap, versions in cgroups.FILES.items()
                  for files in versions.values() for file in files}
        written: dict[str, list[str]] = {}
        for step in self.all(WriteCgroup):
            if step.cgroup == register:
                cap = cap_of.get(step.file, step.file)
                written.setdefault(cap, []).append(f"{step.file} = {step.value}")
        for cap, files in written.items():
            yield f"{cap}{self.figure(cap)}: {', '.join(files)}"

    def figure(self, cap: str) -> str:
        """The value of a cap as people read it."""
        value = self.told(cap, "in_force")
        if value is None or isinstance(value, (list, str)):
            return ""
        if cap == "memory-swap" and value < 0:
            return " unlimited"
        return f" {size(value)}" if cap.startswith("memory") else f" {value:g}"

    def missing(self) -> Frame | None:
        """What was asked for, or is usual, and is not there."""
        lines = []
        for cap, receipt in self.receipts.items():
            if receipt["in_force"] is not None or cap in WALLS_OF:
                continue
            if receipt["asked"] is not None:
                lines.append(f"{cap} {receipt['asked']}: not in force: {receipt['note']}")
            elif receipt["note"] == "left out":
                lines.append(f"{cap}: left out")
        return Frame(title="Not there", kind="open", lines=tuple(
            _line(text, self.mechanism(text.partition(":")[0])) for text in lines)
        ) if lines else None

    def mechanism(self, cap: str) -> str:
        """The one that a cap or layer is of, as far as its name says so."""
        word = cap.partition(" ")[0]
        if word in cgroups.CAPS or word == "memory-swap":
            return "cgroups"
        return LAYERS_OF.get(word, word if word in MECHANISMS else "process")

    # ---- the box ---------------------------------------------------------------------------------

    def namespaces(self) -> tuple[list[Frame], list[Frame]]:
        """Those of the box's own, and those of the host that it is in; user and mnt are frames."""
        init = self.one(CloneInit)
        made = {*(init.namespaces if init else ()), *(["cgroup"] * bool(self.one(UnshareCgroup))),
                *(["time"] * bool(self.one(OffsetClocks)))}
        own: list[Frame] = []
        hosts: list[Frame] = []
        for kind in NAMESPACES:
            if kind in ("user", "mnt"):
                continue
            mechanism = {"net": "network", "cgroup": "cgroups"}.get(kind, "namespaces")
            texts = tuple(self.own(kind)) if kind in made else (HOSTS[kind],)
            frame = Frame(
                title=f"{kind} namespace{'' if kind in made else ' of the host'}",
                kind="own" if kind in made else "host", mechanism=mechanism,
                lines=tuple(_line(text, mechanism) for text in texts))
            (own if kind in made else hosts).append(frame)
        return own, hosts

    def own(self, kind: str) -> Iterator[str]:
        """What the box sees in a namespace of its own."""
        if kind == "pid":
            yield ("PID 1 is init" if self.one(CloneApp) else "PID 1 is the application")
        elif kind == "net":
            yield "lo alone, up" if self.one(BringUpLoopback) else "lo alone, down"
            if note := self.told("network", "note"):
                yield note
        elif kind == "ipc":
            yield "no queues or shared memory of the host's"
        elif kind == "uts":
            name = self.one(SetHostname)
            yield f"host name {name.name}" if name else "a copy of the host's name"
        elif kind == "cgroup":
            yield "its own cgroup is seen as /"
        elif (clocks := self.one(OffsetClocks)):
            yield f"boot time {clocks.boottime_ns / 1e9:+g} s"
            yield f"monotonic clock {clocks.monotonic_ns / 1e9:+g} s"

    def box(self, own: list[Frame]) -> Frame:
        """The user namespace that owns the others, with all that is in it."""
        clone = self.one(CloneApp)
        below = self.application()
        if clone and clone.nested:
            below = Frame(title="user namespace of the application, below that of init", kind="own",
                          mechanism="ids", rows=((below,),), lines=(_line(
                              "the same ids; no power over init or the mounts", "ids"),))
        top = [(self.init(),)] if clone else []
        return Frame(title="user namespace of the box", kind="own", mechanism="ids",
                     lines=tuple(_line(text, "ids") for text in self.map()),
                     rows=(*top, *_rows(own), (below, self.root())))

    def map(self) -> Iterator[str]:
        """Who its ids are on the host."""
        if mapped := self.one(MapIds):
            leased, groups = mapped.leased, mapped.gids
            yield from _extents(mapped.uids, groups, leased)
            if mapped.deny_setgroups:
                yield "setgroups is denied: the caller's own groups stay"
        elif helped := self.one(MapIdsWithHelpers):
            yield from _extents(helped.uids, helped.gids, False)
            yield f"mapped by {helped.uid_helper} and {helped.gid_helper}"
        if lease := self.one(LeaseIds):
            yield (f"{MEANING['lease'][0]}: one of {lease.count}, of {lease.size} ids each, from "
                   f"{lease.first} on")

    def who(self, part: str) -> Iterator[Line]:
        """Who a process is, inside and on the host."""
        mapped = self.one(MapIds) or self.one(MapIdsWithHelpers)
        for step in self.all(SetIds, part)[-1:]:
            outside = _outside(step.uid, mapped.uids) if mapped else None
            leased = isinstance(mapped, MapIds) and mapped.leased
            on_host = (f", on the host {'id ' if leased else 'uid '}{outside}"
                       f"{' of the leased range' if leased else ''}" if outside is not None else "")
            yield _line(f"uid {step.uid}, gid {step.gid}{on_host}", "ids")

    def init(self) -> Frame:
        lines = [*self.who("enter")]
        if self.one(DieWithParent, "enter"):
            lines.append(_line("is killed when the engine dies", "process"))
        init = self.one(CloneInit)
        title = "init: PID 1 of the box" if init and "pid" in init.namespaces else "init"
        return Frame(title=title, kind="process", mechanism="process", lines=tuple(lines))

    def root(self) -> Frame:
        stays = self.one(ChangeRoot)
        how = "chroot" if stays else "pivot_root, the old one unmounted"
        private = "" if self.one(StopPropagation) else " (mounts of the host still propagate)"
        return Frame(title=f"mnt namespace: a new root by {how}{private}",
                     kind="open" if stays else "mounts", mechanism="filesystem",
                     lines=mounts.lines(self.plan))

    def application(self) -> Frame:
        lines = [*self.who("app")]
        if directory := self.one(ChangeDir):
            lines.append(_line(f"in {directory.path}", "process"))
        if run := self.one(Exec):
            names = " ".join(one.partition("=")[0] for one in run.environment)
            lines.append(_line(f"environment: {names:.{LONGEST}}", "process"))
        if self.one(DieWithParent, "app"):
            lines.append(_line("is killed when its parent dies", "process"))
        return Frame(title=f"the application: {_command(self.plan)}", kind="process",
                     mechanism="process", lines=tuple(lines),
                     rows=tuple(self.walls()))

    # ---- walls at exec ---------------------------------------------------------------------------

    def walls(self) -> Iterator[tuple[Frame, ...]]:
        """Rows of them."""
        yield (self.limits(),)
        yield (_wall("keyring", "keyring", self.one(JoinKeyring), "a new one, empty",
                     "the caller's own"),
               _wall("descriptors", "process", self.one(CloseFiles), "0, 1 and 2 alone",
                     "all that was left open"))
        yield (_wall("session", "process", self.one(NewSession), "a new one",
                     "the caller's, and its terminal"),
               _wall("more namespaces", "namespaces", self.one(LimitNamespaces),
                     "none of any kind", "as many as it likes"))
        drop = self.one(DropCapabilities)
        yield (_wall("capabilities", "capabilities", drop, _kept(drop.keep if drop else 0),
                     "all, in its user namespace"),
               _wall("no_new_privs", "capabilities", self.one(NoNewPrivileges),
                     "set-user-ID has no effect", "set-user-ID has its effect"))
        landlock, calls = self.one(RestrictLandlock), self.one(FilterCalls)
        yield (_wall("Landlock", "landlock", landlock, _landlock(landlock) if landlock else "",
                     f"none{self.because('landlock')}"),)
        log = ", refusals are counted" if calls and calls.log else ""
        yield (_wall("seccomp", "seccomp", calls,
                     f"a filter of {len(calls.program) if calls else 0} instructions{log}",
                     f"none: every system call{self.because('seccomp')}"),)

    def because(self, cap: str) -> str:
        note = self.told(cap, "note")
        return f" ({note})" if note else ""

    def limits(self) -> Frame:
        texts = [_limit(step) for step in self.all(SetRlimit)]
        lines = [_line(", ".join(texts), "rlimits")] if texts else []
        if score := self.one(SetOomScore):
            lines.append(_line(f"oom_score_adj {score.adjustment}", "rlimits"))
        if affinity := self.one(SetAffinity):
            lines.append(_line(f"CPUs {', '.join(map(str, affinity.cpus))}", "cgroups"))
        return Frame(title="rlimits", kind="wall" if texts else "open", mechanism="rlimits",
                     lines=tuple(lines) or (_line("none but the caller's own", "rlimits"),))


LAYERS_OF = {
    "pid": "namespaces", "net": "network", "ipc": "namespaces", "uts": "namespaces",
    "cgroup": "cgroups", "namespace-limit": "namespaces", "nested-user": "ids",
    "pivot-root": "filesystem", "view": "filesystem", "propagation": "filesystem",
    "masks": "filesystem", "read-only-paths": "filesystem", "hidepid": "filesystem",
    "boot-id": "filesystem", "nosuid": "filesystem", "nodev": "filesystem",
    "tmpfs-caps": "filesystem", "dev": "devices", "no-new-privs": "capabilities",
    "oom-score": "rlimits", "pids": "rlimits"}
"""Layers by their mechanism, but those that have its name, and those of the process."""

HOSTS = {**SHARED_NOTES, "cgroup": "the host's paths of cgroups are seen",
         "time": "the host's clocks, and its uptime"}
"""What it means to be in one of the host's namespaces."""


def _rows(frames: list[Frame]) -> list[tuple[Frame, ...]]:
    return [tuple(frames[at:at + CHIPS]) for at in range(0, len(frames), CHIPS)]


def _streams(step: OpenStreams) -> Iterator[str]:
    if step.terminal:
        yield "the box has a terminal of its own, relayed"
        return
    yield f"stdin: {'/dev/null' if step.stdin == 'null' else 'that of the caller'}"
    yield ("stdout, stderr: as the caller has them, files and terminals too" if step.direct else
           "stdout, stderr: by pipes, counted" if step.relay else "stdout, stderr: by pipes")


def _extents(uids: tuple[int, ...], gids: tuple[int, ...], leased: bool) -> Iterator[str]:
    for name, extents in (("id", uids),) if uids == gids else (("uid", uids), ("gid", gids)):
        for at in range(0, len(extents), 3):
            inside, outside, count = extents[at:at + 3]
            where = f"{_span(outside, count)}{' of the leased range' if leased else ''}"
            what = f"{name} {inside} is" if count == 1 else f"{name}s {_span(inside, count)} are"
            yield f"{what} {where} on the host"


def _span(first: int, count: int) -> str:
    return f"{first}" if count == 1 else f"{first} to {first + count - 1}"


def _outside(inside: int, extents: tuple[int, ...]) -> int | None:
    return next((extents[at + 1] + inside - extents[at] for at in range(0, len(extents), 3)
                 if 0 <= inside - extents[at] < extents[at + 2]), None)


def _wall(title: str, mechanism: str, step: Step | None, up: str, down: str) -> Frame:
    """A wall that is there if its step is."""
    return Frame(title=title, kind="wall" if step else "open", mechanism=mechanism,
                 lines=(_line(up if step else down, mechanism),))


def _kept(mask: int) -> str:
    names = [name for number, name in enumerate(CAPABILITIES) if mask >> number & 1]
    return ("none, for uid 0 too" if not names else "all, in its user namespace alone"
            if len(names) == len(CAPABILITIES) else " ".join(names))


def _landlock(step: RestrictLandlock) -> str:
    walls = [f"writes only below {' '.join(step.writable)}"] if step.writes else []
    walls += ["no TCP"] if step.tcp else []
    walls += ["no abstract sockets or signals out of the box"] if step.scopes else []
    return "; ".join(walls)


def _limit(step: SetRlimit) -> str:
    name = Ulimit.NAMES[step.resource]
    soft, hard = ("unlimited" if value < 0 else size(value) if name in BYTES and value else value
                  for value in (step.soft, step.hard))
    return f"{name} {soft}" if soft == hard else f"{name} {soft}:{hard}"
