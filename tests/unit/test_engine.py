"""Starting an engine, and what is said of one that is none."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from minibox import engine
from minibox.errors import EngineError
from minibox.pump import Pump


def test_an_engine_that_is_not_there_is_named_with_the_mend(monkeypatch):
    monkeypatch.setenv("MINIBOX_ENGINE", "/no/such/engine")
    before = os.listdir("/proc/self/fd")
    with pytest.raises(EngineError, match="/no/such/engine cannot be started: No such file.*pip"):
        engine.spawn(b"")
    assert os.listdir("/proc/self/fd") == before


def test_an_engine_that_dies_reports_nothing(monkeypatch):
    monkeypatch.setenv("MINIBOX_ENGINE", "/bin/false")
    pid, report, control = engine.spawn(b"")
    pump = Pump(report)
    assert pump.run(20) and pump.collected[report] == b"" and engine.reap(pid) == 1
    assert engine.reap(pid) is None, "somebody else's waitpid is no error"
    os.close(report)
    os.close(control)


def test_a_plan_is_read_from_its_beginning():
    fd = engine.plan_file(b"plan" * 30_000)
    assert os.read(fd, 1 << 20) == b"plan" * 30_000 and not os.get_inheritable(fd)
    os.close(fd)


def test_the_engine_inherits_nothing_of_its_caller(monkeypatch, tmp_path):
    """A script in its place tells what a process that is started so has."""
    script = tmp_path / "engine"
    script.write_text("#!/bin/sh\nenv; grep ^Sig /proc/self/status\n")
    script.chmod(0o755)
    monkeypatch.setenv("MINIBOX_ENGINE", str(script))
    monkeypatch.setenv("SECRET", "of the caller")
    read, write = os.pipe()
    pid, report, control = engine.spawn(b"plan", stdout=write)
    os.close(write)
    with open(read) as file:
        said = file.read()
    assert engine.reap(pid) == 0 and "SECRET" not in said
    sets = dict(line.split(":\t") for line in said.splitlines() if line.startswith("Sig"))
    assert int(sets["SigBlk"], 16) == 0
    of_python = 1 << signal.SIGPIPE - 1 | 1 << signal.SIGXFSZ - 1
    assert int(sets["SigIgn"], 16) & of_python == 0
    for fd in (report, control):
        os.close(fd)


def test_the_module_is_found_beside_the_engine():
    code = "from minibox import engine; print(engine.path())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd="/",
                          env={key: value for key, value in os.environ.items()
                               if key != "MINIBOX_ENGINE"})
    assert done.stdout == os.path.dirname(engine.__file__) + "/minibox-engine\n"
