"""minibox seccomp: the filter of system calls, as policy and as the kernel's program."""

from __future__ import annotations

import os

from minibox.cli.options import UsageError, parse
from minibox.errors import SpecError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Any

    from minibox.seccomp import Program
    from minibox.seccomp.policy import Group, Rule

PAGE = """\
usage: minibox seccomp show [OPTION]...

Show which system calls a box may make, and why. Without an option: a line for each group.

      --groups            with all calls of each group
      --bpf               the program that is loaded, an instruction a line
      --syscall NAME      what is said of one call, by name or number, and why
      --json              the same for a program to read
      --machine NAME      x86_64 or aarch64 [this machine]
      --network none|loopback|host    what the box asks for of networks [none]
      --cap-add NAME ...  a capability that the box keeps, which opens the calls it is for
  -h, --help              show this

minibox seccomp show --syscall mount
"""

UNKNOWN = "ENOSYS: it is in no group, so it is answered as by a kernel that has not got it"


class Policy:
    """What was asked for: the groups, rules and program of one kind of box."""

    def __init__(self, machine: str, network: bool, capabilities: tuple[str, ...]) -> None:
        from minibox.seccomp import filter_for, policy
        from minibox.seccomp.numbers import numbers

        self.machine = machine
        self.program: Program = filter_for(machine, network=network, capabilities=capabilities)
        self.groups = policy.groups(capabilities)
        self.rules = policy.rules(network, capabilities, True, True)
        self.on_host_files = {
            rule.call: rule for rule in policy.rules(network, capabilities, False, True)
            if rule not in self.rules}
        self.numbers = numbers(machine)

    def of(self, call: str) -> Group | Rule | None:
        """The group or rule that speaks of *call*."""
        return next((one for one in self.rules if one.call == call), None) or next(
            (one for one in self.groups if call in one.calls.split()), None)


def main(argv: Sequence[str]) -> int:
    """Do as *argv* says; the exit status."""
    options, rest = parse(PAGE, argv)
    if rest[:1] == ["show"]:
        options, rest = parse(PAGE, rest[1:])
    elif not options.get("help"):
        raise UsageError("say what to do: minibox seccomp show")
    if options.get("help"):
        print(PAGE, end="")
        return 0
    if rest:
        raise UsageError(f"seccomp show takes no argument, but was given {rest[0]!r}")
    shown = [name for name in ("groups", "bpf", "syscall") if name in options]
    if len(shown) > 1:
        raise UsageError(f"--{shown[0]} and --{shown[1]} are different things: choose one")
    found = asked_for(options)
    if "syscall" in options:
        told = of_call(found, str(options["syscall"]))
        lines = [f"{told['call']} ({told['number']} on {found.machine}): {told['verdict']}",
                 f"  group: {told['group']}", f"  why:   {told['why']}"]
        if there := told["on_host_files"]:
            lines += [f"With --rw, --keep or a writable volume: {there['verdict']}",
                      f"  why:   {there['why']}"]
        answer: object = told
    elif "bpf" in options:
        answer = lines = list(disassembly(found.program, {
            number: name for name, number in found.numbers.items()}))
    else:
        answer = [*map(as_json, found.groups), *map(as_json, found.rules)]
        lines = list(table(found, "groups" in options))
    if options.get("json"):
        import json

        print(json.dumps(answer, indent=2))
    else:
        print("\n".join(lines))
    return 0


def asked_for(options: dict[str, Any]) -> Policy:
    from minibox.request import box_spec
    from minibox.seccomp.numbers import MACHINES

    machine = options.get("machine", os.uname().machine)
    if machine not in MACHINES:
        raise SpecError("machine", machine, f"use {' or '.join(MACHINES)}")
    box = box_spec(["true"], network=options.get("network", "none"),
                   cap_add=options.get("cap-add", ()))
    return Policy(machine, box.loopback or "net" in box.share, box.capabilities)


def of_call(found: Policy, word: str) -> dict[str, Any]:
    """What is said of one call."""
    from minibox.seccomp.words import verdict

    names = {str(number): name for name, number in found.numbers.items()}
    call = names.get(word, word)
    if call not in found.numbers:
        from difflib import get_close_matches

        near = get_close_matches(call, found.numbers, 1)
        hint = f"did you mean {near[0]}?" if near else "see the names in `man 2 syscalls`"
        raise SpecError("syscall", word, f"{found.machine} has no such call that minibox knows: "
                        + hint)
    one, there = found.of(call), found.on_host_files.get(call)
    return {"call": call, "number": found.numbers[call], "verdict": verdict(one),
            "group": getattr(one, "name", "a rule on its arguments") if one else "none",
            "why": one.why if one else UNKNOWN.partition(": ")[2],
            "on_host_files": {"verdict": verdict(there), "why": there.why} if there else None}


def as_json(one: Group | Rule) -> dict[str, Any]:
    from minibox.seccomp.policy import Group
    from minibox.seccomp.words import verdict

    calls = one.calls.split() if isinstance(one, Group) else [one.call]
    return {"group": getattr(one, "name", None), "calls": calls, "verdict": verdict(one),
            "why": one.why}


def table(found: Policy, calls: bool) -> Iterator[str]:
    """A line for each group, then the rules; what is not listed comes last."""
    from textwrap import wrap

    from minibox.seccomp.words import verdict

    for title, allowed in (("allowed", True), ("refused: EPERM", False)):
        yield title
        for group in found.groups:
            if group.allowed is allowed:
                known = [call for call in group.calls.split() if call in found.numbers]
                needs = f" (--cap-add {' or '.join(group.needs)})" if group.needs else ""
                yield f"  {group.name:20} {len(known):3}  {group.why}{needs}"
                if calls:
                    yield from wrap(" ".join(known), 96, initial_indent=" " * 27,
                                    subsequent_indent=" " * 27)
        yield ""
    yield "by their arguments"
    for rule in found.rules:
        if rule.call in found.numbers:
            yield f"  {rule.call:20}      {rule.why}"
            if calls:
                yield from wrap(verdict(rule), 96, initial_indent=" " * 27,
                                subsequent_indent=" " * 27)
    yield ""
    told = {rule.why: [other.call for other in found.on_host_files.values()
                       if other.why == rule.why and other.call in found.numbers]
            for rule in found.on_host_files.values()}
    for why, among in told.items():
        yield f"with --rw, --keep or a writable volume also {', '.join(among)}: {why}"
    rest = [call for call in found.numbers if not found.of(call)]
    yield f"all others, such as {', '.join(rest[:4])}: {UNKNOWN}"
    yield f"the program has {len(found.program)} instructions on {found.machine} (--bpf)"


def disassembly(program: Program, names: dict[int, str]) -> Iterator[str]:
    """The program in words, an instruction a line."""
    from minibox.seccomp import program as machine

    fields = {machine.NUMBER: "the call's number", machine.ARCH: "the machine"}
    for half, text in ((0, "lower"), (4, "upper")):
        fields |= {machine.ARGUMENTS + 8 * n + half: f"argument {n}, {text} half" for n in range(6)}
    tests = {machine.EQUALS: "==", machine.ABOVE: ">", machine.AT_LEAST: ">=",
             machine.HAS_BITS: "&"}
    loaded = ""
    for at, word in enumerate(program):
        code, yes, no, k = word & 0xFFFF, word >> 16 & 0xFF, word >> 24 & 0xFF, word >> 32
        k &= 0xFFFFFFFF
        if code == machine.LOAD:
            loaded, text = fields[k], f"load {fields[k]}"
        elif code == machine.AND:
            text = f"and {k:#x}"
        elif code == machine.JUMP:
            text = f"go to {at + 1 + k}"
        elif code == machine.RETURN:
            text = f"return {returned(k)}"
        else:
            value = f"{k} ({names[k]})" if loaded == fields[0] and k in names else f"{k:#x}"
            text = f"if {tests[code]} {value} go to {at + 1 + yes}, else {at + 1 + no}"
        yield f"{at:4}  {text}"


def returned(value: int) -> str:
    from errno import errorcode

    from minibox.seccomp import program

    if value == program.ALLOW:
        return "allow"
    number = value & 0xFFFF
    return errorcode.get(number, str(number)) if value >> 16 == program.ERRNO >> 16 else hex(value)
