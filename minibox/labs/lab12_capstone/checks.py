"""Lab 12: a container of one's own, with all its walls; and what it weighs."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

from minibox.labs.bench import PLACES
from minibox.labs.cgroup import delegated
from minibox.labs.finding import check, expect

if TYPE_CHECKING:
    from minibox.labs.bench import Bench

KINDS = ("user", "mnt", "pid", "net", "ipc", "uts")
SETS = ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")

UNSHARE, MOUNT, CLONE3 = ((272, 165, 435) if os.uname().machine == "x86_64" else (97, 40, 435))
NEWUSER = 0x10000000

HEAVY_KIB = 48 << 10
"""What a box may cost: an interpreter or two, and no more."""


@check("namespaces", points=2)
def namespaces(bench: Bench) -> str:
    """Six namespaces are the box's own, and its user 0 is you outside."""
    with bench.container() as box:
        command, outside = box.witness(), box.outside
        for kind in KINDS:
            expect(command.namespace(kind) != outside.namespace(kind), "shared-namespace",
                   f"ns/{kind} is the one outside")
        own = int(outside.status["Uid"].split()[0])
        expect(command.id_map() == ((0, own, 1),), "wrong-map", f"uid_map is {command.id_map()}")
        return f"{', '.join(KINDS)} are its own; 0 is {own} outside"


@check("root", points=3)
def root(bench: Bench) -> str:
    """The root is the one that was given, read-only, and no path leads to the old one."""
    with bench.container("write=/escape:1") as box:
        command = box.witness()
        points = sorted(one.point for one in command.mounts)
        expect(box.answers()["write=/escape:1"].detail == str(errno.EROFS), "writable-root",
               "a file could be made in /, or was refused for another reason than its being "
               "read-only")
        expect(command.names("/") == tuple(sorted(PLACES)), "wrong-root",
               f"/ has {', '.join(command.names('/')[:12])}")
        rest = [point for point in points if not point.startswith(("/tmp", "/proc", "/dev"))]
        expect(rest == ["/"], "old-root", f"still mounted: {', '.join(rest[:8])}")
        proc = command.mount("/proc")
        expect(proc is not None and proc.type == "proc", "no-proc", "there is no proc on /proc")
        return f"mounts: {', '.join(points)}"


@check("pid-1", points=2)
def pid_1(bench: Bench) -> str:
    """The box has a PID 1 of its own, which reaps what is orphaned."""
    with bench.container("orphan=5", "gate=") as box:
        command = box.pass_gate()
        numbers = command.pids[-1]
        expect(numbers > 1, "command-is-pid-1", "the command itself is PID 1, and does not reap")
        expect(command.namespace("pid") != box.outside.namespace("pid"), "shared-namespace",
               "ns/pid is the one outside")
        box.until(lambda: not box.others(command), "zombies",
                  "orphans have ended, and nobody reaped them")
        return f"the command is process {numbers}; 5 orphans were reaped"


@check("privileges", points=2)
def privileges(bench: Bench) -> str:
    """The command has no capability in any set, gains none by exec, and is filtered."""
    with bench.container() as box:
        status = box.witness().status
        left = [name for name in SETS if int(status[name], 16)]
        expect(not left, "capabilities", f"not empty: {', '.join(left)}")
        expect(status["NoNewPrivs"] == "1", "no-new-privs", "no_new_privs is not set")
        expect(status["Seccomp"] == "2", "no-filter", "there is no filter of system calls")
        return "five empty sets, no_new_privs, a filter"


@check("filter", points=2)
def filter_holds(bench: Bench) -> str:
    """The filter refuses namespaces and mounts, and leaves clone3 to a fallback."""
    calls = {f"call={UNSHARE}:{NEWUSER}": errno.EPERM, f"call={MOUNT}:0:0:0:0": errno.EPERM,
             f"call={CLONE3}:0:88": errno.ENOSYS}
    with bench.container(*calls) as box:
        answers = box.answers()
        for act, wanted in calls.items():
            found = answers[act]
            expect(found.outcome == "error" and found.detail == str(wanted), "filter-open",
                   f"{act} gave {found.outcome} {found.detail}, and not errno {wanted}")
        return "unshare and mount EPERM, clone3 ENOSYS"


@check("nothing-inherited", points=1)
def nothing_inherited(bench: Bench) -> str:
    """Descriptors above 2 are not passed on."""
    with bench.container() as box:
        found = box.witness().descriptors
        more = [number for number in found if number > 2]
        expect(not more, "open-descriptors",
               f"open: {', '.join(f'{number} ({found[number]})' for number in more)}")
        return "0, 1 and 2"


@check("end", points=2)
def end(bench: Bench) -> str:
    """When the command ends so does everything in the box, and its status is passed on."""
    with bench.container("fork=3", "gate=", "exit=9", hold=True) as box:
        box.pass_gate()
        _, code = box.held()
        left = [one.pid for one in box.processes() if one.alive]
        expect(not left, "left-processes", f"{len(left)} processes outlived the command")
        expect(code == 9, "status-lost", f"the command exited with 9, the box with {code}")
        return "no process, status 9"


@check("caps", points=2)
def caps(bench: Bench) -> str:
    """It is at most 32 processes and 64 MiB, and its cgroups go with it."""
    with delegated("memory", "pids") as group, bench.container(
            "fork=60", "gate=", "memory=100000000", group=group, hold=True) as box:
        made = len(box.pass_gate().descendants())
        expect(made < 32, "no-caps", f"{made} children of the command were made")
        expect(box.ends(), "no-memory-cap", "the command was given 100 MB")
        _, code = box.held()
        expect(code == 128 + 9, "status-lost", f"killed for its memory, but the status is {code}")
        expect(not group.made("pids") and not group.made("memory"), "left-cgroup",
               "its cgroup is still there")
        return f"{made} children, then fork is refused; 100 MB killed it"


@check("light", points=1, broken="broken_heavy")
def light(bench: Bench) -> str:
    """A box costs little beside its command: many fit on one host."""
    with bench.container() as box:
        command = box.witness()
        cost = sum(one.pss_kib for one in box.processes() if one.pid != command.pid)
        expect(cost < HEAVY_KIB, "heavy", f"{cost / 1024:.0f} MiB for the box alone")
        return f"{cost / 1024:.1f} MiB"


CHECKS = (namespaces, root, pid_1, privileges, filter_holds, nothing_inherited, end, caps, light)
