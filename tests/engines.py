"""Plans put together by hand, and engines that run them: what is tested is the engine alone."""

from __future__ import annotations

import os
import signal
import struct
import subprocess
from collections.abc import Sequence
from typing import Any

from minibox import engine, report
from minibox.plan import Plan, encode
from minibox.steps import (
    AttachTree,
    Await,
    BindDevice,
    CloneApp,
    CloneInit,
    CloseFiles,
    DieWithParent,
    Exec,
    MakeDir,
    MakeLink,
    MapIds,
    MountDevpts,
    MountProc,
    MountStage,
    NewSession,
    OpenStreams,
    OpenTerminal,
    OpenTree,
    PivotRoot,
    Release,
    Step,
    StopPropagation,
    StopWith,
    UseRoot,
    UseStreams,
    Watch,
)

MS = 10**6
ENVIRONMENT = ("PATH=/usr/bin:/bin",)


def plan(caller: Any, *argv: str, init: bool = True, stdin: str = "null", terminal: bool = False,
         relay: bool = False, stop_timeout_ns: int = 10**10, more: Sequence[Step] = (),
         **watch: int) -> Plan:
    """A box with the host's /usr, processes of its own and the caller's own id as 0."""
    links = [MakeLink(target=f"/{name}", to=os.readlink(f"/{name}"))
             for name in ("bin", "lib", "lib64") if os.path.islink(f"/{name}")]
    enter: list[Step] = [
        Await(gate=1), DieWithParent(), StopPropagation(),
        MountStage(size_bytes=1 << 20, inodes=1000), UseRoot(path="."),
        OpenTree(tree=0, source="/usr"), AttachTree(tree=0, target="/usr", options=("ro",)),
        *links, MountProc(target="/proc", hide_others=False), MakeDir(target="/dev"),
        *(BindDevice(source=f"/dev/{name}", target=f"/dev/{name}", major=1, minor=minor)
          for name, minor in (("null", 3), ("zero", 5)))]
    if terminal:
        enter += [MountDevpts(target="/dev/pts"), OpenTerminal()]
    enter += [*more, PivotRoot()]
    if init:
        enter.append(CloneApp(nested=False, uids=(), gids=(), deny_setgroups=False))
    return Plan(
        prepare=(Watch(**watch), StopWith(signal=signal.SIGTERM, timeout_ns=stop_timeout_ns),
                 OpenStreams(stdin=stdin, terminal=terminal, relay=relay),
                 CloneInit(namespaces=("user", "mnt", "pid", "net", "ipc", "uts")),
                 MapIds(uids=(0, caller.uid, 1), gids=(0, caller.gid, 1), deny_setgroups=True),
                 Release(gate=1)),
        enter=tuple(enter),
        app=(NewSession(terminal=terminal), UseStreams(), CloseFiles(), DieWithParent(),
             Exec(argv=argv, environment=ENVIRONMENT, path="/usr/bin:/bin")),
        finish=())


class Running:
    """An engine that runs a plan, and its report."""

    def __init__(self, caller: Any, what: Plan, *options: str, prefix: Sequence[str] = (),
                 control: bool = False, inherited: Sequence[int] = (), **streams: Any) -> None:
        plan_fd = engine.plan_file(encode(what))
        self.report_fd, report = os.pipe()
        command = [*caller.prefix, *prefix, engine.path(), "--plan", str(plan_fd)]
        ends = [plan_fd, report]
        self.control = -1
        if control:
            end, self.control = os.pipe()
            ends.append(end)
            command += ["--control", str(end)]
        if not options:
            command += ["--report", str(report)]
        streams = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE,
                   "stderr": subprocess.PIPE} | streams
        self.process: Any = subprocess.Popen(
            [*command, *options], pass_fds=(*ends, *inherited), env=caller.environment, cwd="/",
            **streams)
        for fd in ends:
            os.close(fd)

    def send(self, operation: int, value: int = 0) -> None:
        os.write(self.control, struct.pack("=Ii", operation, value))

    def await_line(self, line: bytes) -> None:
        assert self.process.stdout.readline() == line + b"\n"

    def end(self, timeout: float = 20) -> tuple[int, Any, bytes]:
        """Its exit status, its report (None if it wrote none), what is left of its output."""
        try:
            out, err = self.process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise
        with open(self.report_fd, "rb") as file:
            block = file.read()
        if self.control >= 0:
            os.close(self.control)
        found = report.decode(block) if block else None
        assert found is None or found.exit_status == self.process.returncode
        return self.process.returncode, found, (out or b"") + (err or b"")


def run(caller: Any, what: Plan, *options: str, **streams: Any) -> tuple[int, Any, bytes]:
    return Running(caller, what, *options, **streams).end()


def reason(found: Any) -> str:
    return report.REASONS[found.reason]


BUSY = ("sh", "-c", "(while :; do :; done) & while :; do :; done")
FLOOD = ("sh", "-c", "cat /dev/zero")
HOG = ("python3", "-c", "held = bytearray(b'x') * (256 << 20)\nimport time; time.sleep(60)")
