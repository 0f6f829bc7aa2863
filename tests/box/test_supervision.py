"""The engine alone, on plans made by hand: verdicts, signals, streams, terminals, its death."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import select
import signal
import socket
import struct
import subprocess
import sys
import termios
import time

import pytest

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
    Fail,
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
    StopPropagation,
    StopWith,
    UseRoot,
    UseStreams,
    Watch,
)

pytestmark = pytest.mark.needs("userns")

MS, ENVIRONMENT = 10**6, ("PATH=/usr/bin:/bin",)


def plan(caller, *argv, init=True, stdin="null", terminal=False, relay=False,
         stop_timeout_ns=10**10, more=(), **watch):
    """A box with the host's /usr, processes of its own and the caller's own id as 0."""
    links = [MakeLink(target=f"/{name}", to=os.readlink(f"/{name}"))
             for name in ("bin", "lib", "lib64") if os.path.islink(f"/{name}")]
    enter = [Await(gate=1), DieWithParent(), StopPropagation(),
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

    def __init__(self, caller, what, *options, prefix=(), control=False, inherited=(), **streams):
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
        self.process = subprocess.Popen([*command, *options], pass_fds=(*ends, *inherited),
                                        env=caller.environment, cwd="/", **streams)
        for fd in ends:
            os.close(fd)

    def send(self, operation, value=0):
        os.write(self.control, struct.pack("=Ii", operation, value))

    def await_line(self, line):
        assert self.process.stdout.readline() == line + b"\n"

    def end(self, timeout=20):
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


def run(caller, what, *options, **streams):
    return Running(caller, what, *options, **streams).end()


def reason(found):
    return report.REASONS[found.reason]


BUSY = ("sh", "-c", "(while :; do :; done) & while :; do :; done")
FLOOD = ("sh", "-c", "cat /dev/zero")
HOG = ("python3", "-c", "held = bytearray(b'x') * (256 << 20)\nimport time; time.sleep(60)")


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


# ---- terminals ---------------------------------------------------------------------------------

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


def test_a_job_of_an_interactive_shell_obeys_its_keys(boxed):
    shell = Shell(boxed, cat=plan(boxed, "cat", stdin="caller"))
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
