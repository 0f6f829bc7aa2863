"""docs/examples/container.py: what it promises stands, as seen from outside."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from minibox.labs.observe import Subject

EXAMPLE = Path(__file__).parents[2] / "docs/examples/container.py"
MOUNTS = {"/", "/usr", "/proc", "/dev/null", "/dev/zero", "/dev/full", "/dev/random",
          "/dev/urandom"}
KINDS = ("user", "mnt", "pid", "net", "ipc", "uts", "cgroup")
SETS = ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")

pytestmark = pytest.mark.needs("userns")


def run(boxed, *command, **options):
    return boxed.command(*boxed.python, str(EXAMPLE), *command, **options)


@contextlib.contextmanager
def running(boxed, script=EXAMPLE, first="true") -> Iterator[tuple[subprocess.Popen, Subject]]:
    """The container's outermost process, and its command as it waits, after *first*."""
    with open("/dev/null") as leak, subprocess.Popen(
            [*boxed.prefix, *boxed.python, str(script), "sh", "-c", f"{first}; echo up; exec cat"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=boxed.environment, cwd="/",
            pass_fds=(leak.fileno(),)) as outer:
        assert outer.stdout.readline() == b"up\n"
        init, app = Subject(outer.pid).descendants()
        assert (init.pids[-1], app.parent.pid) == (1, init.pid)
        yield outer, app
        outer.stdin.close()


def walls(app: Subject) -> dict[str, bool]:
    """Each wall, and whether it stands around this process."""
    here = Subject(os.getpid())
    mounts = [mount for mount in app.mounts if not mount.point.startswith("/usr/")]
    maps = [*app.id_map("uid_map"), *app.id_map("gid_map")]
    return {
        **{kind: app.namespace(kind) != here.namespace(kind) for kind in KINDS},
        "ids": len(maps) == 2 and all(a == 0 != b and count == 1 for a, b, count in maps),
        "root": {mount.point for mount in mounts} == MOUNTS and len(mounts) == len(MOUNTS),
        "read-only": all("ro" in mount.options for mount in mounts
                         if mount.point not in ("/", "/proc")),
        "nosuid": all("nosuid" in mount.options for mount in mounts),
        "nodev": all("nodev" in app.mount(point).options for point in ("/", "/proc")),
        "propagation": all(not mount.propagation for mount in mounts),
        "capabilities": not any(app.capabilities(kind) for kind in SETS),
        "no-new-privs": app.status["NoNewPrivs"] == "1",
        "seccomp": int(app.status["Seccomp_filters"]) > int(here.status["Seccomp_filters"]),
        "descriptors": sorted(os.listdir(f"/proc/{app.pid}/fd")) == ["0", "1", "2"],
        "session": int(app.status["NSsid"].split()[-1]) == app.pids[-1],
    }


def test_it_has_at_most_a_hundred_lines():
    assert EXAMPLE.read_text().count("\n") <= 100


def test_every_wall_stands(boxed):
    with running(boxed) as (_, app):
        assert [name for name, stands in walls(app).items() if not stands] == []
        outside = boxed.uid or 2**31 - 2
        assert app.status["Uid"].split() == [str(outside)] * 4
        assert app.status["Groups"] == ""                   # the tests' user has none either
        assert app.names("/") == ("bin", "dev", "lib", "lib64", "proc", "sbin", "tmp", "usr")


@pytest.mark.parametrize(("wall", "text", "instead"), [
    ("net", "CLONE_NEWNET | ", ""),
    ("ipc", "CLONE_NEWIPC\n", "0\n"),
    ("cgroup", " | CLONE_NEWCGROUP", ""),
    ("root", 'umount2(".", MNT_DETACH)', "pass"),
    ("read-only", "set=MOUNT_ATTR_RDONLY | ", "set="),
    ("nosuid", " | MOUNT_ATTR_NOSUID)", ")"),
    ("nodev", "MS_NOSUID | MS_NODEV, ", "MS_NOSUID, "),
    ("capabilities", "drop_bounding(capability)", "pass"),
    ("seccomp", "    refuse_calls()\n", ""),
    ("descriptors", "    close_range(3)\n", ""),
    ("session", "setsid()", "pass"),
])
def test_a_wall_that_is_left_out_is_seen_to_be_missing(user_boxed, wall, text, instead):
    source = EXAMPLE.read_text()
    assert source.count(text) == 1
    script = user_boxed.scratch / "container.py"
    script.write_text(source.replace(text, instead))
    with running(user_boxed, script) as (_, app):
        assert walls(app)[wall] is False


def test_the_status_is_the_commands_and_its_host_name_is_its_own(boxed):
    before = os.uname().nodename
    assert run(boxed, "uname", "-n").stdout == "container\n"
    assert os.uname().nodename == before != "container"
    assert [run(boxed, "sh", "-c", what).returncode for what in ("exit 7", "kill -9 $$")] \
        == [7, 128 + signal.SIGKILL]
    assert run(boxed, "no-such-program").returncode == 127


def test_calls_that_make_another_container_are_refused_in_it(boxed):
    assert boxed.command("unshare", "--user", "true").returncode == 0
    refused = run(boxed, "unshare", "--user", "true")
    assert refused.returncode == 1 and "Operation not permitted" in refused.stderr


def test_what_is_orphaned_is_reaped(boxed):
    """What has ended and was not waited for can still be signalled."""
    script = ('pid=$(sh -c "sleep 0.1 >/dev/null & echo \\$!"); for turn in $(seq 1000); do '
              "kill -0 $pid 2>/dev/null || exit 0; sleep 0.01; done; exit 1")
    assert run(boxed, "sh", "-c", script).returncode == 0


def test_it_dies_with_the_process_that_started_it(boxed):
    with running(boxed) as (outer, app):
        ends = os.pidfd_open(app.pid)
        try:
            outer.kill()
            assert select.select([ends], [], [], 10)[0] == [ends]
        finally:
            os.close(ends)


def test_what_the_kernel_refuses_is_said_in_one_line(user_boxed):
    script = ("import os, sys; from minibox.syscalls import *\n"
              "uid, gid = os.getuid(), os.getgid(); unshare(CLONE_NEWUSER)\n"
              "write_id_map('self', [(uid, uid, 1)], [(gid, gid, 1)])\n"
              "with open('/proc/sys/user/max_user_namespaces', 'w') as most: most.write('0')\n"
              "os.execv(sys.executable, [sys.executable, *sys.argv[1:]])")
    done = user_boxed.command(*user_boxed.python, "-c", script, str(EXAMPLE), "true")
    assert (done.returncode, done.stdout) == (125, "")
    assert done.stderr.startswith("container: clone3(CLONE_NEWNS|CLONE_NEWCGROUP|")
    assert "= -1 ENOSPC: " in done.stderr and done.stderr.count("\n") == 1
