"""Caps under systemd: a user that logs in has no cgroup to write, and gets a scope; a service of
root's may use its slice."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.needs("vm")

HERE = Path(__file__).parent
MINIBOX = shlex.join(["env", *(f"{name}={os.environ[name]}" for name in ("MINIBOX_ENGINE",)
                               if name in os.environ), sys.executable, "-m", "minibox"])
"""A login clears the environment."""


@pytest.mark.parametrize(("user", "place"), [
    ("tester", r"/user-[0-9]*[.]slice/user@[0-9]*[.]service/app[.]slice/minibox-.*[.]scope/init$"),
    ("", "/system[.]slice/")], ids=["login", "service"])
def test_under_systemd_caps_hold_and_nothing_is_left(user, place):
    inside = f"""
        {MINIBOX} run -m 64M --cpus 0.5 --pids-limit 20 -- echo capped
        {MINIBOX} run -m 16M -- sh -c 'x=$(head -c 64M /dev/zero | tr "\\0" x)'; echo $?
        {MINIBOX} run -m 64M --cpus 0.5 -- sleep 60 & box=$!
        until grep -q '{place}' /proc/$box/cgroup; do sleep 0.1; done
        kill -KILL $box; wait $box 2>/dev/null
        {MINIBOX} run -m 64M -- true
        until ! find /sys/fs/cgroup -name 'minibox-*' | grep -q .; do sleep 0.1; done; echo gone
    """
    done = under_systemd(user, inside)
    assert (done.stdout.split(), done.returncode) == (["capped", "137", "gone"], 0), done.stderr


def under_systemd(user: str, inside: str) -> subprocess.CompletedProcess[str]:
    """Run lines of a shell where systemd is PID 1: in a login of *user*, or as a service."""
    script = (f"{f'useradd --create-home {user}; ' if user else ''}"
              f"exec sh {shlex.quote(str(HERE / 'systemd.sh'))} '{user}' {shlex.quote(inside)}")
    return subprocess.run([HERE / "vm-run", "--timeout", "240", "--", "sh", "-c", script],
                          stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          cwd=HERE.parents[1], env=os.environ | {"TMPDIR": ""})


LOOK = r"""
read file </data/file; echo $file
for path in /data/new /usr/new /new /tmp/new; do touch $path 2>/dev/null && echo wrote $path; done
sed -n 's/ *\([a-z0-9]*\):.*/\1/p' /proc/net/dev
sed -n 's/^CapEff:[^0-9a-f]*//p; s/^NoNewPrivs:[^0-9]*//p; s/^Seccomp:[^0-9]*//p' /proc/self/status
cat /sys/fs/cgroup$(cut -c4- /proc/self/cgroup)/memory.max
df -B1 --output=size /tmp | tail -1
ls -d /home/* /root/* 2>/dev/null
id -u
"""

OTHERS = ("--cap-add NET_RAW --ulimit nofile=64:128 --ipc host --network host --uts host "
          "--read-only --tmpfs /scratch:size=1m --security-opt seccomp=unconfined "
          "--cpuset-cpus 0 -m 64M --memory-swap -1 --stop-signal INT --security-opt unmask=ALL "
          "--no-init --user 5:6")
"""That these are accepted is looked at; of what they do, a part."""


@pytest.mark.parametrize("user", ["tester", ""], ids=["login", "service"])
def test_the_command_of_systemd_run_is_taken_and_makes_the_box(user: str) -> None:
    inside = f"""
        dir=$(mktemp -d); chmod 755 $dir; mkdir $dir/data; echo shown >$dir/data/file
        {MINIBOX} explain run --as systemd-run -m 64M --cpus 0.5 --pids-limit 20 --timeout 60 \
            --tmpfs-size 1M -v $dir/data:/data:ro -- sh -c {shlex.quote(LOOK)} \
            >$dir/command 2>$dir/told
        head -1 $dir/told
        sh $dir/command
        id -u; echo status $?
    """
    if not user:
        inside += f"""
        {MINIBOX} explain --as systemd-run run {OTHERS} -- sh -c 'id -u; ulimit -Sn; ulimit -Hn
            sed -n "s/^CapEff:[^0-9a-f]*//p" /proc/self/status
            readlink /proc/self/ns/net; touch /tmp/new 2>/dev/null || echo refused' \\
            >$dir/command 2>$dir/told
        sh $dir/command 2>&1; readlink /proc/self/ns/net"""
    done = under_systemd(user, inside)
    lines = [line.strip() for line in done.stdout.splitlines()]
    assert lines[0] == "systemd-run expresses all that was asked for.", done
    assert lines[1:9] == ["shown", "wrote /tmp/new", "lo", "0" * 16, "1", "2", str(64 << 20),
                          "1048576"], done
    assert lines[9] == lines[10] and lines[11] == "status 0"
    if not user:
        *first, net, refused, host_net = lines[12:]
        assert first == ["5", "64", "128", "0000000000002000"], done
        assert (net, refused) == (host_net, "refused")
