"""Things of the host that a box must not reach, and running the probes that try."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import minibox
from minibox import probe
from minibox.probe import canaries as usual
from minibox.probe.record import Probe
from minibox.probe.runtimes import set_user_id

PROGRAM = Path(minibox.__file__).with_name("minibox-probe")


@dataclass(frozen=True)
class Given:
    """arguments: for the program; environment: what to start it with, besides its own; fd: a
    directory to inherit; set_user_id: a copy of the program with that bit, if there can be one."""

    arguments: tuple[str, ...]
    environment: dict[str, str]
    fd: int
    set_user_id: Path | None


def probes(*groups: str) -> tuple[Probe, ...]:
    return probe.catalogue(groups)


def outcomes(text: str) -> dict[str, str]:
    """What the program printed: the outcome of each probe."""
    return {name: outcome for name, outcome, _ in (line.split("\t", 2) for line in
                                                   text.splitlines())}


def is_open(about: Probe, outcome: str) -> bool:
    return outcome not in (*about.held, "unprovable")


@contextlib.contextmanager
def canaries(directory: Path, prefix: Sequence[str] = ()) -> Iterator[Given]:
    """What `minibox probe` makes, but with a process and a home of the caller's.

    prefix: begins a command that is to be the caller's.
    """
    with (usual.canaries() as made,
          subprocess.Popen([*prefix, "cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                           env=os.environ | made.environment) as process):
        assert process.stdin and process.stdout
        process.stdin.write(b"\n")
        process.stdin.flush()
        assert process.stdout.read(1) == b"\n"      # it is cat by now, with the caller's ids
        os.chmod(made.values["unix"], 0o777)
        other = None
        if os.geteuid() == 0:
            other = directory / "set-user-id"
            shutil.copy(PROGRAM, other)
            set_user_id(str(other))
        values = made.values | {"pid": str(process.pid), "home": str(directory)}
        yield Given(tuple(f"{name}={value}" for name, value in values.items()), made.environment,
                    made.fd, other)
