"""Lab 3: PID namespaces, /proc, zombies, the duties of PID 1."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

from minibox.labs.finding import check, expect

if TYPE_CHECKING:
    from minibox.labs.bench import Bench, Session
    from minibox.labs.observe import Subject


def init_of(box: Session, command: Subject) -> None:
    """That the command has a PID 1 above it."""
    expect(command.namespace("pid") != box.outside.namespace("pid"), "shared-pids",
           "ns/pid is the one outside")
    expect(command.pids[-1] != 1, "command-is-pid-1", "the command itself is PID 1")


@check("own-pids", points=2)
def own_pids(bench: Bench) -> str:
    """The command is in a PID namespace of its own, and its parent is PID 1 there."""
    with bench.container() as box:
        command = box.witness()
        init_of(box, command)
        parent = command.parent.pids[-1]
        expect(parent == 1, "no-init", f"the command's parent is process {parent} of its namespace")
        return f"process {command.pids[-1]} inside, {command.pid} outside; its parent is PID 1"


@check("own-proc", points=2)
def own_proc(bench: Bench) -> str:
    """/proc shows the processes of the box, and no others."""
    with bench.container("fork=2") as box:
        command = box.witness()
        kind = command.namespace("pid")
        own = {str(one.pids[-1]) for one in box.processes() if one.namespace("pid") == kind}
        shown = {name for name in command.names("/proc") if name.isdecimal()}
        expect(kind != box.outside.namespace("pid"), "shared-pids", "ns/pid is the one outside")
        expect(shown == own, "old-proc",
               f"/proc has {', '.join(sorted(shown, key=int))}; in the box there are "
               f"{', '.join(sorted(own, key=int))}")
        return f"/proc has {', '.join(sorted(shown, key=int))}"


@check("reaps", points=2, broken="broken_pid1")
def reaps(bench: Bench) -> str:
    """Whoever loses its parent is reaped by PID 1: no zombie stays."""
    with bench.container("orphan=5", "gate=") as box:
        command = box.pass_gate()
        kind = command.namespace("pid")
        expect(kind != box.outside.namespace("pid"), "shared-pids", "ns/pid is the one outside")
        box.until(lambda: not box.others(command), "zombies",
                  "orphans have ended, and nobody reaped them")
        return "5 orphans, no zombie"


@check("ends-all", points=1)
def ends_all(bench: Bench) -> str:
    """When the command ends, so does everything that it left."""
    with bench.container("fork=3", "gate=", "exit=5", hold=True) as box:
        box.pass_gate()
        _, code = box.held()
        left = [one.pid for one in box.processes() if one.alive]
        expect(not left, "left-processes", f"{len(left)} processes outlived the command")
        expect(code == 5, "status-lost", f"the command exited with 5, the box with {code}")
        return "3 children are gone with it"


@check("forwards", points=2)
def forwards(bench: Bench) -> str:
    """SIGTERM to your program reaches the command, and the status says so."""
    with bench.container("gate=", "burn=100", hold=True) as box:
        command = box.pass_gate()
        box.witness()               # it has burned, so others had time for their handlers; it stays
        os.kill(box.submission.pid, signal.SIGTERM)
        box.until(lambda: not command.alive, "signal-lost", "SIGTERM did not end the command")
        _, code = box.held()
        expect(code == 128 + 15, "signal-lost", f"the status is {code}, and not 143")
        return "status 143, and the command is gone"


@check("dies-with-you", points=1)
def dies_with_you(bench: Bench) -> str:
    """When your program is killed, nothing of the box survives."""
    with bench.container("fork=2", hold=True) as box:
        box.witness()
        os.kill(box.submission.pid, signal.SIGKILL)
        box.held()
        box.until(lambda: not [one for one in box.processes() if one.alive], "survives",
                  "your program was killed, and the box lives on")
        return "all of it died with your program"


@check("status", points=1)
def status(bench: Bench) -> str:
    """Whoever started the box learns how the command ended: by exit, and by a signal."""
    for act, wanted in (("exit=7", 7), ("signal=15", 128 + 15)):
        with bench.container("gate=", act) as box:
            box.pass_gate()
            code = box.end().exit_status
            expect(code == wanted, "status-lost", f"after {act} the status is {code}")
    return "7 for exit 7, 143 for signal 15"


CHECKS = (own_pids, own_proc, reaps, ends_all, forwards, dies_with_you, status)
