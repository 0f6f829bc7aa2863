"""What a running process has, seen from outside: its namespaces, ids, privileges and limits."""

from __future__ import annotations

import contextlib
import os

from minibox.cgroups import lines
from minibox.errors import SpecError, visible
from minibox.record import Record, as_dict
from minibox.spec import CAPABILITIES, NAMESPACES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

SECCOMP = {"0": "none", "1": "strict", "2": "filter"}
SETS = {"effective": "CapEff", "permitted": "CapPrm", "inheritable": "CapInh",
        "bounding": "CapBnd", "ambient": "CapAmb"}


class Seen(Record):
    """What /proc shows of one process. None: this caller may not see it.

    namespaces: each kind, and whether it is "ours" or "own"; uids, gids: in our own ids, of which
    the first is the real one; maps: lines "INSIDE OUTSIDE COUNT"; capabilities: names by set;
    seccomp: "none", "strict" or "filter", and how many filters; mounts, writable: how many; root:
    as it is in the process's own mount namespace; label: of the security module, "" if there is
    none; limits: soft and hard, by name.
    """

    pid: int
    name: str
    command: str | None
    uids: tuple[int, ...]
    gids: tuple[int, ...]
    groups: tuple[int, ...]
    namespaces: dict[str, str] | None
    uid_map: tuple[str, ...] | None
    gid_map: tuple[str, ...] | None
    capabilities: dict[str, tuple[str, ...]]
    no_new_privs: bool
    seccomp: str
    seccomp_filters: int | None
    cgroups: tuple[str, ...] | None
    limits: dict[str, tuple[str, str]] | None
    mounts: int | None
    writable: tuple[str, ...] | None
    root: str | None
    label: str | None
    oom_score_adj: int | None
    landlock: None = None
    keyring: None = None

    def as_json(self) -> dict[str, Any]:
        return as_dict(self)

    def lines(self) -> Iterator[str]:
        """For people."""
        for name, text in self._rows():
            shown = "not permitted to see" if text is None else text
            yield f"{name:16}" + "\n".join(map(visible, shown.split("\n")))

    def _rows(self) -> Iterator[tuple[str, str | None]]:
        yield "process", f"{self.pid} {self.name}"
        yield "command", None if self.command is None else visible(self.command)
        yield "uid, gid", f"{_set(self.uids)}; {_set(self.gids)}; groups {_set(self.groups)}"
        yield "uid map", None if self.uid_map is None else ", ".join(self.uid_map) or "none"
        yield "gid map", None if self.gid_map is None else ", ".join(self.gid_map) or "none"
        if self.namespaces is None:
            yield "namespaces", None
        else:
            for word, what in (("own", "namespaces"), ("ours", "shared with us")):
                yield what, " ".join(kind for kind, whose in self.namespaces.items()
                                     if whose == word) or "none"
        for which, names in self.capabilities.items():
            yield which, _few(names)
        yield "no_new_privs", "yes" if self.no_new_privs else "no"
        yield "seccomp", self.seccomp + (f", {self.seccomp_filters} of them"
                                         if self.seccomp_filters else "")
        yield "Landlock", "the kernel shows nobody whether a process has it"
        yield "keyring", "a session keyring is seen from within only"
        yield "label", None if self.label is None else self.label or "none"
        yield "cgroup", None if self.cgroups is None else "\n".ljust(17).join(self.cgroups)
        yield "root", None if self.root is None else visible(self.root)
        yield "mounts", None if self.mounts is None or self.writable is None else (
            f"{self.mounts}, writable {len(self.writable)}: {' '.join(self.writable)}")
        yield "oom_score_adj", None if self.oom_score_adj is None else str(self.oom_score_adj)
        yield "limits", None if self.limits is None else "\n".ljust(17).join(
            f"{name}: {soft}" if soft == hard else f"{name}: {soft}, at most {hard}"
            for name, (soft, hard) in self.limits.items())


def _few(names: tuple[str, ...]) -> str:
    """Capabilities: most processes have none or nearly all."""
    lacking = [name for name in CAPABILITIES if name not in names]
    if len(lacking) > len(names) or not names:
        return " ".join(names) or "none"
    return f"all but {' '.join(lacking)}" if lacking else "all"


def _set(numbers: tuple[int, ...]) -> str:
    """Numbers that are mostly one and the same."""
    return ",".join(map(str, dict.fromkeys(numbers))) or "none"


def examine(pid: int) -> Seen:
    """What /proc shows of process *pid* to this caller. Errors: SpecError if there is none."""
    about = f"/proc/{pid}"
    status_text = _read(f"{about}/status")
    if status_text is None:
        raise SpecError("pid", pid, "there is no such process, or this /proc hides it")
    status = dict(line.split(":\t", 1) for line in lines(status_text) if ":\t" in line)
    command = _read(f"{about}/cmdline")
    cgroups, label = _lines(f"{about}/cgroup"), _read(f"{about}/attr/current")
    mounts, oom = _lines(f"{about}/mountinfo"), _read(f"{about}/oom_score_adj")
    filters = status.get("Seccomp_filters")
    return Seen(
        pid=pid, name=status["Name"],
        command=None if command is None else command.replace("\0", " ").strip(),
        uids=_numbers(status["Uid"]), gids=_numbers(status["Gid"]),
        groups=_numbers(status.get("Groups", "")), namespaces=_namespaces(about),
        uid_map=_map(f"{about}/uid_map"), gid_map=_map(f"{about}/gid_map"),
        capabilities={name: capabilities(int(status[field], 16)) for name, field in SETS.items()},
        no_new_privs=status.get("NoNewPrivs") == "1",
        seccomp=SECCOMP.get(status.get("Seccomp", "0"), "unknown"),
        seccomp_filters=int(filters) if filters else None, cgroups=cgroups,
        limits=_limits(f"{about}/limits"), mounts=None if mounts is None else len(mounts),
        writable=None if mounts is None else writable(mounts), root=_link(f"{about}/root"),
        label="" if label is None else label.strip("\0\n"),
        oom_score_adj=None if oom is None else int(oom))


def capabilities(mask: int) -> tuple[str, ...]:
    """The names of the bits that are set; one without a name by its number."""
    return tuple(CAPABILITIES[bit] if bit < len(CAPABILITIES) else str(bit)
                 for bit in range(mask.bit_length()) if mask >> bit & 1)


def writable(mounts: tuple[str, ...]) -> tuple[str, ...]:
    """Where lines of mountinfo have a mount that is writable, as is its file system."""
    found = []
    for line in mounts:
        first, _, rest = line.partition(" - ")
        words = first.split(" ")
        both = words[5].split(",") + rest.split(" ")[2].split(",")
        if "ro" not in both:
            found.append(words[4])
    return tuple(dict.fromkeys(found))


def _read(path: str) -> str | None:
    with contextlib.suppress(OSError), open(path, errors="replace") as file:
        return file.read()
    return None


def _lines(path: str) -> tuple[str, ...] | None:
    text = _read(path)
    return None if text is None else tuple(lines(text))


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(map(int, text.split()))


def _map(path: str) -> tuple[str, ...] | None:
    lines = _lines(path)
    return None if lines is None else tuple(" ".join(line.split()) for line in lines)


def _link(path: str) -> str | None:
    with contextlib.suppress(OSError):
        return os.readlink(path)
    return None


def _namespaces(about: str) -> dict[str, str] | None:
    found = {}
    for kind in NAMESPACES:
        theirs, ours = _link(f"{about}/ns/{kind}"), _link(f"/proc/self/ns/{kind}")
        if theirs is None and ours is not None:
            return None
        if theirs is not None:
            found[kind] = "ours" if theirs == ours else "own"
    return found


def _limits(path: str) -> dict[str, tuple[str, str]] | None:
    lines = _lines(path)
    if lines is None:
        return None
    found = {}
    for line in lines[1:]:
        soft, hard = line[26:47].strip(), line[47:68].strip()
        found[line[:26].strip().removeprefix("Max ")] = soft, hard
    return found
