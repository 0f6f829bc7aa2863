"""The policy in words: what is said of a call, with the names that C has for numbers."""

from __future__ import annotations

from minibox.seccomp import policy
from minibox.seccomp.policy import Bits, Equal, Group, Masked, Rule

FAMILY = {policy.UNIX: "AF_UNIX", policy.INET: "AF_INET", policy.INET6: "AF_INET6",
          policy.NETLINK: "AF_NETLINK", policy.PACKET: "AF_PACKET"}
KIND = {value: name for values, name in (
    (policy.STREAM, "SOCK_STREAM"), (policy.DGRAM, "SOCK_DGRAM"), (policy.RAW, "SOCK_RAW"))
    for value in values}
PROTOCOL = {0: "0", policy.TCP: "IPPROTO_TCP", policy.UDP: "IPPROTO_UDP",
            policy.ICMP: "IPPROTO_ICMP", policy.ICMP6: "IPPROTO_ICMPV6"}
REQUEST = {policy.TIOCSTI: "TIOCSTI", policy.TIOCLINUX: "TIOCLINUX", policy.TIOCSETD: "TIOCSETD"}
CLONE = {policy.NEW_TIME: "CLONE_NEWTIME", 0x00020000: "CLONE_NEWNS", 0x02000000: "CLONE_NEWCGROUP",
         0x04000000: "CLONE_NEWUTS", 0x08000000: "CLONE_NEWIPC", 0x10000000: "CLONE_NEWUSER",
         0x20000000: "CLONE_NEWPID", 0x40000000: "CLONE_NEWNET"}
MODE = {0o4000: "S_ISUID", 0o2000: "S_ISGID", 0o020000: "S_IFCHR", 0o060000: "S_IFBLK",
        0o170000: "S_IFMT"}
PERSONALITY = {policy.LINUX: "PER_LINUX", policy.WHICH: "0xffffffff (which is it?)"}
INIT = {1: "1 (init)"}

ARGUMENTS: dict[tuple[str, int], tuple[str, dict[int, str]]] = {
    ("socket", 0): ("domain", FAMILY), ("socket", 1): ("type", KIND),
    ("socket", 2): ("protocol", PROTOCOL), ("socketpair", 0): ("domain", FAMILY),
    ("ioctl", 1): ("request", REQUEST), ("clone", 0): ("flags", CLONE),
    ("unshare", 0): ("flags", CLONE), ("personality", 0): ("persona", PERSONALITY),
    ("tgkill", 0): ("tgid", INIT), ("tkill", 0): ("tid", INIT)}
"""What a call's argument is called in its manual page, and its values."""


def condition(call: str, test: Equal | Masked | Bits) -> str:
    """As "flags (argument 0) has CLONE_NEWUSER"."""
    title, words = ARGUMENTS.get((call, test.argument), ("", {}))
    if not title:
        title, words = ("pid", INIT) if test.argument == 0 else ("mode", MODE)
    what = f"{title} (argument {test.argument})"
    if isinstance(test, Bits):
        return f"{what} has {_either(words, [1 << n for n in range(32) if test.mask >> n & 1])}"
    if isinstance(test, Masked) and test.mask == 0:
        return "it is called at all"
    if isinstance(test, Masked) and test.mask != 0xFFFFFFFF:
        what += f" & {words.get(test.mask, hex(test.mask))}"
    return f"{what} is {_either(words, test.values)}"


def verdict(one: Group | Rule | None) -> str:
    """Allowed, refused, or on which condition; None: of a call that neither speaks of."""
    if one is None:
        return "ENOSYS"
    if isinstance(one, Group):
        needs = f", allowed with --cap-add {' or '.join(one.needs)}" if one.needs else ""
        return "allowed" if one.allowed else f"EPERM{needs}"
    if one.deny:
        return "allowed, but EPERM where " + ", or ".join(
            condition(one.call, test) for test in one.deny)
    if one.allow:
        return "EPERM, but allowed where " + ", or ".join(
            " and ".join(condition(one.call, test) for test in tests) for tests in one.allow)
    return "allowed"


def _either(words: dict[int, str], values: list[int] | tuple[int, ...]) -> str:
    """A name stands once, as for a socket's type with and without SOCK_CLOEXEC."""
    *first, last = dict.fromkeys(words.get(value, hex(value)) for value in values)
    return f"{', '.join(first)} or {last}" if first else last
