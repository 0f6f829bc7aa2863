"""What differs after a step, in words that say what it means."""

from __future__ import annotations

from itertools import product

from minibox.errors import visible
from minibox.record import Record
from minibox.spec import CAPABILITIES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from minibox.trace.record import Change, Traced

NAMESPACES = {
    "ns/user": "a user namespace of its own: its ids and capabilities count inside only",
    "ns/mnt": "its own table of mounts; so far a copy",
    "ns/pid": "its own numbers of processes: it is 1 there",
    "ns/net": "its own interfaces, addresses and ports",
    "ns/ipc": "its own System V IPC and message queues",
    "ns/uts": "its own host name",
    "ns/cgroup": "the cgroup where it is now is \"/\" to it",
    "ns/time_for_children": "what it starts has clocks of its own",
    "ns/time": "its own monotonic clock and boot time"}

MEANING = NAMESPACES | {
    "setgroups": "no group can be dropped or set any more",
    "NoNewPrivs": "no exec gives a privilege any more",
    "Seccomp": "a filter decides on each system call",
    "Umask": "what new files do not grant",
    "oom_score_adj": "how readily it goes when memory runs out",
    "session": "out of reach of the caller's terminal",
    "root": "where its paths begin",
    "Cpus_allowed_list": "the CPUs that it may run on",
    "propagation": "what is mounted here does not show elsewhere, nor the other way round",
    "SigBlk": "signals that have to wait", "SigIgn": "signals that are ignored",
    "exe": "its program"}

QUIET = ("ns/pid_for_children", "process group", "Seccomp_filters")
"""What goes with something else that says it already."""

SETS = {"CapEff": "in force", "CapPrm": "that it may put in force",
        "CapBnd": "to be gained at most", "CapInh": "inherited through exec",
        "CapAmb": "kept through exec"}

UNSEEN = {
    "set-hostname": "the name is seen from within only",
    "join-keyring": "keyrings are seen from within only",
    "restrict-landlock": "the kernel shows nobody which rules a process has",
    "die-with-parent": "the kernel does not show this signal",
    "close-files": "they are marked, and closed by exec",
    "limit-namespaces": "the limits are those of its user namespace, seen from within",
    "bring-up-loopback": "interfaces are seen from within only"}
"""Why a step that did something shows nothing in /proc."""

MANY = 5
"""More than these come, or go, in one line."""

FOLDED = {"mount ": "mounts", "fd ": "descriptors"}


class Line(Record):
    """One difference for people. sign: "+", "-" or "~"; gloss: what it means, or nothing."""

    sign: str
    text: str
    gloss: str = ""

    def __str__(self) -> str:
        return f"{self.sign} {self.text}" + (f"  ({self.gloss})" if self.gloss else "")


def lines(step: Traced) -> Iterator[Line]:
    """The differences of one step; many of one sort are one line."""
    changes = [one for one in step.changes or () if one.what not in QUIET]
    for sign, (kind, plural) in product("-+", FOLDED.items()):
        alike = [one for one in changes if one.what.startswith(kind) and _sign(one) == sign]
        if len(alike) > MANY:
            yield _folded(sign, plural, alike)
            changes = [one for one in changes if one not in alike]
    yield from (_line(one, "" if one.of in (step.by, "cgroup") else f"{one.of}: ")
                for one in changes)


def remark(step: Traced) -> str:
    """What else is to be said of it."""
    if step.note:
        return step.note
    if step.state == "done" and step.changes == () and step.name in UNSEEN:
        return f"not to be seen from outside: {UNSEEN[step.name]}"
    return ""


def _sign(change: Change) -> str:
    return "+" if change.before is None else "-" if change.after is None else "~"


def _folded(sign: str, plural: str, alike: Sequence[Change]) -> Line:
    names = " ".join(dict.fromkeys(one.what.partition(" ")[2] for one in alike))
    gloss = "no path leads there any more" if (sign, plural) == ("-", "mounts") else ""
    return Line(sign=sign, text=visible(f"{len(alike)} {plural}: {names}"), gloss=gloss)


def _line(change: Change, whose: str) -> Line:
    before, after = change.before, change.after
    sign = _sign(change)
    if sign == "~" and change.what in SETS:
        before, after = _short_mask(before), _short_mask(after)
    value = (f"{before} \u2192 {after}" if sign == "~" else after if sign == "+" else before)
    return Line(sign=sign, text=visible(f"{whose}{change.what} {value}"), gloss=gloss(change))


def gloss(change: Change) -> str:
    """What *change* means, where that is not plain."""
    what, after = change.what, change.after or ""
    if what in SETS:
        return f"{capabilities(after)} {SETS[what]}"
    if what in ("uid_map", "gid_map") and change.of != "cgroup":
        return "; ".join(map(_mapped, after.split("; ")))
    if what == "NSpid":
        here, *inside = after.split()
        return f"process {here} here" + (f", {inside[-1]} inside" if inside else "")
    if what == "Seccomp" and after != "2":
        return ""
    return MEANING.get(what, "")


def _mapped(line: str) -> str:
    words = line.split()
    if len(words) != 3:
        return "no id means anything yet"
    inside, outside, count = words
    return f"id {inside} inside is {outside} here" + (f", and so on for {count}" * (count != "1"))


def _short_mask(mask: str | None) -> str:
    return (mask or "").lstrip("0") or "0"


def capabilities(mask: str) -> str:
    """The capabilities in a mask of /proc/PID/status, in words."""
    try:
        bits = int(mask, 16)
    except ValueError:
        return mask
    names = [name for number, name in enumerate(CAPABILITIES) if bits >> number & 1]
    if not bits:
        return "no capability"
    if len(names) <= 3:
        return ", ".join(names)
    return f"{'all ' if len(names) == len(CAPABILITIES) else ''}{len(names)} capabilities"
