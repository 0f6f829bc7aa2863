"""Profiles of system calls in the JSON of Docker, Podman and the OCI runtime specification.

Source: moby's docs on seccomp, containers-common's seccomp.json, runtime-spec's config-linux.md;
libseccomp's meaning of the words, and what runc makes of them.  As there, calls that this machine
has not are passed over, and so are rules that say the same as the default.  Other than there,
the first of several rules that hold is the one that counts (libseccomp sorts them its own way),
and no profile lets calls of another architecture through.
"""

from __future__ import annotations

import errno
import json

from minibox.errors import HostError, SpecError
from minibox.seccomp import Program
from minibox.seccomp.numbers import MACHINES, numbers
from minibox.seccomp.program import ALLOW, ERRNO, Block, Compare, assemble, compared

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

FIELD = "security-opt seccomp"
KILL_PROCESS, KILL_THREAD, TRAP, LOG = 0x80000000, 0, 0x00030000, 0x7FFC0000

ACTIONS = {"SCMP_ACT_ALLOW": ALLOW, "SCMP_ACT_ERRNO": ERRNO, "SCMP_ACT_KILL": KILL_THREAD,
           "SCMP_ACT_KILL_THREAD": KILL_THREAD, "SCMP_ACT_KILL_PROCESS": KILL_PROCESS,
           "SCMP_ACT_TRAP": TRAP, "SCMP_ACT_LOG": LOG}

OPERATORS = ("SCMP_CMP_NE", "SCMP_CMP_LT", "SCMP_CMP_LE", "SCMP_CMP_EQ", "SCMP_CMP_GE",
             "SCMP_CMP_GT", "SCMP_CMP_MASKED_EQ")

KEYS = {"names", "name", "action", "errno", "errnoRet", "args", "includes", "excludes", "comment"}

MOST = 4096
"""BPF_MAXINSNS."""

ARCHES = {"x86_64": {"amd64", "x86_64"}, "aarch64": {"arm64", "aarch64"}}
"""What profiles call each machine, in their conditions."""


def from_profile(text: str, machine: str, capabilities: tuple[str, ...]) -> Program:
    """The profile *text* as a program. capabilities: of the box, on which its conditions may hang.

    Errors: SpecError names what in it is not understood.
    """
    if machine not in MACHINES:
        raise HostError("seccomp", f"the calls of {machine} are not known to minibox",
                        "add --security-opt seccomp=unconfined to run without a filter")
    try:
        profile = json.loads(text)
    except RecursionError as error:
        raise _wrong("the profile", "it is too deep") from error
    except ValueError as error:
        raise _wrong("the profile", f"it is no JSON: {error}") from error
    if not isinstance(profile, dict) or "defaultAction" not in profile:
        raise _wrong("the profile", "a profile is an object with a defaultAction")
    default = _verdict(profile, "defaultAction", "defaultErrno")
    known, by_call = numbers(machine), dict[int, list[tuple[list[Compare], int]]]()
    for entry in _list(profile, "syscalls"):
        if not isinstance(entry, dict) or set(entry) - KEYS:
            raise _wrong(_show(entry), f"a rule is an object with {', '.join(sorted(KEYS))}")
        if not _applies(entry, machine, capabilities):
            continue
        verdict = _verdict(entry, "action", "errno")
        alternatives = _alternatives([_test(one) for one in _list(entry, "args")])
        for name in _list(entry, "names") or [entry.get("name")]:
            if not isinstance(name, str):
                raise _wrong(_show(entry), "a rule has names, a list of system calls")
            if name in known and verdict != default:
                by_call.setdefault(known[name], []).extend(
                    (tests, verdict) for tests in alternatives)
    blocks: dict[int, object] = {
        number: _block(rules, default) for number, rules in by_call.items()}
    program = assemble(machine, blocks, default, _foreign(default))
    if len(program) > MOST:
        raise _wrong("the profile", f"it comes to {len(program)} instructions, and the kernel "
                                    f"takes {MOST}: give fewer conditions on arguments")
    return program


def _alternatives(tests: list[Compare]) -> list[list[Compare]]:
    """All conditions hold together, unless two are on the same argument: then any of them does.
    So says runc, since libseccomp has no word for the former."""
    if len({test.argument for test in tests}) < len(tests):
        return [[test] for test in tests]
    return [tests]


def _foreign(default: int) -> int:
    """Calls by another convention are never let through."""
    return KILL_PROCESS if default in (ALLOW, LOG) else default


def _block(rules: list[tuple[list[Compare], int]], default: int) -> Block | int:
    """The first rule that holds; a rule without conditions always does, so it stands for all."""
    for tests, verdict in rules:
        if not tests:
            return verdict
    return compared(rules, default)


def _verdict(owner: dict[str, Any], action: str, error: str) -> int:
    """error: the key of an errno by name, as Podman writes it; with Ret the one by number."""
    name = owner.get(action)
    if not isinstance(name, str) or name not in ACTIONS:
        hint = ("nobody is there to be asked" if name in ("SCMP_ACT_NOTIFY", "SCMP_ACT_TRACE")
                else f"the actions are {', '.join(ACTIONS)}")
        raise _wrong(f"{action} {_show(name)}", hint)
    number = owner.get(error + "Ret")
    if word := owner.get(error):
        number = getattr(errno, word, None) if isinstance(word, str) and word[0] == "E" else None
        if number is None:
            raise _wrong(f"{error} {_show(word)}", "an errno has a name such as EPERM")
    if number is not None and not _is_number(number, 4095):
        raise _wrong(f"{error}Ret {_show(number)}", "an errno is a number from 0 to 4095")
    if ACTIONS[name] != ERRNO:
        return ACTIONS[name]
    return ERRNO | (errno.EPERM if number is None else number)


def _is_number(value: Any, most: int) -> bool:
    return type(value) is int and 0 <= value <= most


def _test(one: Any) -> Compare:
    if not isinstance(one, dict):
        raise _wrong(_show(one), "a condition is an object with index, value and op")
    index, operator = one.get("index"), one.get("op")
    if index is None or not _is_number(index, 5):
        raise _wrong(f"index {_show(index)}", "an argument's index is 0 to 5")
    if operator not in OPERATORS:
        raise _wrong(f"op {_show(operator)}", f"the operators are {', '.join(OPERATORS)}")
    values = one.get("value", 0), one.get("valueTwo", 0)
    for value in values:
        if not _is_number(value, 2**64 - 1):
            raise _wrong(f"value {_show(value)}", "a value is a number of at most 64 bits")
    mask, wanted = values if operator == "SCMP_CMP_MASKED_EQ" else (2**64 - 1, values[0])
    return Compare(argument=index, operator=operator[9:], mask=mask, value=wanted & mask)


def _applies(entry: dict[str, Any], machine: str, capabilities: tuple[str, ...]) -> bool:
    """Are the conditions of a rule met? All that it includes, none that it excludes. (Every
    minKernel is taken as met: profiles ask for less than minibox does.)"""
    def met(name: str, names: list[Any]) -> list[bool]:
        if name == "caps":
            return [str(one).removeprefix("CAP_") in capabilities for one in names]
        return [str(one) in ARCHES[machine] for one in names]

    for name, conditions in (("includes", entry.get("includes") or {}),
                             ("excludes", entry.get("excludes") or {})):
        if not isinstance(conditions, dict) or set(conditions) - {"caps", "arches", "minKernel"}:
            raise _wrong(_show(conditions), f"{name} has caps, arches, minKernel")
        for condition in ("caps", "arches"):
            found = met(condition, _list(conditions, condition))
            if name == "includes" and found and not (
                    all(found) if condition == "caps" else any(found)):
                return False
            if name == "excludes" and (any(found) or conditions.get("minKernel")):
                return False
    return True


def _list(owner: dict[str, Any], name: str) -> list[Any]:
    found = owner.get(name) or []
    if not isinstance(found, list):
        raise _wrong(f"{name} {_show(found)}", "give a list")
    return found


def _show(value: Any) -> str:
    try:
        text = json.dumps(value)
    except RecursionError:
        text = f"{type(value).__name__} in many others"
    return text if len(text) <= 60 else text[:57] + "..."


def _wrong(what: str, hint: str) -> SpecError:
    return SpecError(FIELD, what, hint)
