"""Capabilities, no_new_privs, filters of system calls, Landlock, keys."""

from __future__ import annotations

import os
import struct

from minibox.core import ffi, lib
from minibox.seccomp.numbers import numbers as numbers_on  # not late: pivot_root may hide it
from minibox.syscalls.flags import (
    AMBIENT,
    AUDIT_ARCH,
    CAP,
    LANDLOCK_ACCESS_FS,
    LANDLOCK_ACCESS_NET,
    LANDLOCK_SCOPE,
    PR,
    SECBIT,
)
from minibox.syscalls.raw import call

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from enum import IntEnum

__all__ = [
    "prctl", "no_new_privs", "die_with_parent", "set_dumpable", "set_child_subreaper",
    "set_keepcaps", "set_securebits", "drop_bounding", "raise_ambient", "clear_ambient", "capget",
    "capset", "load", "mask", "jump_if_equal", "jump_if_at_least", "ret", "syscall_number",
    "audit_arch", "seccomp", "landlock_abi", "landlock_create_ruleset", "landlock_add_rule",
    "landlock_add_port", "landlock_restrict_self", "join_session_keyring"]

Instruction = tuple[int, int, int, int]

RULE_NET_PORT = 2
"""LANDLOCK_RULE_NET_PORT, younger than the headers that this may be built with."""


def _known(kind: type[IntEnum], number: int) -> int:
    """*number* by its name, if it has one, for an error to say."""
    return kind(number) if number in kind._value2member_map_ else number


def prctl(option: int, first: int = 0, second: int = 0, third: int = 0) -> int:
    """An operation on this process: PR_...

    Errors: EINVAL: no such operation or argument; EPERM.
    Source: prctl(2).
    Example: `prctl(PR_SET_PDEATHSIG, signal.SIGKILL)`
    """
    return call("prctl", int(option), int(first), int(second), int(third),
                given=(_known(PR, option), first, second, third))


def no_new_privs() -> None:
    """Gain no privilege by exec from here on, by set-user-ID programs for one: PR_SET_NO_NEW_PRIVS.

    Errors: none.
    Source: prctl(2), PR_SET_NO_NEW_PRIVS(2const); Linux 3.5.
    Example: `no_new_privs()`
    """
    prctl(PR.PR_SET_NO_NEW_PRIVS, 1)


def die_with_parent(signal: int) -> None:
    """Get *signal* when the parent's thread ends: PR_SET_PDEATHSIG. A change of ids clears it.

    Errors: EINVAL: no such signal.
    Source: prctl(2).
    Example: `die_with_parent(signal.SIGKILL)`
    """
    prctl(PR.PR_SET_PDEATHSIG, signal)


def set_dumpable(on: bool) -> None:
    """May others of this user trace this process and read its /proc/PID? PR_SET_DUMPABLE.

    An exec sets it again.
    Errors: none.
    Source: prctl(2), proc(5).
    Example: `set_dumpable(False)`
    """
    prctl(PR.PR_SET_DUMPABLE, on)


def set_child_subreaper(on: bool) -> None:
    """Be the parent of descendants whose own has ended, as PID 1 is: PR_SET_CHILD_SUBREAPER.

    Errors: none.
    Source: prctl(2); Linux 3.4.
    Example: `set_child_subreaper(True)`
    """
    prctl(PR.PR_SET_CHILD_SUBREAPER, on)


def set_keepcaps(on: bool) -> None:
    """Keep permitted capabilities when the last id that is 0 goes, until exec: PR_SET_KEEPCAPS.

    Errors: EPERM where SECBIT_KEEP_CAPS_LOCKED is set.
    Source: prctl(2), capabilities(7).
    Example: `set_keepcaps(True); setresuid(1000, 1000, 1000)`
    """
    prctl(PR.PR_SET_KEEPCAPS, on)


def set_securebits(bits: int) -> None:
    """What is special about user 0: PR_SET_SECUREBITS, SECBIT_...

    Errors: EPERM without CAP_SETPCAP, or where a bit is locked.
    Source: capabilities(7), prctl(2).
    Example: `set_securebits(SECBIT_NOROOT | SECBIT_NOROOT_LOCKED)`
    """
    call("prctl", int(PR.PR_SET_SECUREBITS), int(bits), 0, 0,
         given=(PR.PR_SET_SECUREBITS, SECBIT(bits)))


def drop_bounding(capability: int) -> None:
    """Take a capability out of the bounding set, for ever: PR_CAPBSET_DROP.

    Errors: EPERM without CAP_SETPCAP; EINVAL: there is no such capability.
    Source: capabilities(7), prctl(2).
    Example: `drop_bounding(CAP_NET_RAW)`
    """
    call("prctl", int(PR.PR_CAPBSET_DROP), int(capability), 0, 0,
         given=(PR.PR_CAPBSET_DROP, _known(CAP, capability)))


def raise_ambient(capability: int) -> None:
    """Have exec pass on a capability that is permitted and inheritable: PR_CAP_AMBIENT_RAISE.

    Errors: EPERM: it is not both, or SECBIT_NO_CAP_AMBIENT_RAISE is set.
    Source: capabilities(7), prctl(2); Linux 4.3.
    Example: `raise_ambient(CAP_NET_BIND_SERVICE)`
    """
    call("prctl", int(PR.PR_CAP_AMBIENT), int(AMBIENT.PR_CAP_AMBIENT_RAISE), int(capability), 0,
         given=(PR.PR_CAP_AMBIENT, AMBIENT.PR_CAP_AMBIENT_RAISE, _known(CAP, capability), 0, 0))


def clear_ambient() -> None:
    """Empty the ambient set: PR_CAP_AMBIENT_CLEAR_ALL.

    Errors: none.
    Source: capabilities(7), prctl(2); Linux 4.3.
    Example: `clear_ambient()`
    """
    prctl(PR.PR_CAP_AMBIENT, AMBIENT.PR_CAP_AMBIENT_CLEAR_ALL)


def _header() -> object:
    return ffi.new("struct __user_cap_header_struct *",
                   {"version": lib._LINUX_CAPABILITY_VERSION_3, "pid": 0})


def capget() -> tuple[frozenset[int], frozenset[int], frozenset[int]]:
    """The effective, permitted and inheritable capabilities of this process, as numbers.

    Errors: none.
    Source: capget(2).
    Example: `effective, permitted, inheritable = capget()`
    """
    data = ffi.new("struct __user_cap_data_struct[2]")
    call("capget", _header(), data, given=())
    return tuple(                                                    # type: ignore[return-value]
        frozenset(bit for bit in range(64) if getattr(data[bit // 32], name) >> bit % 32 & 1)
        for name in ("effective", "permitted", "inheritable"))


def capset(effective: Iterable[int], permitted: Iterable[int], inheritable: Iterable[int]) -> None:
    """Set the three sets. Permitted can only shrink, and the others are within it.

    Errors: EPERM.
    Source: capset(2), capabilities(7).
    Example: `capset([], [], [])`
    """
    wanted = [sorted(map(int, each)) for each in (effective, permitted, inheritable)]
    data = ffi.new("struct __user_cap_data_struct[2]")
    for name, numbers in zip(("effective", "permitted", "inheritable"), wanted, strict=True):
        for number in numbers:
            setattr(data[number // 32], name, getattr(data[number // 32], name) | 1 << number % 32)
    call("capset", _header(), data, given=tuple(
        [CAP(number) for number in numbers] for numbers in wanted))


# ---- filters of system calls -------------------------------------------------------------------

def load(offset: int) -> Instruction:
    """BPF: take the 32 bits at *offset* of what the filter sees: 0 is the call's number, 4 the
    architecture (AUDIT_ARCH_...), 16 + 8 n the lower half of argument n, 20 + 8 n the upper.

    Source: seccomp(2), struct seccomp_data.
    Example: `load(0)`
    """
    return 0x20, 0, 0, offset


def mask(bits: int) -> Instruction:
    """BPF: keep only *bits* of what was taken.

    Source: linux/bpf_common.h.
    Example: `mask(CLONE_NEWUSER)`
    """
    return 0x54, 0, 0, bits


def jump_if_equal(value: int, if_true: int, if_false: int) -> Instruction:
    """BPF: skip that many instructions if what was taken is *value*, or if it is not.

    Source: linux/bpf_common.h.
    Example: `jump_if_equal(syscall_number("mount"), 0, 1)`
    """
    return 0x15, if_true, if_false, value


def jump_if_at_least(value: int, if_true: int, if_false: int) -> Instruction:
    """BPF: the same for at least *value*, as an unsigned number.

    Source: linux/bpf_common.h.
    Example: `jump_if_at_least(0x40000000, 0, 1)      # x32`
    """
    return 0x35, if_true, if_false, value


def ret(action: int, errno: int = 0) -> Instruction:
    """BPF: answer SECCOMP_RET_..., with an errno where that is SECCOMP_RET_ERRNO.

    Source: seccomp(2).
    Example: `ret(SECCOMP_RET_ERRNO, errno.EPERM)`
    """
    return 0x06, 0, 0, int(action) | errno


def syscall_number(name: str) -> int:
    """BPF: the number that a system call has on this machine.

    Errors: KeyError: this machine has no such call, as aarch64 has no open.
    Source: asm/unistd.h of Linux.
    Example: `jump_if_equal(syscall_number("mount"), 0, 1)`
    """
    return numbers_on(os.uname().machine)[name]


def audit_arch() -> AUDIT_ARCH:
    """BPF: what a filter finds at offset 4 when a call is made in this machine's own way.

    A filter that looks at numbers must look at this first: mount is 165 on x86_64, and 21 to
    its programs of 32 bits.
    Errors: KeyError: minibox does not know this machine.
    Source: seccomp(2), linux/audit.h.
    Example: `jump_if_equal(audit_arch(), 1, 0)`
    """
    return AUDIT_ARCH[f"AUDIT_ARCH_{os.uname().machine.upper()}"]


def seccomp(program: Sequence[Instruction]) -> None:
    """Have the kernel ask this program about each system call of this process from here on.

    program: (code, jump if true, jump if false, value) each: struct sock_filter. Every path must
    end in `ret`; it cannot be taken back, and where there are several the strictest answer counts.
    Errors: EACCES without no_new_privs or CAP_SYS_ADMIN; EINVAL: it is no program.
    Source: seccomp(2) SECCOMP_SET_MODE_FILTER; Linux 3.17.
    Example: `seccomp([load(0), jump_if_equal(syscall_number("mount"), 0, 1),
    ret(SECCOMP_RET_ERRNO, errno.EPERM), ret(SECCOMP_RET_ALLOW)])`
    """
    rows = b"".join(struct.pack("=HBBI", code, true, false, value & 2**32 - 1)
                    for code, true, false, value in program)
    room = ffi.from_buffer(rows)
    head = ffi.new("struct sock_fprog *", {
        "len": len(program), "filter": ffi.cast("struct sock_filter *", room)})
    call("seccomp", lib.SECCOMP_SET_MODE_FILTER, 0, head,
         given=("SECCOMP_SET_MODE_FILTER", 0, f"{len(program)} instructions"))


# ---- Landlock ----------------------------------------------------------------------------------

def landlock_abi() -> int:
    """The version of Landlock that this kernel has: 1 is Linux 5.13, 4 is 6.7 (TCP), 6 is 6.12.

    Errors: ENOSYS: none; EOPNOTSUPP: switched off.
    Source: landlock(7), landlock_create_ruleset(2).
    Example: `if landlock_abi() >= 4: ...`
    """
    return call("landlock_create_ruleset", None, 0, lib.LANDLOCK_CREATE_RULESET_VERSION)


def landlock_create_ruleset(files: int = 0, network: int = 0, scoped: int = 0) -> int:
    """A descriptor of a ruleset that refuses these accesses, but for what rules allow.

    files: LANDLOCK_ACCESS_FS_...; network: LANDLOCK_ACCESS_NET_...; scoped: LANDLOCK_SCOPE_...
    Errors: EOPNOTSUPP, ENOSYS; EINVAL, E2BIG: this kernel does not know one.
    Source: landlock_create_ruleset(2), landlock(7); Linux 5.13.
    Example: `rules = landlock_create_ruleset(LANDLOCK_ACCESS_FS_WRITE_FILE)`
    """
    values = (int(files), int(network), int(scoped))
    most = max(1, max((n + 1 for n, value in enumerate(values) if value), default=1))
    attributes = struct.pack(f"={most}Q", *values[:most])       # as long as it has to be
    return call("landlock_create_ruleset", ffi.from_buffer(attributes), len(attributes), 0, given=(
        [LANDLOCK_ACCESS_FS(files), LANDLOCK_ACCESS_NET(network), LANDLOCK_SCOPE(scoped)],))


def landlock_add_rule(ruleset: int, fd: int, allowed: int) -> None:
    """Allow accesses below the file or directory that *fd* (O_PATH will do) stands for.

    Errors: EINVAL: what the ruleset does not handle; EBADFD.
    Source: landlock_add_rule(2), LANDLOCK_RULE_PATH_BENEATH; Linux 5.13.
    Example: `landlock_add_rule(rules, os.open("/tmp", os.O_PATH), LANDLOCK_ACCESS_FS_WRITE_FILE)`
    """
    rule = struct.pack("=Qi", int(allowed), fd)
    call("landlock_add_rule", ruleset, lib.LANDLOCK_RULE_PATH_BENEATH, ffi.from_buffer(rule), 0,
         given=(ruleset, "LANDLOCK_RULE_PATH_BENEATH", [LANDLOCK_ACCESS_FS(allowed), fd], 0))


def landlock_add_port(ruleset: int, port: int, allowed: int) -> None:
    """Allow a TCP port: LANDLOCK_ACCESS_NET_...; the same call as landlock_add_rule.

    Errors: EINVAL: what the ruleset does not handle, or no port; EAFNOSUPPORT: no TCP here.
    Source: landlock_add_rule(2), LANDLOCK_RULE_NET_PORT; Linux 6.7.
    Example: `landlock_add_port(rules, 443, LANDLOCK_ACCESS_NET_CONNECT_TCP)`
    """
    rule = struct.pack("=QQ", int(allowed), port)
    call("landlock_add_rule", ruleset, RULE_NET_PORT, ffi.from_buffer(rule), 0,
         given=(ruleset, "LANDLOCK_RULE_NET_PORT", [LANDLOCK_ACCESS_NET(allowed), port], 0))


def landlock_restrict_self(ruleset: int) -> None:
    """Be held to the ruleset from here on, with all children.

    Errors: EPERM without no_new_privs or CAP_SYS_ADMIN; E2BIG: 16 at most.
    Source: landlock_restrict_self(2); Linux 5.13.
    Example: `no_new_privs(); landlock_restrict_self(rules)`
    """
    call("landlock_restrict_self", ruleset, 0)


def join_session_keyring() -> int:
    """Have a new, empty session keyring in the place of the caller's; its number.

    Errors: EDQUOT: too many keys.
    Source: keyctl(2) KEYCTL_JOIN_SESSION_KEYRING.
    Example: `join_session_keyring()`
    """
    return call("keyctl", 1, 0, 0, 0, 0, given=("KEYCTL_JOIN_SESSION_KEYRING", None))

