"""Filters of system calls: a policy that people can read, and the program that the kernel runs."""

from __future__ import annotations

from minibox.errors import HostError

Program = tuple[int, ...]
"""Each a struct sock_filter as one number: code, and from bits 16, 24 and 32 on jt, jf and k."""


def filter_for(machine: str, *, network: bool = False, capabilities: tuple[str, ...] = (),
               set_id: bool = True, init: bool = True) -> Program:
    """The default policy as a program. network: may it have internet sockets? capabilities: those
    that were given back; set_id: may it give files set-user-ID bits? init: is PID 1 minibox's own?

    Errors: HostError for a machine whose calls are not known.
    """
    if init and not capabilities:
        try:
            from minibox.seccomp.prepared import PROGRAMS
        except ImportError:                         # a checkout that was not built
            PROGRAMS = {}
        if found := PROGRAMS.get((machine, network, set_id)):
            return found
    return compile_policy(machine, network, capabilities, set_id, init)


def compile_policy(machine: str, network: bool, capabilities: tuple[str, ...], set_id: bool,
                   init: bool) -> Program:
    """The same afresh, which takes a millisecond."""
    from minibox.seccomp import numbers, policy, program

    if machine not in numbers.MACHINES:
        raise HostError("seccomp", f"the calls of {machine} are not known to minibox",
                        "add --security-opt seccomp=unconfined to run without a filter")
    known = numbers.numbers(machine)
    verdicts: dict[int, object] = {}
    for group in policy.groups(capabilities):
        verdict = program.ALLOW if group.allowed else program.ERRNO | policy.EPERM
        verdicts |= {known[call]: verdict for call in group.calls.split() if call in known}
    blocks: dict[object, object] = {}
    for rule in policy.rules(network, capabilities, set_id, init):
        if rule.call in known:
            key = (rule.allow, rule.deny)
            verdicts[known[rule.call]] = blocks.setdefault(key, program.block_of(rule))
    unknown = program.ERRNO | policy.ENOSYS
    return program.assemble(machine, verdicts, unknown, unknown)


def prepare(target: str) -> None:
    """Write the module `prepared`: the programs that most boxes have, made with the engine."""
    from minibox.seccomp.numbers import MACHINES

    programs = {(machine, network, set_id): compile_policy(machine, network, (), set_id, True)
                for machine in MACHINES for network in (False, True) for set_id in (False, True)}
    with open(target, "w", encoding="utf-8") as file:
        file.write(f'"""Made by minibox.seccomp.prepare."""\n\nPROGRAMS = {programs!r}\n')
