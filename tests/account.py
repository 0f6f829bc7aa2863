"""An unprivileged account for the tests, made where none is free, and removed again."""

from __future__ import annotations

import contextlib
import fcntl
import itertools
import os
import pwd
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

MADE_BY = "made by the tests of minibox"


@dataclass(frozen=True)
class User:
    """Who the unprivileged commands run as. prefix: what such a command begins with."""

    name: str
    uid: int
    gid: int
    home: Path
    prefix: tuple[str, ...]


@contextlib.contextmanager
def account() -> Iterator[pwd.struct_passwd]:
    """minibox-test, or minibox-test1 and so on while other runs of the tests have that."""
    for name in itertools.chain(["minibox-test"], map("minibox-test{}".format, itertools.count(1))):
        with open(f"/run/{name}.lock", "w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            try:
                yield _made(name)
            finally:
                if pwd.getpwnam(name).pw_gecos == MADE_BY:
                    _administer("userdel", name)
            return


def _made(name: str) -> pwd.struct_passwd:
    """The account *name*, with ranges of ids below it."""
    try:
        return pwd.getpwnam(name)
    except KeyError:
        for path in ("/etc/subuid", "/etc/subgid"):         # useradd grants ranges if these exist
            open(path, "a").close()
        _administer("useradd", "--no-create-home", "--home-dir", "/nonexistent", "--user-group",
                    "--shell", "/bin/sh", "--comment", MADE_BY, name)
        return pwd.getpwnam(name)


def _administer(*argv: str) -> None:
    done = subprocess.run(argv, capture_output=True, text=True)
    assert done.returncode == 0, f"{' '.join(argv)}: {done.stderr}"


def drop_to(entry: pwd.struct_passwd) -> tuple[str, ...]:
    """What a command begins with to run as this account and nothing else."""
    return ("setpriv", "--reuid", str(entry.pw_uid), "--regid", str(entry.pw_gid),
            "--clear-groups", "--")


def current(home: Path) -> User:
    """The caller of the tests, who is unprivileged already."""
    try:
        name = pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        name = str(os.geteuid())
    return User(name, os.geteuid(), os.getegid(), home, ())
