"""Lab 8: caps on processes and CPU time."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

from minibox.labs.cgroup import delegated
from minibox.labs.finding import check, expect

if TYPE_CHECKING:
    from minibox.labs.bench import Bench
    from minibox.labs.cgroup import Group

CONTROLLERS = ("pids", "cpu")


def pids() -> int:
    """Another number each time, so that none can be written down beforehand."""
    return 8 + secrets.randbelow(12)


def share() -> float:
    return (20 + secrets.randbelow(60)) / 100


def asked(most: int = 30, cpus: float = 0.5) -> tuple[str, ...]:
    return "--pids", str(most), "--cpus", str(cpus)


def own(group: Group, controller: str, pid: int) -> str:
    """The cgroup that the submission made for process *pid*."""
    name = group.where(controller, pid)
    expect(name != "", "outside", f"for {controller}, the command is in no cgroup below /cgroup")
    expect(name != "start", "shared-cgroup",
           f"for {controller}, the command stayed in the cgroup it was started in")
    return name


def quota(group: Group, name: str) -> tuple[str, float | None]:
    """What the files of the cgroup say of its share of CPU time, and that as a number."""
    if group.version == 2:
        said = group.read("cpu", name, "cpu.max")
        per, _, period = said.partition(" ")
    else:
        per, period = (group.read("cpu", name, f"cpu.cfs_{word}_us")
                       for word in ("quota", "period"))
        said = f"{per} {period}"
    limited = per.isdecimal() and period.isdecimal() and int(period) > 0
    return said, int(per) / int(period) if limited else None


@check("own-cgroup", points=2)
def own_cgroup(bench: Bench) -> str:
    """For both controllers, the command is in a cgroup of its own."""
    with delegated(*CONTROLLERS) as group, bench.container(extra=asked(), group=group) as box:
        command = box.witness()
        names = [own(group, controller, command.pid) for controller in CONTROLLERS]
        return f"pids: {names[0]}, cpu: {names[1]}"


@check("pids-exact", points=2)
def pids_exact(bench: Bench) -> str:
    """Of N processes that were allowed there are N, and the next is refused."""
    most = pids()
    with delegated(*CONTROLLERS) as group, bench.container(
            f"fork={most + 20}", extra=asked(most), group=group) as box:
        answer = box.answers()[f"fork={most + 20}"]
        total = 1 + int(answer.detail)
        expect(answer.outcome == "refused", "no-pids-cap",
               f"{total} processes were made, and {most} were allowed")
        expect(total >= most, "counts-itself",
               f"{total} processes were made, and then refused: {most} were allowed")
        expect(total == most, "wrong-pids", f"{total} processes were made, {most} were allowed")
        return f"the command and {answer.detail} children, then fork is refused"


@check("share-as-asked", points=2)
def share_as_asked(bench: Bench) -> str:
    """The quota is the share of CPU time that was asked for."""
    cpus = share()
    with delegated(*CONTROLLERS) as group, bench.container(
            extra=asked(cpus=cpus), group=group) as box:
        name = own(group, "cpu", box.witness().pid)
        said, found = quota(group, name)
        expect(found is not None, "no-cpu-cap", f"the quota and period are {said}")
        expect(found is not None and abs(found - cpus) < 0.005, "wrong-share",
               f"the quota and period are {said}: {found}, and {cpus} was asked for")
        return f"quota and period are {said}"


@check("throttled", points=1)
def throttled(bench: Bench) -> str:
    """A command that burns CPU time is held back, and the kernel counts how often."""
    with delegated(*CONTROLLERS) as group, bench.container(
            "burn=120", extra=asked(cpus=0.2), group=group) as box:
        name = own(group, "cpu", box.witness().pid)
        times = group.figure("cpu", name, "cpu.stat", "nr_throttled")
        expect((times or 0) > 0, "not-throttled", f"nr_throttled is {times} after 120 ms of CPU")
        return f"120 ms of CPU at a fifth of one: held back {times} times"


@check("bomb", points=2)
def bomb(bench: Bench) -> str:
    """A fork bomb stops at its cap; when the command ends it is dead, and the cgroup is gone."""
    most = pids()
    with delegated(*CONTROLLERS) as group, bench.container(
            "fork=60", "gate=", "exit=9", extra=asked(most), group=group, hold=True) as box:
        box.pass_gate()
        _, code = box.held()
        left = [one.pid for one in box.processes() if one.alive]
        expect(not left, "left-processes", f"{len(left)} processes outlived the command")
        made = {name for controller in CONTROLLERS for name in group.made(controller)}
        expect(not made, "left-cgroup", f"below /cgroup there is still {', '.join(sorted(made))}")
        expect(code == 9, "status-lost", f"the command exited with 9, the box with {code}")
        return "no process, no cgroup, status 9"


CHECKS = (own_cgroup, pids_exact, share_as_asked, throttled, bomb)
