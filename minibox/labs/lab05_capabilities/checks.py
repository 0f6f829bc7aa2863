"""Lab 5: capabilities, their five sets, and no_new_privs."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

from minibox.labs.finding import check, expect
from minibox.syscalls.flags import CAP

if TYPE_CHECKING:
    from minibox.labs.bench import Bench

CHOICE = (CAP.CAP_NET_BIND_SERVICE, CAP.CAP_CHOWN, CAP.CAP_SYS_TIME, CAP.CAP_NET_RAW,
          CAP.CAP_SYS_NICE, CAP.CAP_MKNOD)
"""What the grader may ask for: another one each time."""


def names(mask: int) -> str:
    """A set for people."""
    found = [one.name for one in CAP if mask >> one & 1]
    return "empty" if not found else "all" if len(found) > 35 else " ".join(found)


def one_set(bench: Bench, which: str, word: str, reason: str) -> str:
    """That this set has the capability that was asked for, and no other."""
    kept = secrets.choice(CHOICE)
    with bench.container(extra=("--keep", kept.name)) as box:
        found = box.witness().capabilities(which)
        more = found & ~(1 << kept)
        expect(not more, reason, f"{word} has also {names(more)}, and {kept.name} was asked for")
        expect(found == 1 << kept, "lost", f"{word} lacks {kept.name}: it is {names(found)}")
        return f"{word}: {kept.name}"


@check("effective", points=2)
def effective(bench: Bench) -> str:
    """What the command can do is what was asked for: the effective and the permitted set."""
    return "; ".join((one_set(bench, "CapEff", "effective", "too-much"),
                      one_set(bench, "CapPrm", "permitted", "too-much")))


@check("survives", points=2, broken="broken_root")
def survives(bench: Bench) -> str:
    """It survives exec: the inheritable and the ambient set have it."""
    return "; ".join((one_set(bench, "CapInh", "inheritable", "too-much"),
                      one_set(bench, "CapAmb", "ambient", "too-much")))


@check("bounding", points=2)
def bounding(bench: Bench) -> str:
    """No exec can bring back another one: the bounding set has no more."""
    return one_set(bench, "CapBnd", "bounding", "bounding")


@check("root", points=2)
def root(bench: Bench) -> str:
    """The command is user 0 in a user namespace of its own, and you outside."""
    with bench.container(extra=("--keep", "CAP_CHOWN")) as box:
        command, outside = box.witness(), box.outside
        own = int(outside.status["Uid"].split()[0])
        expect(command.namespace("user") != outside.namespace("user")
               and command.id_map() == ((0, own, 1),), "no-root", f"uid_map is {command.id_map()}")
        gained = command.capabilities("CapEff") & ~(1 << CAP.CAP_CHOWN)
        expect(not gained, "root-gains", f"user 0 has gained {names(gained)} by exec")
        return f"0 is {own} outside, and has CAP_CHOWN only"


@check("no-new-privs", points=1)
def no_new_privs(bench: Bench) -> str:
    """Nothing can be gained by exec: no_new_privs is set."""
    with bench.container(extra=("--keep", "CAP_CHOWN")) as box:
        said = box.witness().status["NoNewPrivs"]
        expect(said == "1", "no-new-privs", f"NoNewPrivs is {said}")
        return "NoNewPrivs: 1"


CHECKS = (effective, survives, bounding, root, no_new_privs)
