"""Things of the host that a box must not reach, and running the probes that try."""

from __future__ import annotations

import contextlib
import importlib
import os
import secrets
import socket
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

import minibox
from minibox.probe.record import Probe

PROGRAM = Path(minibox.__file__).with_name("minibox-probe")
NAMESPACES = ("net", "pid", "mnt", "user", "ipc", "uts", "cgroup")


def probes(*groups: str) -> tuple[Probe, ...]:
    return tuple(probe for group in groups
                 for probe in importlib.import_module(f"minibox.probe.{group}").PROBES)


def outcomes(text: str) -> dict[str, str]:
    """What the program printed: the outcome of each probe."""
    return {name: outcome for name, outcome, _ in (line.split("\t", 2) for line in
                                                   text.splitlines())}


def is_open(probe: Probe, outcome: str) -> bool:
    return outcome not in (*probe.held, "unprovable")


def _listen(family: int, address: str | tuple[str, int]) -> socket.socket:
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.bind(address)
    listener.listen()
    return listener


@contextlib.contextmanager
def canaries(directory: Path, prefix: Sequence[str] = ()) -> Iterator[list[str]]:
    """The arguments for the program. prefix: begins a command that is to be the caller's."""
    abstract, path = f"minibox-test-{secrets.token_hex(8)}", str(directory / "canary-socket")
    with contextlib.ExitStack() as stack:
        tcp = stack.enter_context(_listen(socket.AF_INET, ("127.0.0.1", 0)))
        stack.enter_context(_listen(socket.AF_UNIX, "\0" + abstract))
        stack.enter_context(_listen(socket.AF_UNIX, path))
        stack.callback(os.unlink, path)
        os.chmod(path, 0o777)
        process = stack.enter_context(subprocess.Popen([*prefix, "cat"], stdin=subprocess.PIPE,
                                                       stdout=subprocess.PIPE))
        assert process.stdin and process.stdout
        process.stdin.write(b"\n")
        process.stdin.flush()
        assert process.stdout.read(1) == b"\n"      # it is cat by now, with the caller's ids
        made = [f"pid={process.pid}", f"abstract={abstract}", f"unix={path}",
                f"tcp={tcp.getsockname()[1]}", f"uid={os.geteuid()}"]
        if socket.has_ipv6:
            tcp6 = stack.enter_context(_listen(socket.AF_INET6, ("::1", 0)))
            made.append(f"tcp6={tcp6.getsockname()[1]}")
        made += (f"{kind}ns={os.stat(f'/proc/self/ns/{kind}').st_ino}" for kind in NAMESPACES)
        yield made
