"""What /proc shows of a process from outside, and what differs between two looks.

Nothing is asked of the process, and nothing of it is run: all of this can be read of any process
of one's own.  Source: proc(5), namespaces(7), user_namespaces(7).
"""

from __future__ import annotations

import os

from minibox.record import Record
from minibox.trace.record import Change

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

STATUS = ("Umask", "Uid", "Gid", "Groups", "NSpid", "SigBlk", "SigIgn", "CapInh", "CapPrm",
          "CapEff", "CapBnd", "CapAmb", "NoNewPrivs", "Seccomp", "Seccomp_filters",
          "Cpus_allowed_list")
"""Lines of /proc/PID/status that a step may change."""

LINKS = ("root", "cwd")
FILES = ("uid_map", "gid_map", "setgroups", "oom_score_adj", "timens_offsets")


class Look(Record):
    """One look. values: by the name that a Change has; mounts: by the kernel's number for each,
    place and text; None where this caller may not see them."""

    values: dict[str, str]
    mounts: dict[str, tuple[str, str]] | None


def at(pid: int, hidden: Collection[str] = ()) -> Look | None:
    """Look at process *pid*, but for descriptors that lead to *hidden*. None: it is gone.

    What cannot be read is left out: a process may be another user's.
    """
    proc = f"/proc/{pid}"
    values = dict(_status(f"{proc}/status"))
    for name in _names(f"{proc}/ns"):
        _put(values, f"ns/{name}", _number(_link(f"{proc}/ns/{name}")))
    for name in LINKS:
        _put(values, name, _link(f"{proc}/{name}"))
    for name in FILES:
        text = _read(f"{proc}/{name}")
        _put(values, name, None if text is None else "; ".join(
            " ".join(line.split()) for line in text.splitlines()) or "none")
    values |= _cgroups(_read(f"{proc}/cgroup") or "")
    values |= _limits(_read(f"{proc}/limits") or "")
    values |= _session(_read(f"{proc}/stat") or "")
    for fd in _names(f"{proc}/fd"):
        target = _link(f"{proc}/fd/{fd}")
        if target is not None and target not in hidden:
            values[f"fd {fd}"] = target.removesuffix(" (deleted)")
    mounts = _read(f"{proc}/mountinfo")
    seen = None if mounts is None else _mounts(mounts, values)
    # Of a process that ends, this goes first: what was read before is whole.
    exe = _link(f"{proc}/exe")
    if exe is None and not os.path.exists(proc):
        return None
    if exe is None and "ns/pid" in values:
        return None
    _put(values, "exe", exe)
    return Look(values=values, mounts=seen)


def differences(of: str, before: Look, after: Look) -> Iterator[Change]:
    """What *after* has that *before* had not, or had otherwise.

    What was, or is, not to be seen is no difference.
    """
    for what, old in before.values.items():
        new = after.values.get(what)
        if new != old and (new is not None or _can_end(what, after)):
            yield Change(of=of, what=what, before=old, after=new)
    for what, new in after.values.items():
        if what not in before.values and _can_end(what, before):
            yield Change(of=of, what=what, before=None, after=new)
    if before.mounts is not None and after.mounts is not None:
        yield from _remounted(of, before, after)


def _can_end(what: str, other: Look) -> bool:
    """Descriptors and cgroups come and go, where any of them can be seen; the rest does not."""
    kind = what.partition(" ")[0]
    return (kind == "fd" and any(name.startswith("fd ") for name in other.values)
            or kind == "cgroup")


def _remounted(of: str, before: Look, after: Look) -> Iterator[Change]:
    assert before.mounts is not None and after.mounts is not None
    old, new = before.mounts, after.mounts
    if before.values.get("ns/mnt") != after.values.get("ns/mnt"):
        # A copy of the table has other numbers for the same mounts.
        old, new = _by_text(old), _by_text(new)
    for number, (place, text) in old.items():
        if number not in new:
            yield Change(of=of, what=f"mount {place}", before=text, after=None)
        elif new[number] != (place, text):
            now, changed = new[number]
            moved = "" if now == place else f"{now}: "
            yield Change(of=of, what=f"mount {place}", before=text, after=moved + changed)
    for number, (place, text) in new.items():
        if number not in old:
            yield Change(of=of, what=f"mount {place}", before=None, after=text)


def _by_text(mounts: dict[str, tuple[str, str]]) -> dict[str, tuple[str, str]]:
    return {f"{place} {text}": (place, text) for place, text in mounts.values()}


def _mounts(text: str, values: dict[str, str]) -> dict[str, tuple[str, str]]:
    """The table of mounts; how changes of it spread goes to *values*."""
    found, kinds = {}, {"shared": 0, "slave": 0, "private": 0}
    for line in text.splitlines():
        left, _, right = line.partition(" - ")
        number, _parent, _device, root, place, options, *optional = left.split()
        kind, source, *rest = right.split(" ", 2)
        tags = {one.partition(":")[0] for one in optional}
        kinds["shared" if "shared" in tags else "slave" if "master" in tags else "private"] += 1
        own = options.split(",")
        extra = [one for one in (rest[0] if rest else "").split(",") if one and one not in own
                 and one not in ("rw", "ro")]
        below = "" if root == "/" or kind == "nsfs" else f" part {_plain(root)}"
        found[number] = (_plain(place), f"{kind} {_plain(source)}{below} {','.join(own + extra)}")
    values["propagation"] = " and ".join(name for name, count in kinds.items() if count)
    return found


def _plain(path: str) -> str:
    """mountinfo has blanks and such in octal."""
    for code, char in ((r"\040", " "), (r"\011", "\t"), (r"\012", "\n"), (r"\134", "\\")):
        path = path.replace(code, char)
    return path


def _status(path: str) -> Iterator[tuple[str, str]]:
    for line in (_read(path) or "").splitlines():
        name, _, value = line.partition(":")
        if name in STATUS:
            words = value.split()
            if name in ("Uid", "Gid") and len(set(words)) == 1:
                words = words[:1]
            yield name, " ".join(words) or "none"


def _cgroups(text: str) -> dict[str, str]:
    """By controller; v2's only hierarchy has none."""
    found = {}
    for line in text.splitlines():
        number, controllers, path = line.split(":", 2)
        found["cgroup" if number == "0" else f"cgroup {controllers}"] = path
    return found


def _limits(text: str) -> dict[str, str]:
    return {f"limit {line[:26].strip().removeprefix('Max ')}":
            f"{line[26:47].strip()}, at most {line[47:68].strip()}"
            for line in text.splitlines()[1:]}


def _session(text: str) -> dict[str, str]:
    fields = text.rpartition(")")[2].split()
    if len(fields) < 5:
        return {}
    return {"process group": fields[2], "session": fields[3],
            "terminal": "none" if fields[4] == "0" else fields[4]}


def _put(values: dict[str, str], name: str, value: str | None) -> None:
    if value is not None:
        values[name] = value


def _number(link: str | None) -> str | None:
    return None if link is None else link.partition("[")[2].rstrip("]")


def _link(path: str) -> str | None:
    try:
        return os.readlink(path)
    except OSError:
        return None


def _names(path: str) -> list[str]:
    try:
        return sorted(os.listdir(path), key=lambda name: (len(name), name))
    except OSError:
        return []


def _read(path: str) -> str | None:
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            return file.read()
    except OSError:
        return None
