"""Lab 6: a filter of system calls, and what slips through one."""

from __future__ import annotations

import errno
import os
import signal
from typing import TYPE_CHECKING

from minibox.labs.finding import check, expect
from minibox.syscalls import CLONE_NEWNS, CLONE_NEWUSER, syscall_number

if TYPE_CHECKING:
    from minibox.labs.bench import Bench, Session

TIOCSTI, ABOVE = 0x5412, 1 << 32


def call(name: str, *arguments: int) -> str:
    """The witness's act that makes this call in a child of its own."""
    return ":".join(map(str, (f"call={syscall_number(name)}", *arguments)))


def refused(box: Session, act: str, reason: str, what: str, wanted: int = errno.EPERM) -> None:
    """That the kernel said *wanted* to that act."""
    answer = box.answers()[act]
    expect(answer.outcome != "unprovable", "fork-refused", "no process can be made to try it")
    expect(answer.outcome != "killed", "killed-for-it", f"{what}: the process was killed")
    expect(answer.outcome == "error" and answer.detail == str(wanted), reason,
           f"{what} gave {answer.outcome} {answer.detail}, and not {errno.errorcode[wanted]}")


@check("in-force", points=1)
def in_force(bench: Bench) -> str:
    """The command runs under a filter, and can gain no privilege."""
    with bench.container() as box:
        status = box.witness().status
        expect(status["Seccomp"] == "2", "no-filter", f"Seccomp is {status['Seccomp']}")
        expect(status["NoNewPrivs"] == "1", "no-new-privs", "no_new_privs is not set")
        return "Seccomp: 2, NoNewPrivs: 1"


@check("namespaces", points=2)
def namespaces(bench: Bench) -> str:
    """unshare and clone make no namespace: EPERM."""
    by_unshare = call("unshare", int(CLONE_NEWUSER))
    by_clone = call("clone", int(CLONE_NEWUSER | CLONE_NEWNS) | signal.SIGCHLD)
    with bench.container(by_unshare, by_clone) as box:
        refused(box, by_unshare, "unshare-open", "unshare(CLONE_NEWUSER)")
        refused(box, by_clone, "clone-open", "clone(CLONE_NEWUSER|CLONE_NEWNS)")
        return "both EPERM"


@check("clone3", points=2)
def clone3(bench: Bench) -> str:
    """clone3, whose flags no filter can see, is not there: ENOSYS, so that libc takes clone."""
    act = call("clone3", 0, 88)
    with bench.container(act) as box:
        refused(box, act, "clone3", "clone3", errno.ENOSYS)
        return "ENOSYS"


@check("programs-work", points=2, broken="broken_kill")
def programs_work(bench: Bench) -> str:
    """What programs do every day still works: they fork."""
    with bench.container("gate=", "fork=3", "read=/etc/hostname") as box:
        box.pass_gate()
        expect(not box.ends(), "killed-for-it", "the command was killed for a fork")
        answers = box.answers()
        expect((answers["fork=3"].outcome, answers["fork=3"].detail) == ("done", "3"),
               "fork-refused", f"of 3 forks {answers['fork=3'].detail} were made")
        expect(answers["read=/etc/hostname"].outcome == "done", "fork-refused",
               "a file could not be read")
        return "3 forks, a file read"


@check("argument", points=2)
def argument(bench: Bench) -> str:
    """ioctl TIOCSTI is EPERM, also where the upper half of the argument is not 0; others pass."""
    plain, high = call("ioctl", 0, TIOCSTI, 0), call("ioctl", 0, ABOVE | TIOCSTI, 0)
    other = call("ioctl", 0, 0x5413, 0)
    with bench.container(plain, high, other) as box:
        refused(box, plain, "ioctl-open", "ioctl(0, TIOCSTI)")
        refused(box, high, "upper-half", "ioctl(0, 1<<32 | TIOCSTI), which is TIOCSTI,")
        refused(box, other, "too-much", "ioctl(0, TIOCGWINSZ) on /dev/null", errno.ENOTTY)
        return "EPERM for both, ENOTTY for another request"


@check("kill", points=1)
def kill(bench: Bench) -> str:
    """Whoever calls kexec_load is killed: no program has a use for it."""
    act = call("kexec_load", 0, 0, 0, 0)
    with bench.container(act) as box:
        answer = box.answers()[act]
        expect(answer.outcome != "unprovable", "fork-refused", "no process can be made to try it")
        expect((answer.outcome, answer.detail) == ("killed", str(int(signal.SIGSYS))), "not-killed",
               f"kexec_load gave {answer.outcome} {answer.detail}")
        return "SIGSYS"


@check("architecture", points=1)
def architecture(bench: Bench) -> str:
    """The 32-bit entry of an x86_64 kernel is no way around the filter."""
    with bench.container("probe=kernel.entry-32-bit") as box:
        answer = box.answers()["kernel.entry-32-bit"]
        expect(answer.outcome != "open", "other-architecture",
               "a call by int 0x80 reached the kernel")
        return f"a call by int 0x80: {answer.outcome}"


CHECKS = (in_force, namespaces, clone3, programs_work, argument, kill,
          *([architecture] if os.uname().machine == "x86_64" else []))
