"""Lab 7: a cap on memory, and the ways around it."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

from minibox.labs.cgroup import delegated
from minibox.labs.finding import Ungradable, check, expect

if TYPE_CHECKING:
    from minibox.labs.bench import Bench
    from minibox.labs.cgroup import Group

MIB = 1 << 20

LIMIT = {1: "memory.limit_in_bytes", 2: "memory.max"}
SWAP = {1: "memory.memsw.limit_in_bytes", 2: "memory.swap.max"}


def cap() -> int:
    """Another one each time, so that none can be written down beforehand."""
    return (20 + secrets.randbelow(8)) * MIB


def asked(size: int) -> tuple[str, ...]:
    return "--memory", str(size)


def own(group: Group, pid: int) -> str:
    """The cgroup that the submission made for process *pid*."""
    name = group.where("memory", pid)
    expect(name != "", "outside", "the command is in no cgroup below /cgroup")
    expect(name != "start", "shared-cgroup", "the command stayed in the cgroup it was started in")
    return name


@check("own-cgroup", points=2)
def own_cgroup(bench: Bench) -> str:
    """The command, and whatever it starts, is in a cgroup of its own."""
    with delegated("memory") as group, bench.container(
            "fork=2", extra=asked(cap()), group=group) as box:
        command = box.witness()
        name = own(group, command.pid)
        for child in command.descendants():
            expect(group.where("memory", child.pid) == name, "child-outside",
                   "a child of the command is in another cgroup")
        return f"the command and its 2 children are in {name}"


@check("cap-in-force", points=2)
def cap_in_force(bench: Bench) -> str:
    """The cap is what was asked for, to the page."""
    size = cap()
    with delegated("memory") as group, bench.container(extra=asked(size), group=group) as box:
        name = own(group, box.witness().pid)
        file = LIMIT[group.version]
        found = group.figure("memory", name, file)
        expect(found is not None and found < 1 << 40, "no-cap", f"{file} has no limit")
        expect(found == size // 4096 * 4096, "wrong-cap", f"{file} is {found}, asked was {size}")
        return f"{file} is {found}"


@check("no-swap", points=1)
def no_swap(bench: Bench) -> str:
    """What does not fit in memory does not go to swap instead."""
    size = cap()
    with delegated("memory") as group, bench.container(extra=asked(size), group=group) as box:
        name = own(group, box.witness().pid)
        file = SWAP[group.version]
        if not group.read("memory", name, file):
            raise Ungradable("swap accounting", f"there is no {file} here: boot with swapaccount=1")
        found = group.figure("memory", name, file)
        most = size if group.version == 1 else 0
        expect(found is not None and found <= most, "swap-open",
               f"{file} is {group.read('memory', name, file)}")
        return f"{file} is {found}"


@check("hog-is-killed", points=2)
def hog_is_killed(bench: Bench) -> str:
    """A command that takes more is killed, and who started it sees 137."""
    size = cap()
    with delegated("memory") as group, bench.container(
            "gate=", f"memory={3 * size}", extra=asked(size), group=group) as box:
        box.pass_gate()
        expect(box.ends(), "not-killed",
               f"the command was given {3 * size} bytes, or lives on without")
        code = box.result.exit_status
        expect(code == 128 + 9, "status-lost", f"killed for its memory, but the status is {code}")
        return f"asked for 3 times the cap: status {code}"


@check("files-count", points=1)
def files_count(bench: Bench) -> str:
    """Files in memory count as well: a tmpfs is no way around the cap."""
    size = cap()
    with delegated("memory") as group, bench.container(
            "gate=", f"write=/tmp/big:{2 * size}", extra=asked(size), group=group) as box:
        box.pass_gate()
        expect(box.ends(), "files-free",
               f"{2 * size} bytes were written to a tmpfs, and nothing happened")
        return "a file of twice the cap ended the command"


@check("neighbour", points=1)
def neighbour(bench: Bench) -> str:
    """When one box runs out of memory, its neighbour does not notice."""
    size = cap()
    with delegated("memory") as group, \
            bench.container(f"memory={size // 2}", extra=asked(size), group=group) as calm:
        living = calm.witness()
        name = own(group, living.pid)
        with bench.container("gate=", f"memory={3 * size}", extra=asked(size),
                             group=group) as hog:
            hog.pass_gate()
            expect(hog.ends(), "not-killed", "the hog got what it wanted")
        expect(living.alive, "neighbour-killed", "the neighbour was killed as well")
        expect(group.where("memory", living.pid) == name, "neighbour-killed", "it was moved")
        return "the hog was killed, the neighbour lives"


@check("tidy", points=2)
def tidy(bench: Bench) -> str:
    """When the command ends, everything it left is dead, and its cgroup is gone."""
    with delegated("memory") as group, bench.container(
            "fork=3", "gate=", "exit=5", extra=asked(cap()), group=group, hold=True) as box:
        box.pass_gate()
        _, code = box.held()
        left = [one.pid for one in box.processes() if one.alive]
        expect(not left, "left-processes", f"{len(left)} processes outlived the command")
        expect(not group.made("memory"), "left-cgroup",
               f"below /cgroup there is still {', '.join(group.made('memory'))}")
        expect(code == 5, "status-lost", f"the command exited with 5, the box with {code}")
        return "no process, no cgroup, status 5"


CHECKS = (own_cgroup, cap_in_force, no_swap, hog_is_killed, files_count, neighbour, tidy)
