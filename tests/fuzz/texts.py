"""The readers of text, words that each looks for, and what holds whatever they are given."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

import minibox.seccomp.profile
from minibox import parse, plan, report
from minibox.errors import EngineError, SpecError
from minibox.seccomp.profile import from_profile

NUMBERS = ("0", "1", "9", "00", "65536", "4294967295", "18446744073709551616", "1e9", "0x1f", "-1",
           "-", "+", ".", "0.5", "nan", "inf", "٣", "½", "１", "_", " ", "\t")

PROFILE = """{"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 38, "syscalls": [
    {"names": ["read", "openat"], "action": "SCMP_ACT_ALLOW", "includes": {"caps": ["CAP_CHOWN"]}},
    {"name": "write", "action": "SCMP_ACT_KILL", "args": [
        {"index": 1, "value": 4294967296, "valueTwo": 7, "op": "SCMP_CMP_MASKED_EQ"}]}]}"""


def profile(_field: str, text: str) -> object:
    """As --security-opt seccomp=FILE."""
    return from_profile(text, "x86_64", ())


READERS: dict[str, tuple[Callable[..., object], tuple[str, ...]]] = {
    "size": (parse.size, ("1.5g", "k", "MiB", "g", "tb", "b", "K")),
    "swap": (parse.swap, ("-1", "m")),
    "duration": (parse.duration, ("1m30s", "ns", "us", "ms", "s", "m", "h", "d")),
    "offset": (parse.offset, ("ns", "s", "d")),
    "decimal": (parse.decimal, ()),
    "integer": (parse.integer, ()),
    "cpus": (parse.cpus, (",", "0-3", "9999-0", "0-99999,", "99999")),
    "user": (parse.user, (":",)),
    "volume": (parse.volume, ("/a:/b:ro", ":", "/a", "/proc", "ro", "rw", "..", "/")),
    "mount": (parse.mount, (",", "=", "type=bind", "type=tmpfs", "source=", "target=/a", "ro",
                            "readonly=", "tmpfs-size=", "tmpfs-mode=", "tmpfs-inodes=", "true",
                            "type=bind,source=/a,target=/b,readonly=false",
                            "type=tmpfs,target=/a,tmpfs-size=1m,tmpfs-mode=700,tmpfs-inodes=64")),
    "tmpfs": (parse.tmpfs, (":", "/a", ",", "size=", "mode=", "nr_inodes=", "ro", "rw", "noexec",
                            "/a:size=1m,mode=700,nr_inodes=64,rw,nosuid")),
    "ulimit": (parse.ulimit, ("nofile", "cpu", "=", ":", "unlimited")),
    "device": (parse.device, ("/dev/", "null", ":", "/..", "/")),
    "device_rate": (parse.device_rate, ("/dev/sda", ":", "m")),
    "signal": (parse.signal, ("15", "SIG", "TERM", "rtmin", "sıg")),
    "env": (parse.env, ("A", "=", "#", "\n")),
    "env_file": (parse.env_file, ("A", "=", "#", "\n", "\r\n", "\x0b", "\x85", "\u2028")),
    "profile": (profile, (
        "{", "}", "[", "]", ",", ":", '"', '"syscalls":', '"names":', '"args":', '"SCMP_ACT_ERRNO"',
        '{"defaultAction":"SCMP_ACT_ALLOW"}', PROFILE)),
}


def value_of(read: Callable[..., object], *arguments: object) -> object:
    """What it reads, or None where it refuses, which it must do shortly."""
    try:
        return read(*arguments)
    except SpecError as error:
        assert error.field and error.hint
        assert len(str(error)) < 500
        return None


TEXTS = [read for read, _ in READERS.values()]
BLOCKS = [plan.decode, report.decode]
COVERED = [parse, plan, report, minibox.seccomp.profile]


def one_input(data: bytes) -> None:
    """The first byte says which reader gets the rest."""
    which, rest = data[0] % (len(TEXTS) + len(BLOCKS)) if data else 0, data[1:]
    if which < len(TEXTS):
        value_of(TEXTS[which], "field", rest.decode("utf-8", "surrogateescape"))
    else:
        with suppress(EngineError):
            BLOCKS[which - len(TEXTS)](rest)
