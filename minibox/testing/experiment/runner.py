"""Making the runs: each in a box of its own by the command, maybe beside a neighbour."""

from __future__ import annotations

import contextlib
import json
import os
import pwd
import select
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from minibox.errors import HostError
from minibox.testing.experiment.description import beside, options, runtime_of
from minibox.testing.experiment.design import key, order
from minibox.testing.experiment.samples import Sample, Samples

if TYPE_CHECKING:
    from minibox.testing.experiment.description import Experiment, Metric
    from minibox.testing.experiment.design import Cell

PATIENCE_S = 600.0
READY_S = 30.0
TIED = """
import os, runpy, signal, sys
from minibox.syscalls import die_with_parent
die_with_parent(signal.SIGTERM)
if os.getppid() != int(sys.argv.pop(1)):
    sys.exit("minibox: what started it has ended")
runpy.run_module(sys.argv.pop(1), run_name="__main__", alter_sys=True)
"""


class CannotRun(Exception):
    """A cell that this host cannot have, and why."""


def run_all(asked: Experiment, path: str, progress: Callable[[int, int], None]) -> int:
    """See `minibox.testing.experiment.run`."""
    runs = order(asked)
    made, failed = 0, ""
    with Samples(path, asked) as samples, tempfile.TemporaryDirectory(prefix="minibox-") as home:
        os.chmod(home, 0o777)
        todo = [one for one in runs if key(*one) not in samples.had]
        progress(len(runs) - len(todo), len(runs))
        for number, (cell, repetition) in enumerate(todo, 1):
            sample = run_one(asked, cell, repetition, home)
            samples.add(sample)
            made += not sample.error
            failed = sample.error or failed
            progress(len(runs) - len(todo) + number, len(runs))
    if todo and not made:
        raise HostError("experiment", failed, "nothing of it can run here: see minibox doctor")
    return len(todo)


def run_one(asked: Experiment, cell: Cell, repetition: int, home: str) -> Sample:
    common: dict[str, Any] = {"cell": {name: level.name for name, level in cell.items()},
                              "repetition": repetition}
    try:
        prefix, environment = caller(cell, home)
        with neighbour(asked, cell, prefix, environment):
            if asked.probes:
                return Sample(**common, **probed(asked, cell, prefix, environment))
            return Sample(**common, **measured(asked, cell, prefix, environment))
    except CannotRun as error:
        return Sample(**common, figures=dict.fromkeys(one.name for one in asked.metrics), series={},
                      open=[], error=str(error), doubts=[])


def tied(module: str) -> tuple[str, ...]:
    """As -m of Python, but asked to end when this process is killed; later it never begins."""
    return (sys.executable, "-P", "-c", TIED, str(os.getpid()), module)


def caller(cell: Cell, home: str) -> tuple[tuple[str, ...], dict[str, str]]:
    """What a command begins with to be the cell's caller's, and its environment."""
    own = dict(os.environ)
    if "user" not in {level.caller for level in cell.values()} or os.geteuid() != 0:
        return (), own
    user = pwd.getpwnam("nobody")
    prefix = ("setpriv", "--reuid", str(user.pw_uid), "--regid", str(user.pw_gid),
              "--clear-groups", "--")
    done = subprocess.run([*prefix, *tied("minibox"), "--version"], capture_output=True, cwd="/")
    if done.returncode:
        raise CannotRun(f"user {user.pw_name} cannot reach {sys.executable}")
    return prefix, own | {"HOME": home, "XDG_CACHE_HOME": f"{home}/cache"}


@contextlib.contextmanager
def neighbour(asked: Experiment, cell: Cell, prefix: tuple[str, ...],
              environment: dict[str, str]) -> Iterator[None]:
    """The cell's neighbour, from when it says that it is ready until the run is over."""
    names = [level.neighbour for level in cell.values() if level.neighbour is not None]
    if not names:
        yield
        return
    argv = [*prefix, *tied("minibox"), "run", *beside(cell), "--", *asked.neighbours[names[0]]]
    with started(argv, environment) as process:
        assert process.stdout and process.stderr
        if not select.select([process.stdout], [], [], READY_S)[0]:
            raise CannotRun(f"the neighbour {names[0]} says nothing for {READY_S:.0f} s")
        if not process.stdout.readline():
            raise CannotRun(f"the neighbour {names[0]}: {last_line(process.stderr.read())}")
        yield


@contextlib.contextmanager
def started(argv: Sequence[str], environment: dict[str, str], **more: Any
            ) -> Iterator[subprocess.Popen[bytes]]:
    """A command that is asked to end when the block is over: its box takes its cgroups along then,
    which one whose engine is killed leaves to the next start."""
    with subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, cwd="/",
                          stderr=subprocess.PIPE, env=environment, **more) as process:
        try:
            yield process
        finally:
            process.terminate()


def finished(argv: Sequence[str], environment: dict[str, str], **more: Any
             ) -> subprocess.CompletedProcess[bytes]:
    """A command that has ended by itself."""
    with started(argv, environment, **more) as process:
        try:
            out, err = process.communicate(timeout=PATIENCE_S)
        except subprocess.TimeoutExpired as error:
            raise CannotRun(f"it did not end in {PATIENCE_S:.0f} s") from error
    return subprocess.CompletedProcess(argv, process.returncode, out, err)


def measured(asked: Experiment, cell: Cell, prefix: tuple[str, ...],
             environment: dict[str, str]) -> dict[str, Any]:
    found, out = (in_a_box if runtime_of(cell) == "minibox" else in_another)(
        asked, cell, prefix, environment)
    levels = {name: level.value for name, level in cell.items()}
    series = {one.name: points(out) for one in asked.metrics if one.series}
    return {"figures": {one.name: figure(one, found, out, levels) for one in asked.metrics},
            "series": series, "open": [], "error": "", "doubts": found.get("doubts") or [],
            "ended": ending(found)}


def ending(found: dict[str, Any]) -> str:
    """How the workload ended and the last that it said, "" if it exited with 0."""
    if found["reason"] == "exited" and not found["exit_status"]:
        return ""
    summary, said = str(found["summary"]), last_line(found["stderr"].encode())
    return summary if said in summary else f"{summary}: {said}"


def in_another(asked: Experiment, cell: Cell, prefix: tuple[str, ...],
               environment: dict[str, str]) -> tuple[dict[str, Any], str]:
    """A run in another runtime: of its usage only the wall time is known."""
    what = json.dumps([runtime_of(cell), options(cell), asked.command])
    argv = [*prefix, *tied("minibox.testing.experiment.other"), what]
    done = finished(argv, environment)
    if done.returncode:
        raise CannotRun(last_line(done.stderr) or f"status {done.returncode}")
    found = json.loads(done.stdout)
    if found["exit_status"] and not found["stdout"]:
        raise CannotRun(last_line(found["stderr"].encode()) or f"status {found['exit_status']}")
    return found, found["stdout"]


def in_a_box(asked: Experiment, cell: Cell, prefix: tuple[str, ...],
             environment: dict[str, str]) -> tuple[dict[str, Any], str]:
    with tempfile.TemporaryFile("w+") as result:
        argv = [*prefix, *tied("minibox"), "run", "--observe", "--result", f"fd:{result.fileno()}",
                *options(cell), "--", *asked.command]
        done = finished(argv, environment, pass_fds=(result.fileno(),))
        result.seek(0)
        text = result.read()
    if not text:
        raise CannotRun(last_line(done.stderr) or f"status {done.returncode}")
    found = json.loads(text)
    if found["reason"] == "setup":
        raise CannotRun(found["summary"])
    found["stderr"] = done.stderr.decode("utf-8", "replace")
    return found, done.stdout.decode("utf-8", "replace")


def probed(asked: Experiment, cell: Cell, prefix: tuple[str, ...],
           environment: dict[str, str]) -> dict[str, Any]:
    argv = [*prefix, *tied("minibox"), "probe", "--json", "--only", ",".join(asked.probes),
            "--runtime", runtime_of(cell), "--", *options(cell)]
    done = finished(argv, environment)
    try:
        (trial,) = json.loads(done.stdout)["runtimes"]
    except (ValueError, KeyError) as error:
        raise CannotRun(last_line(done.stderr) or f"status {done.returncode}") from error
    if trial["reason"]:
        raise CannotRun(trial["reason"])
    found = [one["id"] for one in trial["findings"] if one["verdict"] in ("open", "loosened")]
    return {"figures": {one.name: float(len(found)) for one in asked.metrics}, "series": {},
            "open": found, "error": "", "doubts": []}


# ---- figures ----

def figure(metric: Metric, result: dict[str, Any], out: str,
           levels: dict[str, float | None]) -> float | None:
    """One figure of a run; None if it was not measured."""
    if metric.series:
        values = sorted(value for _, value in points(out))
        found = taken(metric.take, values) if values else None
    else:
        parts = [number(part, result, out) for part in metric.source.split(" / ")]
        found = parts[0]
        for part in parts[1:]:
            found = None if found is None or not part else found / part
    if found is not None and metric.per is not None:
        asked_for = levels[metric.per]
        found = found / asked_for if asked_for else None
    return None if found is None else found * metric.scale


def taken(what: str, values: list[float]) -> float:
    """One figure of sorted *values*: one of description.TAKES."""
    if what == "p95":
        return values[int((len(values) - 1) * 0.95)]
    if what == "max":
        return values[-1]
    return statistics.fmean(values) if what == "mean" else statistics.median(values)


def number(source: str, result: dict[str, Any], out: str) -> float | None:
    kind, _, name = source.partition(".")
    value: Any = None
    if kind == "usage":
        value = result["usage"][name]
    else:
        with contextlib.suppress(ValueError, KeyError, TypeError):
            value = json.loads(out)[name] if name else float(out)
    return None if value is None or isinstance(value, bool) else float(value)


def points(out: str) -> list[list[float]]:
    """Lines of "SECONDS NUMBER"."""
    found = []
    for line in out.splitlines():
        with contextlib.suppress(ValueError):
            at, value = map(float, line.split())
            found.append([at, value])
    return found


def last_line(text: bytes) -> str:
    lines = text.decode("utf-8", "replace").strip().splitlines()
    return lines[-1].removeprefix("minibox: ") if lines else ""


