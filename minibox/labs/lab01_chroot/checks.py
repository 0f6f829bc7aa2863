"""Lab 1: process, fork, exec, and chroot, from both sides of its wall."""

from __future__ import annotations

import os
import secrets
from pathlib import Path
from typing import TYPE_CHECKING

from minibox.labs.bench import PLACES, ROOT, WITNESS
from minibox.labs.finding import check, expect
from minibox.spec import Mount

if TYPE_CHECKING:
    from minibox.labs.bench import Bench

JAILER = "/lab/jailer.py"


@check("forked", points=1)
def forked(bench: Bench) -> str:
    """The command is a child of your program, which waits for it."""
    with bench.container() as box:
        command = box.witness()
        expect(command.parent.pid == box.submission.pid, "not-forked",
               f"the command's parent is process {command.parent.pid}, your program "
               f"{box.submission.pid}")
        return "the command is a child of jail.py"


@check("jailed", points=2)
def jailed(bench: Bench) -> str:
    """The command's / is the directory that was given."""
    with bench.container() as box:
        found = box.witness().names("/")
        expect(found == tuple(sorted(PLACES)), "not-jailed", f"/ has {', '.join(found[:10])}")
        return f"/ has {', '.join(found)}"


@check("nothing-outside", points=2)
def nothing_outside(bench: Bench) -> str:
    """Neither its working directory nor a descriptor of its leads outside."""
    with bench.container() as box:
        command = box.witness()
        cwd, root = (os.stat(f"/proc/{command.pid}/{name}") for name in ("cwd", "root"))
        expect((cwd.st_dev, cwd.st_ino) == (root.st_dev, root.st_ino), "cwd-outside",
               "the working directory is not the new /")
        more = {number: to for number, to in command.descriptors.items()
                if number > 2 or Path(f"/proc/{command.pid}/fd/{number}").is_dir()}
        expect(not more, "open-descriptors", f"open: {more}")
        return "the working directory is /, and nothing else is open"


@check("no-way-back", points=2)
def no_way_back(bench: Bench) -> str:
    """The command has no capability, so it cannot change its root again."""
    with bench.container() as box:
        status = box.witness().status
        left = [name for name in ("CapEff", "CapPrm", "CapAmb") if int(status[name], 16)]
        expect(not left, "can-chroot", f"not empty: {', '.join(left)}")
        expect(box.witness().names("/") == tuple(sorted(PLACES)), "not-jailed",
               "there is nothing to get out of")
        return "no capability"


@check("environment", points=1)
def environment(bench: Bench) -> str:
    """The command does not learn what is in your environment."""
    secret = secrets.token_hex(16)
    with bench.container(env={"TOKEN": secret}) as box:
        expect(secret not in box.witness().text("environ"), "environment",
               "a variable of yours, TOKEN, is in the command's environment")
        return "TOKEN is not there"


@check("status", points=1)
def status(bench: Bench) -> str:
    """Whoever started the jail learns how the command ended: by exit, and by a signal."""
    for act, wanted in (("exit=7", 7), ("signal=15", 128 + 15)):
        with bench.container("gate=", act) as box:
            box.pass_gate()
            code = box.end().exit_status
            expect(code == wanted, "status-lost", f"after {act} the status is {code}")
    return "7 for exit 7, 143 for signal 15"


@check("escape", points=3)
def escape(bench: Bench) -> str:
    """From a naive jail, as root in it, there is a way out."""
    jailer = Path(__file__).with_name("jailer.py")
    nonce = secrets.token_hex(16)
    with bench.run(JAILER, ROOT, "/lab/work/escape.py", WITNESS, "--witness", nonce, mounts=(
            Mount(type="bind", source=str(jailer), target=JAILER, read_only=True),)) as box:
        box.nonce = nonce
        expect(not box.ends(), "still-jailed", "what is outside could not be executed")
        found, outside = (os.stat(f"/proc/{one.pid}/root") for one in (box.witness(), box.outside))
        expect((found.st_dev, found.st_ino) == (outside.st_dev, outside.st_ino), "still-jailed",
               "the root is not the one outside")
        return "its root is the one outside again"


CHECKS = (forked, jailed, nothing_outside, no_way_back, environment, status, escape)
