# file: box.py
# fails: nothing-else way-out
"""Run a command with a network, a host name and IPC of its own, and one cable to us:

    python3 box.py --hostname NAME --outside ADDRESS --inside ADDRESS COMMAND [ARGUMENT]...
"""

import os
import sys

from pyroute2 import IPRoute

from minibox.syscalls import (
    CLONE_NEWIPC,
    CLONE_NEWNET,
    CLONE_NEWUSER,
    CLONE_NEWUTS,
    execve,
    fork,
    sethostname,
    unshare,
    waitpid,
    write_id_map,
)

NAME, OUTSIDE, INSIDE, COMMAND = sys.argv[2], sys.argv[4], sys.argv[6], sys.argv[7:]
PREFIX = 24


def bring_up(name: str, address: str = "") -> None:
    """Give an interface of this network namespace its address, and switch it on."""
    with IPRoute() as route:
        index = route.link_lookup(ifname=name)[0]
        if address:
            route.addr("add", index=index, address=address, prefixlen=PREFIX)
        route.link("set", index=index, state="up")


def run_inside(ready: int, go: int) -> None:
    """In the child: all names of its own first; then the cable is there."""
    unshare(CLONE_NEWNET | CLONE_NEWUTS | CLONE_NEWIPC)
    sethostname(NAME)
    os.write(ready, b"x")
    os.read(go, 1)
    bring_up("lo")
    bring_up("inside", INSIDE)
    with IPRoute() as route:                        # to get at one network more
        route.route("add", dst="198.51.100.0/24", gateway=OUTSIDE)
    execve(COMMAND[0], COMMAND, {"PATH": "/usr/bin:/bin"})


def connect(pid: int) -> None:
    """A veth is two interfaces: what goes into one comes out of the other."""
    with IPRoute() as route:
        route.link("add", ifname="outside", kind="veth",
                   peer={"ifname": "inside", "net_ns_pid": pid})
    bring_up("outside", OUTSIDE)


uid, gid = os.getuid(), os.getgid()
unshare(CLONE_NEWUSER | CLONE_NEWNET)               # our own end needs a network that is ours, too
write_id_map("self", [(0, uid, 1)], [(0, gid, 1)])
is_ready, ready = os.pipe()
may_go, go = os.pipe()
pid = fork()
if pid == 0:
    try:
        run_inside(ready, may_go)
    except OSError as error:
        os.write(2, f"box.py: {error}\n".encode())
    os._exit(125)
os.read(is_ready, 1)
connect(pid)
os.write(go, b"x")
_, status = waitpid(pid)
sys.exit(status if status >= 0 else 128 - status)
