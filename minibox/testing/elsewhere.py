"""The same tests with another runtime, or with none: bwrap, runc, none.

A runtime is given what it can express, in its own words; the rest is CannotExpress, by which a test
is skipped.  None of them tells why a program was killed, nor what it used: what they do not measure
is None, and a verdict that they cannot give is CannotExpress too.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from minibox.compiler.process import PATH
from minibox.errors import HostError, MiniboxError, SpecError
from minibox.request import box_spec
from minibox.result import Usage, signal_name
from minibox.saved import SavedResult
from minibox.testing import asked, needs

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from minibox.box import Argument
    from minibox.explain.elsewhere.draft import Translation
    from minibox.spec import BoxSpec

NAMES = ("minibox", "bwrap", "runc", "none")

_EVERYWHERE = frozenset({"argv", "cwd", "env", "env_files", "walltime", "observe"})
_IN_A_BOX = _EVERYWHERE | {"hostname", "mounts", "network", "tmpfs", "user", "volumes"}
EXPRESSED: Mapping[str, frozenset[str]] = {
    "none": _EVERYWHERE, "bwrap": _IN_A_BOX,
    "runc": _IN_A_BOX | {"memory", "pids", "cpus", "cpuset"}}
"""The options that each runtime has a word for."""

CGROUP_CAPS = frozenset({"memory", "pids", "cpus", "cpuset"})
ENDS_WITHIN_S = 5.0


class CannotExpress(MiniboxError):
    """The runtime has no word for what is asked of it."""

    def __init__(self, runtime: str, what: str) -> None:
        super().__init__(runtime, what)
        self.runtime, self.what = runtime, what

    def __str__(self) -> str:
        return f"{self.runtime} cannot express {self.what}"


class Elsewhere(SavedResult):
    """What came of a program in another *runtime*. Only wall_s is measured, with the runtime's own
    start; a status above 128 is a signal, as shells and runtimes have it."""

    runtime: str


def run(runtime: str, argv: Iterable[Argument], options: Mapping[str, Any], *,
        input: bytes | str | None = None, stdout: Any = None, stderr: Any = None,
        text: bool = False) -> Elsewhere:
    """Run *argv* as *runtime* would, with *options* as of the fixture `box`.

    Errors: CannotExpress; HostError if the runtime is not there; SpecError.
    """
    if beyond := sorted(options.keys() - EXPRESSED[runtime]):
        raise CannotExpress(runtime, f"{beyond[0]}={options[beyond[0]]!r}")
    given = asked.split({name: value for name, value in options.items() if name != "observe"})
    spec = box_spec(tuple(map(os.fsdecode, argv)), **given)
    if spec.loopback:
        raise CannotExpress(runtime, "network='loopback'")
    if runtime != "none" and not shutil.which(runtime):
        raise HostError(runtime, "it is not installed", "install it, or leave "
                        "--minibox-runtime out")
    with ExitStack() as stack:
        place = stack.enter_context(tempfile.TemporaryDirectory(prefix="minibox-elsewhere-"))
        command, undo = _COMMANDS[runtime](spec, place)
        if undo:
            stack.callback(subprocess.run, undo, capture_output=True)
        return _run(runtime, spec, command, undo, input, stdout=stdout, stderr=stderr, text=text)


def _run(runtime: str, spec: BoxSpec, command: list[str], undo: list[str],
         input: bytes | str | None, **streams: Any) -> Elsewhere:
    started_s, began = time.time(), time.monotonic()
    try:
        process = subprocess.Popen(
            command, **streams, errors="replace" if streams["text"] else None,
            stdin=subprocess.PIPE if input is not None else subprocess.DEVNULL,
            cwd=spec.workdir if runtime == "none" else None, start_new_session=True,
            env={"PATH": PATH, "HOME": "/root", "LANG": "C.UTF-8", **dict(spec.environment)})
    except OSError as error:
        raise SpecError("command", command[0], f"it cannot be started: {error}") from error
    late = False
    try:
        out, err = process.communicate(input, spec.limits.walltime_s)
    except subprocess.TimeoutExpired:
        late = True
        out, err = _end(process, undo)
    except BaseException:
        _end(process, undo)
        raise
    wall_s = time.monotonic() - began
    return _told(runtime, spec, process.returncode, late, wall_s, started_s=started_s, stdout=out,
                 stderr=err)


def _end(process: subprocess.Popen[Any], undo: list[str]) -> tuple[Any, Any]:
    """Kill what runs, by the runtime's own means too; what it had written.

    Without a runtime a daemon may live on and hold the streams: then that is not known.
    """
    os.killpg(process.pid, signal.SIGKILL)
    if undo:
        subprocess.run(undo, capture_output=True)
    try:
        return process.communicate(timeout=ENDS_WITHIN_S)
    except subprocess.TimeoutExpired:
        for stream in (process.stdout, process.stderr):
            if stream:
                stream.close()
        process.wait()
        return None, None


def _told(runtime: str, spec: BoxSpec, status: int, late: bool, wall_s: float,
          **more: Any) -> Elsewhere:
    number = -status if status < 0 else status - 128 if 128 < status <= 192 else None
    if late:
        number = int(signal.SIGKILL)
    reason = "walltime" if late else "exited" if number is None else "signaled"
    evidence: dict[str, Any] = {"exit_status": status} if number is None else {"signal": number}
    if late:
        evidence = {"wall_s": wall_s, "wall_limit_s": spec.limits.walltime_s}
    summary = (f"timed out after {spec.limits.walltime_s:g} s" if late else
               f"exited{f' with status {status}' if status else ''}" if number is None else
               f"killed by {signal_name(number)}")
    values: dict[str, Any] = dict.fromkeys(Usage.__fields__) | {
        "wall_s": wall_s, "measured_by": {"wall_s": f"CLOCK_MONOTONIC, with the start of {runtime}"
                                          if runtime != "none" else "CLOCK_MONOTONIC"}}
    return Elsewhere(runtime=runtime, args=spec.argv, reason=reason, signal=number,
                     exit_status=status if number is None else 128 + number,
                     returncode=status if number is None else -number,
                     summary=f"{summary} ({runtime})", evidence=evidence, usage=Usage(**values),
                     refused=(), receipts=(), steps=(), name="", **more)


def _none(spec: BoxSpec, _place: str) -> tuple[list[str], list[str]]:
    return [*spec.argv], []


def _bwrap(spec: BoxSpec, _place: str) -> tuple[list[str], list[str]]:
    return [*_translated("bwrap", spec).argv], []


def _runc(spec: BoxSpec, place: str) -> tuple[list[str], list[str]]:
    """A bundle in *place*."""
    os.mkdir(f"{place}/root")
    with open(f"{place}/config.json", "w") as file:
        file.write(_translated("runc", spec).config)
    name = f"minibox-{os.path.basename(place)}"
    runc = ["runc", "--root", f"{place}/state"]
    return ([*runc, "run", "--bundle", place, name], [*runc, "delete", "--force", name])


def _translated(runtime: str, spec: BoxSpec) -> Translation:
    """The box in the runtime's words; only its wall time is kept from here."""
    from minibox.explain.elsewhere import translate

    found = translate(runtime, spec, needs.machine())
    for one in found.beyond:
        if one.field != "limits.walltime_s":
            raise CannotExpress(runtime, f"{one.field}={one.value}: {one.why}")
    return found


_COMMANDS = {"none": _none, "bwrap": _bwrap, "runc": _runc}
