"""Who the application is: inside, and on the host."""

from __future__ import annotations

import contextlib
import os
import subprocess

import pytest


@pytest.mark.needs("userns")
@pytest.mark.parametrize(("flags", "uid", "gid"), [
    ((), 0, 0), (("-u", "1234"), 1234, 1234), (("-u", "7:8"), 7, 8), (("--user", "0:5"), 0, 5)])
def test_the_application_has_the_ids_asked_for(boxed, flags, uid, gid):
    done = boxed(*flags, "--", "/bin/sh", "-c", "id -u; id -g")
    assert (done.status, done.out.split()) == (0, [str(uid), str(gid)]), done


@contextlib.contextmanager
def running(boxed, *flags):
    """A box that sleeps; the user id that the host knows its application by."""
    process = subprocess.Popen(
        [*boxed.prefix, *boxed.python, "-m", "minibox", "run", *flags, "--", "/bin/sh", "-c",
         "echo up; exec sleep 60"],
        stdout=subprocess.PIPE, text=True, cwd="/", env=boxed.environment)
    try:
        assert process.stdout.readline() == "up\n"
        init, = children(process.pid)
        app, = children(init)
        yield os.stat(f"/proc/{app}").st_uid
    finally:
        process.terminate()
        process.communicate(timeout=20)


def children(pid):
    with open(f"/proc/{pid}/task/{pid}/children") as file:
        return [int(child) for child in file.read().split()]


@pytest.mark.needs("userns")
@pytest.mark.parametrize("user", ["0", "1000"])
def test_box_ids_are_never_the_hosts_root(boxed, user):
    with running(boxed, "-u", user) as uid:
        assert uid == boxed.uid if boxed.name == "user" else uid > 65536


@pytest.mark.needs("userns", "root")
def test_two_boxes_of_root_have_ids_of_their_own(root_boxed):
    with running(root_boxed) as one, running(root_boxed) as other:
        assert one != other


@pytest.mark.needs("userns")
def test_the_application_has_no_capability_even_as_uid_0(boxed):
    done = boxed("--", "/bin/grep", "-E", "^(Cap|NoNewPrivs)", "/proc/self/status")
    values = dict(line.split(":\t") for line in done.out.splitlines())
    sets = ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")
    assert values == dict.fromkeys(sets, "0" * 16) | {"NoNewPrivs": "1"}


@pytest.mark.needs("userns")
def test_set_uid_programs_gain_nothing(boxed, busybox):
    program = busybox / "root/busybox"
    program.write_bytes((busybox / "bin/busybox").read_bytes())
    program.chmod(0o4755)
    done = boxed("--rootfs", str(busybox), "-u", "1000", "--", "/root/busybox", "id", "-u")
    assert (done.status, done.out) == (0, "1000\n"), done


@pytest.mark.needs("userns", "subids")
def test_a_range_from_subuid_is_mapped_on_request(user_boxed):
    done = user_boxed("--ids", "range", "--", "/bin/cat", "/proc/self/uid_map")
    counts = [int(line.split()[2]) for line in done.out.splitlines()]
    assert done.status == 0 and sum(counts) >= 65536, done


@pytest.mark.needs("userns")
def test_one_id_is_mapped_on_request_and_the_receipt_says_so(user_boxed):
    done = user_boxed("--ids", "one", "--", "/bin/cat", "/proc/self/uid_map")
    assert done.out.split()[2] == "1"
    assert "one" in str(done.receipt("ids")["in_force"])


@pytest.mark.needs("userns")
def test_uid_4294967295_is_refused_by_name(boxed):
    done = boxed.minibox("run", "-u", "4294967295", "--", "/bin/true")
    assert done.returncode == 125 and "user" in done.stderr and "4294967295" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.needs("userns", "subids", "delegation", "cgroup.memory")
@pytest.mark.parametrize("user", ["0", "1000"])
def test_a_range_and_a_cgroup_go_together(user_boxed, delegated, user):
    """On v1 the caller may move init only as long as init has the caller's id."""
    done = user_boxed("--ids", "range", "-u", user, "-m", "64M", "--", "/bin/sh", "-c", "id -u")
    assert (done.status, done.out) == (0, f"{user}\n"), done
    assert done.receipt("memory")["in_force"] == 64 << 20
