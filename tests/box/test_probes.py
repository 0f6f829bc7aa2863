"""In a box every probe holds; on the bare host it is open, or nothing is proved by its holding."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pwd
import resource
import signal
import subprocess
import termios
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from canaries import PROGRAM, Given, canaries, is_open, outcomes, probes

PROBES = {probe.id: probe for probe in probes()}
LAYERS = sorted({layer for probe in PROBES.values() for layer in probe.layers} - {"view"})
"""Without "view" a box of root's is a user's in the host's own tree: a test of its own."""

NEEDS_SYS_RESOURCE = {
    "files.namespace-limits", "privileges.memory-map", "privileges.executable-name",
    "resources.hard-limit-raised", "resources.oom-score", "resources.pipe-size"}
CAP_SYS_RESOURCE = 24


@contextlib.contextmanager
def careless(caller: Any, given: Given) -> Iterator[dict[str, Any]]:
    """How a careless caller starts something: with a terminal that leads a session, descriptors and
    a variable of the host, messages to a file, ignored and blocked signals, and files for all."""
    master, slave = os.openpty()
    messages = caller.scratch / "messages"
    messages.touch()
    messages.chmod(0o666)
    try:
        def prepare() -> None:
            os.setsid()
            fcntl.ioctl(slave, termios.TIOCSCTTY, 0)
            for ignored in (signal.SIGHUP, signal.SIGRTMIN):
                signal.signal(ignored, signal.SIG_IGN)
            os.umask(0)
            signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})

        with messages.open("a") as stderr:
            yield {"pass_fds": (slave, given.fd), "preexec_fn": prepare, "stdin": slave,
                   "capture_output": False, "stdout": subprocess.PIPE, "stderr": stderr,
                   "env": caller.environment | given.environment}
    finally:
        os.close(master)
        os.close(slave)


def opened(done: subprocess.CompletedProcess[str], messages: Path) -> set[str]:
    """The probes that were open."""
    assert done.returncode == 0, messages.read_text()
    found = outcomes(done.stdout)
    names = {name for name, probe in PROBES.items() if is_open(probe, found[name])}
    print("open:", {name: found[name] for name in names})       # a test that fails shows it
    return names


def in_a_box(caller: Any, *options: str) -> set[str]:
    """The probes that are open in a box that a careless caller starts."""
    with canaries(caller.scratch, caller.prefix) as given, careless(caller, given) as start:
        volumes = ["-v", f"{PROGRAM}:/probe:ro"]
        more = []
        if given.set_user_id:
            volumes += ["-v", f"{given.set_user_id}:/set-user-id:ro"]
            more = ["setuid=/set-user-id"]
        return opened(caller.minibox("run", *options, *volumes, "--", "/probe", *given.arguments,
                                     *more, **start), caller.scratch / "messages")


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
    assert {name for name in held_by(layer) - found if not is_absent(name, on_host[name])} == set()


@pytest.mark.needs("root")
def test_without_a_view_of_its_own_the_files_of_the_host_are_in_reach(
        root_boxed: Any, user_boxed: Any) -> None:
    with canaries(root_boxed.scratch) as given, careless(root_boxed, given) as start:
        found = opened(root_boxed.minibox("run", "--without", "view", "--", str(PROGRAM),
                                          *given.arguments, **start),
                       root_boxed.scratch / "messages")
    # root of a box is nobody special to the host: it reads what every user may
    for_everyone = {name for name, outcome in bare(user_boxed).items()
                    if is_open(PROBES[name], outcome)}
    expected = for_everyone & {"leaks.machine-id", "leaks.homes", "leaks.hardware",
                               *(name for name in held_by("view") if name.startswith("files."))}
    assert "files.host-canary" in expected and expected <= found


def test_the_program_needs_nothing_around_it(tmp_path: Path) -> None:
    (tmp_path / "probe").write_bytes(PROGRAM.read_bytes())
    (tmp_path / "probe").chmod(0o755)
    done = subprocess.run(["unshare", "--user", "--map-root-user", "chroot", tmp_path, "/probe",
                           "file=/etc/passwd", "mount=/", "home=/root", "setuid=/none", "env=HOME"],
                          capture_output=True, text=True, check=True)
    found = outcomes(done.stdout)
    assert list(found) == list(PROBES)
    assert {"timeout", "SIGSEGV", "SIGBUS", "SIGILL"}.isdisjoint(found.values())
    assert found["files.host-canary"] == found["devices.kernel-log"] == "ENOENT"


# ---- on the host itself ----

def bare(caller: Any) -> dict[str, str]:
    with canaries(caller.scratch, caller.prefix) as given, careless(caller, given) as start:
        own = [f"setuid={given.set_user_id}"] if given.set_user_id else []
        return outcomes(caller.command(str(PROGRAM), *given.arguments, *own, **start).stdout)


def beside_init(caller: Any) -> dict[str, str]:
    """With a PID 1 that is no better than this caller, groups and capabilities to inherit."""
    with canaries(caller.scratch) as given, careless(caller, given) as start:
        done = caller.command(
            "setpriv", "--groups", "4", "--inh-caps", "+net_raw", "--ambient-caps", "+net_raw",
            "unshare", "--pid", "--fork", "--mount-proc", "sh", "-c", '"$@"; exit $?', "sh",
            str(PROGRAM), *given.arguments, **start)
    assert done.returncode == 0
    return outcomes(done.stdout)


def _lines(path: str) -> Callable[[], bool]:
    return lambda: not Path(path).exists() or len(Path(path).read_text().splitlines()) < 2


FIRST_NETWORK = 0xEFFFFFF9
"""The inode of the first network namespace since Linux 6.18, which has file handles of them."""

def _none_in(*paths: str) -> Callable[[], bool]:
    """Is there nothing in these directories, or in these files?"""
    def empty(path: Path) -> bool:
        if path.is_dir():
            return not any(path.iterdir())
        return not path.exists() or not path.stat().st_size
    return lambda: all(map(empty, map(Path, paths)))


def _at_most(limit: int, most: int) -> Callable[[], bool]:
    return lambda: 0 <= resource.getrlimit(limit)[1] <= most


ABSENT: dict[str, Callable[[], bool]] = {
    # no host lets an unknown call in; the others a host may lack
    "kernel.unknown-call": lambda: True,
    "files.boot": _none_in("/boot"),
    "files.logs": _none_in("/var/log"),
    "files.propagation": lambda: "shared:" not in Path("/proc/self/mountinfo").read_text(),
    "leaks.accounts": lambda: True,                 # a test of its own: it wants another canary
    "leaks.debugging": _none_in("/sys/kernel/debug", "/sys/kernel/tracing"),
    "leaks.logins": _none_in("/var/log/wtmp", "/run/utmp", "/var/log/lastlog", "/var/log/btmp"),
    "leaks.swap-areas": _lines("/proc/swaps"),
    "leaks.service-sockets": lambda: True,          # there need be none that lets everyone in
    "resources.processes": _at_most(resource.RLIMIT_NPROC, 16384),
    "resources.open-files": _at_most(resource.RLIMIT_NOFILE, 4096),
    "network.host-namespace-by-handle":
        lambda: os.stat("/proc/self/ns/net").st_ino != FIRST_NETWORK,
    "network.routes": _lines("/proc/net/route"),
    "network.way-out": _lines("/proc/net/route"),
    "network.routes-ipv6": _lines("/proc/net/if_inet6"),
    "network.way-out-ipv6": _lines("/proc/net/if_inet6"),
}


FOR_CANARIES = {name for name in PROBES if "host-canary" in name or "made-in" in name} | {
    "leaks.shared-file", "leaks.shared-memory", "leaks.home", "leaks.environment-of-others"}
"""What these try is made by the test, and has to be there."""


def is_absent(name: str, outcome: str) -> bool:
    """Is what this probe tries not there at all, neither in this kernel nor on this host?"""
    return (outcome in ("ENOSYS", "EAFNOSUPPORT", "EPROTONOSUPPORT")
            or (outcome == "ENOENT" and name not in FOR_CANARIES)
            or (name in ABSENT and ABSENT[name]()))


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
    unexplained = {name: outcome for name, outcome in never.items()
                   if not is_absent(name, outcome)
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


def test_an_account_of_the_host_is_known_by_its_home() -> None:
    home = next(one.pw_dir for one in pwd.getpwall() if one.pw_dir not in ("/", "/root"))
    done = subprocess.run([PROGRAM, "--only", "leaks.accounts", f"home={home}"], check=True,
                          capture_output=True, text=True)
    assert done.stdout == "leaks.accounts\topen\t\n"
