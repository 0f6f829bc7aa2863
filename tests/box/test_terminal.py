"""A box with a terminal of its own, run by somebody at another: modes, sizes, keys, jobs."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import select
import shlex
import signal
import struct
import subprocess
import termios
import time

import pytest
from engines import FLOOD, MS, Running, plan, reason, run

from minibox import engine
from minibox.plan import encode

pytestmark = pytest.mark.needs("userns")


@contextlib.contextmanager
def terminal(boxed, *argv, **watch):
    """A box with a terminal, run by somebody at another, which is restored in the end: the engine,
    and both ends of that other."""
    ours, theirs = pty.openpty()
    before = termios.tcgetattr(theirs)
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("4H", 33, 77, 0, 0))
    running = Running(boxed, plan(boxed, *argv, terminal=True, stdin="caller", **watch),
                      stdin=theirs, stdout=theirs)
    try:
        yield running, ours, theirs
        until = time.monotonic() + 10                       # after SIGKILL another process does it
        while termios.tcgetattr(theirs) != before and time.monotonic() < until:
            pass
        assert termios.tcgetattr(theirs) == before, "the caller's terminal is restored"
    finally:
        os.close(ours)
        os.close(theirs)


def read_until(fd, text):
    got, until = b"", time.monotonic() + 20
    while text not in got and select.select([fd], [], [], until - time.monotonic())[0]:
        got += os.read(fd, 4096)
    assert text in got, got
    return got


@pytest.mark.parametrize("how", ["exit", "walltime", "SIGTERM", "SIGHUP", "SIGKILL"])
def test_the_callers_terminal_is_restored_however_it_ends(boxed, how):
    argv = ("sh", "-c", "stty size; echo up; read line; exit 6")
    with terminal(boxed, *argv, **({"walltime_ns": 500 * MS} if how == "walltime" else {})) as (
            running, ours, theirs):
        got = read_until(ours, b"up\r\n")
        assert b"33 77\r\n" in got and not termios.tcgetattr(theirs)[3] & termios.ICANON
        if how == "exit":
            os.write(ours, b"go\n")
        elif how != "walltime":
            running.process.send_signal(getattr(signal, how))
        status, _, _ = running.end()
        assert status == {"exit": 6, "walltime": 124, "SIGTERM": 143, "SIGHUP": 129,
                          "SIGKILL": -9}[how]


def test_a_new_window_size_reaches_the_box(boxed):
    code = ("import os, signal; signal.pthread_sigmask(0, [28]); print('up', flush=True); "
            "signal.sigwait([28]); print(*os.get_terminal_size())")
    with terminal(boxed, "python3", "-c", code) as (running, ours, theirs):
        read_until(ours, b"up\r\n")
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("4H", 44, 99, 0, 0))
        running.process.send_signal(signal.SIGWINCH)
        read_until(ours, b"99 44\r\n")
        assert running.end()[0] == 0


def test_keys_are_signals_in_the_boxs_own_terminal(boxed):
    code = "import signal, time; signal.signal(2, 0); print('up', flush=True); time.sleep(60)"
    with terminal(boxed, "python3", "-c", code) as (running, ours, theirs):
        read_until(ours, b"up\r\n")
        os.write(ours, b"\x03")
        status, found, _ = running.end()
        assert (status, reason(found)) == (130, "signaled")


def test_the_end_of_stdin_ends_what_reads_the_terminal(boxed):
    status, _, out = run(boxed, plan(boxed, "cat", terminal=True, stdin="caller"))
    assert (status, out) == (0, b"")


def test_a_terminal_flood_is_ended_on_time(boxed):
    with terminal(boxed, *FLOOD, walltime_ns=300 * MS) as (running, ours, theirs):
        assert running.end()[0] == 124


class Shell:
    """An interactive bash at a terminal of its own, with plans that its user can run by name."""

    def __init__(self, caller, **plans):
        self.ours, theirs = pty.openpty()
        os.fchown(theirs, caller.uid, caller.gid)
        for name, what in plans.items():
            (caller.scratch / name).write_bytes(encode(what))
            (caller.scratch / name).chmod(0o644)
        self.process = subprocess.Popen(
            [*caller.prefix, "setsid", "--ctty", "--wait", "bash", "--norc", "--noediting", "-i"],
            stdin=theirs, stdout=theirs, stderr=theirs, cwd=caller.scratch,
            env=caller.environment | {"PS1": "ready$ ", "E": engine.path()})
        os.close(theirs)
        read_until(self.ours, b"ready$ ")

    def type(self, keys, expected):
        os.write(self.ours, keys)
        return read_until(self.ours, expected)

    def close(self):
        self.type(b"exit\n", b"exit")
        assert self.process.wait(20) == 0
        os.close(self.ours)


@pytest.mark.parametrize("traced", [False, True], ids=["engine", "trace"])
def test_a_job_of_an_interactive_shell_obeys_its_keys(boxed, traced):
    shell = Shell(boxed, cat=plan(boxed, "cat", stdin="caller"))
    if traced:
        words = [*boxed.python, "-m", "minibox", "trace", "-o", "/dev/null", "run", "-i", "--"]
        shell.type(f"E='{shlex.join(words)}'\n".encode(), b"ready$ ")
    shell.type(b"$E cat\n", b"cat\r\n")
    shell.type(b"one\n", b"one\r\none\r\n")
    shell.type(b"\x1a", b"ready$ ")
    assert b"Stopped" in shell.type(b"jobs; echo $((6*7))\n", b"42\r\n")
    shell.type(b"fg\n", b"$E cat\r\n")
    shell.type(b"two\n", b"two\r\ntwo\r\n")
    shell.type(b"\x03", b"ready$ ")
    shell.type(b"echo status=$?\n", b"status=130\r\n")
    shell.close()


def test_a_job_in_the_background_leaves_the_terminal_to_the_shell(boxed):
    shell = Shell(boxed, cat=plan(boxed, "cat", stdin="caller"),
                  box=plan(boxed, "sh", "-c", "echo up; read x; exit 3", stdin="caller",
                           terminal=True))
    shell.type(b"$E cat &\n", b"ready$ ")
    for _ in range(20):                                     # each line wakes the engine as well
        shell.type(b"echo $((6*7))\n", b"42\r\n")
    shell.type(b"fg\n", b"$E cat\r\n")
    shell.type(b"one\n", b"one\r\none\r\n")
    shell.type(b"\x04", b"ready$ ")
    shell.type(b"$E box & wait %1\n", b"Stopped")
    shell.type(b"stty -a\n", b" icanon")
    shell.type(b"fg\n", b"up\r\n")
    shell.type(b"x\n", b"ready$ ")
    shell.type(b"echo status=$?\n", b"status=3\r\n")
    shell.type(b"stty -a\n", b" icanon")
    shell.close()
