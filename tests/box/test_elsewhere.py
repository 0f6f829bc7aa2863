"""What `minibox explain --as` prints is run for real, and makes the box that it says."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

LOOK = r"""
for kind in pid net ipc uts mnt user; do echo $kind $(readlink /proc/self/ns/$kind); done
echo processes $(ls -d /proc/[0-9]* | wc -l)
echo name $(uname -n)
echo uid $(id -u):$(id -g)
echo interfaces $(sed -n 's/ *\([a-z0-9]*\):.*/\1/p' /proc/net/dev)
echo read $(cat /data/file)
if [ -e "$1" ]; then
    echo host is seen
else
    touch /data/new 2>/dev/null && echo wrote volume
    touch /usr/new 2>/dev/null && echo wrote usr
    touch /new 2>/dev/null && echo wrote root
    touch /tmp/new 2>/dev/null && echo wrote tmp
fi
echo caps $(sed -n 's/CapEff:[^0-9a-f]*//p' /proc/self/status)
echo size $(df -B1 --output=size /tmp | tail -1)
echo environment $(env | sed 's/=.*//' | grep -v -e '^_$' -e PWD -e OLDPWD -e SHLVL | sort)
"""


@pytest.fixture
def data(boxed) -> Iterator[Path]:
    """A directory that the caller owns and everybody reads."""
    path = boxed.scratch / "data"
    path.mkdir()
    (path / "file").write_text("shown")
    for one in (path, path / "file"):
        os.chown(one, boxed.uid, boxed.gid)
        one.chmod(0o755)
    yield path


def seen(caller, tool: str, *options: str) -> dict[str, str]:
    """What LOOK sees in the box that *tool* makes of these options of run, run as it is printed."""
    shown = caller.minibox("explain", "run", "--as", tool, *options, "--", "sh", "-c", LOOK,
                         "sh", __file__)
    assert shown.returncode == 0, shown.stderr
    script = shown.stdout
    if tool == "runc":
        bundle = caller.scratch / "bundle"
        bundle.mkdir()
        (bundle / "root").mkdir()
        (bundle / "config.json").write_text(shown.stdout)
        for one in (bundle, bundle / "root", bundle / "config.json"):
            os.chown(one, caller.uid, caller.gid)
        hint = shown.stderr.partition("and: ")[2].partition("\n")[0]
        assert hint == "runc run --bundle DIR NAME"
        script = hint.replace("runc", f"runc --root {shlex.quote(str(caller.scratch / 'state'))}", 1
                              ).replace("DIR", shlex.quote(str(bundle))
                                        ).replace("NAME", f"minibox-as-{os.getpid()}")
    done = caller.command("sh", "-c", script)
    assert done.returncode == 0, done.stderr
    found: dict[str, str] = {}
    for line in done.stdout.splitlines():
        word, _, rest = line.partition(" ")
        found[word] = f"{found[word]} {rest}" if word in found else rest
    return found


def own(found: dict[str, str]) -> set[str]:
    """Kinds of namespace that are not this process's."""
    return {kind for kind in ("pid", "net", "ipc", "uts", "mnt", "user")
            if found[kind] != os.readlink(f"/proc/self/ns/{kind}")}


def told(boxed, tool: str, *options: str) -> list[str]:
    """The fields that *tool* cannot express."""
    said = boxed.minibox("explain", "--as", tool, "run", *options, "--", "true").stderr
    return [line.strip().partition("=")[0] for line in said.partition("otherwise:")[0].splitlines()
            if line.startswith("  ")]


EVERY = {"pid", "net", "ipc", "uts", "mnt"}


@pytest.mark.needs("bwrap")
def test_bwrap_makes_the_box_that_is_printed(boxed, data) -> None:
    found = seen(boxed, "bwrap", "--user", "5:6", "--hostname", "other", "--tmpfs-size", "1M",
                 "-v", f"{data}:/data:ro", "-e", "NAME=a b")
    assert own(found) == EVERY | {"user"} and int(found["processes"]) < 10
    assert (found["name"], found["uid"], found["interfaces"]) == ("other", "5:6", "lo")
    assert (found["read"], found["wrote"], found["size"]) == ("shown", "tmp", str(1 << 20))
    assert found["caps"] == "0" * 16
    assert found["environment"] == "HOME LANG NAME PATH"


@pytest.mark.needs("bwrap")
def test_bwrap_shares_and_writes_what_was_asked_for(boxed, data) -> None:
    found = seen(boxed, "bwrap", "--network", "host", "--uts", "host", "-v", f"{data}:/data",
                 "--read-only")
    assert own(found) == EVERY - {"net", "uts"} | {"user"}
    assert (found["name"], found["wrote"]) == (os.uname().nodename, "volume")
    assert (data / "new").exists()


@pytest.mark.needs("runc")
def test_runc_makes_the_box_that_is_printed(boxed, data) -> None:
    options = ("--user", "5:6", "--hostname", "other", "--tmpfs-size", "1M", "-m", "64M",
               "-v", f"{data}:/data:ro", "-e", "NAME=a b", "--pids-limit", "50")
    found = seen(boxed, "runc", *options)
    beyond = ["user", "limits.memory_bytes", "limits.pids"] if boxed.uid else []
    assert told(boxed, "runc", *options) == beyond
    assert own(found) == EVERY | ({"user"} if boxed.uid else set()) and int(found["processes"]) < 10
    assert (found["name"], found["interfaces"]) == ("other", "lo")
    assert found["uid"] == ("0:0" if boxed.uid else "5:6")
    assert (found["read"], found["wrote"], found["size"]) == ("shown", "tmp", str(1 << 20))
    assert found["caps"] == "0" * 16
    assert found["environment"] == "HOME LANG NAME PATH"


@pytest.mark.needs("runc")
def test_runc_shares_and_writes_what_was_asked_for(boxed, data) -> None:
    found = seen(boxed, "runc", "--network", "host", "--uts", "host", "-v", f"{data}:/data",
                 "--read-only")
    assert own(found) == EVERY - {"net", "uts"} | ({"user"} if boxed.uid else set())
    assert (found["name"], found["wrote"]) == (os.uname().nodename, "volume")


@pytest.mark.needs("bwrap")
@pytest.mark.parametrize(("more", "wrote"), [((), ""), (("--read-only",), ""), (("--rw",), "yes")])
def test_bwrap_takes_a_root_file_system(boxed, busybox, more: tuple[str, ...], wrote: str) -> None:
    shown = boxed.minibox("explain", "--as", "bwrap", "run", "--rootfs", str(busybox), *more, "--",
                          "sh", "-c", "touch /new && echo yes; ls /bin/busybox")
    done = boxed.command("sh", "-c", shown.stdout)
    assert done.stdout.split() == [*wrote.split(), "/bin/busybox"]
    assert (busybox / "new").exists() == bool(wrote)
    assert ("refused, not forgotten" in shown.stderr) == (not more)


def test_unshare_makes_the_namespaces_that_are_printed(boxed) -> None:
    found = seen(boxed, "unshare", "--user", "5:6", "-e", "NAME=a b")
    assert own(found) == EVERY | {"user"} and int(found["processes"]) < 10
    assert (found["name"], found["uid"], found["interfaces"]) == (os.uname().nodename, "5:6", "lo")
    assert found["host"] == "is seen"
    assert found["environment"] == "HOME LANG NAME PATH"
    shared = seen(boxed, "unshare", "--network", "host", "--ipc", "host")
    assert own(shared) == EVERY - {"net", "ipc"} | {"user"}


def test_bytes_that_are_no_text_are_as_they_were_given(boxed) -> None:
    strict = boxed.environment | {"PYTHONIOENCODING": "utf-8:strict"}
    shown = boxed.minibox("explain", "--as", "unshare", "run", "--", "printf", "%s", b"a\xff b",
                          text=False, env=strict)
    done = boxed.command("sh", "-c", shown.stdout, text=False)
    assert (done.returncode, done.stdout) == (0, b"a\xff b")
    runc = boxed.minibox("explain", "--as", "runc", "run", "--", "printf", b"a\xff")
    assert "  argv=('printf', 'a\\udcff'): it is not UTF-8" in runc.stderr
    assert told(boxed, "runc", "--env", r"WORD=\udcff") == []


@pytest.mark.needs("timens")
def test_unshare_shifts_clocks(boxed) -> None:
    shown = boxed.minibox("explain", "--as", "unshare", "run", "--time-offset", "864000", "--",
                          "cat", "/proc/uptime")
    assert "boottime" not in shown.stderr
    uptime = float(boxed.command("sh", "-c", shown.stdout).stdout.split()[0])
    assert uptime > float(Path("/proc/uptime").read_text().split()[0]) + 863000


@pytest.mark.parametrize(("arguments", "said"), [
    (("--as", "docker", "run", "true"), "use unshare, bwrap, runc, systemd-run"),
    (("--as", "bwrap", "--json", "run", "true"), "leave --json out"),
    (("--as", "bwrap", "plan", "file"), "--as is for run"),
    (("run", "--as", "bwrap"), "name a program")])
def test_what_cannot_be_said_is_one_line(root_boxed, arguments: tuple[str, ...], said: str) -> None:
    done = root_boxed.minibox("explain", *arguments)
    assert (done.returncode, done.stdout) == (125, "")
    assert said in done.stderr and done.stderr.count("\n") == 1
