"""Lab 4: user namespaces, maps, setgroups."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

from minibox.labs.finding import check, expect

if TYPE_CHECKING:
    from minibox.labs.bench import Bench


SETHOSTNAME = {"x86_64": 170, "aarch64": 161}.get(os.uname().machine, 161)


@check("own-user-namespace", points=2)
def own_user_namespace(bench: Bench) -> str:
    """The command runs in a user namespace of its own."""
    with bench.container() as box:
        inside, outside = (one.namespace("user") for one in (box.witness(), box.outside))
        expect(inside != outside, "shared-user-namespace", f"ns/user is {inside}, as outside")
        return f"ns/user {outside} → {inside}"


@check("root-inside", points=2)
def root_inside(bench: Bench) -> str:
    """Inside, the command is user 0; outside it is whoever started the box, and nobody else."""
    with bench.container() as box:
        command, outside = box.witness(), box.outside
        extents = command.id_map("uid_map")
        own = int(outside.status["Uid"].split()[0])
        expect(bool(extents), "nobody", "uid_map is empty: inside, everyone is the overflow id")
        mapped = [(inside, count) for inside, first, count in extents if first == own]
        expect((0, 1) in mapped, "not-root", f"uid_map is {extents}, and host user {own} is not 0")
        expect(int(command.status["Uid"].split()[1]) == own, "not-root",
               f"on the host it is user {command.status['Uid'].split()[1]}, not {own}")
        return f"uid_map {extents[0]}: 0 inside is {own} outside"


@check("group-mapped", points=1)
def group_mapped(bench: Bench) -> str:
    """Inside, the command's group is 0, and no group can be dropped."""
    with bench.container() as box:
        command, outside = box.witness(), box.outside
        own = int(outside.status["Gid"].split()[0])
        extents = command.id_map("gid_map")
        expect((0, own, 1) in extents, "no-group", f"gid_map is {extents or 'empty'}")
        said = command.text("setgroups").strip()
        expect(said == "deny", "setgroups", f"/proc/PID/setgroups says {said}")
        return f"gid_map {extents[0]}, setgroups {said}"


@check("power-inside", points=1)
def power_inside(bench: Bench) -> str:
    """The command may name its own host, and not the one outside."""
    with bench.container(f"call={SETHOSTNAME}:1:3") as box:     # the name at address 1: none there
        answer = box.answers()[f"call={SETHOSTNAME}:1:3"]
        inside, outside = (one.namespace("uts") for one in (box.witness(), box.outside))
        expect(inside != outside, "powerless", f"ns/uts is {inside}, as outside")
        expect(answer.detail == str(errno.EFAULT), "powerless",
               f"sethostname(2) is refused with errno {answer.detail}, before it looks at the name")
        return f"ns/uts {outside} → {inside}, and sethostname(2) looks at what it is given"


@check("status", points=1)
def status(bench: Bench) -> str:
    """Whoever started the box learns how the command ended: by exit, and by a signal."""
    with bench.container("gate=", "exit=7") as box:
        box.pass_gate()
        code = box.end().exit_status
        expect(code == 7, "status-lost", f"the command exited with 7, the box with {code}")
    with bench.container("gate=", "signal=15") as box:
        box.pass_gate()
        code = box.end().exit_status
        expect(code == 128 + 15, "status-lost",
               f"the command died of signal 15, the box exited with {code}")
    return "7 for exit 7, 143 for signal 15"


CHECKS = (own_user_namespace, root_inside, group_mapped, power_inside, status)
