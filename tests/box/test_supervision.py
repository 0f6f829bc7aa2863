"""The engine while a box lives: verdicts, signals at every moment, streams, and its own death."""

from __future__ import annotations

import os
import pty
import signal
import socket
import struct
import subprocess
import sys
import time

import pytest
from engines import BUSY, FLOOD, HOG, MS, Running, plan, reason, run

from minibox import engine, report
from minibox.plan import Plan
from minibox.steps import AttachTree, Fail, OpenTree

pytestmark = pytest.mark.needs("userns")


# ---- verdicts ----------------------------------------------------------------------------------

@pytest.mark.parametrize(("argv", "watch", "expected"), [
    (("sh", "-c", "exit 42"), {}, ("exited", 42)),
    (("sh", "-c", "kill -TERM $$"), {}, ("signaled", 143)),
    (("sh", "-c", "kill -SYS $$"), {}, ("seccomp", 159)),
    (("sleep", "60"), {"walltime_ns": 200 * MS}, ("walltime", 124)),
    (BUSY, {"cputime_ns": 300 * MS}, ("cputime", 124)),
    (HOG, {"rss_bytes": 64 << 20}, ("memory", 137)),
    (FLOOD, {"output_bytes": 100_000, "relay": True}, ("output", 137)),
    (BUSY, {"cputime_ns": 300 * MS, "walltime_ns": 10**13}, ("cputime", 124)),
    (("no-such-program",), {}, ("setup", 127)),
    (("/usr",), {}, ("setup", 126)),
], ids=lambda value: value[0] if isinstance(value, tuple) and len(value) == 2 else None)
def test_each_reason_has_its_verdict(boxed, argv, watch, expected):
    status, found, _ = run(boxed, plan(boxed, *argv, **watch))
    assert (reason(found), status) == expected, found


def slice_ns(pid):
    with open(f"/proc/{pid}/sched") as file:
        return int(next(line for line in file if line.startswith("se.slice")).split()[-1])


def only_child(pid):
    with open(f"/proc/{pid}/task/{pid}/children") as file:
        return int(file.read())


@pytest.mark.needs("slices")
def test_who_watches_a_box_has_its_turn_before_those_that_it_watches(boxed):
    """By the shortest slice there is, so the caps hold on a busy machine too; not the box's own."""
    box = Running(boxed, plan(boxed, "sh", "-c", "echo up; read line; exit 3", stdin="caller"),
                  stdin=subprocess.PIPE)
    box.await_line(b"up")
    init = only_child(box.process.pid)
    slices = [slice_ns(pid) for pid in (box.process.pid, init, only_child(init))]
    assert box.end()[0] == 3
    assert slices == [100_000, 100_000, slice_ns("self")]


@pytest.mark.parametrize("part", ["prepare", "enter", "app"])
def test_a_failing_step_is_named_whoever_took_it(boxed, part):
    good = plan(boxed, "true")
    steps = {name: getattr(good, name) for name in ("prepare", "enter", "app", "finish")}
    steps[part] = (*steps[part][:-1], Fail(errno=5))
    bad = Plan(**steps)
    status, found, err = run(boxed, bad)
    assert (reason(found), status, found.errno) == ("setup", 125, 5), found
    assert isinstance(list(bad)[found.failed_step], Fail)


OURS = {"x86_64": 62, "aarch64": 183}[os.uname().machine]


def elf(machine=OURS, loader=b""):
    """The head of a program for *machine* (as <elf.h> numbers them) that asks for *loader*."""
    head = struct.pack("<16sHHIQQQI6H", b"\x7fELF\2\1\1", 2, machine, 1, 0, 64, 0, 0, 64, 56,
                       bool(loader), 0, 0, 0)
    part = struct.pack("<IIQQQQQQ", 3, 4, 120, 0, 0, len(loader) + 1, len(loader) + 1, 1)
    return head + (part + loader + b"\0" if loader else b"")


EXECUTABLES = {
    "shebang.absent": (b"#!/opt/perl -w\n", 127, "interpreter_missing", "/opt/perl"),
    "shebang.crlf": (b"#!/bin/sh\r\n", 127, "interpreter_crlf", "/bin/sh"),
    "shebang.directory": (b"#!/usr\n", 126, "directory", "/usr"),
    "shebang.text": (b"#!/t/plain\n", 126, "not_executable", "/t/plain"),
    "shebang.nested": (b"#!/t/shebang.absent\n", 127, "interpreter_missing", "/opt/perl"),
    "shebang.loader": (b"#!/t/loader\n", 127, "loader_missing", "/lib/ld-none.so"),
    "loader": (elf(loader=b"/lib/ld-none.so"), 127, "loader_missing", "/lib/ld-none.so"),
    "other": (elf(machine=243), 126, "wrong_architecture", "/t/other"),
    "text": (b"echo hello\n", 126, "not_a_program", "/t/text"),
    "empty": (b"", 126, "not_a_program", "/t/empty"),
    "plain": (b"echo hello\n", 126, "not_executable", "/t/plain"),
    "dangling": ("nowhere", 127, "dangling_link", "/t/dangling"),
    "loop": ("loop", 126, "link_loop", "/t/loop"),
    "absent": (None, 127, "missing", "/t/absent"),
    "text/below": (None, 127, "missing", "/t/text/below"),
}


def test_why_a_program_cannot_be_executed_is_found_out(boxed):
    directory = boxed.scratch / "programs"
    directory.mkdir(mode=0o755)
    for name, (content, *_) in EXECUTABLES.items():
        if isinstance(content, str):
            (directory / name).symlink_to(content)
        elif content is not None:
            (directory / name).write_bytes(content)
            (directory / name).chmod(0o644 if name == "plain" else 0o755)
        if name != "text/below" and content is not None:
            os.chown(directory / name, boxed.uid, boxed.gid, follow_symlinks=False)
    os.chown(directory, boxed.uid, boxed.gid)
    more = OpenTree(tree=1, source=str(directory)), AttachTree(tree=1, target="/t", options=())
    wrong = {}
    for name, (_, *expected) in EXECUTABLES.items():
        status, found, _ = run(boxed, plan(boxed, f"/t/{name}", more=more))
        got = [status, report.CAUSES[found.cause], found.detail]
        if got != expected:
            wrong[name] = got
    assert wrong == {}


def test_the_engine_alone_says_no_name_that_steers_the_terminal(boxed):
    what = plan(boxed, "/no/\x1b[31m\x07\x9b/é")
    status, _, said = run(boxed, what, "--tell", "/no/such/teller")
    assert status == 127 and said.endswith(b": /no/?[31m??\x9b/\xc3\xa9\n"), said


def test_a_program_on_a_mount_without_exec_is_told_apart(boxed):
    more = OpenTree(tree=1, source="/usr"), AttachTree(tree=1, target="/n", options=("noexec",))
    status, found, _ = run(boxed, plan(boxed, "/n/bin/true", more=more))
    assert (status, report.CAUSES[found.cause]) == (126, "noexec"), found


def test_wall_time_counts_from_exec(boxed):
    _, found, _ = run(boxed, plan(boxed, "sleep", "60", walltime_ns=300 * MS))
    assert found.end_ns - found.exec_ns >= 300 * MS


def test_the_usage_of_a_killed_box_covers_all_its_processes(boxed):
    _, found, _ = run(boxed, plan(boxed, *BUSY, cputime_ns=300 * MS))
    assert found.user_ns + found.system_ns >= 290 * MS and found.processes >= 2, found


def test_without_init_the_application_is_pid_1(boxed):
    status, found, out = run(boxed, plan(boxed, "sh", "-c", "echo $$; exit 3", init=False))
    assert (status, reason(found), out) == (3, "exited", b"1\n")


def test_orphans_are_reaped_and_daemons_end_with_the_application(boxed):
    """That stdout ends says that nobody is left who has it."""
    script = ("for n in 1 2 3; do (true &); done; setsid sh -c 'trap \"\" TERM HUP; sleep 60' & "
              "echo up")
    status, found, out = run(boxed, plan(boxed, "sh", "-c", script))
    assert (status, out) == (0, b"up\n") and found.processes >= 5, found


# ---- signals -----------------------------------------------------------------------------------

@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_at_any_moment_ends_the_box(boxed, number):
    for delay in range(0, 8000, 100):
        running = Running(boxed, plan(boxed, "sleep", "60"))
        until = time.perf_counter() + delay / 1e6
        while time.perf_counter() < until:
            pass
        running.process.send_signal(number)
        status, found, _ = running.end()
        assert status in (-number, 128 + number), (delay, status)
        assert found is None or reason(found) in ("signaled", "stopped"), (delay, found)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP, signal.SIGUSR2, signal.SIGWINCH,
                                    signal.SIGCONT, signal.SIGRTMIN + 3])
def test_signals_are_passed_on(boxed, number):
    code = (f"import signal; signal.pthread_sigmask(0, [{number}]); print('up', flush=True); "
            f"print(signal.sigwait([{number}]).real)")
    running = Running(boxed, plan(boxed, "python3", "-c", code))
    running.await_line(b"up")
    running.process.send_signal(number)
    assert running.end()[::2] == (0, b"%d\n" % number)


def test_a_hangup_that_the_caller_ignores_stays_ignored(boxed):
    """Of two signals that wait, the kernel hands out the lower number, SIGHUP, first."""
    script = ("trap 'echo hup' HUP; trap 'echo usr1; exit 4' USR1; echo up; "
              "while :; do sleep 0.02; done")
    running = Running(boxed, plan(boxed, "sh", "-c", script), prefix=("env", "--ignore-signal=HUP"))
    running.await_line(b"up")
    running.process.send_signal(signal.SIGHUP)
    running.process.send_signal(signal.SIGUSR1)
    assert running.end()[::2] == (4, b"usr1\n")


def test_what_does_not_stop_is_killed_after_the_timeout(boxed):
    script = "trap '' TERM; echo up; while :; do sleep 0.02; done"
    running = Running(boxed, plan(boxed, "sh", "-c", script, stop_timeout_ns=100 * MS))
    running.await_line(b"up")
    running.process.terminate()
    status, found, _ = running.end()
    assert (status, reason(found), found.stop_signal) == (137, "stopped", signal.SIGTERM)


def test_ctrl_z_stops_box_and_engine_and_fg_continues_both(boxed):
    what = plan(boxed, "sh", "-c", "echo up; read line; echo $line", stdin="caller")
    running = Running(boxed, what, stdin=subprocess.PIPE)
    running.await_line(b"up")
    app = descendants(running.process.pid)[-1]
    running.process.send_signal(signal.SIGTSTP)
    assert os.WIFSTOPPED(os.waitpid(running.process.pid, os.WUNTRACED)[1])
    await_state(app, "T")
    running.process.send_signal(signal.SIGCONT)
    await_state(app, "S")
    running.process.stdin.write(b"on\n")
    assert running.end()[::2] == (0, b"on\n")


def descendants(pid):
    """Its child, its child's child and so on."""
    found = [pid]
    while True:
        with open(f"/proc/{found[-1]}/task/{found[-1]}/children") as file:
            children = file.read().split()
        if not children:
            return found[1:]
        found.append(int(children[0]))


def await_state(pid, state):
    until = time.monotonic() + 10
    while time.monotonic() < until:
        with open(f"/proc/{pid}/stat") as file:
            if file.read().rsplit(")", 1)[1].split()[0] == state:
                return
    raise AssertionError(f"process {pid} did not come into state {state}")


# ---- the engine's own death, and the caller's ----------------------------------------------------

def test_an_engine_killed_at_any_moment_leaves_nothing(boxed):
    """The fixture looks for processes; that stdout ends says that none of the box has it."""
    for delay in range(0, 6000, 100):
        running = Running(boxed, plan(boxed, "sh", "-c", "setsid sleep 60 & sleep 60"))
        until = time.perf_counter() + delay / 1e6
        while time.perf_counter() < until:
            pass
        running.process.kill()
        assert running.end()[0] == -signal.SIGKILL


def test_a_box_dies_with_its_caller(boxed):
    running = Running(boxed, plan(boxed, "sleep", "60"), control=True)
    os.close(running.control)
    running.control = -1
    status, found, _ = running.end()
    assert (status, reason(found)) == (137, "stopped")


@pytest.mark.parametrize(("operation", "value", "expected"), [
    (engine.SIGNAL, signal.SIGUSR1, ("signaled", 128 + signal.SIGUSR1)),
    (engine.STOP, 10_000, ("stopped", 128 + signal.SIGTERM)),
    (engine.KILL, 0, ("stopped", 137)),
])
def test_the_caller_may_ask_for_its_end(boxed, operation, value, expected):
    running = Running(boxed, plan(boxed, "sh", "-c", "echo up; exec sleep 60"), control=True)
    running.await_line(b"up")
    running.send(operation, value)
    status, found, _ = running.end()
    assert (reason(found), status) == expected


def test_whoever_is_to_be_told_gets_report_and_plan_and_gives_the_status(boxed):
    code = ("import os, sys; read = lambda fd: os.pread(int(fd), 8, 0); "
            "print(read(sys.argv[-2]), read(sys.argv[-1])); sys.exit(9)")
    status, _, out = run(boxed, plan(boxed, "sh", "-c", "exit 1"), "--tell-always", sys.executable,
                         "-c", code)
    assert (status, out) == (9, b"b'mbreport' b'minibox\\x00'\n")


# ---- streams -----------------------------------------------------------------------------------

def test_exactly_the_allowed_output_is_kept_and_all_is_counted(boxed):
    status, found, out = run(boxed, plan(boxed, *FLOOD, relay=True, output_bytes=123_457))
    assert (status, len(out), found.stdout_kept_bytes) == (137, 123_457, 123_457)
    assert found.stdout_bytes > 123_457


@pytest.mark.parametrize("kind", ["file", "socket", "fifo"])
def test_a_relayed_stream_arrives_whole(boxed, kind, tmp_path):
    size = 3_000_000
    what = plan(boxed, "head", "-c", str(size), "/dev/zero")
    if kind == "file":
        with open(tmp_path / "out", "wb") as file:
            status, found, _ = run(boxed, what, stdout=file)
        got = (tmp_path / "out").read_bytes()
    else:
        if kind == "socket":
            ours, theirs = socket.socketpair()
            ours, theirs = ours.detach(), theirs.detach()
        else:
            os.mkfifo(tmp_path / "fifo")
            ours = os.open(tmp_path / "fifo", os.O_RDONLY | os.O_NONBLOCK)
            theirs = os.open(tmp_path / "fifo", os.O_WRONLY)
            os.set_blocking(ours, True)
        running = Running(boxed, what, stdout=theirs)
        os.close(theirs)
        with open(ours, "rb") as file:
            got = file.read()
        status, found, _ = running.end()
    assert status == 0 and got == bytes(size) and found.stdout_kept_bytes == size


def test_stdin_from_a_file_is_relayed_to_its_end(boxed, tmp_path):
    (tmp_path / "in").write_bytes(bytes(range(256)) * 1000)
    with open(tmp_path / "in", "rb") as file:
        status, _, out = run(boxed, plan(boxed, "cat", stdin="caller"), stdin=file)
    assert status == 0 and out == (tmp_path / "in").read_bytes()


def test_output_lost_to_a_full_disk_is_no_success(boxed):
    with open("/dev/full", "wb") as full:
        status, found, err = run(boxed, plan(boxed, "echo", "lost"), stdout=full)
    assert (status, reason(found)) == (125, "exited") and b"no space is left" in err


def test_a_reader_that_goes_away_is_told_to_the_box_as_by_any_pipe(boxed):
    ours, theirs = socket.socketpair()
    running = Running(boxed, plan(boxed, "yes"), stdout=theirs)
    theirs.close()
    ours.recv(1)
    ours.close()
    status, found, err = running.end()
    assert (status, reason(found), err) == (128 + signal.SIGPIPE, "signaled", b"")


@pytest.mark.parametrize("kind", ["pipe", "socket", "terminal"])
def test_a_caller_that_does_not_read_holds_up_no_clock(boxed, kind):
    ours, theirs = {"pipe": os.pipe, "terminal": pty.openpty,
                    "socket": lambda: [end.detach() for end in socket.socketpair()]}[kind]()
    running = Running(boxed, plan(boxed, *FLOOD, relay=True, walltime_ns=200 * MS), stdout=theirs)
    os.close(theirs)
    status, found, _ = running.end()
    os.close(ours)
    assert (status, reason(found)) == (124, "walltime")
    assert found.stdout_kept_bytes < found.stdout_bytes


@pytest.mark.parametrize("closed", [(0,), (1,), (2,), (0, 1, 2)])
def test_a_closed_stream_is_the_null_device(boxed, closed):
    redirections = " ".join(f"{fd}>&-" for fd in closed)
    prefix = ("sh", "-c", f'exec "$@" {redirections}', "sh")
    code = ("import os, sys; devices = {os.stat(int(fd)).st_rdev for fd in sys.argv[1:]}; "
            "sys.exit(5 if devices == {os.makedev(1, 3)} else 6)")
    what = plan(boxed, "python3", "-c", code, *map(str, closed))
    status, found, out = run(boxed, what, prefix=prefix)
    assert (status, reason(found), out) == (5, "exited", b"")


def test_the_box_has_three_descriptors_and_init_two(boxed):
    extra = os.pipe()
    running = Running(boxed, plan(boxed, "sh", "-c", "ls /proc/self/fd; echo end; read x",
                                  stdin="caller"), stdin=subprocess.PIPE, inherited=extra)
    assert [running.process.stdout.readline() for _ in range(5)] == [b"0\n", b"1\n", b"2\n", b"3\n",
                                                                     b"end\n"], "3 is ls's own"
    init = descendants(running.process.pid)[0]
    links = [os.readlink(f"/proc/{init}/fd/{fd}") for fd in os.listdir(f"/proc/{init}/fd")]
    running.process.stdin.close()
    running.process.stdin = None
    running.end()
    for end in extra:
        os.close(end)
    assert sorted(link.split(":")[0] for link in links) == ["anon_inode", "socket"], links
