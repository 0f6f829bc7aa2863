"""In a box every probe holds; on the bare host it is open, or nothing is proved by its holding.

Here are the groups that need no canary but a process, sockets and namespaces of the host."""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import subprocess
import termios
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from canaries import PROGRAM, canaries, is_open, outcomes, probes

GROUPS = ("processes", "network", "kernel", "privileges")
PROBES = {probe.id: probe for probe in probes(*GROUPS)}
LAYERS = sorted({layer for probe in PROBES.values() for layer in probe.layers} - {"view"})
"""Without "view" a box of root's is a user's in the host's own tree, and no fair comparison."""

NEEDS_SYS_RESOURCE = {"privileges.memory-map", "privileges.executable-name"}
CAP_SYS_RESOURCE = 24


@contextlib.contextmanager
def careless() -> Iterator[dict[str, Any]]:
    """How a careless caller starts something: with a terminal that leads a session, a descriptor of
    the host, signals that are ignored and blocked, and files for all."""
    master, slave = os.openpty()
    try:
        def prepare() -> None:
            os.setsid()
            fcntl.ioctl(slave, termios.TIOCSCTTY, 0)
            signal.signal(signal.SIGHUP, signal.SIG_IGN)
            os.umask(0)
            signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})

        yield {"pass_fds": (slave,), "preexec_fn": prepare, "stdin": slave}
    finally:
        os.close(master)
        os.close(slave)


def opened(done: subprocess.CompletedProcess[str]) -> set[str]:
    """The probes of these groups that were open."""
    assert done.returncode == 0, done.stderr
    found = outcomes(done.stdout)
    return {name for name, probe in PROBES.items() if is_open(probe, found[name])}


def in_a_box(caller: Any, *options: str) -> set[str]:
    """The probes that are open in a box that a careless caller starts."""
    with canaries(caller.scratch, caller.prefix) as given, careless() as start:
        return opened(caller.minibox("run", *options, "-v", f"{PROGRAM}:/probe:ro", "--", "/probe",
                                     *given, **start))


def held_by(layer: str) -> set[str]:
    return {name for name, probe in PROBES.items() if layer in probe.layers}


def test_every_probe_holds_in_a_default_box(boxed: Any) -> None:
    assert in_a_box(boxed) == set()


@pytest.mark.needs("root")
@pytest.mark.parametrize("layer", LAYERS)
def test_a_wall_left_out_opens_what_it_alone_holds(root_boxed: Any, layer: str) -> None:
    found = in_a_box(root_boxed, "--without", layer)
    assert found <= held_by(layer)
    on_host = bare(root_boxed)
    assert {on_host[name] for name in held_by(layer) - found} <= {"ENOSYS"}, "not in this kernel"


# ---- on the host itself ----

def bare(caller: Any) -> dict[str, str]:
    with canaries(caller.scratch, caller.prefix) as given, careless() as start:
        return outcomes(caller.command(str(PROGRAM), *given, **start).stdout)


def beside_init(caller: Any) -> dict[str, str]:
    """With a PID 1 that is no better than this caller, groups and capabilities to inherit."""
    with canaries(caller.scratch) as given, careless() as start:
        done = caller.command(
            "setpriv", "--groups", "4", "--inh-caps", "+net_raw", "--ambient-caps", "+net_raw",
            "unshare", "--pid", "--fork", "--mount-proc", "sh", "-c", '"$@"; exit $?', "sh",
            str(PROGRAM), *given, **start)
    assert done.returncode == 0, done.stderr
    return outcomes(done.stdout)


def _lines(path: str) -> Callable[[], bool]:
    return lambda: not Path(path).exists() or len(Path(path).read_text().splitlines()) < 2


FIRST_NETWORK = 0xEFFFFFF9
"""The inode of the first network namespace since Linux 6.18, which has file handles of them."""

ABSENT: dict[str, Callable[[], bool]] = {
    # no host lets an unknown call in; the others a host may lack
    "kernel.unknown-call": lambda: True,
    "network.host-namespace-by-handle":
        lambda: os.stat("/proc/self/ns/net").st_ino != FIRST_NETWORK,
    "network.routes": _lines("/proc/net/route"),
    "network.way-out": _lines("/proc/net/route"),
    "network.routes-ipv6": _lines("/proc/net/if_inet6"),
    "network.way-out-ipv6": _lines("/proc/net/if_inet6"),
}


def _has_capability(number: int) -> bool:
    status = Path("/proc/self/status").read_text()
    return bool(int(status.split("CapEff:")[1].split()[0], 16) >> number & 1)


@pytest.mark.needs("root")
def test_every_probe_is_open_on_the_host_or_the_host_lacks_what_it_tries(
        root_boxed: Any, user_boxed: Any) -> None:
    as_root = bare(root_boxed)
    seen = [as_root, bare(user_boxed), beside_init(root_boxed)]
    never = {name: as_root[name] for name, probe in PROBES.items()
             if not any(is_open(probe, found[name]) for found in seen)}
    unexplained = {
        name: outcome for name, outcome in never.items()
        if outcome not in ("ENOSYS", "EAFNOSUPPORT", "EPROTONOSUPPORT")     # not in this kernel
        and not (name in ABSENT and ABSENT[name]())
        and not (name in NEEDS_SYS_RESOURCE and not _has_capability(CAP_SYS_RESOURCE))}
    assert unexplained == {}


@pytest.mark.needs("root")
def test_what_only_the_hosts_root_may_do_is_refused_to_a_user(user_boxed: Any) -> None:
    found = bare(user_boxed)
    for call in ("settimeofday", "adjtimex", "clock-adjtime", "reboot", "swapon", "swapoff", "acct",
                 "syslog", "vhangup", "bpf-program"):
        assert not is_open(PROBES[f"kernel.{call}"], found[f"kernel.{call}"]), call


@pytest.mark.needs("root")
def test_trying_changes_nothing_on_the_host(root_boxed: Any) -> None:
    def state() -> list[str]:
        kept = ("/proc/swaps", "/proc/sys/kernel/hostname", "/proc/sys/kernel/domainname",
                "/proc/sys/net/ipv4/ip_forward", "/proc/net/route", "/proc/sys/kernel/tainted")
        modules = Path("/proc/modules")
        names = modules.read_text().split() if modules.exists() else []
        return [*(Path(path).read_text() for path in kept), *names[::6]]

    before = state()
    bare(root_boxed)
    assert state() == before
