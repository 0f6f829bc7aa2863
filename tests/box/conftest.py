"""Box tests drive the real command, as root and as an unprivileged user.

`boxed("-m", "64M", "--", "/bin/true")` runs `minibox run` and gives what came of it.  A test that
takes it runs once for each caller; `root_boxed` and `user_boxed` are one of the two.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import needs
import pytest

SHELL = ("/bin/sh", "-c")


@dataclass(frozen=True)
class Outcome:
    """What one `minibox run` did. result: the JSON of --result."""

    status: int
    out: str
    err: str
    result: dict[str, Any] = field(repr=False)

    @property
    def reason(self) -> str:
        return str(self.result["reason"])

    def receipt(self, cap: str) -> dict[str, Any]:
        found = [one for one in self.result["receipts"] if one["cap"] == cap]
        assert len(found) == 1, f"{len(found)} receipts for {cap}: {self.result['receipts']}"
        return dict(found[0])


@dataclass(frozen=True)
class Caller:
    """Someone who runs boxes. prefix: what a command is to begin with to run as that user; python:
    the one that has minibox."""

    name: str
    uid: int
    gid: int
    prefix: tuple[str, ...]
    environment: dict[str, str]
    scratch: Path
    python: tuple[str, ...] = (sys.executable,)

    def command(self, *argv: str, **options: Any) -> subprocess.CompletedProcess[str]:
        """Run any command as this caller."""
        options = {"stdin": subprocess.DEVNULL, "capture_output": True, "text": True,
                   "timeout": 120, "env": self.environment, "cwd": "/"} | options
        return subprocess.run([*self.prefix, *argv], **options)

    def minibox(self, *arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
        return self.command(*self.python, "-m", "minibox", *arguments, **options)

    def __call__(self, *arguments: str, **options: Any) -> Outcome:
        """`minibox run ARGUMENTS`, with its result, which may be larger than a pipe holds."""
        with open(os.memfd_create("result"), "r+") as file:
            result = file.fileno()
            done = self.minibox("run", "--result", f"fd:{result}", *arguments, pass_fds=(result,),
                                **options)
            file.seek(0)
            text = file.read()
        assert text, f"no result; status {done.returncode}, stderr: {done.stderr}"
        return Outcome(done.returncode, done.stdout or "", done.stderr or "", json.loads(text))


def _environment(home: Path) -> dict[str, str]:
    kept = {name: os.environ[name] for name in ("MINIBOX_ENGINE", "ASAN_OPTIONS", "UBSAN_OPTIONS")
            if name in os.environ}
    return {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": str(home), "LANG": "C.UTF-8"} | kept


@pytest.fixture
def root_boxed(tmp_path: Path) -> Caller:
    return Caller("root", 0, 0, (), _environment(tmp_path), tmp_path)


@pytest.fixture
def user_boxed(as_user: Any) -> Caller:
    return Caller("user", as_user.uid, as_user.gid, tuple(as_user.prefix),
                  _environment(as_user.home), Path(as_user.home))


@pytest.fixture(params=["root", "user"])
def boxed(request: pytest.FixtureRequest) -> Caller:
    """Each test that takes this runs as root and as an unprivileged user."""
    if request.param == "root":
        needs.require("root")
    if os.geteuid() != 0:
        home = request.getfixturevalue("tmp_path")
        return Caller("user", os.geteuid(), os.getegid(), (), _environment(home), home)
    caller = request.getfixturevalue(f"{request.param}_boxed")
    assert isinstance(caller, Caller)
    return caller


@pytest.fixture
def own_leases(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Leases of this test alone: others on this machine may run boxes too."""
    monkeypatch.setenv("MINIBOX_LEASES", str(tmp_path / "leases"))
    return tmp_path / "leases"


@pytest.fixture
def busybox(boxed: Caller) -> Iterator[Path]:
    """A small root file system of the caller's own: a static busybox and its names."""
    needs.require("busybox")
    root = boxed.scratch / "busybox-root"
    for directory in ("bin", "proc", "dev", "tmp", "etc", "root"):
        (root / directory).mkdir(parents=True)
    (root / "bin/busybox").write_bytes(Path("/bin/busybox").read_bytes())
    (root / "bin/busybox").chmod(0o755)
    for name in ("sh", "true", "cat", "ls", "id", "echo", "touch", "mount", "sleep", "stat",
                 "mkdir", "readlink", "hostname", "ps", "kill", "dd", "wc", "grep", "head", "yes",
                 "test"):
        (root / "bin" / name).symlink_to("busybox")
    for path in (root, *root.rglob("*")):
        os.chown(path, boxed.uid, boxed.gid, follow_symlinks=False)
    yield root


Boxed = Callable[..., Outcome]
