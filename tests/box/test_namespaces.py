"""Each namespace hides what it should; what is shared on request is the host's own."""

from __future__ import annotations

import os

import pytest

KINDS = ("user", "mnt", "pid", "net", "ipc", "uts", "cgroup")


def inside(boxed, *flags):
    """The box's own namespace links, by kind."""
    done = boxed(*flags, "--", "/bin/sh", "-c",
                 "cd /proc/self/ns; readlink user mnt pid net ipc uts cgroup time")
    assert done.reason == "exited" and done.status == 0, done
    return dict(line.split(":") for line in done.out.split())


def host(kind):
    return os.readlink(f"/proc/self/ns/{kind}").split(":")[1]


@pytest.mark.needs("userns")
def test_every_namespace_is_the_boxs_own_by_default(boxed):
    links = inside(boxed)
    assert [kind for kind in KINDS if links[kind] == host(kind)] == []


@pytest.mark.needs("userns")
@pytest.mark.parametrize(("flag", "kind"), [
    ("--network", "net"), ("--ipc", "ipc"), ("--uts", "uts")])
def test_a_namespace_is_shared_on_request_and_only_that_one(boxed, flag, kind):
    links = inside(boxed, flag, "host")
    assert [one for one in KINDS if links[one] == host(one)] == [kind]


@pytest.mark.needs("userns", "cgroup.pids", "root")
def test_the_hosts_pid_namespace_is_shared_on_request(root_boxed):
    assert inside(root_boxed, "--pid", "host")["pid"] == host("pid")


@pytest.mark.needs("userns")
def test_the_box_sees_its_own_processes_only(boxed):
    done = boxed("--", "/bin/sh", "-c", "echo /proc/[0-9]* $$")
    assert done.status == 0
    *seen, own = done.out.split()
    assert f"/proc/{own}" in seen and len(seen) <= 2, "only init (if at all) and the shell"


@pytest.mark.needs("userns")
def test_loopback_is_up_and_the_only_interface(boxed):
    script = ("import socket; s = socket.create_server(('127.0.0.1', 0)); "
              "c = socket.create_connection(s.getsockname()); "
              "print([name for _, name in socket.if_nameindex()])")
    done = boxed("--network", "loopback", "--", "/usr/bin/python3", "-c", script)
    assert (done.status, done.out) == (0, "['lo']\n"), done


@pytest.mark.needs("userns")
def test_the_hostname_is_the_one_asked_for(boxed):
    assert boxed("--hostname", "elsewhere", "--", "/bin/hostname").out == "elsewhere\n"
    assert boxed("--", "/bin/hostname").out == "minibox\n"


@pytest.mark.needs("userns", "timens")
def test_the_clocks_are_shifted_by_the_offset(boxed):
    read = ("import time; print(time.clock_gettime(time.CLOCK_BOOTTIME))",)
    here = float(boxed.command("/usr/bin/python3", "-c", *read).stdout)
    done = boxed("--time-offset", "86400", "--", "/usr/bin/python3", "-c", *read)
    assert done.status == 0 and abs(float(done.out) - here - 86400) < 60, done


@pytest.mark.needs("userns")
def test_without_an_init_the_application_is_pid_1(boxed):
    assert boxed("--no-init", "--", "/bin/sh", "-c", "echo $$").out == "1\n"
    assert boxed("--", "/bin/sh", "-c", "echo $$").out != "1\n"


@pytest.mark.needs("userns")
def test_pid_1_can_be_neither_killed_nor_read_by_the_application(boxed):
    script = "kill -9 1; kill -TERM 1; cat /proc/1/environ; ls /proc/1/cwd/; echo still here"
    done = boxed("--", "/bin/sh", "-c", script)
    assert (done.reason, done.status, done.out) == ("exited", 0, "still here\n")
