"""Text forms of what may be asked for, as Docker and Podman have them; no look at this machine.

Each function takes the name of the field for its error and the text, and gives the value; what it
cannot read is a SpecError that names field, value and what would do.
"""

from __future__ import annotations

from minibox.errors import SpecError, shown
from minibox.spec import Mount, Ulimit, User

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

SIZE_UNITS = {"": 1, "b": 1,
              "k": 1 << 10, "kb": 1 << 10, "kib": 1 << 10, "m": 1 << 20, "mb": 1 << 20,
              "mib": 1 << 20, "g": 1 << 30, "gb": 1 << 30, "gib": 1 << 30,
              "t": 1 << 40, "tb": 1 << 40, "tib": 1 << 40}
"""Binary all of them, as in Docker."""

TIME_UNITS = {"ns": 1e-9, "us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}

SIGNALS = ("HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV",
           "USR2", "PIPE", "ALRM", "TERM", "STKFLT", "CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU",
           "URG", "XCPU", "XFSZ", "VTALRM", "PROF", "WINCH", "IO", "PWR", "SYS")
"""Names of the signals from 1 on: signal(7)."""


def _split(text: str) -> tuple[str, str]:
    """A decimal number and the unit that follows it."""
    number = text.strip()
    unit = number.lstrip("0123456789.")
    return number[:len(number) - len(unit)], unit.strip().lower()


def _decimal(text: str) -> float | None:
    """What digits with at most one point stand for; no sign, no exponent, no infinity."""
    whole, _, fraction = text.partition(".")
    digits = whole + fraction
    return float(text) if digits.isdecimal() and digits.isascii() and len(digits) < 20 else None


def _float(field: str, value: float, hint: str) -> float:
    try:
        return float(value)
    except OverflowError:                                   # an int of 310 digits
        raise SpecError(field, value, hint) from None


def size(field: str, value: int | str) -> int:
    """Bytes: 1048576, "1M", "1MiB", "1.5g"; units are powers of 1024."""
    if isinstance(value, bool) or not isinstance(value, (int, str)):
        raise SpecError(field, value, "give bytes as a number, or a size such as 64M")
    if isinstance(value, int):
        return value
    digits, unit = _split(value)
    number, factor = _decimal(digits), SIZE_UNITS.get(unit)
    if number is None or factor is None:
        raise SpecError(field, value, "give a size such as 64M, 1.5G or 65536 (units k, m, g, t)")
    return round(number * factor) if "." in digits else int(digits) * factor


def swap(field: str, value: int | str) -> int:
    """A size, or -1 for no limit."""
    return -1 if value in (-1, "-1") else size(field, value)


def duration(field: str, value: float | str) -> float:
    """Seconds: 2, 0.5, "500ms", "1m30s"."""
    hint = "give seconds, or a time such as 500ms, 2s or 1m30s"
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return _float(field, value, hint)
    if not isinstance(value, str) or len(value) > 100:
        raise SpecError(field, value, hint)
    rest, total = value.strip(), 0.0
    if (plain := _decimal(rest)) is not None:
        return plain
    while rest:
        digits, unit_on = _split(rest)
        letters = unit_on[:len(unit_on) - len(unit_on.lstrip("abcdefghijklmnopqrstuvwxyz"))]
        number, factor = _decimal(digits), TIME_UNITS.get(letters)
        if number is None or factor is None:
            raise SpecError(field, value, hint)
        total += number * factor
        rest = unit_on[len(letters):]
    if not value.strip():
        raise SpecError(field, value, hint)
    return total


def offset(field: str, value: float | str) -> float:
    """Seconds as in `duration`, with a sign."""
    if isinstance(value, str):
        text = value.strip()
        sign = -1 if text.startswith("-") else 1
        return sign * duration(field, text.removeprefix("-").removeprefix("+"))
    return duration(field, value)


def decimal(field: str, value: float | str) -> float:
    """A number without sign or exponent, such as 0.5."""
    hint = "give a number such as 2 or 0.5"
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return _float(field, value, hint)
    number = _decimal(value.strip()) if isinstance(value, str) else None
    if number is None:
        raise SpecError(field, value, hint)
    return number


def integer(field: str, value: int | str) -> int:
    """A whole number, which may be negative."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    text = value.strip() if isinstance(value, str) else ""
    digits = text.removeprefix("-")
    if not (digits.isascii() and digits.isdecimal() and len(digits) < 20):
        raise SpecError(field, value, "give a whole number")
    return int(text)


def cpus(field: str, text: str) -> tuple[int, ...]:
    """CPU numbers: "0-2,5"."""
    ranges: set[tuple[int, int]] = set()
    for part in text.split(","):
        first, dash, last = (word.strip() for word in part.partition("-"))
        ends = (first, last) if dash else (first, first)
        if not all(end.isascii() and end.isdecimal() and len(end) < 6 for end in ends):
            raise SpecError(field, text, "give CPU numbers such as 0,2 or 0-3")
        if int(ends[0]) > int(ends[1]):
            raise SpecError(field, text, f"{first}-{last} goes backwards")
        ranges.add((int(ends[0]), int(ends[1])))
    found: list[int] = []
    for low, high in sorted(ranges):
        found.extend(range(max(low, found[-1] + 1) if found else low, high + 1))
    return tuple(found)


def user(field: str, text: str) -> User:
    """UID[:GID], in numbers: names mean what one root file system's /etc/passwd says."""
    uid, colon, gid = text.partition(":")
    for number in (uid, gid) if colon else (uid,):
        if not (number.isascii() and number.isdecimal() and len(number) < 20):
            raise SpecError(field, text, "give numbers, UID or UID:GID, such as 1000 or 1000:100")
    return User(uid=int(uid), gid=int(gid) if colon else None)


def volume(field: str, text: str) -> Mount:
    """SRC:DST[:ro|rw]."""
    words = text.split(":")
    if len(words) not in (2, 3) or len(words) == 3 and words[2] not in ("ro", "rw"):
        raise SpecError(field, text, "give SRC:DST or SRC:DST:ro, both paths absolute")
    return Mount(type="bind", source=words[0], target=words[1], read_only=words[2:] == ["ro"])


def _options(field: str, text: str) -> list[tuple[str, str | None]]:
    """key=value,key,... as pairs; None for a key alone."""
    pairs: list[tuple[str, str | None]] = []
    for word in text.split(","):
        key, equals, value = word.partition("=")
        if not key:
            raise SpecError(field, text, "give key=value pairs with commas between")
        pairs.append((key, value if equals else None))
    return pairs


def _octal(field: str, text: str) -> int:
    if not text or text.strip("01234567"):
        raise SpecError(field, text, "give an octal mode such as 1777")
    return int(text, 8)


def mount(field: str, text: str) -> Mount:
    """type=bind,source=SRC,target=DST[,readonly], or
    type=tmpfs,target=DST[,tmpfs-size=N][,tmpfs-mode=N][,tmpfs-inodes=N][,readonly]."""
    values: dict[str, Any] = {}
    names = {"type": "type", "source": "source", "src": "source", "target": "target",
             "dst": "target", "destination": "target", "readonly": "read_only", "ro": "read_only",
             "tmpfs-size": "size_bytes", "tmpfs-mode": "mode", "tmpfs-inodes": "inodes"}
    for key, value in _options(field, text):
        name = names.get(key)
        if name is None:
            raise SpecError(field, key, f"in {shown(text)}: use {', '.join(names)}")
        if name in values:
            raise SpecError(field, key, f"is given twice in {shown(text)}")
        if name == "read_only":
            if value not in (None, "true", "1", "false", "0"):
                raise SpecError(field, key, "is true or false")
            values[name] = value in (None, "true", "1")
        elif value is None:
            raise SpecError(field, key, f"needs a value in {shown(text)}")
        else:
            values[name] = value
    return _mount(field, text, values)


def _mount(field: str, text: str, values: dict[str, Any]) -> Mount:
    for name in ("type", "target"):
        if name not in values:
            raise SpecError(field, text, f"{name}= is missing")
    of_tmpfs = {"size_bytes", "mode", "inodes"} & values.keys()
    if values["type"] == "bind" and of_tmpfs:
        raise SpecError(field, text, "tmpfs options are for type=tmpfs")
    for name, read in (("size_bytes", size), ("mode", _octal), ("inodes", integer)):
        if name in values:
            values[name] = read(field, values[name])
    return Mount(**values)


def tmpfs(field: str, text: str) -> Mount:
    """/path[:size=64m,mode=1777,nr_inodes=N,ro], as `docker run --tmpfs`."""
    target, colon, options = text.partition(":")
    numbers: dict[str, Any] = {}
    read_only = False
    for key, value in _options(field, options) if colon else ():
        if key == "size" and value is not None:
            numbers["size_bytes"] = size(field, value)
        elif key == "mode" and value is not None:
            numbers["mode"] = _octal(field, value)
        elif key == "nr_inodes" and value is not None:
            numbers["inodes"] = integer(field, value)
        elif key in ("ro", "rw") and value is None:
            read_only = key == "ro"
        elif not (key in ("nosuid", "nodev", "noexec", "exec") and value is None):
            raise SpecError(field, key, f"in {shown(text)}: use size=, mode=, nr_inodes=, ro or rw")
        elif key == "noexec":
            raise SpecError(field, key, "is not offered: a box may execute what it writes")
    return Mount(type="tmpfs", target=target, read_only=read_only, **numbers)


def ulimit(field: str, text: str) -> Ulimit:
    """NAME=SOFT[:HARD], as Docker's --ulimit; "unlimited" is -1."""
    name, equals, numbers = text.partition("=")
    soft, colon, hard = numbers.partition(":")
    if not equals:
        raise SpecError(field, text, "give NAME=SOFT or NAME=SOFT:HARD, such as nofile=1024")
    limits = [-1 if word == "unlimited" else integer(field, word)
              for word in (soft, hard if colon else soft)]
    return Ulimit(name=name, soft=limits[0], hard=limits[1])


def device(field: str, text: str) -> tuple[str, str]:
    """/dev/x[:/dev/y]: the device on the host and in the box."""
    source, colon, target = text.partition(":")
    target = target if colon else source
    if not target.startswith("/dev/") or ".." in target.split("/"):
        raise SpecError(field, text, "give /dev/NAME or /dev/NAME:/dev/OTHER")
    return source, target


def device_rate(field: str, text: str) -> tuple[str, int]:
    """/dev/x:RATE: the device or a directory on it, and bytes or operations a second."""
    path, colon, rate = text.rpartition(":")
    if not colon:
        raise SpecError(field, text, "give DEVICE:RATE, such as /dev/sda:1M")
    return path, size(field, rate)


def signal(field: str, text: str | int) -> int:
    """A signal's number, by its name (TERM, SIGTERM) or number."""
    if isinstance(text, int):
        return int(text)
    name = text.strip().upper().removeprefix("SIG")
    if name in SIGNALS:
        return SIGNALS.index(name) + 1
    if not (name.isascii() and name.isdecimal() and len(name) < 4):
        raise SpecError(field, text, "give a signal's name such as TERM, or its number")
    return int(name)


def env(field: str, text: str, caller: dict[str, str] | None = None) -> tuple[str, str] | None:
    """NAME=VALUE; or NAME, which takes *caller*'s value and is None where that has none."""
    name, equals, value = text.partition("=")
    if not name:
        raise SpecError(field, text, "give NAME=VALUE, or NAME to pass it on")
    if equals:
        return name, value
    known = (caller or {}).get(name)
    return None if known is None else (name, known)


def env_file(field: str, text: str,
             caller: dict[str, str] | None = None) -> tuple[tuple[str, str], ...]:
    """Lines as `env` takes them; empty ones and those that begin with # are passed over."""
    found = []
    for line in text.split("\n"):           # any other space may be in a value
        line = line.removesuffix("\r")
        if line.strip() and not line.lstrip().startswith("#"):
            pair = env(field, line, caller)
            if pair:
                found.append(pair)
    return tuple(found)
