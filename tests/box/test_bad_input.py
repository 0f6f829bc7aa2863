"""Whatever is asked for: a clear error or correct work, no traceback, and nothing left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest

pytestmark = pytest.mark.needs("userns")


def refused(boxed, *arguments, said, status=125):
    done = boxed.minibox("run", *arguments, "--", "/bin/true")
    assert done.returncode == status and done.stderr.startswith("minibox: "), done
    assert said in done.stderr and "Traceback" not in done.stderr and done.stderr.count("\n") == 1


@pytest.mark.parametrize(("arguments", "said"), [
    (("--memroy", "64M"), "did you mean --memory?"),
    (("--mem", "64M"), "there is no option --mem"),
    (("-Z",), "there is no option -Z"),
    (("--cpus", "-1"), "cpus"),
    (("--cpus", "nan"), "cpus"),
    (("--cpus", "1e99"), "cpus"),
    (("--pids-limit", "0"), "pids-limit"),
    (("--timeout", "forever"), "timeout"),
    (("--timeout", "-3"), "timeout"),
    (("--cpuset-cpus", "3-1"), "cpuset-cpus"),
    (("--cpuset-cpus", "99999"), "cpuset-cpus"),
    (("--tmpfs-size", "64Q"), "tmpfs-size"),
    (("--output-limit", "0"), "output-limit"),
    (("--memory-swap", "1M", "-m", "2M"), "memory-swap"),
    (("--ulimit", "nofile"), "ulimit"),
    (("--ulimit", "nofile=9:3"), "ulimit"),
    (("--ulimit", "bogus=3"), "ulimit"),
    (("-u", "root"), "user"),
    (("-u", "1:2:3"), "user"),
    (("-u", "4294967295"), "user"),
    (("-v", "/etc"), "volume"),
    (("-v", "/etc:relative"), "relative"),
    (("-v", "/etc:/"), "/"),
    (("-v", "/etc:/a", "-v", "/usr:/a/"), "/a"),
    (("--mount", "type=bind,target=/x"), "mount"),
    (("--mount", "type=nfs,target=/x"), "nfs"),
    (("--tmpfs", "/x:size=huge"), "huge"),
    (("--device", "/etc/passwd"), "/etc/passwd"),
    (("--device", "/dev/no-such"), "/dev/no-such"),
    (("-w", "relative"), "workdir"),
    (("-e", "=value"), "env"),
    (("--env-file", "/no/such"), "/no/such"),
    (("--hostname", "x" * 65), "hostname"),
    (("--network", "bridge"), "network"),
    (("--time-offset", "soon"), "time-offset"),
    (("--stop-signal", "BOGUS"), "stop-signal"),
    (("--rw",), "rw"),
    (("--rootfs", "/tmp", "--rw", "--read-only"), "--rw"),
    (("--root-by", "magic"), "magic"),
    (("--ids", "many"), "ids"),
    (("--cgroups", "maybe"), "cgroups"),
])
def test_a_request_that_cannot_be_is_refused_by_name(boxed, arguments, said):
    refused(boxed, *arguments, said=said)


def test_no_program_is_no_box(boxed):
    done = boxed.minibox("run", "-m", "64M")
    assert done.returncode == 125 and "name a program" in done.stderr


@pytest.mark.parametrize("kind", ["absent", "a file", "empty", "a link to nowhere"])
def test_a_root_file_system_that_is_none_is_named(boxed, kind):
    path = boxed.scratch / "root"
    if kind == "a file":
        path.write_text("not a directory")
    elif kind == "empty":
        path.mkdir()
    elif kind == "a link to nowhere":
        path.symlink_to("/no/such")
    done = boxed.minibox("run", "--rootfs", str(path), "--", "/bin/true")
    assert done.returncode in (125, 127) and "Traceback" not in done.stderr, done
    assert (str(path) in done.stderr) or (kind == "empty" and "/bin/true" in done.stderr), done


def test_a_link_to_the_hosts_root_gives_no_more_than_its_target(boxed):
    """As a root file system "/" is read as any other directory: nothing is written through it."""
    path = boxed.scratch / "root"
    path.symlink_to("/")
    done = boxed.minibox("run", "--rootfs", str(path), "--", "/bin/sh", "-c",
                         "echo x >/minibox-was-here; echo ran")
    assert "Traceback" not in done.stderr and not os.path.exists("/minibox-was-here")
    assert (done.returncode, done.stdout) == (0, "ran\n") or (
        done.returncode == 125 and done.stderr.startswith("minibox: ")), done


@pytest.mark.parametrize("place", ["dev", "proc", "etc", "work"])
def test_links_in_a_root_file_system_lead_nowhere(boxed, busybox, place):
    """Set-up mounts and writes below the root alone, wherever its links point."""
    outside = boxed.scratch / "outside"
    outside.mkdir()
    (outside / "passwd").write_text("untouched\n")
    for path in (outside, outside / "passwd"):
        os.chown(path, boxed.uid, boxed.gid)
    target = busybox / place
    if target.exists():
        target.rmdir()
    target.symlink_to(outside)
    for flags in ((), ("--read-only",), ("--rw",)):
        done = boxed.minibox("run", "--rootfs", str(busybox), *flags, "-w", "/" + place,
                             "-v", "/usr:/" + place + "/sub", "--", "/bin/true")
        assert done.returncode in (0, 125) and "Traceback" not in done.stderr, done
        assert done.returncode == 0 or done.stderr.startswith("minibox: "), done
        assert os.listdir(outside) == ["passwd"], flags
        assert (outside / "passwd").read_text() == "untouched\n"


def test_an_environment_is_passed_on_as_it_is(boxed):
    done = boxed("-e", "A=x=y", "-e", "B=two\nlines", "-e", "C=", "--", "python3", "-c",
                 "import os; print([os.environ[n] for n in 'ABC'])")
    assert done.out == "['x=y', 'two\\nlines', '']\n", done


def test_ten_thousand_arguments_arrive(boxed):
    done = boxed("--", "/bin/sh", "-c", "echo $#", "sh", *map(str, range(10_000)))
    assert (done.status, done.out) == (0, "10000\n"), done.err[-300:]


def test_an_argument_of_128_kib_is_refused_and_one_less_arrives(boxed):
    done = boxed("-i", "--", "python3", "-c", "import sys; print(len(sys.argv[1]))", "x" * 131_071)
    assert (done.status, done.out) == (0, "131071\n"), done.err[-300:]
    # the kernel lets nobody pass more, so it comes from the API
    code = "import minibox; minibox.run(['/bin/true', 'x' * 131_072])"
    done = boxed.command(sys.executable, "-c", code)
    assert "SpecError: command: 'xxx" in done.stderr and "131071" in done.stderr


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_streams_are_no_ones_business(boxed, closed):
    command = f'exec "$@" {closed}'
    script = "cat; echo out; echo err >&2; ls /proc/self/fd | wc -l >/tmp/fds; exit 5"
    done = boxed.command("sh", "-c", command, "sh", sys.executable, "-m", "minibox", "run", "-i",
                         "--", "/bin/sh", "-c", script)
    assert done.returncode == 5, done
    assert done.stdout in ("out\n", "") and done.stderr in ("err\n", ""), done


def test_a_full_disk_on_stdout_ends_nothing_but_the_output(boxed):
    with open("/dev/full", "w") as full:
        done = boxed("--", "/bin/sh", "-c", "yes | head -c 300000; echo survived >&2; exit 3",
                     stdout=full, stderr=subprocess.PIPE, capture_output=False)
    assert done.status in (3, 125) and "Traceback" not in done.err, done


MAIN = """
from minibox import cli
dispatch = cli.dispatch
cli.dispatch = lambda argv: (print("here", flush=True), dispatch(argv))[1]
raise SystemExit(cli.main())
"""


def test_sigint_at_every_moment_of_set_up_ends_the_box(boxed):
    """From within main() on: before it Python itself is interrupted, and says so in its own way."""
    for microseconds in range(0, 40_000, 800):
        with subprocess.Popen(
                [*boxed.prefix, sys.executable, "-c", MAIN, "run", "--", "/bin/sleep", "60"],
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                text=True, env=boxed.environment, cwd="/") as process:
            assert process.stdout.readline() == "here\n"
            time.sleep(microseconds / 1e6)
            process.send_signal(signal.SIGINT)
            try:
                _, err = process.communicate(timeout=20)
            finally:
                process.kill()
        assert process.returncode in (-signal.SIGINT, 128 + signal.SIGINT, 125), (microseconds, err)
        assert "Traceback" not in err, (microseconds, err)
