"""Lab 9: network, UTS and IPC namespaces, and a cable between two networks."""

from __future__ import annotations

import errno
import secrets
from typing import TYPE_CHECKING

from minibox.labs.finding import check, expect

if TYPE_CHECKING:
    from minibox.labs.bench import Bench
    from minibox.labs.observe import Subject


def addresses() -> tuple[str, str]:
    """Both ends of a cable, in another network each time."""
    network = f"10.{secrets.randbelow(200) + 10}.{secrets.randbelow(200) + 10}"
    first = secrets.randbelow(100) + 2
    return f"{network}.{first}", f"{network}.{first + 100}"


def asked(outside: str = "10.1.2.3", inside: str = "10.1.2.4", name: str = "box"
          ) -> tuple[str, ...]:
    return "--hostname", name, "--outside", outside, "--inside", inside


def interfaces(subject: Subject) -> list[str]:
    """Those of its network namespace."""
    rows = subject.text("net/dev").splitlines()[2:]
    return sorted(row.partition(":")[0].strip() for row in rows)


@check("own-names", points=2)
def own_names(bench: Bench) -> str:
    """Network, host name and IPC are the command's own, and its host name is what was asked for."""
    name = f"box-{secrets.token_hex(4)}"
    act = "read=/proc/sys/kernel/hostname"
    with bench.container(act, extra=asked(name=name)) as box:
        command, outside = box.witness(), box.outside
        for kind in ("net", "uts", "ipc"):
            expect(command.namespace(kind) != outside.namespace(kind), f"shared-{kind}",
                   f"ns/{kind} is the one outside")
        found = box.answers()[act].detail.rstrip("?")
        expect(found == name, "host-name", f"the host name is {found}, and not {name}")
        return f"ns/net, ns/uts and ns/ipc are its own; its name is {name}"


@check("abstract-sockets", points=2)
def abstract_sockets(bench: Bench) -> str:
    """An abstract socket of the command's cannot be reached from outside."""
    name = f"@lab-{secrets.token_hex(8)}"
    with bench.container(f"listen={name}", extra=asked()) as box:
        command = box.witness()
        expect(name in command.text("net/unix"), "no-socket", "the command could not listen")
        expect(name not in box.outside.text("net/unix"), "shared-net",
               f"{name} is there outside as well")
        return f"{name} is in the command's network, and not outside"


@check("loopback", points=1)
def loopback(bench: Bench) -> str:
    """lo is up: the command reaches itself."""
    with bench.container("tcp=127.0.0.1:9", extra=asked()) as box:
        command = box.witness()
        expect(command.namespace("net") != box.outside.namespace("net"), "shared-net",
               "ns/net is the one outside")
        answer = box.answers()["tcp=127.0.0.1:9"]
        expect(answer.detail == str(errno.ECONNREFUSED), "lo-down",
               f"a connection to 127.0.0.1 gave errno {answer.detail}")
        return "127.0.0.1 answers: connection refused"


def gateways(subject: Subject) -> list[str]:
    """Routes that lead beyond a cable, as "DESTINATION via GATEWAY" in the kernel's hexadecimal."""
    rows = [row.split() for row in subject.text("net/route").splitlines()[1:]]
    return [f"{row[1]} via {row[2]}" for row in rows
            if row[2] != "00000000" or row[7] == "00000000"]


@check("cable", points=3)
def cable(bench: Bench) -> str:
    """There is one more interface, with the address that was given; the other end answers."""
    outside, inside = addresses()
    act = f"tcp={outside}:9"
    with bench.container(act, extra=asked(outside, inside)) as box:
        command = box.witness()
        found = interfaces(command)
        expect(len(found) == 2 and "lo" in found, "interfaces", f"there are {', '.join(found)}")
        expect(inside in command.text("net/fib_trie"), "address",
               f"no interface of the command's has {inside}")
        expect(f"|-- {outside}\n" not in command.text("net/fib_trie"), "both-ends-inside",
               f"{outside} is an address of the command's own")
        answer = box.answers()[act]
        expect(answer.detail == str(errno.ECONNREFUSED), "other-end",
               f"a connection to {outside} gave errno {answer.detail}: nobody is there")
        return f"{', '.join(found)}; {inside} here, and {outside} answers: connection refused"


@check("nothing-else", points=1)
def nothing_else(bench: Bench) -> str:
    """Apart from the other end the command reaches nothing."""
    outside, inside = addresses()
    with bench.container("tcp=192.0.2.1:9", extra=asked(outside, inside)) as box:
        command = box.witness()
        expect(command.namespace("net") != box.outside.namespace("net"), "shared-net",
               "ns/net is the one outside")
        answer = box.answers()["tcp=192.0.2.1:9"]
        expect(answer.detail == str(errno.ENETUNREACH), "way-out",
               f"a connection to 192.0.2.1 gave errno {answer.detail}")
        found = gateways(command)
        expect(not found, "way-out", f"/proc/net/route has {', '.join(found)}")
        return "192.0.2.1 cannot be reached, and no route leads beyond the cable"


CHECKS = (own_names, abstract_sockets, loopback, cable, nothing_else)
