"""A box is made step by step, and looked at between them: the whole command, as root and not."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import signal
import subprocess
import time

import needs
import pytest
from traces import changed, named, traced

pytestmark = pytest.mark.needs("userns")

LIVE = """
import os, signal, sys
from minibox.cli import run
from minibox.trace.live import Live, Quit
plan, _ = run.planned(run.PAGE, sys.argv[2:])
at = int(sys.argv[1])
"""
"""A script that traces what its arguments from the second on ask for."""


def test_each_step_has_its_time_and_what_it_changed(boxed):
    done, trace = traced(boxed, "--", "/bin/sh", "-c", "echo out; echo err >&2; sleep 0.3; exit 3")
    assert (done.returncode, done.stdout) == (3, "out\n")
    assert "\nerr\n" in f"\n{done.stderr}" and "Run /bin/sh" in done.stderr
    steps = trace["steps"]
    assert [one["state"] for one in steps] == ["done"] * len(steps)
    assert all(0 <= one["end_ns"] - one["begin_ns"] < 10**9 for one in steps)
    new = changed(named(trace, "clone-init"), "init")
    for kind in ("user", "mnt", "pid", "net", "ipc", "uts"):
        before, after = new[f"ns/{kind}"]
        assert before == os.readlink(f"/proc/self/ns/{kind}").split("[")[1][:-1] != after
    assert re.fullmatch(r"0 \d+ \d+", changed(named(trace, "map-ids"), "init")["uid_map"][1])
    assert changed(named(trace, "mount-proc"))["mount /proc"][1].startswith("proc ")
    assert changed(named(trace, "pivot-root"))["mount /"][1] is None
    assert changed(named(trace, "clone-app"), "app").keys() >= {"ns/user", "NSpid"}
    assert changed(named(trace, "set-umask"))["Umask"] == ("0000", "0022")
    assert changed(named(trace, "no-new-privileges"))["NoNewPrivs"] == ("0", "1")
    before, after = changed(named(trace, "drop-capabilities"))["CapEff"]
    assert int(before, 16) > 2**40 and int(after, 16) == 0
    assert changed(named(trace, "filter-calls"))["Seccomp"] == ("0", "2")
    assert changed(named(trace, "new-session")).keys() >= {"session"}
    assert changed(named(trace, "exec"))["exe"][1].endswith(("/dash", "/bash", "/sh"))
    assert changed(named(trace, "set-hostname")) == {}


@pytest.mark.parametrize("ids", ["one", pytest.param("range", marks=pytest.mark.needs("subids"))])
def test_what_is_changed_is_seen_whatever_the_ids(boxed, ids):
    done, trace = traced(boxed, "--ids", ids, "--", "true")
    assert done.returncode == 0
    mapped = [one for one in trace["steps"] if one["name"].startswith("map-ids")]
    inside, outside, count = changed(mapped[0], "init")["uid_map"][1].split("; ")[0].split()
    assert int(outside) != 0 and (int(count) == 1) == (ids == "one" or boxed.uid != 0)
    assert changed(named(trace, "mount-proc"))["mount /proc"]
    assert changed(named(trace, "clone-app"), "app")["ns/user"]


def test_a_trace_of_the_same_box_is_in_the_same_order(boxed):
    orders = []
    for _ in range(2):
        _, trace = traced(boxed, "--", "true")
        timed = [one for one in trace["steps"] if not one["waits"]]
        orders.append([one["number"] for one in sorted(timed, key=lambda one: one["end_ns"])])
    assert orders[0] == orders[1] == sorted(orders[0])


@pytest.mark.parametrize(("options", "status"), [
    (("--no-init",), 0), (("--timeout", "0.2"), 124), (("--seccomp-log",), 0), (("-t",), 0),
    (("--time-offset", "100"), 0)], ids=str)
def test_a_traced_box_is_the_box_that_was_asked_for(boxed, options, status):
    if "--time-offset" in options:
        needs.require("timens")
    done, trace = traced(boxed, *options, "--", "sleep", "0.5")
    assert (done.returncode, trace["exit_status"]) == (status, status)
    assert {one["state"] for one in trace["steps"]} == {"done"}
    took = [one["end_ns"] - one["begin_ns"] for one in trace["steps"]]
    assert all(0 <= ns < 10**9 for ns in took)
    assert trace["end_ns"] - trace["exec_ns"] >= 0.15 * 10**9


def test_a_pause_before_the_program_is_none_of_its_wall_time(boxed):
    script = LIVE + """
import time
live = Live(plan, lambda number: time.sleep(0.5 * (number == at)), lambda: None)
trace, result = live.run()
print(result.reason, result.usage.wall_s < 0.45)
"""
    done = boxed.command(*boxed.python, "-c", script, "80", "--timeout", "0.4", "--", "true")
    assert done.stdout == "exited True\n", done.stderr


def test_a_program_that_is_not_there_is_traced_to_its_exec(boxed):
    done, trace = traced(boxed, "--", "no-such-program")
    assert done.returncode == 127 and "no such program" in done.stderr
    last = named(trace, "exec")
    assert (last["state"], last["errno"], last["call"]) == ("failed", "ENOENT", "execve")


def test_a_box_that_fails_is_traced_to_the_step_that_failed(boxed):
    root = boxed.scratch / "root"
    root.mkdir()
    root.chmod(0o755)
    done, trace = traced(boxed, "--rootfs", str(root), "--read-only", "--", "true")
    assert done.returncode == 125 and trace["reason"] == "setup"
    failed = [one for one in trace["steps"] if one["state"] == "failed"]
    assert failed[0]["errno"] == "EROFS" and f"(step {failed[0]['number']})" in done.stderr
    after = [one for one in trace["steps"] if one["number"] > failed[0]["number"]
             and one["part"] in ("enter", "app")]
    assert after and {one["state"] for one in after} == {"not_reached"}


@pytest.mark.parametrize("part", ["prepare", "enter", "app"])
def test_a_step_that_fails_ends_the_trace_there(boxed, part):
    script = LIVE + """
import errno, json
from minibox.record import replace
from minibox.steps import Fail
part = getattr(plan, sys.argv[-1])
plan = replace(plan, **{sys.argv[-1]: (*part[:2], Fail(errno=errno.EIO), *part[2:])})
trace, result = Live(plan, lambda number: None, lambda: None).run()
failed = [one for one in trace.steps if one.state == "failed"]
print(failed[0].name, failed[0].errno, trace.reason, trace.exit_status)
"""
    done = boxed.command(*boxed.python, "-c", script, "0", "--", "true", part)
    assert done.stdout == "fail EIO setup 125\n", done.stderr


def test_a_filter_that_forbids_what_a_stop_takes_is_loaded_all_the_same(boxed):
    profile = boxed.scratch / "profile.json"
    profile.write_text(json.dumps({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
        {"names": ["prctl"], "action": "SCMP_ACT_KILL_PROCESS"}]}))
    done, trace = traced(boxed, "--security-opt", f"seccomp={profile}", "--", "sleep", "0.3")
    assert done.returncode == 0, done.stderr
    assert "forbids" in named(trace, "filter-calls")["note"]
    assert named(trace, "exec")["state"] == named(trace, "filter-calls")["state"] == "done"
    assert changed(named(trace, "exec"))["Seccomp"] == ("0", "2")


def test_init_shows_itself_to_nobody_once_the_program_runs(user_boxed):
    script = LIVE + """
class Watching(Live):
    def _became_program(self, took_ns):
        super()._became_program(took_ns)
        try:
            print(os.readlink(f"/proc/{self.pids['init']}/exe"))
        except PermissionError:
            print("hidden")
shown = []
def before(number):
    if "init" in live.pids:
        shown.append(os.access(f"/proc/{live.pids['init']}/exe", os.R_OK))
live = Watching(plan, before, lambda: None)
live.run()
print(any(shown))
"""
    done = user_boxed.command(*user_boxed.python, "-c", script, "0", "--", "sleep", "0.3")
    assert done.stdout == "hidden\nTrue\n", done.stderr


@pytest.mark.parametrize("rest", range(4))
def test_a_tracer_that_is_killed_takes_the_box_along(boxed, rest):
    """At each fourth boundary; what is left of it the fixture of all box tests looks for."""
    script = LIVE + """
def before(number):
    if number == at:
        print("at", number, flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
live = Live(plan, before, lambda: None)
live.run()
"""
    cap = () if boxed.uid or needs.lacking("cgroup.memory") else ("--cgroups", "enabled")
    count = len(traced(boxed, *cap, "--", "true")[1]["steps"])
    for at in range(rest, count, 4):
        done = boxed.command(*boxed.python, "-c", script, str(at), *cap, "--", "true")
        assert (done.returncode, done.stdout) == (-signal.SIGKILL, f"at {at}\n")


# ---- at a terminal ----

class Terminal:
    """`minibox trace ARGUMENTS` by somebody at a terminal."""

    def __init__(self, boxed, *arguments):
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.chdir("/")
            os.execvpe("env", ["env", *boxed.prefix, *boxed.python, "-m", "minibox", "trace",
                               *arguments], boxed.environment | {"SHELL": "/bin/sh", "PS1": "$ ",
                                                                 "TERM": "xterm"})
        self.seen, self.ended = "", False

    def __enter__(self):
        return self

    def __exit__(self, *_exception):
        """Somebody closes the window."""
        os.close(self.fd)
        if not self.ended:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)

    def until(self, text):
        end = time.monotonic() + 30
        start = len(self.seen)
        while text not in self.seen[start:]:
            assert select.select([self.fd], [], [], end - time.monotonic())[0], self.seen
            try:
                more = os.read(self.fd, 65536)
            except OSError:
                more = b""
            assert more, self.seen
            self.seen += more.decode(errors="replace").replace("\r\n", "\n")
        return self.seen[start:]

    def type(self, text):
        os.write(self.fd, text.encode())

    def end(self):
        """All that came, and the exit status."""
        try:
            while more := os.read(self.fd, 65536):
                self.seen += more.decode(errors="replace").replace("\r\n", "\n")
        except OSError:
            pass                                            # nobody has the terminal any more
        self.ended = True
        return self.seen, os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


PROMPT = "q quit: "


def test_one_can_look_around_in_a_shell_beside_the_box_and_go_on(boxed):
    names = "mount-proc,pivot-root"
    with Terminal(boxed, "--break", names, "run", "--", "sh", "-c", "exit 4") as at:
        assert "Mount a new proc" in at.until(PROMPT)
        at.type("\n")
        assert "Make the new root the root" in at.until(PROMPT)
        at.type("s\n")
        at.until("$ ")
        at.type("echo step=$MINIBOX_STEP; grep -c ' - proc ' /proc/$MINIBOX_INIT_PID/mountinfo; "
                "test $(readlink /proc/$MINIBOX_INIT_PID/ns/pid) != $(readlink /proc/self/ns/pid) "
                "&& echo an''other; kill -0 $MINIBOX_ENGINE_PID && exit\n")
        seen = at.until(PROMPT)
        assert re.search(r"\nstep=\d+\n[1-9]\d*\n", seen) and "\nanother\n" in seen
        at.type("c\n")
        seen, status = at.end()
        assert status == 4 and seen.count(PROMPT) == 3
        assert "\u2588" in seen                                 # the waterfall


def test_each_step_is_stopped_at_until_told_to_go_on(boxed):
    with Terminal(boxed, "--step", "run", "--", "true") as at:
        for _ in range(6):
            at.until(PROMPT)
            at.type("\n")
        at.until(PROMPT)
        at.type("c\n")
        seen, status = at.end()
        assert status == 0 and seen.count(PROMPT) == 7
        assert "ns/pid" in seen


@pytest.mark.parametrize("key", ["q\n", "\x03", "\x04"], ids=["quit", "Ctrl-C", "Ctrl-D"])
@pytest.mark.parametrize("name", ["clone-init", "release", "pivot-root", "exec"])
def test_whoever_has_seen_enough_ends_the_box(boxed, key, name):
    with Terminal(boxed, "--break", name, "run", "--", "sh", "-c", "echo ran''") as at:
        at.until(PROMPT)
        at.type(key)
        seen, status = at.end()
        assert status == 130 and "\nran\n" not in seen and "stopped by you before step" in seen
        assert "Traceback" not in seen


def test_keys_and_signals_reach_a_program_that_runs(boxed):
    code = "trap 'echo heard; exit 7' INT; echo up; while :; do sleep 0.1; done"
    with Terminal(boxed, "run", "--", "sh", "-c", code) as at:
        at.until("\nup\n")
        at.type("\x03")
        seen, status = at.end()
        assert status == 7 and "heard" in seen


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_to_the_tracer_reaches_the_program(root_boxed, number):
    code = "trap 'exit 7' INT TERM; echo up; while :; do sleep 0.1; done"
    command = [*root_boxed.python, "-m", "minibox", "trace", "run", "--", "sh", "-c", code]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
                          env=root_boxed.environment, cwd="/", start_new_session=True) as process:
        assert process.stdout.readline() == "up\n"
        process.send_signal(number)
        assert process.wait(20) == 7


# ---- saved traces ----

def test_a_saved_trace_is_shown_again_and_compared(boxed):
    one, other = (str(boxed.scratch / name) for name in ("one.json", "other.json"))
    page, events, text = (boxed.scratch / name for name in ("page.html", "events.json", "text"))
    boxed.minibox("trace", "-o", str(text), "--json", one, "run", "--", "true")
    boxed.minibox("trace", "--json", other, "run", "--without", "capabilities", "--tmpfs",
                  "/scratch", "--", "true")
    again = boxed.minibox("trace", "--html", str(page), "--perfetto", str(events), "show", one)
    assert (again.returncode, again.stdout) == (0, text.read_text())
    assert "<!doctype html>" in page.read_text() and json.loads(events.read_text())["traceEvents"]
    done = boxed.minibox("trace", "--diff", one, other)
    assert done.returncode == 0
    lines = done.stdout.splitlines()
    only = [line for line in lines if line[:1] in "<>"]
    assert [line for line in only if line.startswith("<") and "only A" in line and "Drop" in line]
    assert [line for line in only if line.startswith(">") and "/scratch" in line]
    assert not [line for line in lines if "ns/" in line]    # new in both, whatever the number
    same = boxed.minibox("trace", "--diff", one, one).stdout
    assert not [line for line in same.splitlines() if line[:1] in "<>~"]


@pytest.mark.parametrize(("arguments", "said"), [
    ((), "say what to trace"), (("frobnicate",), "say what to trace"),
    (("show", "/nowhere"), "No such file"), (("show", "/etc/passwd"), "this is no trace"),
    (("--diff", "/etc/passwd"), "two files"), (("--diff", "/etc/passwd", "/etc/group"), "no trace"),
    (("--json", "/nowhere/x", "run", "--", "true"), "json: '/nowhere/x': it cannot be written"),
    (("--html", "/nowhere/x", "run", "--", "true"), "html: '/nowhere/x': it cannot be written"),
    (("-o", "/nowhere/x", "run", "--", "true"), "output: '/nowhere/x': it cannot be written"),
    (("--break", "pivot-rot", "run", "--", "true"), "did you mean pivot-root?"),
    (("--step", "run", "--", "true"), "there is no terminal"),
    (("--step", "show", "/etc/passwd"), "--step is for"),
    (("run",), "name a program"), (("run", "--memory", "x", "--", "true"), "memory")],
    ids=str)
def test_what_cannot_be_is_said_in_one_line(root_boxed, arguments, said):
    done = root_boxed.minibox("trace", *arguments, start_new_session=True)
    assert done.returncode == 125 and done.stdout == ""
    assert said in done.stderr and done.stderr.count("\n") == 1


def test_a_full_disk_is_said_in_one_line(root_boxed):
    done = root_boxed.minibox("trace", "-o", "/dev/null", "--json", "/dev/full", "run", "true")
    assert done.returncode == 125
    assert done.stderr == ("minibox: json: '/dev/full': it cannot be written: "
                           "No space left on device\n")


def test_help_is_there(root_boxed):
    done = root_boxed.minibox("trace", "--help")
    assert done.returncode == 0 and "--perfetto" in done.stdout


def test_options_of_trace_may_stand_after_run(boxed):
    for number, words in enumerate((("--json", "{}", "run"), ("run", "--json", "{}"))):
        where = boxed.scratch / f"trace{number}.json"
        done = boxed.minibox("trace", *(word.format(where) for word in words), "--", "true")
        assert done.returncode == 0 and where.exists(), done.stderr
    done = boxed.minibox("trace", "run", "--diff", "--", "true")
    assert done.returncode == 125 and "two saved traces" in done.stderr
