"""`minibox run`: its streams, its exit status, what it says, and what it is asked to tell."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.needs("userns")


@pytest.mark.parametrize("status", [0, 1, 42, 124, 255])
def test_the_programs_own_exit_status_is_passed_on(boxed, status):
    done = boxed("--", "/bin/sh", "-c", f"exit {status}")
    assert (done.reason, done.status, done.err) == ("exited", status, "")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGSEGV, signal.SIGKILL])
def test_a_signal_is_128_and_its_number(boxed, number):
    done = boxed("--", "python3", "-c", f"import os; os.kill(os.getpid(), {int(number)})")
    assert (done.reason, done.status) == ("signaled", 128 + number), done
    assert done.result["summary"] == f"killed by {number.name}"


def test_streams_are_the_callers(boxed):
    done = boxed("-i", "--", "/bin/sh", "-c", "cat; echo err >&2", stdin=None, input="in\n")
    assert (done.out, done.err) == ("in\n", "err\n"), done


def test_stdin_is_empty_unless_asked_for(boxed):
    assert boxed("--", "/bin/cat", stdin=None, input="secret\n").out == ""


def test_a_box_gets_no_host_file_as_a_stream(boxed):
    """The engine relays a regular file, so that the box cannot reopen, truncate or seek it."""
    path = boxed.scratch / "log"
    script = "echo one; readlink /proc/self/fd/1 | cut -d: -f1; echo two"
    with open(path, "w") as log:
        done = boxed("--", "/bin/sh", "-c", script, stdout=log, stderr=subprocess.PIPE,
                     capture_output=False)
    assert done.status == 0 and path.read_text() == "one\npipe\ntwo\n", done


def test_a_megabyte_goes_in_and_comes_out(boxed):
    data = "0123456789abcdef" * (1 << 16)
    assert boxed("-i", "--", "/bin/cat", stdin=None, input=data).out == data


def test_nothing_but_the_programs_output_is_on_stdout(boxed):
    done = boxed("--timeout", "0.2", "--", "/bin/sh", "-c", "echo mine; sleep 60")
    assert (done.reason, done.out, done.err) == ("walltime", "mine\n", ""), "no terminal, no word"


@pytest.mark.parametrize(("command", "status", "said"), [
    (("no-such-program",), 127, "no such program in the box's PATH"),
    (("/no/such/program",), 127, "no such file in the box"),
    (("/tmp",), 126, "is a directory"),
    (("/etc/passwd",), 126, "is not executable"),
])
def test_what_cannot_be_executed_is_named(boxed, command, status, said):
    done = boxed("--", *command)
    assert (done.reason, done.status) == ("setup", status), done
    assert said in done.err and command[0] in done.err and done.err.count("\n") == 1


SCRIPTS = {
    "a script without its interpreter": ("#!/opt/perl\n", 127, "interpreter /opt/perl"),
    "an interpreter that would steer the terminal": (
        "#!/\x1b[31m\x07\x9b\n", 127, "interpreter /\\x1b[31m\\x07\\x9b is"),
    "CRLF in the shebang": ("#!/bin/sh\r\necho hello\r\n", 127, "CR LF"),
    "neither a program nor a script": ("echo hello\n", 126, "neither a program"),
    "another machine's program": (b"\x7fELF\x02\x01\x01" + bytes(9) + b"\x02\0\xf3\0" + bytes(44),
                                  126, "another kind of machine"),
}


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_file_that_cannot_be_executed_is_told_apart(boxed, busybox, name):
    content, status, said = SCRIPTS[name]
    program = busybox / "bin/program"
    program.write_bytes(content if isinstance(content, bytes) else content.encode())
    program.chmod(0o755)
    done = boxed("--rootfs", str(busybox), "--", "/bin/program")
    assert (done.reason, done.status) == ("setup", status), done
    assert said in done.err and "/bin/program" in done.err


def test_a_missing_elf_loader_is_named(boxed, busybox):
    (busybox / "bin/python").write_bytes(Path("/usr/bin/python3").read_bytes())
    (busybox / "bin/python").chmod(0o755)
    done = boxed("--rootfs", str(busybox), "--", "/bin/python")
    assert (done.reason, done.status) == ("setup", 127), done
    assert "needs the loader" in done.err and "ld-linux" in done.err


def test_the_result_has_usage_steps_and_a_receipt_for_each_cap(boxed):
    done = boxed("--timeout", "30", "--", "/bin/true")
    result = done.result
    assert result["args"] == ["/bin/true"] and result["usage"]["wall_s"] < 30
    assert result["usage"]["measured_by"]["cpu_s"] and result["usage"]["max_rss_bytes"] > 0
    states = {step["name"]: step["state"] for step in result["steps"]}
    assert states["exec"] == "done" and "failed" not in states.values(), states
    assert done.receipt("timeout")["in_force"] == 30


def test_the_result_can_go_to_a_file(boxed):
    path = boxed.scratch / "result.json"
    done = boxed.minibox("run", "--result", str(path), "--", "/bin/sh", "-c", "exit 3")
    assert done.returncode == 3 and json.loads(path.read_text())["exit_status"] == 3


def test_a_result_that_cannot_be_written_is_refused_first(boxed):
    done = boxed.minibox("run", "--result", "/no/such/directory/r", "--", "/bin/echo", "ran")
    assert (done.returncode, done.stdout) == (125, "") and "result" in done.stderr
    done = boxed.minibox("run", "--result", "fd:77", "--", "/bin/echo", "ran")
    assert (done.returncode, done.stdout) == (125, "") and "fd:77" in done.stderr


def test_the_results_descriptor_is_not_in_the_box(boxed):
    done = boxed("--", "/bin/sh", "-c", "ls /proc/self/fd")
    assert done.out.split() == ["0", "1", "2", "3"], "3 is ls's own"


def test_a_plan_that_was_saved_is_run_by_the_engine_alone(boxed):
    from minibox.engine import path

    saved = boxed.scratch / "plan"
    done = boxed.minibox("plan", "--output", str(saved), "run", "--", "/bin/echo", "hello")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    done = boxed.command(path(), str(saved))
    assert (done.returncode, done.stdout, done.stderr) == (0, "hello\n", "")


def test_the_plan_is_printed_and_nothing_is_run(boxed):
    done = boxed.minibox("plan", "run", "--", "/bin/echo", "hello")
    assert done.stdout.startswith("minibox plan 1\nprepare\n")
    assert "argv=/bin/echo,hello" in done.stdout


def start(caller, *arguments):
    return subprocess.Popen([*caller.prefix, sys.executable, "-m", "minibox", "run", *arguments],
                            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, text=True, env=caller.environment, cwd="/")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGUSR1, signal.SIGHUP])
def test_signals_are_passed_on(boxed, number):
    name = number.name.removeprefix("SIG")
    process = start(boxed, "--", "/bin/sh", "-c",
                    f"trap 'echo got {name}; exit 7' {name}; echo up; while :; do read x; done")
    assert process.stdout.readline() == "up\n"
    process.send_signal(number)
    out, err = process.communicate(timeout=20)
    assert (process.returncode, out, err) == (7, f"got {name}\n", "")


def test_sigterm_stops_the_box_by_its_stop_signal(boxed):
    process = start(boxed, "--stop-signal", "USR1", "--", "/bin/sh", "-c",
                    "trap 'exit 9' USR1; echo up; while :; do sleep 0.05; done")
    assert process.stdout.readline() == "up\n"
    process.terminate()
    assert process.wait(20) == 9
    process.communicate()


def test_what_ignores_sigterm_is_killed_after_the_stop_timeout(boxed):
    process = start(boxed, "--stop-timeout", "0.3", "--", "/bin/sh", "-c",
                    "trap '' TERM; echo up; while :; do sleep 0.05; done")
    assert process.stdout.readline() == "up\n"
    process.terminate()
    assert process.wait(20) == 128 + signal.SIGKILL
    process.communicate()


def test_everything_in_the_box_ends_with_the_program(boxed):
    done = boxed("--", "/bin/sh", "-c", "(trap '' HUP TERM; sleep 60) & setsid sleep 60 & echo end")
    assert (done.status, done.out) == (0, "end\n")


def test_a_terminal_of_its_own(boxed):
    done = boxed("-t", "--", "/bin/sh", "-c", "tty; test -t 0 && test -t 1 && echo yes")
    assert done.status == 0 and "/dev/pts/0" in done.out and "yes" in done.out, done


@pytest.mark.needs("script")
@pytest.mark.parametrize(("arguments", "said"), [
    ("--timeout 0.2 -- /bin/sleep 60", ["minibox: timed out after 0.2 s"]),
    ("-- /bin/sh -c 'kill -SEGV $$'", ["minibox: killed by SIGSEGV"]),
    ("-- /bin/sh -c 'exit 3'", []),
])
def test_a_person_at_a_terminal_is_told_why_in_one_line(boxed, arguments, said):
    command = " ".join([*boxed.prefix, sys.executable, "-m minibox run", arguments])
    done = subprocess.run(["script", "-qec", command, "/dev/null"], stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, timeout=30, cwd="/",
                          env=boxed.environment)
    assert done.stdout.splitlines() == said


@pytest.mark.needs("script")
def test_an_interactive_shell_has_job_control_and_the_terminal_is_restored(boxed):
    command = " ".join([*boxed.prefix, sys.executable, "-m", "minibox run -it -- bash --norc -i"])
    script = f"stty -a >before; {command}; stty -a >after; cmp before after && echo restored"
    done = subprocess.run(["script", "-qec", script, "/dev/null"], input="echo $((6*7))\nexit\n",
                          capture_output=True, text=True, timeout=30, cwd=boxed.scratch,
                          env=boxed.environment | {"TERM": "dumb"})
    assert "42" in done.stdout and "restored" in done.stdout, done.stdout
    assert "job control" not in done.stdout and "Inappropriate" not in done.stdout
    assert os.path.exists(boxed.scratch / "after")


def test_the_demo_shows_each_box_with_its_end(boxed):
    done = boxed.command(*boxed.python, "-m", "minibox.cli.demo")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count("$ minibox run ") == 5
    ends = [line for line in done.stdout.splitlines() if line.startswith(("=> ", "minibox: "))]
    assert len(ends) == 5 and "no-such-program" in ends[4]
    assert "exited" in ends[0] and "timed out after 1 s" in ends[3], ends
